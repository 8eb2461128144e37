//! What one worker has and no other: operations by their lease, shared parts by a
//! lock. Both lapse when whoever has them dies.

use std::time::Duration;

use arm::DocumentId;
use delivery::away::error_chain;
use tokio::time::{Instant, sleep, timeout_at};

use super::Worker;
use super::steps::StepError;
use crate::store::StoreError;

/// What is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hold<'h> {
    /// An operation.
    Lease(&'h DocumentId),
    /// A lock, and as whom.
    Lock(&'h str, &'h str),
}

impl Worker {
    /// Does something that only one does at a time, with a lock that is kept as
    /// long as that takes. Where another has it, the caller waits.
    pub(super) async fn with_lock<F: Future<Output = Result<(), StepError>>>(
        &self,
        name: &str,
        act: impl FnOnce() -> F,
    ) -> Result<(), StepError> {
        // Named after the worker and this use: two operations of one worker keep
        // each other out too.
        let owner = format!("{} {}", self.name, uuid::Uuid::new_v4());
        let lock = Hold::Lock(name, &owner);
        if !self.renew(lock).await? {
            return Err(StepError::Waiting);
        }
        let done = tokio::select! {
            done = act() => done,
            () = self.keep(lock) => return Err(StepError::Waiting),
        };
        if let Err(error) = self.store.release_lock(name, &owner).await {
            tracing::warn!(error = error_chain(&error), "A lock was not released, and lapses");
        }
        done
    }

    /// Renews something again and again, until it is another's, or may be since it
    /// could not be renewed for the time of a lease.
    pub(super) async fn keep(&self, hold: Hold<'_>) {
        let lease = Duration::try_from(self.settings.lease).unwrap_or(Duration::from_secs(60));
        let mut until = Instant::now() + lease;
        loop {
            sleep(lease / 3).await;
            let asked = Instant::now();
            match timeout_at(until, self.renew(hold)).await {
                Ok(Ok(true)) => until = asked + lease,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(error = error_chain(&error), "A lease could not be renewed"),
                Err(_) => {}
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Takes or keeps something from now on. False when it is another's.
    async fn renew(&self, hold: Hold<'_>) -> Result<bool, StoreError> {
        let lease = self.lease();
        match hold {
            Hold::Lease(id) => Ok(self.store.renew(id, lease).await?.is_some()),
            Hold::Lock(name, owner) => self.store.take_lock(name, owner, lease.now, lease.until).await,
        }
    }
}
