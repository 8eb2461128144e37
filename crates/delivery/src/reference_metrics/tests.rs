use super::*;
use crate::fate::Reason;

/// `name type severity operation source kind`.
fn summary(record: &ErrorRecord) -> String {
    let dimensions = record.metric.dimensions();
    let values: Vec<&str> = dimensions.iter().map(|(_, value)| *value).filter(|value| *value != "Errors").collect();
    format!("{} {}", values.join(" "), record.kind)
}

#[test]
fn names_our_reasons_as_the_reference_connector_does() {
    let cases = [
        ("InvalidDataFormat", "InvalidDataFormatException DeviceMessageError Warning Unknown User invalid-data-format"),
        (
            "IncompatibleData",
            "IncompatibleDataException DeviceMessageError Warning Normalization User incompatible-data",
        ),
        (
            "DivideByZero",
            "DeviceTemplateErrorNormalizationDataMappingException DeviceTemplateError Critical Normalization User \
             normalization-data-mapping",
        ),
        ("TemplateNotFound", "TemplateNotFoundException GeneralError Critical FHIRConversion template-not-found"),
        (
            "CorrelationIdNotDefined",
            "CorrelationIdNotDefinedException DeviceMessageError Critical Grouping correlation-id-not-defined",
        ),
        ("ValueTypeDiffers", "NotSupportedException FHIRResourceError Warning FHIRConversion not-supported"),
        ("DeviceNotFound", "DeviceNotFoundException FHIRResourceError Warning FHIRConversion fhir-resource-not-found"),
        (
            "PatientIdentityNotDefined",
            "PatientIdentityNotDefinedException FHIRResourceError Warning FHIRConversion resource-identity-not-defined",
        ),
        (
            "MultipleObservationFound",
            "MultipleObservationFoundException FHIRResourceError Warning FHIRConversion multiple-resources-found",
        ),
        ("WriteConflict", "FHIRServiceErrorConflict FHIRServiceError Critical FHIRConversion fhir-client"),
    ];
    for (code, expected) in cases {
        assert_eq!(of_reason(code).as_ref().map(summary).as_deref(), Some(expected), "{code}");
    }
    for code in ["ReferenceNotFound", "InvalidSample", "general", ""] {
        assert_eq!(of_reason(code), None, "{code}");
    }
}

#[test]
fn sorts_failures_of_the_fhir_server() {
    use FhirServiceFailure::*;
    let cases = [
        (
            Status(403),
            "AuthorizationError FHIRServiceError Critical FHIRConversion User unauthorized-access-fhir-service",
        ),
        (Status(404), "ConfigurationError FHIRServiceError Critical FHIRConversion User invalid-fhir-service"),
        (Status(400), "BadRequest FHIRServiceError Critical FHIRConversion fhir-client"),
        (Status(429), "TooManyRequests FHIRServiceError Critical FHIRConversion fhir-client"),
        (Status(599), "599 FHIRServiceError Critical FHIRConversion fhir-client"),
        (Argument("endpoint"), "ConfigurationError FHIRServiceError Critical FHIRConversion User invalid-fhir-service"),
        (Argument("test"), "ArgumentErrortest FHIRServiceError Critical FHIRConversion argument"),
        (UnknownHost, "ConfigurationError FHIRServiceError Critical FHIRConversion User invalid-fhir-service"),
        (Transport(Some(404)), "HttpRequestErrorNotFound FHIRServiceError Critical FHIRConversion http-request"),
        (Transport(None), "HttpRequestError FHIRServiceError Critical FHIRConversion http-request"),
        (
            Token("invalid_scope"),
            "ConfigurationError FHIRServiceError Critical FHIRConversion User invalid-fhir-service",
        ),
        (Token("test"), "MsalServiceErrortest FHIRServiceError Critical FHIRConversion msal-service"),
        (Other, "GeneralError FHIRServiceError Critical FHIRConversion general"),
    ];
    for (failure, expected) in cases {
        assert_eq!(summary(&failure.record()), format!("FHIRServiceError{expected}"), "{failure:?}");
    }
}

#[test]
fn sorts_failures_of_event_hubs() {
    use EventHubFailure::*;
    let cases = [
        (
            Reason("ResourceNotFound"),
            "EventHubErrorConfigurationError EventHubError Critical Setup User invalid-event-hub",
        ),
        (Reason("ClientClosed"), "EventHubErrorClientClosed EventHubError Critical Setup event-hubs"),
        (UnknownConsumerGroup, "EventHubErrorConfigurationError EventHubError Critical Setup User invalid-event-hub"),
        (InvalidOperation, "EventHubErrorInvalidOperationError EventHubError Critical Setup invalid-operation"),
        (Socket("SocketError"), "EventHubErrorSocketError EventHubError Critical Setup socket"),
        (RequestFailed(Some("x")), "EventHubErrorRequestFailedErrorx EventHubError Critical Setup request-failed"),
        (
            Token("test"),
            "ManagedIdentityAuthenticationErrortest AuthenticationError Critical Setup User \
             managed-identity-authentication-error",
        ),
        (
            CredentialNotFound,
            "ManagedIdentityCredentialNotFound AuthenticationError Critical Setup User \
             managed-identity-credential-not-found",
        ),
    ];
    for (failure, expected) in cases {
        assert_eq!(summary(&failure.record()), expected, "{failure:?}");
    }
}

#[test]
fn shows_a_customer_what_they_can_mend() {
    assert!(FhirServiceFailure::Status(403).record().is_for_customer());
    let internal = FhirServiceFailure::Other.record();
    assert!(!internal.is_for_customer());
    assert!(internal.clone().shown_to_customer(true).is_for_customer());
    assert!(!internal.shown_to_customer(true).shown_to_customer(false).is_for_customer());
}

#[test]
fn names_what_was_saved() {
    assert_eq!(saved(&SaveOutcome::Unchanged), Some("ObservationNoOperation"));
    assert_eq!(saved(&SaveOutcome::Rejected(Reason::new("WriteConflict", "no"))), None);
}
