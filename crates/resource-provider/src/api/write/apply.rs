//! Writes what was decided, if all is still as it was.

use arm::desired::{Desired, Properties};
use arm::encounter::Encounter;
use arm::operation::OperationKind;
use arm::state::{ResourceState, SubscriptionState};
use arm::system_data::SystemData;
use arm::{ArmError, ErrorCode, ResourceId, ResourceType};
use jiff::Timestamp;

use super::super::Api;
use super::super::answer::Answer;
use super::super::call::Call;
use super::super::read::{current_operation, json};
use super::Verb;
use super::decide::Plan;
use super::look::Seen;
use crate::documents::ResourceDocument;
use crate::enqueue::{enqueue, new_id, operation};
use crate::store::{StoreError, Transaction};

/// Applies a plan. The outer error is that of the store: on a conflict nothing
/// was written and the plan is out of date.
pub async fn apply(
    api: &Api,
    call: &Call,
    id: &ResourceId,
    verb: Verb,
    seen: Seen,
    plan: Plan,
) -> Result<Result<Answer, ArmError>, StoreError> {
    match (plan.encounter, seen) {
        (Encounter::Create, seen) => create(api, call, id, seen, plan).await,
        (Encounter::Change, Seen { before: Some(before), has_connectors, .. }) => {
            change(api, call, id, verb, (before, has_connectors), plan).await
        }
        (Encounter::Nothing, Seen { before: Some(before), .. }) => nothing(api, call, id, before, plan.desired).await,
        (Encounter::Join, Seen { before: Some(before), .. }) => join(api, call, &before).await,
        // Neither is met by a PUT or PATCH, nor is what is met not there.
        (Encounter::Delete | Encounter::NoContent | Encounter::Proceed, _) | (_, Seen { before: None, .. }) => {
            Ok(Err(ArmError::new(ErrorCode::InternalServerError, "An unexpected error occurred.")))
        }
    }
}

async fn create(
    api: &Api,
    call: &Call,
    id: &ResourceId,
    seen: Seen,
    plan: Plan,
) -> Result<Result<Answer, ArmError>, StoreError> {
    let mut transaction = api.store.begin().await?;
    check_registered(transaction.lock_subscription(&id.subscription).await?)?;
    if let Some(parent) = &seen.parent {
        check_unchanged(&mut transaction, parent).await?;
    }
    // The same request, or another for the same, was faster: it has the name and the room.
    if transaction.resource(id).await?.is_some() {
        return Err(StoreError::Conflict);
    }
    if let Err(error) = check_room(api, &mut transaction, id).await? {
        return Ok(Err(error));
    }
    let mut document = ResourceDocument::new(new_id(), id, seen.parent.as_ref(), plan.desired);
    document.identity = plan.identity;
    let now = Timestamp::now();
    document.system_data = sent_system_data(call, id, now, true);
    let answer = if needs_work(&document.properties) {
        let operation = operation(&document, OperationKind::Provision, &call.request(now));
        document.current_operation_id = Some(operation.id.clone());
        transaction.insert_resource(&mut document).await?;
        enqueue(&mut transaction, &document, &operation, now).await?;
        let answer = Answer::created(body(call, &document));
        answer.operation(&operation, &call.base, call.version, false).retry_after(api.settings.retry_after_seconds)
    } else {
        document.mark_good();
        transaction.insert_resource(&mut document).await?;
        Answer::created(body(call, &document))
    };
    transaction.commit().await?;
    Ok(Ok(answer.etag(&document.etag)))
}

async fn change(
    api: &Api,
    call: &Call,
    id: &ResourceId,
    verb: Verb,
    (mut document, has_connectors): (ResourceDocument, bool),
    plan: Plan,
) -> Result<Result<Answer, ArmError>, StoreError> {
    let mut transaction = api.store.begin().await?;
    check_registered(transaction.share_subscription(&id.subscription).await?)?;
    if id.kind == ResourceType::Workspace && !has_connectors {
        // Its SKU may change while it has none, and stands still until the end.
        transaction.lock(id).await?;
        if transaction.count_children(id, ResourceType::IotConnector).await? > 0 {
            return Err(StoreError::Conflict);
        }
    }
    let is_work = document.state != ResourceState::Provisioned
        || document.properties != plan.desired.properties
        || document.has_identity != plan.desired.has_identity
        || document.identity != plan.identity;
    let is_new = document.last_good.is_none();
    document.set_id(id);
    document.set_desired(plan.desired);
    document.identity = plan.identity;
    let now = Timestamp::now();
    document.system_data = document.system_data.changed(sent_system_data(call, id, now, false));
    if !(is_work && needs_work(&document.properties)) {
        document.mark_good();
        transaction.update_resource(&mut document).await?;
        transaction.commit().await?;
        return Ok(Ok(Answer::ok(body(call, &document)).etag(&document.etag)));
    }
    let kind = if is_new { OperationKind::Provision } else { OperationKind::Patch };
    let operation = operation(&document, kind, &call.request(now));
    document.state = ResourceState::Accepted;
    document.current_operation_id = Some(operation.id.clone());
    transaction.update_resource(&mut document).await?;
    enqueue(&mut transaction, &document, &operation, now).await?;
    transaction.commit().await?;
    let answer = match verb {
        Verb::Put => Answer::ok(body(call, &document)),
        Verb::Patch => Answer::accepted(Some(body(call, &document))),
    };
    let answer = answer.operation(&operation, &call.base, call.version, verb == Verb::Patch);
    Ok(Ok(answer.retry_after(api.settings.retry_after_seconds).etag(&document.etag)))
}

