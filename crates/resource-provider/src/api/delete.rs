//! DELETE (resource-provider.md 2.7, 3.10, 4.7).

use arm::encounter::{Encounter, Request, meet};
use arm::state::SubscriptionState;
use arm::{ArmError, ErrorCode, ResourceId, ResourceType};
use jiff::Timestamp;

use super::Api;
use super::answer::Answer;
use super::call::Call;
use super::read::current_operation;
use super::write::{self, ATTEMPTS_MAX, busy, unregistered};
use crate::documents::ResourceDocument;
use crate::enqueue;
use crate::store::StoreError;

/// Removes a resource and all that is below it.
pub async fn delete(api: &Api, call: &Call, id: &ResourceId) -> Result<Answer, ArmError> {
    check_deletable(api, &id.subscription).await?;
    for _ in 0..ATTEMPTS_MAX {
        let Some(document) = api.store.resource(id).await? else { return Ok(Answer::no_content()) };
        call.conditions().check(Some(&document.etag))?;
        match meet(Some(document.state), Request::Delete)? {
            Encounter::Join => return join(api, call, &document).await,
            _ => check_children(api, id).await?,
        }
        match begin(api, call, id, document).await {
            Ok(answer) => return answer,
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(busy())
}

/// A warned subscription may still delete; one that is not registered may not.
async fn check_deletable(api: &Api, subscription: &str) -> Result<(), ArmError> {
    match api.store.subscription_state(subscription).await? {
        SubscriptionState::Registered | SubscriptionState::Warned | SubscriptionState::Suspended => Ok(()),
        SubscriptionState::Unregistered | SubscriptionState::Deleted => Err(unregistered()),
    }
}

/// A workspace goes when nothing is in it any more; in a group delete ARM comes
/// back.
async fn check_children(api: &Api, id: &ResourceId) -> Result<(), ArmError> {
    if id.kind != ResourceType::Workspace {
        return Ok(());
    }
    let has_services = api.fhir_services.has_any(id).await.map_err(|error| write::directory(&error))?;
    if has_services { Err(nested("The workspace still has FHIR or DICOM services.")) } else { Ok(()) }
}

fn nested(message: &str) -> ArmError {
    ArmError::new(ErrorCode::NestedResourcesExist, format!("{message} Delete them first."))
}

/// The delete that runs already.
async fn join(api: &Api, call: &Call, document: &ResourceDocument) -> Result<Answer, ArmError> {
    let operation = current_operation(api, document).await?;
    let answer = Answer::accepted(None).retry_after(api.settings.retry_after_seconds);
    Ok(match operation {
        Some(operation) => answer.operation(&operation, &call.base, call.version, true),
        None => answer,
    })
}

async fn begin(
    api: &Api,
    call: &Call,
    id: &ResourceId,
    mut document: ResourceDocument,
) -> Result<Result<Answer, ArmError>, StoreError> {
    let now = Timestamp::now();
    let mut transaction = api.store.begin().await?;
    transaction.lock(id).await?;
    let children = transaction.descendants(id).await?;
    let has_children = !children.is_empty();
    if has_children && id.kind == ResourceType::Workspace {
        return Ok(Err(nested("The workspace still has connectors.")));
    }
    if has_children && id.kind == ResourceType::IomtConnector && api.settings.gen1_delete_requires_no_children {
        return Ok(Err(nested("The connector still has connections or mappings.")));
    }
    if id.kind == ResourceType::IotMapping {
        // Others are written over by their ETag; nothing of this one is written.
        let now = transaction.resource_by_id(&document.id).await?;
        if now.is_none_or(|now| now.etag != document.etag) {
            return Err(StoreError::Conflict);
        }
        transaction.delete_resource(&document.id).await?;
        transaction.commit().await?;
        return Ok(Ok(Answer::empty()));
    }
    let operation = enqueue::remove(&mut transaction, &mut document, children, &call.request(now)).await?;
    transaction.commit().await?;
    let answer = Answer::accepted(None).operation(&operation, &call.base, call.version, true);
    Ok(Ok(answer.retry_after(api.settings.retry_after_seconds)))
}
