//! Why readings could not become, or be merged into, an Observation.

/// Why readings could not become, or be merged into, an Observation.
///
/// The texts name value names, types and counts of a mapping, never a value or
/// an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The reading does not say which device it is from.
    #[error("the measurement has no device id")]
    DeviceIdNotDefined,

    /// The reading does not say of which type it is.
    #[error("the measurement has no type")]
    TypeNotDefined,

    /// The FHIR mapping says nothing of this type.
    #[error("the FHIR mapping has no template for type `{type_name}`")]
    TemplateNotFound {
        /// The type of the measurement.
        type_name: String,
    },

    /// The template groups by correlation id and the reading has none.
    #[error("type `{type_name}` is grouped by correlation id and the measurement has none")]
    CorrelationIdNotDefined {
        /// The type of the measurement.
        type_name: String,
    },

    /// A `periodInterval` that does not exist.
    #[error("period interval {minutes} is not -1, 0, 60 or 1440")]
    UnsupportedInterval {
        /// What the mapping says.
        minutes: i64,
    },

    /// A Quantity needs exactly one value, and that a decimal number.
    #[error("value `{value_name}` has {count} values; a Quantity takes one, a decimal number")]
    InvalidQuantity {
        /// The value's name.
        value_name: String,
        /// How many values there were; the one was no number.
        count: usize,
    },

    /// A String needs exactly one value.
    #[error("value `{value_name}` has {count} values; a String takes one")]
    NotOneString {
        /// The value's name.
        value_name: String,
        /// How many values there were.
        count: usize,
    },

    /// A sample is neither a decimal number nor `E`, `L` or `U`.
    #[error("a sample of value `{value_name}` is not a decimal number")]
    InvalidSample {
        /// The value's name.
        value_name: String,
    },

    /// A series would have more samples than one Observation may hold.
    #[error("value `{value_name}` would have more than {max} samples in one Observation")]
    TooManySamples {
        /// The value's name.
        value_name: String,
        /// The most that is allowed.
        max: usize,
    },

    /// The stored value is of another type than the template's.
    #[error("the stored value of `{value_name}` is not a {expected}")]
    ValueTypeDiffers {
        /// The value's name.
        value_name: String,
        /// The FHIR type of the template's value.
        expected: &'static str,
    },

    /// The stored SampledData has several dimensions.
    #[error("the stored samples of `{value_name}` have more than one dimension")]
    SeveralDimensions {
        /// The value's name.
        value_name: String,
    },

    /// The stored Observation's effective time is neither a date-time nor a
    /// period, or one that cannot be read.
    #[error("the stored Observation has no effective date-time or period")]
    EffectiveNotSupported,

    /// The stored Observation says not when it began, or not when it ended.
    #[error("the effective time of the stored Observation lacks its start or its end")]
    EffectiveIncomplete,

    /// The stored Observation was withdrawn, and a setting forbids to change
    /// such ones (fhir-conversion.md quirk 27).
    #[error("the stored Observation is `{status}`")]
    Withdrawn {
        /// Its status: `entered-in-error` or `cancelled`.
        status: &'static str,
    },

    /// No value would be in the Observation, and a setting forbids to write
    /// such ones (fhir-conversion.md quirk 49).
    #[error("no value of type `{type_name}` is in the FHIR template")]
    NoValue {
        /// The type of the measurement.
        type_name: String,
    },
}

impl ConvertError {
    /// A stable name for metrics, dead letters and the documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DeviceIdNotDefined => "DeviceIdNotDefined",
            Self::TypeNotDefined => "TypeNotDefined",
            Self::TemplateNotFound { .. } => "TemplateNotFound",
            Self::CorrelationIdNotDefined { .. } => "CorrelationIdNotDefined",
            Self::UnsupportedInterval { .. } => "UnsupportedInterval",
            Self::InvalidQuantity { .. } => "InvalidQuantity",
            Self::NotOneString { .. } => "NotOneString",
            Self::InvalidSample { .. } => "InvalidSample",
            Self::TooManySamples { .. } => "TooManySamples",
            Self::ValueTypeDiffers { .. } => "ValueTypeDiffers",
            Self::SeveralDimensions { .. } => "SeveralDimensions",
            Self::EffectiveNotSupported => "EffectiveNotSupported",
            Self::EffectiveIncomplete => "EffectiveIncomplete",
            Self::Withdrawn { .. } => "Withdrawn",
            Self::NoValue { .. } => "NoValue",
        }
    }

    /// The kind that the conformance corpus gives it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DeviceIdNotDefined | Self::EffectiveIncomplete => "argument-null",
            Self::TypeNotDefined => "argument",
            Self::TemplateNotFound { .. } => "template-not-found",
            Self::CorrelationIdNotDefined { .. } => "correlation-id-not-defined",
            Self::InvalidQuantity { .. } => "invalid-quantity",
            Self::NotOneString { .. } => "invalid-operation",
            Self::InvalidSample { .. } | Self::NoValue { .. } => "incompatible-data",
            Self::UnsupportedInterval { .. }
            | Self::TooManySamples { .. }
            | Self::ValueTypeDiffers { .. }
            | Self::SeveralDimensions { .. }
            | Self::EffectiveNotSupported
            | Self::Withdrawn { .. } => "not-supported",
        }
    }
}
