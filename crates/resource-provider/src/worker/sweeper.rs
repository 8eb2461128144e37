//! Looks, every few minutes, for what nobody is at and somebody should be
//! (resource-provider.md 6.5, 4.10): one worker of all.
//!
//! Everything that is found is looked at again, locked, before anything is done
//! about it, so that two that sweep at once would do no harm.

use std::fmt::Display;
use std::time::Duration;

use arm::operation::{OperationKind, OperationStatus};
use arm::state::ResourceState;
use arm::{ResourceId, Route};
use delivery::away::error_chain;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Worker;
use super::outcome::{self, Ending};
use crate::documents::{OperationDocument, ResourceDocument};
use crate::enqueue::{self, REMEMBERED, Request};
use crate::ports::TaggedGroup;
use crate::store::{Poisoned, StoreError, Transaction};
use crate::{lifecycle, metrics};

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Resources that nobody was at, which have an operation now.
    pub enqueued: usize,
    /// Resources that got the state in which their operation ended.
    pub settled: usize,
    /// Operations that let connectors run or stand still, or remove what a deleted
    /// subscription has.
    pub followed: usize,
    /// Failed changes of which what was good is brought back now.
    pub restored: usize,
    /// Certificates that are being renewed.
    pub renewals: usize,
    /// Operations that were forgotten.
    pub forgotten: u64,
    /// Groups whose resource is gone; also those that were removed.
    pub orphans: usize,
}

/// The lock by which one worker sweeps. It is not released after a pass: that it lapses,
/// or its worker stops, is what begins the next one.
const LOCK: &str = "sweeper";

/// How long a pass may take: what is left then is the next one's.
const PASS_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Operations that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 1000;

