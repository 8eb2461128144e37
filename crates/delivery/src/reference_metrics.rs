//! The metrics of the reference connector for what goes wrong here, so that
//! dashboards and alerts made for it keep working (device-mapping.md 9.5,
//! fhir-conversion.md 7.6, 8.3 and 10).
//!
//! ```text
//! reason code of an event or measurement --of_reason--> ErrorRecord
//! failure of the FHIR server or a hub ----record-------> ErrorRecord
//! SaveOutcome ----------------------------saved--------> name for FhirResourceSaved
//! ```
//!
//! Data only: who counts is elsewhere. One cause is one record, where the
//! reference connector counts some up to four times (quirks 60 and 73).

mod failure;
mod status;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::convert::SaveOutcome;

pub use failure::{EventHubFailure, FhirServiceFailure};

/// An error metric: its name and what it is counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMetric {
    /// The metric's name, which is its dimension `Name` as well.
    pub name: Cow<'static, str>,
    /// `ErrorType`: what the error is about.
    pub error_type: &'static str,
    /// `ErrorSeverity`.
    pub severity: ErrorSeverity,
    /// `Operation`: where on the path.
    pub operation: &'static str,
    /// `ErrorSource`: who can mend it, if that is known.
    pub source: Option<ErrorSource>,
}

/// How bad an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorSeverity {
    /// Nothing gets through until somebody acts.
    Critical,
    /// Some data does not get through.
    Warning,
}

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorSource {
    /// Whoever runs the connector.
    Service,
    /// Whoever owns mappings, devices and the FHIR server.
    User,
}

/// An error as the reference connector would record it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorRecord {
    /// The metric, counted once.
    pub metric: ErrorMetric,
    /// What sort of error it becomes in the log; the conformance corpus' name.
    pub kind: &'static str,
    shown: Option<bool>,
}

impl ErrorMetric {
    /// The dimensions with their values, in the reference connector's order.
    pub fn dimensions(&self) -> Vec<(&'static str, &str)> {
        let mut dimensions = vec![
            ("Name", self.name.as_ref()),
            ("Category", "Errors"),
            ("ErrorType", self.error_type),
            ("ErrorSeverity", self.severity.as_str()),
            ("Operation", self.operation),
        ];
        dimensions.extend(self.source.map(|source| ("ErrorSource", source.as_str())));
        dimensions
    }
}

impl ErrorSeverity {
    /// The reference connector's word.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorSeverity::Critical => "Critical",
            ErrorSeverity::Warning => "Warning",
        }
    }
}

impl ErrorSource {
    /// The reference connector's word.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorSource::Service => "Service",
            ErrorSource::User => "User",
        }
    }
}

impl ErrorRecord {
    /// Whether the reference connector passes it by: it knows the kinds by name
    /// (device-mapping.md 9.4, fhir-conversion.md 7.6), and all others hold up
    /// their batch.
    pub fn is_handled(&self) -> bool {
        HANDLED.contains(&self.kind)
    }

    fn new(metric: ErrorMetric, kind: &'static str) -> ErrorRecord {
        ErrorRecord { metric, kind, shown: None }
    }

    /// Whether the owner of the mappings may see it: the log property
    /// `logToCustomerIot`. So it is for what a user can mend, unless
    /// [`ErrorRecord::shown_to_customer`] says otherwise.
    pub fn is_for_customer(&self) -> bool {
        self.shown.unwrap_or(self.metric.source == Some(ErrorSource::User))
    }

    /// The same, with `shown` as the answer; the last one counts.
    pub fn shown_to_customer(self, shown: bool) -> ErrorRecord {
        ErrorRecord { shown: Some(shown), ..self }
    }
}

const NORMALIZATION: &str = "Normalization";
const GROUPING: &str = "Grouping";
const FHIR_CONVERSION: &str = "FHIRConversion";
const SETUP: &str = "Setup";
const UNKNOWN: &str = "Unknown";

