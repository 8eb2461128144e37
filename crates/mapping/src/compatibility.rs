//! Where we may differ from the reference connector, by choice (design.md D12).

/// How numbers of a device are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// As .NET prints a double (device-mapping.md 5.1).
    #[default]
    Reference,
    /// As the device wrote them.
    Exact,
}

/// The switches (S, OPTION) of the reference documents, one field each.
///
/// [`Compatibility::default`] is what we run with; [`Compatibility::reference`]
/// sets every switch as the reference connector behaves. Each field is the
/// setting `Compatibility__<Name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compatibility {
    /// `Compatibility__Numbers`.
    pub numbers: Numbers,
    /// `Compatibility__CoercedComparisonErrors`: an ordering comparison in a
    /// JSONPath filter whose sides cannot be converted fails the event
    /// (device-mapping.md quirk 45); otherwise it is simply false.
    pub coerced_comparison_errors: bool,
    /// `Compatibility__IntegralFloatTimestamps`: `fromUnixTimestamp` takes a
    /// Float without a fraction (device-mapping.md quirk 57).
    pub integral_float_timestamps: bool,
    /// `Compatibility__OverwriteEnteredInError`: a merge sets the status of
    /// `entered-in-error` and `cancelled` Observations to `amended`
    /// (fhir-conversion.md quirk 27); otherwise the reading is rejected.
    pub overwrite_entered_in_error: bool,
    /// `Compatibility__MergeEqualTimes`: of readings at the same instant, the
    /// one ingested last takes the properties it lacks from the others
    /// (fhir-conversion.md quirk 16); otherwise the others vanish whole.
    pub merge_equal_times: bool,
    /// `Compatibility__SkipEmptyObservations`: an Observation without any value
    /// is not written (fhir-conversion.md quirk 49).
    pub skip_empty_observations: bool,
    /// When a FHIR template has components, the validator warns that a device
    /// value which its top-level `value` names is nowhere, though it is there
    /// (device-mapping.md quirk 70). Without a setting of its own.
    pub components_hide_value: bool,
}

impl Default for Compatibility {
    fn default() -> Self {
        Compatibility {
            coerced_comparison_errors: false,
            integral_float_timestamps: true,
            overwrite_entered_in_error: false,
            components_hide_value: false,
            ..Self::reference()
        }
    }
}

impl Compatibility {
    /// Everything as the reference connector does it.
    pub fn reference() -> Compatibility {
        Compatibility {
            numbers: Numbers::Reference,
            coerced_comparison_errors: true,
            integral_float_timestamps: false,
            overwrite_entered_in_error: true,
            merge_equal_times: false,
            skip_empty_observations: false,
            components_hide_value: true,
        }
    }
}
