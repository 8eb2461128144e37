//! Documents to store.

use arm::desired::{Against, Desired, Rules};
use arm::operation::{OperationKind, OperationStatus};
use arm::{ApiVersion, Body, DocumentId, ResourceId, Route};
use jiff::Timestamp;
use resource_provider::documents::{DocumentKind, OperationDocument, ResourceDocument};

pub const SUBSCRIPTION: &str = "0b1f6471-1bf0-4dda-aec3-111122223333";

/// The path of a resource in a group.
pub fn in_group(group: &str, path: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.HealthcareApis/{path}")
}

/// An id by its path, or by what of it is in the group `rg1`.
pub fn id(path: &str) -> ResourceId {
    let path = if path.starts_with('/') { path.to_owned() } else { in_group("rg1", path) };
    match Route::of_path(&path) {
        Ok(Route::Resource(id)) => id,
        other => panic!("{other:?}"),
    }
}

fn version() -> ApiVersion {
    *ApiVersion::all().last().expect("a version")
}

fn desired(resource: &ResourceId) -> Desired {
    let body = r#"{"location":"westus2","identity":{"type":"SystemAssigned"},"properties":{
        "ingestionEndpointConfiguration":{"eventHubName":"h","fullyQualifiedEventHubNamespace":"a.b"},
        "deviceMapping":{"content":{"templateType":"CollectionContent","template":[]}}}}"#;
    let body = Body::read(body.as_bytes()).expect("a body");
    let rules = Rules::default();
    let against = Against { rules: &rules, version: version(), parent_location: None, before: None };
    Desired::read(resource, &body, against).expect("what is wanted")
}

pub fn new_id() -> DocumentId {
    DocumentId::from_random(uuid::Uuid::new_v4().as_u128())
}

/// A workspace or connector.
pub fn resource(path: &str, parent: Option<&ResourceDocument>) -> ResourceDocument {
    let id = id(path);
    let desired = desired(&id);
    ResourceDocument::new(new_id(), &id, parent, desired)
}

pub fn operation(resource: &ResourceDocument, at: Timestamp) -> OperationDocument {
    OperationDocument {
        kind: DocumentKind::ProvisioningRequest,
        id: new_id(),
        partition_key: SUBSCRIPTION.to_owned(),
        subscription_id: SUBSCRIPTION.to_owned(),
        location: resource.location.clone(),
        resource_id: resource.id.clone(),
        resource: resource.resource_id(),
        provisioning_operation: OperationKind::Provision,
        provisioning_status: OperationStatus::Requested,
        time_enqueued: at.to_string(),
        time_last_updated: at.to_string(),
        time_ended: None,
        steps: Vec::new(),
        steps_total: None,
        error: None,
        internal_error: None,
        correlation_id: None,
        client_request_id: None,
        api_version: version(),
        desired: Some(resource.desired()),
    }
}
