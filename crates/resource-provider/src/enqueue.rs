//! Queues work, in one transaction with what it is about: what clients ask for, and
//! what we do by ourselves.

use arm::operation::{OperationKind, OperationStatus};
use arm::state::ResourceState;
use arm::{ApiVersion, ArmError, DocumentId, ErrorCode, ResourceType};
use jiff::{SignedDuration, Timestamp};

use crate::documents::{DocumentKind, OperationDocument, ResourceDocument};
use crate::store::{Enqueued, StoreError, Transaction};

/// How long an operation is remembered after its end.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Who asks, and when.
#[derive(Clone, Debug)]
pub struct Request {
    /// When.
    pub at: Timestamp,
    /// Of the request; the newest, when nobody asked.
    pub version: ApiVersion,
    /// Of the request.
    pub correlation_id: Option<String>,
    /// Of the request.
    pub client_request_id: Option<String>,
}

impl Request {
    /// Nobody asks: it is work of our own.
    pub fn ours(at: Timestamp) -> Request {
        let version = *ApiVersion::all().last().expect("there are versions");
        Request { at, version, correlation_id: None, client_request_id: None }
    }
}

/// A new id of a document.
pub fn new_id() -> DocumentId {
    DocumentId::from_random(uuid::Uuid::new_v4().as_u128())
}

/// An operation on a resource.
pub fn operation(document: &ResourceDocument, kind: OperationKind, request: &Request) -> OperationDocument {
    let now = request.at.to_string();
    let is_wanted = matches!(kind, OperationKind::Provision | OperationKind::Patch);
    OperationDocument {
        kind: DocumentKind::ProvisioningRequest,
        id: new_id(),
        partition_key: document.partition_key.clone(),
        subscription_id: document.subscription_id.clone(),
        location: document.location.clone(),
        resource_id: document.id.clone(),
        resource: document.resource_id(),
        provisioning_operation: kind,
        provisioning_status: OperationStatus::Requested,
        time_enqueued: now.clone(),
        time_last_updated: now,
        time_ended: None,
        steps: Vec::new(),
        steps_total: None,
        error: None,
        internal_error: None,
        correlation_id: request.correlation_id.clone(),
        client_request_id: request.client_request_id.clone(),
        api_version: request.version,
        desired: is_wanted.then(|| document.desired()),
    }
}

/// Queues an operation behind the others of its connector or workspace.
///
/// # Errors
///
/// [`StoreError`].
pub async fn enqueue(
    transaction: &mut Transaction,
    document: &ResourceDocument,
    operation: &OperationDocument,
    at: Timestamp,
) -> Result<(), StoreError> {
    transaction.insert_operation(operation, Enqueued { queue: queue(document).as_str(), at }).await
}

/// Of whose operations one runs at a time: those of a connector and what is
/// below it, and those of a workspace.
fn queue(document: &ResourceDocument) -> &DocumentId {
    match document.kind.resource_type() {
        ResourceType::Workspace | ResourceType::IotConnector | ResourceType::IomtConnector => &document.id,
        _ => document.parent_id.as_ref().unwrap_or(&document.id),
    }
}

/// Has a resource removed with all that is below it. What is going on with any of
/// them is stopped.
///
/// # Errors
///
/// [`StoreError::Conflict`] when the document is out of date.
pub async fn remove(
    transaction: &mut Transaction,
    document: &mut ResourceDocument,
    children: Vec<ResourceDocument>,
    request: &Request,
) -> Result<OperationDocument, StoreError> {
    let operation = operation(document, OperationKind::Deprovision, request);
    // Documents before operations, as workers lock them.
    for id in [&document.id].into_iter().chain(children.iter().map(|child| &child.id)) {
        transaction.lock_document(id).await?;
    }
    preempt(transaction, document, request.at).await?;
    for mut child in children {
        preempt(transaction, &child, request.at).await?;
        child.state = ResourceState::Deprovisioning;
        child.current_operation_id = Some(operation.id.clone());
        transaction.update_resource(&mut child).await?;
    }
    document.state = ResourceState::Deprovisioning;
    document.current_operation_id = Some(operation.id.clone());
    transaction.update_resource(document).await?;
    enqueue(transaction, document, &operation, request.at).await?;
    Ok(operation)
}

/// Stops what is going on with a resource: at once what no worker has, else
/// before its next step. A delete of its own goes on: whoever asked for it is not told that
/// it was stopped, when the resource goes. It is in the same queue as the delete of what is
/// above, and before that: a workspace is not removed while it has connectors.
async fn preempt(transaction: &mut Transaction, document: &ResourceDocument, now: Timestamp) -> Result<(), StoreError> {
    let pending = transaction.pending(&document.id).await?;
    let stops = |operation: &OperationDocument| operation.provisioning_operation != OperationKind::Deprovision;
    for operation in pending.into_iter().filter(stops) {
        if transaction.preempt(&operation.id).await? {
            transaction.end_operation(&preempted(operation, now), now + REMEMBERED).await?;
        }
    }
    Ok(())
}

/// An operation that a delete has stopped.
pub fn preempted(mut operation: OperationDocument, now: Timestamp) -> OperationDocument {
    operation.provisioning_status = OperationStatus::Canceled;
    operation.time_last_updated = now.to_string();
    operation.time_ended = Some(now.to_string());
    let message = "The resource is being deleted, so the operation was stopped.";
    operation.error = Some(ArmError::new(ErrorCode::OperationPreempted, message));
    operation
}