const AUTHENTICATION: &str = "AuthenticationError";
const DEVICE_MESSAGE: &str = "DeviceMessageError";
const DEVICE_TEMPLATE: &str = "DeviceTemplateError";
const EVENT_HUB: &str = "EventHubError";
const FHIR_CONVERSION_ERROR: &str = "FHIRConversionError";
const FHIR_RESOURCE: &str = "FHIRResourceError";
const FHIR_SERVICE: &str = "FHIRServiceError";
const GENERAL: &str = "GeneralError";

/// The kinds of errors that the reference connector passes by.
const HANDLED: [&str; 10] = [
    "correlation-id-not-defined",
    "fhir-resource-not-found",
    "incompatible-data",
    "invalid-data-format",
    "invalid-quantity",
    "multiple-resources-found",
    "not-supported",
    "patient-device-mismatch",
    "resource-identity-not-defined",
    "template-not-found",
];

/// A row of the table: our reason codes, and how the reference connector counts
/// what they stand for.
struct Row {
    codes: &'static [&'static str],
    metric: &'static str,
    kind: &'static str,
    error_type: &'static str,
    severity: ErrorSeverity,
    operation: &'static str,
    source: Option<ErrorSource>,
}

const fn row(codes: &'static [&'static str], metric: &'static str, kind: &'static str) -> Row {
    let (error_type, severity) = (FHIR_RESOURCE, ErrorSeverity::Warning);
    Row { codes, metric, kind, error_type, severity, operation: FHIR_CONVERSION, source: None }
}

/// Which of our reasons is which of its errors. What the reference connector
/// retried for ever (quirk 22) stands under the name that its log gave it.
const ROWS: [Row; 15] = [
    Row {
        error_type: DEVICE_MESSAGE,
        operation: UNKNOWN,
        source: Some(ErrorSource::User),
        ..row(&["InvalidDataFormat"], "InvalidDataFormatException", "invalid-data-format")
    },
    Row {
        error_type: DEVICE_MESSAGE,
        operation: NORMALIZATION,
        source: Some(ErrorSource::User),
        ..row(&["IncompatibleData"], "IncompatibleDataException", "incompatible-data")
    },
    Row {
        error_type: DEVICE_TEMPLATE,
        severity: ErrorSeverity::Critical,
        operation: NORMALIZATION,
        source: Some(ErrorSource::User),
        ..row(
            &["TemplateExpression", "FunctionError", "DivideByZero", "Overflow", "ArgumentOutOfRange", "Argument"],
            "DeviceTemplateErrorNormalizationDataMappingException",
            "normalization-data-mapping",
        )
    },
    Row {
        error_type: FHIR_CONVERSION_ERROR,
        severity: ErrorSeverity::Critical,
        source: Some(ErrorSource::Service),
        ..row(&["InvalidMeasurement"], "FHIRConversionErrorMeasurementProcessingException", "measurement-processing")
    },
    Row {
        error_type: GENERAL,
        severity: ErrorSeverity::Critical,
        ..row(&["TemplateNotFound"], "TemplateNotFoundException", "template-not-found")
    },
    Row {
        error_type: DEVICE_MESSAGE,
        severity: ErrorSeverity::Critical,
        operation: GROUPING,
        ..row(&["CorrelationIdNotDefined"], "CorrelationIdNotDefinedException", "correlation-id-not-defined")
    },
    row(&["InvalidQuantity"], "InvalidQuantityFhirValueException", "invalid-quantity"),
    row(
        &["ValueTypeDiffers", "SeveralDimensions", "EffectiveNotSupported", "Withdrawn"],
        "NotSupportedException",
        "not-supported",
    ),
    Row {
        error_type: FHIR_CONVERSION_ERROR,
        severity: ErrorSeverity::Critical,
        source: Some(ErrorSource::User),
        ..row(
            &["TypeNotDefined", "UnsupportedInterval"],
            "FHIRConversionErrorFhirDataMappingException",
            "fhir-data-mapping",
        )
    },
    Row {
        error_type: FHIR_SERVICE,
        severity: ErrorSeverity::Critical,
        ..row(&["DeviceIdNotDefined", "NotOneString", "EffectiveIncomplete"], "FHIRServiceErrorGeneralError", "general")
    },
    row(&["PatientDeviceMismatch"], "PatientDeviceMismatchException", "patient-device-mismatch"),
    Row {
        error_type: FHIR_SERVICE,
        severity: ErrorSeverity::Critical,
        ..row(&["ObservationRefused", "IdentityRefused"], "FHIRServiceErrorBadRequest", "fhir-client")
    },
    Row {
        error_type: FHIR_SERVICE,
        severity: ErrorSeverity::Critical,
        ..row(&["WriteConflict"], "FHIRServiceErrorConflict", "fhir-client")
    },
    Row {
        error_type: FHIR_SERVICE,
        severity: ErrorSeverity::Critical,
        ..row(&["ObservationTooLarge"], "FHIRServiceErrorRequestEntityTooLarge", "fhir-client")
    },
    Row {
        error_type: FHIR_SERVICE,
        severity: ErrorSeverity::Critical,
        ..row(&["FhirServerError"], "FHIRServiceErrorInternalServerError", "fhir-client")
    },
];

