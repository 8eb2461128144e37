//! How operations end, and what is stored of it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use arm::operation::{OperationKind, OperationStatus};
use arm::state::SubscriptionState;
use arm::{ArmError, DocumentId, ErrorCode};
use delivery::away::error_chain;
use jiff::{SignedDuration, Timestamp};

use crate::documents::{OperationDocument, ResourceDocument};
use crate::enqueue::preempted;
use crate::lifecycle;
use crate::ports::PortError;
use crate::store::{StoreError, Transaction};

/// How an operation ends.
#[derive(Clone, Debug)]
pub enum Ending {
    /// As it was asked for.
    Succeeded,
    /// For good; what it did is undone, as far as it could be.
    Failed(ArmError),
    /// For good, and nobody undid what it did.
    Abandoned(ArmError),
    /// Stopped by a delete.
    Preempted,
    /// The resource is not there any more.
    Gone,
}

/// Locks what the end of an operation writes, in the order of locks: a removal looks at
/// the subscription, too.
pub async fn lock(
    transaction: &mut Transaction,
    kind: OperationKind,
    subscription: &str,
    resource: &DocumentId,
) -> Result<(), StoreError> {
    if kind == OperationKind::Deprovision {
        transaction.lock_subscription(subscription).await?;
    }
    transaction.lock_document(resource).await
}

/// Writes the end of an operation into its document and into the resource's. What of a
/// deleted subscription failed within `pause` is left to the sweeper.
pub async fn settle(
    transaction: &mut Transaction,
    operation: &mut OperationDocument,
    ending: &Ending,
    pause: SignedDuration,
) -> Result<(), StoreError> {
    let resource = transaction.resource_by_id(&operation.resource_id).await?;
    let removes = operation.provisioning_operation == OperationKind::Deprovision;
    match ending {
        Ending::Succeeded | Ending::Gone if removes => {
            operation.provisioning_status = OperationStatus::Succeeded;
            // Locked first: of two that end at once the second one sees that the
            // first is gone.
            let subscription = transaction.lock_subscription(&operation.subscription_id).await?;
            transaction.delete_resource(&operation.resource_id).await?;
            // After its last connector it is a workspace's turn.
            if subscription == SubscriptionState::Deleted {
                let now = Timestamp::now();
                lifecycle::catch_up(transaction, &operation.subscription_id, now - pause, now).await?;
            }
        }
        Ending::Succeeded => {
            operation.provisioning_status = OperationStatus::Succeeded;
            if let Some(mut resource) = resource.filter(|resource| is_of(resource, operation)) {
                resource.mark_good();
                transaction.update_resource(&mut resource).await?;
            }
        }
        Ending::Failed(error) | Ending::Abandoned(error) => {
            operation.provisioning_status = OperationStatus::Failed;
            operation.error = Some(error.clone());
            if removes {
                settle_children(transaction, operation, error).await?;
            }
            if let Some(mut resource) = resource.filter(|resource| is_of(resource, operation)) {
                resource.mark_failed(Some(error.clone()), removes);
                // Then what was good is not what is there: the sweeper brings it back.
                let is_abandoned = matches!(ending, Ending::Abandoned(_)) && !removes;
                resource.infrastructure.is_half_changed |= is_abandoned && resource.last_good.is_some();
                transaction.update_resource(&mut resource).await?;
            }
        }
        Ending::Preempted | Ending::Gone => *operation = preempted(operation.clone(), Timestamp::now()),
    }
    Ok(())
}

/// What was to go with its parent, and is still there, failed with it.
async fn settle_children(
    transaction: &mut Transaction,
    operation: &OperationDocument,
    error: &ArmError,
) -> Result<(), StoreError> {
    for mut child in transaction.readable_descendants(&operation.resource).await? {
        if is_of(&child, operation) {
            child.mark_failed(Some(error.clone()), true);
            transaction.update_resource(&mut child).await?;
        }
    }
    Ok(())
}

/// Whether a resource is what this operation made it: none has come after it.
fn is_of(resource: &ResourceDocument, operation: &OperationDocument) -> bool {
    resource.current_operation_id.as_ref() == Some(&operation.id)
}

/// Stores what was made for a resource. Everything else in its document is the
/// API's, which may have changed it meanwhile: only workers write what was made.
pub async fn take_over(transaction: &mut Transaction, subject: &mut ResourceDocument) -> Result<(), StoreError> {
    let Some(mut now) = transaction.resource_by_id(&subject.id).await? else { return Ok(()) };
    if now.infrastructure != subject.infrastructure || now.scale != subject.scale {
        now.infrastructure.clone_from(&subject.infrastructure);
        now.scale.clone_from(&subject.scale);
        transaction.update_resource(&mut now).await?;
    }
    subject.etag.clone_from(&now.etag);
    Ok(())
}

/// What a client sees of what went wrong: nothing of the inside.
pub fn shown(error: &PortError, subject: &ResourceDocument) -> ArmError {
    let what = match error.code {
        ErrorCode::EventHubNamespaceProvisioningFailed => "The Event Hubs namespace",
        ErrorCode::EventHubProvisioningFailed => "The event hub",
        ErrorCode::RoleAssignmentFailed | ErrorCode::HashConflictOnDifferentRoleAssignmentIds => "A role assignment",
        ErrorCode::IdentityCredentialUnavailable => "The credential of the identity",
        ErrorCode::KeyVaultAccessFailed => "The certificate",
        ErrorCode::StorageProvisioningFailed => "The storage",
        ErrorCode::ClusterUnavailable | ErrorCode::WorkloadNotReady => "The workload",
        ErrorCode::ScaleInfoUnavailable => "A place",
        ErrorCode::OperationTimedOut => "Everything that is needed",
        _ => "What is needed",
    };
    let message = format!(
        "{what} for '{}' could not be provided. Try again; if it keeps failing contact support with the correlation id.",
        subject.display_name
    );
    ArmError::new(error.code, message)
}

/// It was claimed again and again, and never ended.
pub fn poisoned() -> ArmError {
    let message = "The operation could not be carried out. Contact support with the correlation id.";
    ArmError::new(ErrorCode::InternalServerError, message)
}

/// It took too long.
pub fn timed_out() -> PortError {
    PortError::permanent(ErrorCode::OperationTimedOut, "the operation took too long")
}

/// Between half of a duration and all of it, so that workers that failed together
/// do not come back together.
pub fn jittered(duration: Duration) -> Duration {
    // A hasher with random keys is chance enough for this.
    let fraction = RandomState::new().build_hasher().finish() % 1000;
    duration / 2 + duration / 2 * (fraction as u32) / 1000
}

/// Says when an operation ended for a reason of our own.
pub fn log_ended(ended: Result<Result<(), StoreError>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(error = error_chain(&error), "An operation is left to be claimed again");
        }
        // Its text has that of the panic, which may have anything.
        Err(error) if error.is_panic() => tracing::error!("An operation panicked, and is left to be claimed again"),
        Err(_) => tracing::warn!("An operation was stopped, and is left to be claimed again"),
    }
}
