//! Why a request to Azure did not succeed, and what can be done about it
//! (resource-provider.md 6.3).

use arm::ErrorCode;

use crate::ports::{ErrorClass, PortError};

/// A request that did not succeed. Azure's text is left out: it repeats what was
/// asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was asked: `PUT` of `namespaces/ns1`.
    pub what: String,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// Azure's code, the innermost one; or what was wrong with the way there.
    pub code: String,
    /// When to come again.
    pub retry_after_seconds: Option<u64>,
}

/// Codes that say so beyond their status: trying again does not help.
const PERMANENT: [&str; 5] = [
    "StorageAccountAlreadyTaken",
    "AccountNameInvalid",
    "NamespaceUnavailable",
    "RequestDisallowedByPolicy",
    "HashConflictOnDifferentRoleAssignmentIds",
];

/// Codes that say so beyond their status: what is missing comes by itself, for
/// principals and parents reach all of Azure with a delay.
const TRANSIENT: [&str; 3] = ["PrincipalNotFound", "RetryableError", "ParentResourceNotReady"];

impl Failure {
    /// There was no answer.
    pub fn no_answer(what: String, reason: &str) -> Failure {
        Failure { what, status: None, code: reason.to_owned(), retry_after_seconds: None }
    }

    /// Azure is at it, and will be for a while.
    pub fn going(what: String, state: &str, retry_after_seconds: Option<u64>) -> Failure {
        Failure { what, status: Some(202), code: state.to_owned(), retry_after_seconds }
    }

    /// What Azure began has ended badly. What it failed of is not said; most passes.
    pub fn ended(what: String, code: String) -> Failure {
        Failure { what, status: Some(500), code, retry_after_seconds: None }
    }

    /// Whether it is this code.
    pub fn is(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code)
    }

    /// Whether a quota of ours is used up, which Azure says in many words.
    fn is_quota(&self) -> bool {
        let is_about_limits = ["Quota", "LimitExceeded", "CountPerSubscriptionExceeded"];
        self.status != Some(429) && is_about_limits.iter().any(|word| self.code.contains(word))
    }

    fn is_transient(&self) -> bool {
        if PERMANENT.iter().any(|code| self.is(code)) {
            return false;
        }
        if TRANSIENT.iter().any(|code| self.is(code)) {
            return true;
        }
        match self.status {
            None => true,
            Some(status) => matches!(status, 401 | 408 | 409 | 412 | 429) || status >= 500,
        }
    }

    /// The error of a port, which is about `code`.
    pub fn port(self, code: ErrorCode) -> PortError {
        let is_quota = self.is_quota();
        let retry_after_seconds = self.retry_after_seconds;
        let class = match self.status {
            Some(202) => ErrorClass::UnderWay { retry_after_seconds },
            _ if self.is_transient() && !is_quota => ErrorClass::Transient { retry_after_seconds },
            _ => ErrorClass::Permanent,
        };
        let code = match () {
            () if is_quota => ErrorCode::QuotaExceeded,
            () if self.is("HashConflictOnDifferentRoleAssignmentIds") => {
                ErrorCode::HashConflictOnDifferentRoleAssignmentIds
            }
            () => code,
        };
        let Failure { what, code: said, .. } = &self;
        let message = match self.status {
            Some(202) => format!("{what}: still `{said}`"),
            Some(status) => format!("{what}: {status} `{said}`"),
            None => format!("{what}: {said}"),
        };
        PortError { code, class, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_azure_is_at_is_no_failure() {
        let error = Failure::going("`namespaces/ns1`".to_owned(), "Creating", Some(7));
        let error = error.port(ErrorCode::EventHubNamespaceProvisioningFailed);
        assert_eq!(error.class, ErrorClass::UnderWay { retry_after_seconds: Some(7) });
        assert_eq!(error.message, "`namespaces/ns1`: still `Creating`");
    }

    #[test]
    fn what_can_be_tried_again_is_told_from_what_can_not() {
        let cases = [
            (None, "no answer", true, ErrorCode::EventHubProvisioningFailed),
            (Some(401), "ExpiredAuthenticationToken", true, ErrorCode::EventHubProvisioningFailed),
            (Some(408), "", true, ErrorCode::EventHubProvisioningFailed),
            (Some(409), "Conflict", true, ErrorCode::EventHubProvisioningFailed),
            (Some(409), "StorageAccountAlreadyTaken", false, ErrorCode::EventHubProvisioningFailed),
            (
                Some(409),
                "HashConflictOnDifferentRoleAssignmentIds",
                false,
                ErrorCode::HashConflictOnDifferentRoleAssignmentIds,
            ),
            (Some(429), "SubscriptionRequestsThrottledQuota", true, ErrorCode::EventHubProvisioningFailed),
            (Some(500), "InternalServerError", true, ErrorCode::EventHubProvisioningFailed),
            (Some(503), "ServerBusy", true, ErrorCode::EventHubProvisioningFailed),
            (Some(400), "BadRequest", false, ErrorCode::EventHubProvisioningFailed),
            (Some(400), "PrincipalNotFound", true, ErrorCode::EventHubProvisioningFailed),
            (Some(400), "RoleAssignmentLimitExceeded", false, ErrorCode::QuotaExceeded),
            (Some(409), "MaxStorageAccountsCountPerSubscriptionExceeded", false, ErrorCode::QuotaExceeded),
            (Some(403), "AuthorizationFailed", false, ErrorCode::EventHubProvisioningFailed),
            (Some(404), "ResourceGroupNotFound", false, ErrorCode::EventHubProvisioningFailed),
        ];
        for (status, code, is_transient, expected) in cases {
            let failure = Failure {
                what: "`PUT` of `eventhubs/h`".to_owned(),
                status,
                code: code.to_owned(),
                retry_after_seconds: Some(7),
            };
            let error = failure.port(ErrorCode::EventHubProvisioningFailed);
            let class = match is_transient {
                true => ErrorClass::Transient { retry_after_seconds: Some(7) },
                false => ErrorClass::Permanent,
            };
            assert_eq!((error.class, error.code), (class, expected), "{status:?} {code}");
        }
    }
}