/// Our own reasons, for which the reference connector has no error: it never
/// looks, or it only writes a log line.
pub const WITHOUT_COUNTERPART: [&str; 8] = [
    "InvalidSample",
    "LimitExceeded",
    "MeasurementTooLarge",
    "NoFate",
    "NoValue",
    "ObservationDeleted",
    "ReferenceNotFound",
    "TooManySamples",
];

/// How the reference connector records what our reason `code` stands for; none
/// for a reason that is ours alone. Here every reason is recorded and passed by;
/// there only some are ([`ErrorRecord::is_handled`]).
pub fn of_reason(code: &str) -> Option<ErrorRecord> {
    if WITHOUT_COUNTERPART.contains(&code) {
        return None;
    }
    match ROWS.iter().find(|row| row.codes.contains(&code)) {
        Some(row) => {
            let Row { error_type, severity, operation, source, .. } = *row;
            let metric = ErrorMetric { name: Cow::Borrowed(row.metric), error_type, severity, operation, source };
            Some(ErrorRecord::new(metric, row.kind))
        }
        None => of_resource(code),
    }
}

/// Our reason codes that have a counterpart, but for those that name a type of
/// resource, in the order of the table.
pub fn counterparts() -> impl Iterator<Item = &'static str> {
    ROWS.iter().flat_map(|row| row.codes.iter().copied())
}

/// Reasons that name a type of resource, whichever it is.
fn of_resource(code: &str) -> Option<ErrorRecord> {
    let kind = if code.starts_with("Multiple") && code.ends_with("Found") {
        "multiple-resources-found"
    } else if code.ends_with("IdentityNotDefined") {
        "resource-identity-not-defined"
    } else if code.ends_with("NotFound") {
        "fhir-resource-not-found"
    } else {
        return None;
    };
    let metric = ErrorMetric {
        name: Cow::Owned(format!("{code}Exception")),
        error_type: FHIR_RESOURCE,
        severity: ErrorSeverity::Warning,
        operation: FHIR_CONVERSION,
        source: None,
    };
    Some(ErrorRecord::new(metric, kind))
}

/// The `Name` of the metric `FhirResourceSaved`; none for what was not saved.
pub fn saved(outcome: &SaveOutcome) -> Option<&'static str> {
    match outcome {
        SaveOutcome::Created => Some("ObservationCreated"),
        SaveOutcome::Merged => Some("ObservationUpdated"),
        SaveOutcome::Unchanged => Some("ObservationNoOperation"),
        SaveOutcome::Rejected(_) => None,
    }
}
