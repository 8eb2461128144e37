//! One term of ownership of a partition.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt, Shared};

use super::balance;
use crate::away::Away;
use crate::planted::Bug;
use crate::positions::{Positions, Version};
use crate::runtime::Runtime;
use crate::turn::Fence;

/// Done once something has ended.
pub(super) type Ended = Shared<BoxFuture<'static, ()>>;

/// A partition that is ours as long as this is not over.
pub(super) struct Term<P, R> {
    pub(super) partition: String,
    /// Which term it is, counted by the process.
    pub(super) number: u64,
    owner: Arc<str>,
    positions: Arc<P>,
    runtime: Arc<R>,
    /// How long after its renewal a write may still be begun.
    writable: Duration,
    /// When it was renewed last, in microseconds of the runtime's `elapsed`.
    renewed: AtomicU64,
    version: Mutex<Version>,
    is_over: AtomicBool,
    /// Dropped when it is over.
    over: Mutex<Option<oneshot::Sender<()>>>,
    pub(super) ended: Ended,
}

impl<P, R> fmt::Debug for Term<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term").field("partition", &self.partition).field("number", &self.number).finish_non_exhaustive()
    }
}

/// What a term is made of.
pub(super) struct Claimed<'c> {
    pub(super) partition: &'c str,
    pub(super) number: u64,
    /// When the claim was sent.
    pub(super) at: Duration,
    pub(super) version: Version,
    pub(super) writable: Duration,
}

impl<P: Positions, R: Runtime> Term<P, R> {
    pub(super) fn new(claimed: Claimed<'_>, owner: Arc<str>, positions: Arc<P>, runtime: Arc<R>) -> Term<P, R> {
        let (over, ended) = oneshot::channel::<()>();
        Term {
            partition: claimed.partition.to_owned(),
            number: claimed.number,
            owner,
            positions,
            runtime,
            writable: claimed.writable,
            renewed: AtomicU64::new(micros(claimed.at)),
            version: Mutex::new(claimed.version),
            is_over: AtomicBool::new(false),
            over: Mutex::new(Some(over)),
            ended: ended.map(|_| ()).boxed().shared(),
        }
    }

    /// Ends it: nothing more is written.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(self.over.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Renews it; ends it when it is another's. A store that is away leaves it
    /// to run out.
    pub(super) async fn renew(&self) -> Result<(), Away> {
        // Before the request: the store counts from some moment after it.
        let at = self.runtime.elapsed();
        let version = self.version();
        match self.positions.claim(&self.partition, Some(&self.owner), Some(&version)).await? {
            Some(version) => {
                *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
                self.renewed.store(micros(at), Ordering::SeqCst);
            }
            // An answer that got lost looks the same as another owner.
            None => self.settle(at).await?,
        }
        Ok(())
    }

    /// Looks at whose the partition is.
    async fn settle(&self, at: Duration) -> Result<(), Away> {
        let ownerships = self.positions.ownerships().await?;
        let stored = ownerships.into_iter().find(|ownership| ownership.partition == self.partition);
        let other = stored.as_ref().and_then(|ownership| ownership.owner.clone());
        match stored.filter(|_| other.as_deref() == Some(&*self.owner)) {
            Some(ownership) => {
                *self.version.lock().unwrap_or_else(PoisonError::into_inner) = ownership.version;
                let age = ownership.age;
                self.renewed.store(micros(at.saturating_sub(age)), Ordering::SeqCst);
            }
            None => {
                if other.is_some_and(|other| balance::name(&other) == balance::name(&self.owner)) {
                    tracing::error!(
                        partition = self.partition,
                        "Another process calls itself the same: they take partitions from each other"
                    );
                }
                self.end();
            }
        }
        Ok(())
    }

    /// Gives the partition back, for another to take it at once.
    pub(super) async fn release(&self) -> Result<(), Away> {
        if self.is_over() {
            return Ok(());
        }
        self.end();
        let version = self.version();
        if self.positions.claim(&self.partition, None, Some(&version)).await?.is_none() {
            // It is another's, or the answer to a renewal got lost.
            self.settle(self.runtime.elapsed()).await?;
            let stored = self.version();
            if stored != version {
                self.positions.claim(&self.partition, None, Some(&stored)).await?;
            }
        }
        Ok(())
    }

    fn version(&self) -> Version {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<P: Positions, R: Runtime> Fence for Term<P, R> {
    fn holds(&self) -> bool {
        let renewed = Duration::from_micros(self.renewed.load(Ordering::SeqCst));
        let holds = !self.is_over() && self.runtime.elapsed() < renewed + self.writable;
        holds || Bug::StaleOwner.is_planted()
    }

    fn confirm(&self) -> BoxFuture<'_, Result<bool, Away>> {
        async {
            self.settle(self.runtime.elapsed()).await?;
            Ok(self.holds())
        }
        .boxed()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
