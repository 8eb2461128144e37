//! Failures of what the connector depends on, as the reference connector's two
//! classifiers sort them (fhir-conversion.md 8.3 and 10).

use std::borrow::Cow;

use super::status::status_name;
use super::{
    AUTHENTICATION, EVENT_HUB, ErrorMetric, ErrorRecord, ErrorSeverity, ErrorSource, FHIR_CONVERSION, FHIR_SERVICE,
    SETUP,
};

/// Why the FHIR server could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FhirServiceFailure<'f> {
    /// It answered with this status.
    Status(u16),
    /// The request could not be made, because of this argument.
    Argument(&'f str),
    /// Its address is no URL.
    InvalidUrl,
    /// Its name is not known.
    UnknownHost,
    /// The exchange failed, with this status if there was one.
    Transport(Option<u16>),
    /// There is no token, for this error code.
    Token(&'f str),
    /// Anything else.
    Other,
}

/// Why an event hub could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventHubFailure<'f> {
    /// The client's reason, by the SDK's name.
    Reason(&'f str),
    /// There is no such consumer group.
    UnknownConsumerGroup,
    /// The client was used in a way that it does not allow.
    InvalidOperation,
    /// The connection failed, by the name of the error.
    Socket(&'f str),
    /// The identity has no rights.
    Unauthorized,
    /// The credential is not there.
    CredentialNotFound,
    /// A request was refused, with this error code if there was one.
    RequestFailed(Option<&'f str>),
    /// There is no token, for this error code.
    Token(&'f str),
    /// Anything else.
    Other,
}

impl FhirServiceFailure<'_> {
    /// How the reference connector records it.
    pub fn record(&self) -> ErrorRecord {
        let configuration = || by_user("ConfigurationError", "invalid-fhir-service");
        let (name, kind, source) = match self {
            Self::Status(403) => by_user("AuthorizationError", "unauthorized-access-fhir-service"),
            Self::Status(404) | Self::InvalidUrl | Self::UnknownHost => configuration(),
            Self::Argument(name) if name.to_lowercase().contains("endpoint") => configuration(),
            Self::Token(code) if ["invalid_resource", "invalid_scope"].iter().any(|c| c.eq_ignore_ascii_case(code)) => {
                configuration()
            }
            Self::Status(status) => (status_name(*status), "fhir-client", None),
            Self::Argument(name) => (with("ArgumentError", name), "argument", None),
            Self::Transport(status) => {
                let status = status.map(status_name).unwrap_or_default();
                (with("HttpRequestError", &status), "http-request", None)
            }
            Self::Token(code) => (with("MsalServiceError", code), "msal-service", None),
            Self::Other => (Cow::Borrowed("GeneralError"), "general", None),
        };
        critical(with(FHIR_SERVICE, &name), kind, source, FHIR_SERVICE, FHIR_CONVERSION)
    }
}

impl EventHubFailure<'_> {
    /// How the reference connector records it.
    pub fn record(&self) -> ErrorRecord {
        let configuration = || by_user("ConfigurationError", "invalid-event-hub");
        let (name, kind, source) = match self {
            Self::Reason("ResourceNotFound" | "ServiceCommunicationProblem")
            | Self::UnknownConsumerGroup
            | Self::Socket("HostNotFound") => configuration(),
            Self::Unauthorized => by_user("AuthorizationError", "unauthorized-access-event-hub"),
            Self::CredentialNotFound => {
                let name = Cow::Borrowed("ManagedIdentityCredentialNotFound");
                return authentication(name, "managed-identity-credential-not-found");
            }
            Self::Token(code) => {
                let name = with("ManagedIdentityAuthenticationError", code);
                return authentication(name, "managed-identity-authentication-error");
            }
            Self::Reason(reason) => (Cow::Owned((*reason).to_owned()), "event-hubs", None),
            Self::InvalidOperation => (Cow::Borrowed("InvalidOperationError"), "invalid-operation", None),
            Self::Socket(error) => (Cow::Owned((*error).to_owned()), "socket", None),
            Self::RequestFailed(code) => (with("RequestFailedError", code.unwrap_or_default()), "request-failed", None),
            Self::Other => (Cow::Borrowed("GeneralError"), "general", None),
        };
        critical(with(EVENT_HUB, &name), kind, source, EVENT_HUB, SETUP)
    }
}

/// What somebody set up wrongly, who is told so.
fn by_user(name: &'static str, kind: &'static str) -> (Cow<'static, str>, &'static str, Option<ErrorSource>) {
    (Cow::Borrowed(name), kind, Some(ErrorSource::User))
}

fn authentication(name: Cow<'static, str>, kind: &'static str) -> ErrorRecord {
    critical(name, kind, Some(ErrorSource::User), AUTHENTICATION, SETUP)
}

fn critical(
    name: Cow<'static, str>,
    kind: &'static str,
    source: Option<ErrorSource>,
    error_type: &'static str,
    operation: &'static str,
) -> ErrorRecord {
    ErrorRecord::new(ErrorMetric { name, error_type, severity: ErrorSeverity::Critical, operation, source }, kind)
}

fn with(start: &str, end: &str) -> Cow<'static, str> {
    Cow::Owned(format!("{start}{end}"))
}
