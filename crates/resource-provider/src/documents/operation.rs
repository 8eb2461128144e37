//! The document of an operation (resource-provider.md 3.6, 6.2).

use arm::desired::Desired;
use arm::operation::{OperationKind, OperationStatus};
use arm::{ApiVersion, ArmError, DocumentId, Location, ResourceId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What is to be done with a resource, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationDocument {
    /// `provisioningrequest`.
    #[serde(rename = "type")]
    pub kind: DocumentKind,
    /// Its id, which its URLs have.
    pub id: DocumentId,
    /// The subscription; opaque to readers.
    pub partition_key: String,
    /// The customer's subscription.
    pub subscription_id: String,
    /// The region, which its URLs have.
    pub location: Location,
    /// The document of the resource.
    pub resource_id: DocumentId,
    /// The resource, as the request named it.
    pub resource: ResourceId,
    /// What it does.
    pub provisioning_operation: OperationKind,
    /// How it goes.
    pub provisioning_status: OperationStatus,
    /// When it was asked for, RFC 3339.
    pub time_enqueued: String,
    /// When it last went on.
    pub time_last_updated: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ended: Option<String>,
    /// The steps that are done, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// How many there are in all, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps_total: Option<u32>,
    /// Why it ended otherwise than well, as the client sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ArmError>,
    /// The same, for us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_error: Option<InternalError>,
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Of the request; not unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// Of the request.
    pub api_version: ApiVersion,
    /// What is wanted; none to remove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<Desired>,
}

/// The type of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentKind {
    /// The only one.
    #[serde(rename = "provisioningrequest")]
    ProvisioningRequest,
}

/// A step of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// How it ended.
    pub outcome: StepOutcome,
    /// When, RFC 3339.
    pub at: String,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepOutcome {
    /// What it ensures holds.
    Done,
    /// What it made is gone again.
    Compensated,
    /// It could not be undone; the sweeper or a delete does.
    CompensationFailed,
}

/// What only we see of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalError {
    /// The step.
    pub step: String,
    /// The chain of causes.
    pub message: String,
}

impl OperationDocument {
    /// How long ago it was asked for.
    pub fn age(&self) -> SignedDuration {
        let enqueued: Option<Timestamp> = self.time_enqueued.parse().ok();
        enqueued.map_or(SignedDuration::ZERO, |enqueued| Timestamp::now().duration_since(enqueued))
    }

    /// How far it is, 0 to 100.
    pub fn percent_complete(&self) -> Option<f64> {
        match self.provisioning_status {
            OperationStatus::Succeeded => Some(100.0),
            OperationStatus::Running => {
                let (done, all) = (self.steps.len(), self.steps_total? as usize);
                Some((100 * done.min(all) / all.max(1)) as f64)
            }
            _ => None,
        }
    }
}
