//! Operations, as clients poll them (resource-provider.md 2.7).

use serde::{Deserialize, Serialize};

use crate::NAMESPACE;
use crate::api_version::ApiVersion;
use crate::error::ArmError;
use crate::id::DocumentId;
use crate::location::Location;

/// How an operation goes. Pollers know these words and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OperationStatus {
    /// No worker has it yet.
    Requested,
    /// A worker has it.
    Running,
    /// It is done.
    Succeeded,
    /// It failed.
    Failed,
    /// A delete has stopped it.
    Canceled,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OperationKind {
    /// Makes what was not there, or makes it anew after a failure.
    Provision,
    /// Changes what is there.
    Patch,
    /// Removes it.
    Deprovision,
    /// Applies again what was good last: the subscription was suspended, or is not
    /// any more. No request of a client's.
    Reapply,
    /// Renews a certificate. No request of a client's.
    Renew,
}

impl OperationKind {
    /// Whether it is work of our own, which neither shows nor changes the state of
    /// the resource.
    pub fn is_upkeep(self) -> bool {
        matches!(self, OperationKind::Reapply | OperationKind::Renew)
    }
}

/// The status resource, which `Azure-AsyncOperation` names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusBody<'o> {
    /// Its own path.
    pub id: String,
    /// The id of the operation.
    pub name: &'o DocumentId,
    /// How it goes.
    pub status: OperationStatus,
    /// When it was asked for, RFC 3339.
    pub start_time: &'o str,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<&'o str>,
    /// Why it ended otherwise than well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'o ArmError>,
    /// How far it is, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent_complete: Option<f64>,
}

impl OperationStatus {
    /// Whether it has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, OperationStatus::Succeeded | OperationStatus::Failed | OperationStatus::Canceled)
    }
}

/// The path of an operation: scoped to the subscription, so that it outlives the
/// resource.
pub fn path(subscription: &str, location: &Location, id: &DocumentId) -> String {
    format!("/subscriptions/{subscription}/providers/{NAMESPACE}/locations/{}/operationresults/{id}", location.short())
}

/// The value of `Azure-AsyncOperation`. `base` is the scheme and host that the
/// client used.
pub fn status_url(base: &str, path: &str, version: ApiVersion) -> String {
    format!("{base}{path}?api-version={version}")
}

/// The value of `Location`.
pub fn result_url(base: &str, path: &str, version: ApiVersion) -> String {
    format!("{base}{path}?api-version={version}&{RESULT_PARAMETER}={RESULT_VALUE}")
}

/// What tells [`result_url`] from [`status_url`].
pub const RESULT_PARAMETER: &str = "operationResultResponseType";
/// See [`RESULT_PARAMETER`].
pub const RESULT_VALUE: &str = "Location";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute_and_have_the_requests_version() {
        let id = DocumentId::from_random(7);
        let path = path("s", &Location::new("West US 2"), &id);
        let version = ApiVersion::read(Some("2024-03-31"), &ApiVersion::all(), "x").unwrap();
        assert_eq!(
            result_url("https://management.example", &path, version),
            "https://management.example/subscriptions/s/providers/Microsoft.HealthcareApis/locations/westus2/\
             operationresults/0000000000000000000000007?api-version=2024-03-31&operationResultResponseType=Location"
        );
        assert!(status_url("", &path, version).ends_with("?api-version=2024-03-31"));
    }

    #[test]
    fn a_running_operation_shows_neither_end_nor_error() {
        let id = DocumentId::from_random(7);
        let body = StatusBody {
            id: "/x".to_owned(),
            name: &id,
            status: OperationStatus::Running,
            start_time: "2026-01-10T07:38:46.1274444Z",
            end_time: None,
            error: None,
            percent_complete: Some(40.0),
        };
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"id":"/x","name":"0000000000000000000000007","status":"Running","startTime":"2026-01-10T07:38:46.1274444Z","percentComplete":40.0}"#
        );
    }
}
