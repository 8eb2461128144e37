//! Errors, as clients get them (resource-provider.md 2.8).

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal,)*) => {
        /// What went wrong; its name is the `code` of the body.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The `code` of the body.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => stringify!($name),)* }
            }

            /// The HTTP status that it comes with.
            pub fn status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The query has no `api-version`.
    MissingApiVersionParameter = 400,
    /// `api-version` is not a date.
    InvalidApiVersionParameter = 400,
    /// The type does not have this version.
    NoRegisteredProviderFound = 400,
    /// The body is missing, not JSON, or a field has another type.
    InvalidRequestContent = 400,
    /// A name in the URL breaks the rules of its kind.
    InvalidResourceName = 400,
    /// A name that the platform keeps back.
    ReservedResourceName = 400,
    /// A tracked resource is created without `location`.
    LocationRequired = 400,
    /// A child names another location than its parent.
    LocationMismatch = 400,
    /// The region is not enabled.
    LocationNotAvailableForResourceType = 400,
    /// A connector without a system-assigned identity.
    IdentityRequired = 400,
    /// The event hub is not named, or not as one is named.
    InvalidIngestionEndpoint = 400,
    /// A mapping is missing or cannot be used.
    InvalidMapping = 400,
    /// Not the resource id of a FHIR service.
    InvalidFhirServiceResourceId = 400,
    /// There is no such FHIR service.
    FhirServiceNotFound = 400,
    /// The FHIR service is another workspace's or subscription's.
    FhirServiceOutOfScope = 400,
    /// A value that is not one of those allowed.
    InvalidPropertyValue = 400,
    /// `provisioningState` is not what the server has.
    ReadOnlyPropertyConflict = 400,
    /// Too many tags, or one that cannot be.
    InvalidTag = 400,
    /// Resources of this provider are not moved.
    ResourceMoveNotSupported = 400,
    /// Nobody, or nobody that may, is calling.
    AuthenticationFailed = 401,
    /// The caller is not the front door that is trusted.
    Forbidden = 403,
    /// There is no such resource.
    ResourceNotFound = 404,
    /// There is no resource above it.
    ParentResourceNotFound = 404,
    /// There is no such resource group.
    ResourceGroupNotFound = 404,
    /// There is no such operation, or none any more.
    OperationNotFound = 404,
    /// There is no such type.
    InvalidResourceType = 404,
    /// The resource has no such verb.
    MethodNotAllowed = 405,
    /// The subscription does not use the namespace.
    MissingSubscriptionRegistration = 409,
    /// The subscription is warned or suspended.
    ReadOnlyDisabledSubscription = 409,
    /// A resource above it is not ready.
    AncestorNotProvisioned = 409,
    /// The resource is being changed.
    AnotherOperationInProgress = 409,
    /// As many as may be are there.
    ResourceQuotaExceeded = 409,
    /// `location` never changes.
    InvalidResourceLocation = 409,
    /// The SKU does not change while there are connectors.
    SkuChangeNotSupported = 409,
    /// Something below it is still there.
    NestedResourcesExist = 409,
    /// A name that is one of a kind in the cloud is another's.
    Conflict = 409,
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed = 412,
    /// The body is too large.
    RequestEntityTooLarge = 413,
    /// The body is not JSON by its content type.
    UnsupportedMediaType = 415,
    /// Too many writes of one subscription.
    TooManyRequests = 429,
    /// A defect of ours.
    InternalServerError = 500,
    /// The store is away.
    ServiceUnavailable = 503,
    /// Of a failed operation: the namespace.
    EventHubNamespaceProvisioningFailed = 500,
    /// Of a failed operation: the hub or its consumer group.
    EventHubProvisioningFailed = 500,
    /// Of a failed operation: a role assignment.
    RoleAssignmentFailed = 500,
    /// Of a failed operation: Azure took the ids for colliding, again and again.
    HashConflictOnDifferentRoleAssignmentIds = 409,
    /// Of a failed operation: the credential of the external identity.
    IdentityCredentialUnavailable = 500,
    /// Of a failed operation: the certificate in the key vault.
    KeyVaultAccessFailed = 500,
    /// Of a failed operation: the storage account, a container or a blob.
    StorageProvisioningFailed = 500,
    /// Of a failed operation: the cluster does not answer.
    ClusterUnavailable = 500,
    /// Of a failed operation: the workload was not ready in time.
    WorkloadNotReady = 500,
    /// Of a failed operation: nothing to place the connector in.
    ScaleInfoUnavailable = 500,
    /// Of a failed operation: a quota of ours in Azure.
    QuotaExceeded = 409,
    /// Of an operation that a delete has stopped.
    OperationPreempted = 409,
    /// Of an operation that took too long.
    OperationTimedOut = 500,
}

/// An error with what a client needs to mend it. The message holds no internals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {message}", code.as_str())]
pub struct ArmError {
    /// Which.
    pub code: ErrorCode,
    /// A sentence that says what to do.
    pub message: String,
    /// The member that it is about: `properties.deviceMapping`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// One for each finding, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorDetail>,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Which kind.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Where: a JSON pointer below the target of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// The body of an answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ArmError,
}

impl ArmError {
    /// An error that is about no member.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ArmError {
        ArmError { code, message: message.into(), target: None, details: Vec::new() }
    }

    /// An error about a member.
    pub fn at(code: ErrorCode, target: impl Into<String>, message: impl Into<String>) -> ArmError {
        ArmError { code, message: message.into(), target: Some(target.into()), details: Vec::new() }
    }

    /// Whether trying the same again can help, so that an answer carries
    /// `Retry-After`: clients repeat whatever does.
    pub fn can_be_retried(&self) -> bool {
        use ErrorCode::{AncestorNotProvisioned, AnotherOperationInProgress, ServiceUnavailable, TooManyRequests};
        matches!(self.code, AncestorNotProvisioned | AnotherOperationInProgress | ServiceUnavailable | TooManyRequests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_what_is_there_and_no_more() {
        let error = ArmError::new(ErrorCode::ResourceNotFound, "There is none.");
        let body = serde_json::to_string(&ErrorBody { error }).unwrap();
        assert_eq!(body, r#"{"error":{"code":"ResourceNotFound","message":"There is none."}}"#);
    }

    #[test]
    fn each_code_has_a_status_of_an_error() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{}", code.as_str());
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
