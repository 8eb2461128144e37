//! The suite `errors`: a condition to its classification, as the table of the
//! reference connector's metrics has it.

use delivery::reference_metrics::{self, ErrorRecord, EventHubFailure, FhirServiceFailure};
use fhir_client::Unresolved;
use mapping::normalize::{ErrorKind, NormalizeError};
use mapping::{ConvertError, Place};
use serde_json::{Value, json};

use super::case;
use crate::Outcome;

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let (condition, expect) = (&case["condition"], &case["expect"]);
    if let Some(expected) = expect.get("message") {
        return Outcome::compare(expected, &json!(message(condition)));
    }
    if let Some(expected) = expect.get("forwarded") {
        return Outcome::compare(expected, &json!(forwarded(condition)));
    }
    let (record, is_handled) = match case::text(condition, "stage") {
        "fhir-service" => (Some(fhir_service(condition).record()), false),
        "event-hub" => (Some(event_hub(condition).record()), false),
        "fhir-conversion" | "normalization" => {
            let record = reason(condition).and_then(|code| reference_metrics::of_reason(&code));
            let is_handled = record.as_ref().is_some_and(ErrorRecord::is_handled);
            (record, is_handled)
        }
        other => return Outcome::Skipped(format!("the stage `{other}` is not known")),
    };
    compare(expect, record.as_ref(), is_handled)
}

fn compare(expect: &Value, record: Option<&ErrorRecord>, is_handled: bool) -> Outcome {
    let dimensions = record.map(|record| record.metric.dimensions()).unwrap_or_default();
    let dimension = |name: &str| dimensions.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let wanted = |name: &str| expect.get(name).and_then(Value::as_str);
    let mut members = expect["dimensions"].as_object().into_iter().flatten();
    let mut absent = expect["absentDimensions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let is_met = expect.get("handled").is_none_or(|handled| *handled == is_handled)
        && wanted("metric").is_none_or(|metric| record.is_some_and(|record| record.metric.name == metric))
        && members.all(|(name, value)| dimension(name) == value.as_str())
        && absent.all(|name| dimension(name).is_none())
        && wanted("becomes").is_none_or(|kind| record.is_some_and(|record| record.kind == kind));
    if is_met { Outcome::Passed } else { Outcome::failed(expect.to_string(), format!("{is_handled} {record:?}")) }
}

/// The code of our reason for a kind of error; none when it is none of ours.
fn reason(condition: &Value) -> Option<String> {
    let resource_type = case::text(condition, "resourceType");
    let nothing = String::new;
    let convert = |error: ConvertError| Some(error.code().to_owned());
    let normalize = |kind: ErrorKind| Some(kind.code().to_owned());
    match case::text(condition, "kind") {
        "multiple-resources-found" => Some(format!("Multiple{resource_type}Found")),
        "fhir-resource-not-found" => Some(format!("{resource_type}NotFound")),
        "resource-identity-not-defined" => Some(format!("{resource_type}IdentityNotDefined")),
        "patient-device-mismatch" => Some(Unresolved::PatientDeviceMismatch.code().to_owned()),
        "template-not-found" => convert(ConvertError::TemplateNotFound { type_name: nothing() }),
        "correlation-id-not-defined" => convert(ConvertError::CorrelationIdNotDefined { type_name: nothing() }),
        "invalid-quantity" => convert(ConvertError::InvalidQuantity { value_name: nothing(), count: 0 }),
        "invalid-operation" => convert(ConvertError::NotOneString { value_name: nothing(), count: 0 }),
        "not-supported" => convert(ConvertError::EffectiveNotSupported),
        "invalid-data-format" => normalize(ErrorKind::InvalidDataFormat),
        "incompatible-data" => normalize(ErrorKind::IncompatibleData),
        "template-expression" => normalize(ErrorKind::TemplateExpression),
        "function-error" => normalize(ErrorKind::Function),
        "divide-by-zero" => normalize(ErrorKind::DivideByZero),
        "overflow" => normalize(ErrorKind::Overflow),
        "argument-out-of-range" => normalize(ErrorKind::ArgumentOutOfRange),
        _ => None,
    }
}

fn status(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|status| u16::try_from(status).ok())
}

fn fhir_service(condition: &Value) -> FhirServiceFailure<'_> {
    let has = |name: &str| condition.get(name).is_some();
    let text = |name: &str| case::text(condition, name);
    if let Some(status) = status(&condition["fhirStatus"]) {
        return FhirServiceFailure::Status(status);
    }
    if has("argument") {
        return FhirServiceFailure::Argument(text("argument"));
    }
    if has("uriFormat") {
        return FhirServiceFailure::InvalidUrl;
    }
    if has("tokenError") {
        return FhirServiceFailure::Token(text("tokenError"));
    }
    // What .NET says of a name that the resolver does not know.
    if text("httpRequestMessage").to_lowercase().contains("name or service not known") {
        return FhirServiceFailure::UnknownHost;
    }
    if condition.as_object().is_some_and(|members| members.keys().any(|name| name.starts_with("httpRequest"))) {
        return FhirServiceFailure::Transport(status(&condition["httpRequestStatus"]));
    }
    FhirServiceFailure::Other
}

fn event_hub(condition: &Value) -> EventHubFailure<'_> {
    let has = |name: &str| condition.get(name).is_some();
    let text = |name: &str| case::text(condition, name);
    let is_about = |name: &str, part: &str| text(name).to_lowercase().contains(&part.to_lowercase());
    if has("eventHubReason") {
        return EventHubFailure::Reason(text("eventHubReason"));
    }
    if is_about("invalidOperationMessage", "ConsumerGroup") {
        return EventHubFailure::UnknownConsumerGroup;
    }
    if has("invalidOperation") || has("invalidOperationMessage") {
        return EventHubFailure::InvalidOperation;
    }
    if has("socketError") {
        return EventHubFailure::Socket(text("socketError"));
    }
    if has("unauthorized") {
        return EventHubFailure::Unauthorized;
    }
    if is_about("requestFailedMessage", "SecretNotFound") || is_about("requestFailedCode", "SecretNotFound") {
        return EventHubFailure::CredentialNotFound;
    }
    if condition.as_object().is_some_and(|members| members.keys().any(|name| name.starts_with("requestFailed"))) {
        return EventHubFailure::RequestFailed(condition.get("requestFailedCode").and_then(Value::as_str));
    }
    if has("tokenError") {
        return EventHubFailure::Token(text("tokenError"));
    }
    EventHubFailure::Other
}

/// The text of a failure that has causes, or a place in the mapping.
fn message(condition: &Value) -> String {
    let mut messages = condition["messages"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let first = condition.get("message").and_then(Value::as_str).or_else(|| messages.next());
    let number = |name: &str| condition[name].as_u64().and_then(|number| u32::try_from(number).ok());
    let place = number("line").zip(number("position"));
    let error = NormalizeError {
        kind: ErrorKind::TemplateExpression,
        template: None,
        name: String::new(),
        place: place.map(|(line, column)| Place { line, column }),
        message: first.unwrap_or_default().to_owned(),
        causes: messages.map(str::to_owned).collect(),
        sent: 0,
    };
    error.to_string()
}

/// Whether the owner of the mappings may see an error.
fn forwarded(condition: &Value) -> bool {
    if condition["kind"] == "customer-visible" {
        return FhirServiceFailure::Status(403).record().is_for_customer();
    }
    let set = condition["setForwarding"].as_array().into_iter().flatten().filter_map(Value::as_bool);
    set.fold(FhirServiceFailure::Other.record(), ErrorRecord::shown_to_customer).is_for_customer()
}
