//! Carries out what the API has accepted (resource-provider.md 6).
//!
//! ```text
//! claim --> steps, each journaled --> resource in its final state, operation ended
//!              |  a delete wants it to stop --> Canceled
//!              '- no use in trying again ----> undone (create), as before (update), Failed
//! ```
//!
//! Every step *ensures*: it can be repeated from any point, by any worker. What
//! is made up (names, ids of role assignments) is stored before it is used.
//!
//! Beside it the sweeper looks for what nobody is at.

mod hold;
mod outcome;
mod plan;
mod pulse;
mod run;
mod scene;
mod spec;
mod steps;
mod sweeper;
mod undo;
mod workload;

use std::sync::Arc;
use std::time::Duration;

use delivery::away::error_chain;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

pub use self::plan::Step;
pub use self::pulse::Pulse;
pub use self::sweeper::Swept;
use crate::ports::Platform;
use crate::store::{Claim, Claimed, Store, StoreError, Work};

/// What a worker is told when it starts.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// How long an operation is a worker's without a sign of life.
    pub lease: SignedDuration,
    /// How long between two looks for work, and at what is awaited.
    pub poll: Duration,
    /// How long before a step is tried again, the first time and at the most.
    pub backoff: (Duration, Duration),
    /// How often a step is tried.
    pub tries_max: u32,
    /// How long a step is tried.
    pub step_limit: Duration,
    /// How long a workload may take to be ready.
    pub ready_limit: Duration,
    /// How old an operation may get.
    pub operation_limit: SignedDuration,
    /// How often an operation is claimed, before it counts as poison.
    pub claims_max: u32,
    /// How many operations run at a time.
    pub operations_max: usize,
    /// How often one of all workers sweeps.
    pub sweep_period: Duration,
    /// How long after a certificate was tried to be renewed it is tried again.
    pub renewal_pause: SignedDuration,
    /// The same for anything else that the sweeper had tried, so that what does not
    /// succeed for days leaves room for the rest.
    pub upkeep_pause: SignedDuration,
    /// How long a look for work may take, and giving back what was had: a database that
    /// is gone without a word answers never.
    pub store_limit: Duration,
    /// Whether groups that no resource has are removed, not only reported.
    pub removes_orphans: bool,
}

impl Default for WorkerSettings {
    /// The contract's (resource-provider.md 6.1, 6.3).
    fn default() -> WorkerSettings {
        WorkerSettings {
            lease: SignedDuration::from_secs(60),
            poll: Duration::from_secs(1),
            backoff: (Duration::from_secs(1), Duration::from_secs(60)),
            tries_max: 10,
            step_limit: Duration::from_secs(30 * 60),
            ready_limit: Duration::from_secs(10 * 60),
            operation_limit: SignedDuration::from_mins(90),
            claims_max: 20,
            operations_max: 16,
            sweep_period: Duration::from_secs(5 * 60),
            renewal_pause: SignedDuration::from_hours(24),
            upkeep_pause: SignedDuration::from_mins(30),
            store_limit: Duration::from_secs(30),
            removes_orphans: false,
        }
    }
}

/// Carries out operations.
#[derive(Clone, Debug)]
pub struct Worker {
    /// What is known.
    pub store: Store,
    /// What is outside.
    pub platform: Platform,
    /// What it was told.
    pub settings: WorkerSettings,
    /// Who it is; unique among all, and another after each start.
    pub name: Arc<str>,
    /// Whether it comes round.
    pub pulse: Pulse,
}

/// What is done at a time. What clients wait for has all of it; work of our own, which can
/// fail for days when a cluster is away, no more than half.
struct Slots {
    upkeep: Arc<Semaphore>,
}

impl Worker {
    /// Works and sweeps until `stop` says so; what is being done then is given back,
    /// to be claimed by another.
    ///
    /// # Errors
    ///
    /// [`JoinError`] when the sweeper broke off: then this worker has stopped.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), JoinError> {
        let mut running = JoinSet::new();
        let slots = Slots::of(&self.settings);
        let mut swept = Ok(());
        let mut sweeping = tokio::spawn(self.clone().keep_sweeping(stop.clone()));
        while !*stop.borrow() {
            let has_room = running.len() < self.settings.operations_max;
            // What a claim that is broken off has got is given back at the end.
            let claimed = tokio::select! {
                claimed = self.claim_in_time(slots.work()), if has_room => claimed,
                _ = stop.changed() => break,
                () = std::future::ready(()), if !has_room => {
                    self.pulse.beat();
                    Ok(None)
                }
            };
            match claimed {
                Ok(Some(claimed)) => {
                    let (worker, place) = (self.clone(), slots.take(&claimed));
                    running.spawn(async move {
                        let _place = place;
                        Box::pin(worker.carry_out(claimed)).await
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(error = error_chain(&error), "No operation could be claimed"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.settings.poll) => {}
                Some(ended) = running.join_next() => outcome::log_ended(ended),
                // By itself when it is told to stop, as this one is; else by a panic.
                ended = &mut sweeping => {
                    swept = ended;
                    break;
                }
                _ = stop.changed() => {}
            }
        }
        running.shutdown().await;
        // Whatever it is at is one transaction or the other.
        sweeping.abort();
        let given_back = timeout(self.settings.store_limit, self.store.give_back(&self.name)).await;
        if let Err(error) = given_back.unwrap_or_else(|_| Err(StoreError::late("give back operations"))) {
            let error = error_chain(&error);
            tracing::warn!(error, "What the worker was at was not given back, and waits until its lease lapses");
        }
        swept
    }

    /// Carries out one operation, if there is one to be had. Whether there was.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the operation is claimed again when its lease lapses.
    pub async fn work_once(&self) -> Result<bool, StoreError> {
        match self.claim(Work::All).await? {
            Some(claimed) => Box::pin(self.carry_out(claimed)).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn claim(&self, work: Work) -> Result<Option<Claimed>, StoreError> {
        self.store.claim(self.lease(), work).await
    }

    /// Claims an operation, or says that the store does not answer. One that was claimed
    /// and not told is claimed again when its lease lapses. A worker whose connections are
    /// dead while others can be made does not come round: a new start helps it, and none of
    /// a database that is away.
    async fn claim_in_time(&self, work: Work) -> Result<Option<Claimed>, StoreError> {
        let claimed = timeout(self.settings.store_limit, self.claim(work)).await;
        let claimed = claimed.unwrap_or_else(|_| Err(StoreError::late("claim an operation")));
        if !claimed.as_ref().is_err_and(StoreError::is_late) || !self.store.takes_connections().await {
            self.pulse.beat();
        }
        claimed
    }

    /// A lease from now on.
    fn lease(&self) -> Claim<'_> {
        let now = Timestamp::now();
        Claim { worker: &self.name, now, until: now + self.settings.lease }
    }
}

impl Slots {
    fn of(settings: &WorkerSettings) -> Slots {
        Slots { upkeep: Arc::new(Semaphore::new((settings.operations_max / 2).max(1))) }
    }

    /// What may be claimed now.
    fn work(&self) -> Work {
        if self.upkeep.available_permits() == 0 { Work::OfClients } else { Work::All }
    }

    /// What an operation takes of the room for work of our own.
    fn take(&self, claimed: &Claimed) -> Option<OwnedSemaphorePermit> {
        let is_ours = claimed.document.provisioning_operation.is_upkeep();
        is_ours.then(|| self.upkeep.clone().try_acquire_owned().ok()).flatten()
    }
}
