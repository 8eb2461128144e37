//! What the state of a subscription does to what it has (resource-provider.md
//! 2.14).
//!
//! ```text
//! Warned, Suspended --> each connector applied again, to stand still
//! Registered        --> each that stands still applied again, to run
//! Deleted           --> connectors removed, then their workspaces
//! ```
//!
//! The operations are queued in the transaction that stores the state, so that
//! none is lost; they read the state when they run, so that the latest wins. The
//! sweeper asks for the same of what has fallen behind.

use arm::operation::{OperationKind, OperationStatus};
use arm::state::{ResourceState, SubscriptionState};
use arm::{DocumentId, ResourceType};
use delivery::away::error_chain;
use jiff::Timestamp;

use crate::documents::{ResourceDocument, SubscriptionDocument};
use crate::enqueue::{self, Request};
use crate::store::{StoreError, Transaction};

/// Stores where a subscription stands and queues what follows.
///
/// # Errors
///
/// [`StoreError`].
pub async fn put(
    transaction: &mut Transaction,
    subscription: &str,
    document: &SubscriptionDocument,
    now: Timestamp,
) -> Result<(), StoreError> {
    let before = transaction.lock_subscription(subscription).await?;
    transaction.put_subscription(subscription, document).await?;
    let which = match before.is_suspended() == document.state.is_suspended() {
        true => Which::Differing,
        // What runs now may just be applying what was true before.
        false => Which::All,
    };
    Box::pin(follow(transaction, subscription, document.state, which, (now, now))).await.map(|_| ())
}

/// Queues what is to be done so that everything of a subscription is as its state
/// says, but for what failed since `failed`: that has its pause. How many operations that
/// was.
///
/// # Errors
///
/// [`StoreError`].
pub async fn catch_up(
    transaction: &mut Transaction,
    subscription: &str,
    failed: Timestamp,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let state = transaction.lock_subscription(subscription).await?;
    Box::pin(follow(transaction, subscription, state, Which::Differing, (failed, now))).await
}

/// Which connectors are applied again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// All that the cluster has.
    All,
    /// Those that the cluster was told otherwise of.
    Differing,
}

async fn follow(
    transaction: &mut Transaction,
    subscription: &str,
    state: SubscriptionState,
    which: Which,
    (failed, now): (Timestamp, Timestamp),
) -> Result<usize, StoreError> {
    let mut count = 0;
    match state {
        SubscriptionState::Registered | SubscriptionState::Warned | SubscriptionState::Suspended => {
            for id in connectors(transaction, subscription).await? {
                let Some(document) = readable(transaction, &id).await? else { continue };
                let is_told = document.infrastructure.is_suspended;
                let differs = is_told.is_some_and(|told| told != state.is_suspended());
                let is_meant = differs || which == Which::All;
                if is_meant && !transaction.has_failed(&id, OperationKind::Reapply, failed).await? {
                    count += usize::from(reapply(transaction, &document, now).await?);
                }
            }
        }
        SubscriptionState::Deleted => {
            // Connectors take what is below them along, and a workspace goes when it has
            // none any more.
            for id in connectors(transaction, subscription).await? {
                let Some(document) = readable(transaction, &id).await? else { continue };
                count += usize::from(remove_unless_going(transaction, document, (failed, now)).await?);
            }
            for id in transaction.ids_of(subscription, ResourceType::Workspace).await? {
                let Some(document) = readable(transaction, &id).await? else { continue };
                let workspace = document.resource_id();
                if transaction.count_children(&workspace, ResourceType::IotConnector).await? == 0 {
                    count += usize::from(remove_unless_going(transaction, document, (failed, now)).await?);
                }
            }
        }
        // The customer has deleted everything before.
        SubscriptionState::Unregistered => {}
    }
    Ok(count)
}

/// The connectors of a subscription. One document is read at a time: together they may
/// be more than a process has memory for.
async fn connectors(transaction: &mut Transaction, subscription: &str) -> Result<Vec<DocumentId>, StoreError> {
    let mut all = transaction.ids_of(subscription, ResourceType::IotConnector).await?;
    all.extend(transaction.ids_of(subscription, ResourceType::IomtConnector).await?);
    Ok(all)
}

/// A document, if it is there and can be read.
async fn readable(transaction: &mut Transaction, id: &DocumentId) -> Result<Option<ResourceDocument>, StoreError> {
    Ok(unless_unreadable(id, transaction.resource_by_id(id).await)?.flatten())
}

/// What was read about a resource. What cannot be read holds up no other of its
/// subscription: the sweeper comes back.
fn unless_unreadable<T>(id: &DocumentId, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(error @ StoreError::Document { .. }) => {
            tracing::error!(resource = %id, error = error_chain(&error), "A resource cannot follow");
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Queues that a resource is removed with what is below it, unless it is being, or that
/// failed since `failed`. One of whose family a document cannot be read is left alone.
async fn remove_unless_going(
    transaction: &mut Transaction,
    document: ResourceDocument,
    (failed, now): (Timestamp, Timestamp),
) -> Result<bool, StoreError> {
    if document.state == ResourceState::Deprovisioning
        || transaction.has_failed(&document.id, OperationKind::Deprovision, failed).await?
    {
        return Ok(false);
    }
    let below = transaction.descendants(&document.resource_id()).await;
    let Some(children) = unless_unreadable(&document.id, below)? else { return Ok(false) };
    remove_with(transaction, document, children, now).await.map(|()| true)
}

/// Whether a delete of a connector failed that had taken it from the cluster: it does not
/// run again by itself.
fn is_half_removed(document: &ResourceDocument) -> bool {
    let is_connector =
        matches!(document.kind.resource_type(), ResourceType::IotConnector | ResourceType::IomtConnector);
    let infrastructure = &document.infrastructure;
    let is_away = infrastructure.is_suspended.is_none() && !infrastructure.is_half_changed;
    is_connector && document.state == ResourceState::Failed && is_away
}

/// Queues that a resource is applied again as it was good last, unless that waits
/// already. One that was never made, or is going, is left alone.
///
/// # Errors
///
/// [`StoreError`].
pub async fn reapply(
    transaction: &mut Transaction,
    document: &ResourceDocument,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let was_never_made = document.last_good.is_none() && document.state.is_terminal();
    if was_never_made || document.state == ResourceState::Deprovisioning || is_half_removed(document) {
        return Ok(false);
    }
    let waits = transaction.pending(&document.id).await?.iter().any(|pending| {
        // One that runs may have read the state before.
        pending.provisioning_operation == OperationKind::Reapply
            && pending.provisioning_status == OperationStatus::Requested
    });
    if waits {
        return Ok(false);
    }
    let operation = enqueue::operation(document, OperationKind::Reapply, &Request::ours(now));
    enqueue::enqueue(transaction, document, &operation, now).await?;
    Ok(true)
}

/// Queues that a resource is removed, with what is below it.
///
/// # Errors
///
/// [`StoreError`].
pub async fn remove(
    transaction: &mut Transaction,
    document: ResourceDocument,
    now: Timestamp,
) -> Result<(), StoreError> {
    let children = transaction.descendants(&document.resource_id()).await?;
    remove_with(transaction, document, children, now).await
}

async fn remove_with(
    transaction: &mut Transaction,
    mut document: ResourceDocument,
    children: Vec<ResourceDocument>,
    now: Timestamp,
) -> Result<(), StoreError> {
    enqueue::remove(transaction, &mut document, children, &Request::ours(now)).await.map(|_| ())
}