impl Worker {
    /// Sweeps until `stop` says so.
    pub(super) async fn keep_sweeping(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match timeout(PASS_LIMIT, Box::pin(self.sweep())).await {
                Ok(Ok(Some(swept))) if swept != Swept::default() => tracing::info!(?swept, "Swept"),
                Ok(Ok(_)) => {}
                Err(_) => tracing::error!("Sweeping did not end in time, and is tried again"),
                Ok(Err(error)) => tracing::error!(error = error_chain(&error), "Sweeping failed, and is tried again"),
            }
            // Looks a little more often than it sweeps: whoever swept last may be gone.
            let pause = outcome::jittered(self.settings.sweep_period);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Sweeps, unless another worker has within the last period.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then what is left is swept the next time.
    pub async fn sweep(&self) -> Result<Option<Swept>, StoreError> {
        let now = Timestamp::now();
        let period = SignedDuration::try_from(self.settings.sweep_period).unwrap_or(SignedDuration::from_mins(5));
        if !self.store.take_lock(LOCK, &format!("{} {now}", self.name), now, now + period).await? {
            return Ok(None);
        }
        let mut swept = Swept::default();
        for poisoned in self.store.poisoned(self.settings.claims_max).await? {
            swept.settled += unless_its_own(&poisoned.id, Box::pin(self.end_poisoned(&poisoned, now)).await)?;
        }
        for document in self.store.unsettled().await? {
            unless_its_own(&document.id, Box::pin(self.settle(&document, &mut swept, now)).await)?;
        }
        for subscription in self.store.subscriptions_out_of_line().await? {
            swept.followed += unless_its_own(&subscription, Box::pin(self.follow(&subscription, now)).await)?;
        }
        let failed = now - self.settings.upkeep_pause;
        for document in self.store.half_changed(failed).await? {
            swept.restored += unless_its_own(&document.id, Box::pin(self.restore(&document, now)).await)?;
        }
        let tried = now - self.settings.renewal_pause;
        for document in self.store.due_for_renewal(now, tried).await? {
            swept.renewals += unless_its_own(&document.id, Box::pin(self.renew_certificate(&document, now)).await)?;
        }
        loop {
            let mut transaction = self.store.begin().await?;
            let forgotten = transaction.forget_expired(now, FORGOTTEN_AT_ONCE).await?;
            transaction.commit().await?;
            swept.forgotten += forgotten;
            if forgotten < u64::from(FORGOTTEN_AT_ONCE) {
                break;
            }
        }
        swept.orphans = self.sweep_orphans().await?;
        metrics::count_sweep(&swept);
        Ok(Some(swept))
    }

    /// Ends an operation that no worker can end: its document cannot be read, or its
    /// resource's. How many it ended.
    async fn end_poisoned(&self, found: &Poisoned, now: Timestamp) -> Result<usize, StoreError> {
        let resource = match self.store.resource_by_id(&found.resource_id).await {
            // Workers end it.
            Ok(_) if found.document.is_some() => return Ok(0),
            Ok(resource) => resource,
            Err(error @ StoreError::Document { .. }) => {
                tracing::error!(operation = %found.id, error = error_chain(&error), "Its resource cannot be read");
                None
            }
            Err(error) => return Err(error),
        };
        let expires = now + REMEMBERED;
        let mut transaction = self.store.begin().await?;
        if let Some(resource) = &resource {
            outcome::lock(&mut transaction, found.kind, &resource.subscription_id, &resource.id).await?;
        }
        if !transaction.fail_unread(&found.id, expires).await? {
            return Ok(0);
        }
        let mut operation = found.document.clone();
        if let Some(resource) = &resource {
            // Clients still ask how it went: what its document was is known but for its journal.
            let mut known = enqueue::operation(resource, found.kind, &Request::ours(found.at));
            known.id = found.id.clone();
            let (ending, pause) = (Ending::Abandoned(outcome::poisoned()), self.settings.upkeep_pause);
            Box::pin(outcome::settle(&mut transaction, &mut known, &ending, pause)).await?;
            operation = Some(known);
        }
        if let Some(mut operation) = operation {
            operation.provisioning_status = OperationStatus::Failed;
            operation.error = Some(outcome::poisoned());
            operation.time_last_updated = now.to_string();
            operation.time_ended = Some(now.to_string());
            transaction.end_operation(&operation, expires).await?;
        }
        transaction.commit().await?;
        tracing::error!(operation = %found.id, "An operation that could not be carried out is ended");
        Ok(1)
    }

    /// Queues what is to follow a subscription's state. How many operations that was.
    async fn follow(&self, subscription: &str, now: Timestamp) -> Result<usize, StoreError> {
        let mut transaction = self.store.begin().await?;
        let failed = now - self.settings.upkeep_pause;
        let count = lifecycle::catch_up(&mut transaction, subscription, failed, now).await?;
        transaction.commit().await?;
        Ok(count)
    }

    /// A resource whose operation ended gets the state that belongs to that; one
    /// that has none gets one.
    async fn settle(&self, found: &ResourceDocument, swept: &mut Swept, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        transaction.lock(&found.resource_id()).await?;
        let Some(mut document) = transaction.resource_by_id(&found.id).await? else { return Ok(()) };
        let operation = match &document.current_operation_id {
            Some(id) => transaction.operation(id).await?,
            None => None,
        };
        match operation {
            _ if document.state.is_terminal() => return Ok(()),
            Some(operation) if !operation.provisioning_status.is_terminal() => return Ok(()),
            Some(operation) => {
                take_ending(&mut transaction, document, &operation).await?;
                swept.settled += 1;
            }
            None if document.state == ResourceState::Deprovisioning => {
                lifecycle::remove(&mut transaction, document, now).await?;
                swept.enqueued += 1;
            }
            None => {
                let kind = match document.last_good {
                    Some(_) => OperationKind::Patch,
                    None => OperationKind::Provision,
                };
                let operation = enqueue::operation(&document, kind, &Request::ours(now));
                document.state = ResourceState::Accepted;
                document.current_operation_id = Some(operation.id.clone());
                transaction.update_resource(&mut document).await?;
                enqueue::enqueue(&mut transaction, &document, &operation, now).await?;
                swept.enqueued += 1;
            }
        }
        tracing::warn!(resource = %found.id, "Nobody was at a resource");
        transaction.commit().await
    }

    /// Queues that what was good is brought back, unless that waits. How many that was.
    async fn restore(&self, found: &ResourceDocument, now: Timestamp) -> Result<usize, StoreError> {
        let mut transaction = self.store.begin().await?;
        transaction.lock(&found.resource_id()).await?;
        let Some(document) = transaction.resource_by_id(&found.id).await? else { return Ok(0) };
        if document.etag != found.etag || !lifecycle::reapply(&mut transaction, &document, now).await? {
            return Ok(0);
        }
        transaction.commit().await?;
        Ok(1)
    }

    /// Queues that a certificate is renewed, unless it is being. How many that was.
    async fn renew_certificate(&self, found: &ResourceDocument, now: Timestamp) -> Result<usize, StoreError> {
        let mut transaction = self.store.begin().await?;
        transaction.lock(&found.resource_id()).await?;
        let Some(document) = transaction.resource_by_id(&found.id).await? else { return Ok(0) };
        if document.etag != found.etag || !transaction.pending(&document.id).await?.is_empty() {
            return Ok(0);
        }
        let operation = enqueue::operation(&document, OperationKind::Renew, &Request::ours(now));
        enqueue::enqueue(&mut transaction, &document, &operation, now).await?;
        transaction.commit().await?;
        Ok(1)
    }

    /// Reports the groups that nobody's resource has, and removes them where that
    /// is wanted. How many there were.
    async fn sweep_orphans(&self) -> Result<usize, StoreError> {
        let groups = match self.platform.azure.tagged_resource_groups().await {
            Ok(groups) => groups,
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "The groups of ours could not be listed");
                return Ok(0);
            }
        };
        let mut count = 0;
        for group in groups {
            if unless_its_own(&group.name, self.is_orphan(&group).await)? == 0 {
                continue;
            }
            count += 1;
            tracing::warn!(group = group.name, subscription = group.subscription_id, "A group is nobody's");
            if self.settings.removes_orphans {
                match self.platform.azure.delete_tagged_resource_group(&group).await {
                    Ok(()) => tracing::warn!(group = group.name, "A group that was nobody's is removed"),
                    Err(error) => {
                        tracing::error!(group = group.name, error = error_chain(&error), "A group was not removed");
                    }
                }
            }
        }
        metrics::set_orphans(count);
        Ok(count)
    }

    /// 1 when the resource that a group is for is gone, or has another group: a
    /// resource's name is stored before its group is made, and kept until after it
    /// is removed.
    async fn is_orphan(&self, group: &TaggedGroup) -> Result<usize, StoreError> {
        let Some(id) = resource_of(group) else { return Ok(0) };
        let document = self.store.resource(&id).await?;
        let own = document.and_then(|document| document.infrastructure.resource_group);
        Ok(usize::from(own.as_deref() != Some(group.name.as_str())))
    }
}

