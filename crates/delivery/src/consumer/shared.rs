//! What the pumps of a consumer share.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::FutureExt;
use futures::{pin_mut, select_biased};

use super::balance::START;
use super::{ConsumerOptions, Observer};
use crate::runtime::Runtime;

const BACKOFF_MAX: Duration = Duration::from_secs(30);

pub(super) struct Shared<H, P, R, S> {
    pub(super) hub: H,
    pub(super) positions: Arc<P>,
    pub(super) runtime: Arc<R>,
    pub(super) processor: S,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) options: ConsumerOptions,
    pub(super) owner: Arc<str>,
    owned: AtomicUsize,
    /// Bytes in all open windows.
    buffered: AtomicUsize,
}

impl<H, P, R, S> fmt::Debug for Shared<H, P, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<H, P, R: Runtime, S> Shared<H, P, R, S> {
    pub(super) fn new(
        hub: H,
        positions: P,
        runtime: Arc<R>,
        (processor, observer): (S, Arc<dyn Observer>),
        options: ConsumerOptions,
    ) -> Shared<H, P, R, S> {
        // Two processes of one name, or two starts of one, are told apart.
        let owner = Arc::from(format!("{}{START}{:016x}", options.owner, runtime.random()));
        let positions = Arc::new(positions);
        let (owned, buffered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Shared { hub, positions, runtime, processor, observer, options, owner, owned, buffered }
    }

    /// Takes note of how many partitions are owned.
    pub(super) fn own(&self, partitions: usize) {
        if self.owned.swap(partitions, Ordering::Relaxed) != partitions {
            self.observer.owned(partitions);
        }
    }

    /// How many events a window may hold now.
    pub(super) fn limit(&self) -> usize {
        self.options.rules.limit(self.owned.load(Ordering::Relaxed))
    }

    /// How many bytes may be on their way from one partition.
    pub(super) fn in_flight_bytes(&self) -> usize {
        self.options.in_flight_bytes_max / self.owned.load(Ordering::Relaxed).max(1)
    }

    /// Takes bytes off the budget of all windows; whether they were in it.
    pub(super) fn buffer(&self, bytes: usize) -> bool {
        self.buffered.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.options.window_bytes_max
    }

    pub(super) fn unbuffer(&self, bytes: usize) {
        self.buffered.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What comes of something if that is within `limit`.
pub(super) async fn within<T>(limit: Duration, runtime: &impl Runtime, wanted: impl Future<Output = T>) -> Option<T> {
    let (wanted, limit) = (wanted.fuse(), runtime.sleep(limit).fuse());
    pin_mut!(wanted, limit);
    select_biased! {
        done = wanted => Some(done),
        () = limit => None,
    }
}

/// How long to wait after so many failures in a row: a second, doubled each
/// time up to half a minute, and up to a quarter of it less.
pub(super) fn backoff(failures: u32, runtime: &impl Runtime) -> Duration {
    let whole = Duration::from_secs(1).saturating_mul(1 << failures.saturating_sub(1).min(5)).min(BACKOFF_MAX);
    let part = whole.as_millis() as u64 / 4;
    whole - Duration::from_millis(runtime.random() % part.max(1))
}