/// Everything is as it was asked for; only the letters may be others, of the id and
/// of what means the same. They are given back as they were written last.
async fn nothing(
    api: &Api,
    call: &Call,
    id: &ResourceId,
    mut document: ResourceDocument,
    desired: Desired,
) -> Result<Result<Answer, ArmError>, StoreError> {
    let letters = |desired: &Desired| serde_json::to_string(&(&desired.location, &desired.properties)).ok();
    if document.resource_id() != *id || letters(&document.desired()) != letters(&desired) {
        document.set_id(id);
        document.set_desired(desired);
        document.mark_good();
        let mut transaction = api.store.begin().await?;
        transaction.update_resource(&mut document).await?;
        transaction.commit().await?;
    }
    Ok(Ok(Answer::ok(body(call, &document)).etag(&document.etag)))
}

/// The operation that runs does it already.
async fn join(api: &Api, call: &Call, document: &ResourceDocument) -> Result<Result<Answer, ArmError>, StoreError> {
    let answer = Answer::ok(body(call, document)).etag(&document.etag);
    let operation = current_operation(api, document).await?;
    Ok(Ok(match operation {
        Some(operation) => {
            answer.operation(&operation, &call.base, call.version, false).retry_after(api.settings.retry_after_seconds)
        }
        None => answer,
    }))
}

/// What is said of who writes: by ARM, and by us what it leaves out of a proxy.
fn sent_system_data(call: &Call, id: &ResourceId, now: Timestamp, is_new: bool) -> SystemData {
    let sent = call.system_data.clone();
    if id.kind.is_tracked() { sent } else { sent.filled(&now.to_string(), is_new) }
}

fn body(call: &Call, document: &ResourceDocument) -> String {
    json(document, call.version, SubscriptionState::Registered)
}

/// Whether anything is made for a resource. A mapping of its own is only stored.
fn needs_work(properties: &Properties) -> bool {
    !matches!(properties, Properties::IotMapping(_))
}

/// A conflict when the state of the subscription has changed. It does not until the
/// end: what it does to its resources is done to this one too.
fn check_registered(subscription: SubscriptionState) -> Result<(), StoreError> {
    match subscription {
        SubscriptionState::Registered => Ok(()),
        _ => Err(StoreError::Conflict),
    }
}

/// Locks a resource that something was decided from; a conflict when it has
/// changed since.
async fn check_unchanged(transaction: &mut Transaction, seen: &ResourceDocument) -> Result<(), StoreError> {
    let id = seen.resource_id();
    transaction.lock(&id).await?;
    match transaction.resource(&id).await? {
        Some(now) if now.etag == seen.etag => Ok(()),
        _ => Err(StoreError::Conflict),
    }
}

/// Whether one more may be made. What is being deleted counts until it is gone.
async fn check_room(
    api: &Api,
    transaction: &mut Transaction,
    id: &ResourceId,
) -> Result<Result<(), ArmError>, StoreError> {
    let limits = &api.settings.limits;
    let (count, most) = match (id.kind, id.parent()) {
        (ResourceType::Workspace, _) => {
            let is_ours = transaction.reserve_name(id.own_name(), &id.subscription).await?;
            // Nor does another group of the same subscription have it.
            if !is_ours || transaction.is_workspace(id.own_name(), &id.subscription).await? {
                let message = format!(
                    "The name `{}` is already in use. Names of workspaces are unique in the cloud: choose another.",
                    id.own_name()
                );
                return Ok(Err(ArmError::at(ErrorCode::Conflict, "name", message)));
            }
            (transaction.count_of_subscription(&id.subscription, id.kind).await?, limits.workspaces)
        }
        (ResourceType::IomtConnector, _) => {
            (transaction.count_of_subscription(&id.subscription, id.kind).await?, limits.gen1_connectors)
        }
        (ResourceType::IotConnector, Some(parent)) => {
            (transaction.count_children(&parent, id.kind).await?, limits.connectors)
        }
        (ResourceType::FhirDestination, Some(parent)) => {
            (transaction.count_children(&parent, id.kind).await?, limits.destinations)
        }
        (ResourceType::Connection, Some(parent)) => {
            (transaction.count_children(&parent, id.kind).await?, limits.gen1_connections)
        }
        (ResourceType::IotMapping, Some(parent)) => {
            (transaction.count_children(&parent, id.kind).await?, limits.mappings)
        }
        // By their names there are two of them.
        (ResourceType::IomtMapping, _) | (_, None) => return Ok(Ok(())),
    };
    if count < most {
        return Ok(Ok(()));
    }
    let segments = id.kind.segments();
    let kind = segments.last().copied().unwrap_or_default();
    let message = format!("The maximum number of resource type `{kind}` has been reached.");
    Ok(Err(ArmError::at(ErrorCode::ResourceQuotaExceeded, id.kind.canonical_path(), message)))
}