/// What was done about one thing. What is wrong with that one alone holds up no
/// other: it is looked at again in the next pass.
fn unless_its_own<T: Default>(what: &impl Display, done: Result<T, StoreError>) -> Result<T, StoreError> {
    match done {
        Err(error @ (StoreError::Document { .. } | StoreError::Conflict)) => {
            tracing::error!(%what, error = error_chain(&error), "Something was not swept, and is looked at again");
            Ok(T::default())
        }
        other => other,
    }
}

/// The resource that a tag names; none, when it is not one of ours: then neither
/// is the group.
fn resource_of(group: &TaggedGroup) -> Option<ResourceId> {
    match Route::of_path(&group.for_resource) {
        Ok(Route::Resource(id)) => Some(id),
        _ => None,
    }
}

/// Gives a resource the state in which its operation ended.
async fn take_ending(
    transaction: &mut Transaction,
    mut document: ResourceDocument,
    operation: &OperationDocument,
) -> Result<(), StoreError> {
    let removes = operation.provisioning_operation == OperationKind::Deprovision;
    if operation.provisioning_status == OperationStatus::Succeeded && !removes {
        document.mark_good();
    } else if operation.provisioning_status == OperationStatus::Succeeded && operation.resource_id == document.id {
        return transaction.delete_resource(&document.id).await;
    } else {
        document.mark_failed(operation.error.clone(), removes);
    }
    transaction.update_resource(&mut document).await
}
