//! How an operation goes, and what it gave (resource-provider.md 2.7).

use arm::operation::{OperationKind, OperationStatus, RESULT_PARAMETER, RESULT_VALUE, StatusBody};
use arm::{ArmError, DocumentId, ErrorCode};

use super::Api;
use super::answer::Answer;
use super::call::Call;
use super::read::{json, not_found, readable};
use crate::documents::OperationDocument;

/// Answers with an operation's status, or with its result.
pub async fn read(api: &Api, call: &Call, subscription: &str, id: &str) -> Result<Answer, ArmError> {
    let operation = match DocumentId::read(id) {
        Some(id) => api.store.operation(&id).await?,
        None => None,
    };
    let mine = operation.filter(|operation| operation.subscription_id.eq_ignore_ascii_case(subscription));
    let Some(operation) = mine else {
        let message = "There is no such operation, or none any more: they are kept for seven days.";
        return Err(ArmError::new(ErrorCode::OperationNotFound, message));
    };
    if call.parameter(RESULT_PARAMETER).is_some_and(|value| value.eq_ignore_ascii_case(RESULT_VALUE)) {
        return result(api, call, &operation).await;
    }
    let answer = Answer::ok(status_body(&operation));
    if operation.provisioning_status.is_terminal() {
        return Ok(answer);
    }
    Ok(answer.retry_after(api.settings.retry_after_seconds))
}

/// The status resource.
fn status_body(operation: &OperationDocument) -> String {
    let body = StatusBody {
        id: arm::operation::path(&operation.subscription_id, &operation.location, &operation.id),
        name: &operation.id,
        status: operation.provisioning_status,
        start_time: &operation.time_enqueued,
        end_time: operation.time_ended.as_deref(),
        // A worker knows it before the operation has ended.
        error: operation.error.as_ref().filter(|_| operation.provisioning_status.is_terminal()),
        percent_complete: operation.percent_complete(),
    };
    serde_json::to_string(&body).unwrap_or_default()
}

/// What the call would have answered if it had waited.
async fn result(api: &Api, call: &Call, operation: &OperationDocument) -> Result<Answer, ArmError> {
    match operation.provisioning_status {
        OperationStatus::Requested | OperationStatus::Running => {
            let answer = Answer::accepted(None).operation(operation, &call.base, call.version, true);
            Ok(answer.retry_after(api.settings.retry_after_seconds))
        }
        OperationStatus::Failed | OperationStatus::Canceled => {
            let unknown = || ArmError::new(ErrorCode::InternalServerError, "The operation failed.");
            Err(operation.error.clone().unwrap_or_else(unknown))
        }
        OperationStatus::Succeeded if operation.provisioning_operation == OperationKind::Deprovision => {
            Ok(Answer::empty())
        }
        OperationStatus::Succeeded => {
            let subscription = readable(api, &operation.subscription_id).await?;
            let document = api.store.resource(&operation.resource).await?;
            let document = document.ok_or_else(|| not_found(&operation.resource))?;
            Ok(Answer::ok(json(&document, operation.api_version, subscription)).etag(&document.etag))
        }
    }
}
