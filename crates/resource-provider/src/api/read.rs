//! GET of a resource.

use arm::state::SubscriptionState;
use arm::{ApiVersion, ArmError, ErrorCode, ResourceId};

use super::Api;
use super::answer::Answer;
use super::call::Call;
use crate::documents::{OperationDocument, ResourceDocument};
use crate::store::StoreError;

/// Answers with a resource.
pub async fn read(api: &Api, call: &Call, id: &ResourceId) -> Result<Answer, ArmError> {
    let subscription = readable(api, &id.subscription).await?;
    let Some(document) = api.store.resource(id).await? else { return Err(not_found(id)) };
    Ok(Answer::ok(json(&document, call.version, subscription)).etag(&document.etag))
}

/// Where a subscription stands, when it may read.
pub async fn readable(api: &Api, subscription: &str) -> Result<SubscriptionState, ArmError> {
    match api.store.subscription_state(subscription).await? {
        SubscriptionState::Deleted => {
            Err(ArmError::new(ErrorCode::ResourceNotFound, "The subscription has been deleted."))
        }
        state => Ok(state),
    }
}

/// A resource as a version shows it.
pub fn json(document: &ResourceDocument, version: ApiVersion, subscription: SubscriptionState) -> String {
    document.show(subscription, |resource| resource.json(version))
}

/// There is no such resource.
pub fn not_found(id: &ResourceId) -> ArmError {
    let message = format!(
        "The resource '{}/{}' under resource group '{}' was not found.",
        arm::name_of_provider(&id.kind.canonical_path()),
        id.nested_name(),
        id.group
    );
    ArmError::new(ErrorCode::ResourceNotFound, message)
}

/// The operation that was started last on a resource, while it is remembered.
pub async fn current_operation(
    api: &Api,
    document: &ResourceDocument,
) -> Result<Option<OperationDocument>, StoreError> {
    match &document.current_operation_id {
        Some(operation) => api.store.operation(operation).await,
        None => Ok(None),
    }
}
