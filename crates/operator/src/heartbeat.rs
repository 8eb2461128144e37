//! Whether every part of the process comes round.
//!
//! ```text
//! Lease, controllers, watches --beat each round--> Heartbeats --> /healthz
//! ```
//!
//! A part that ends takes the process with it; one that stands still would hold
//! the Lease, or a place in a queue, for ever. What is away, such as the API
//! server, is asked for again and again and so makes no part stand still.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// After how long without coming round a part counts as standing still: a dozen
/// of the longest rounds, as in the functions without the Functions host.
pub const STALLED_AFTER: Duration = Duration::from_secs(120);
/// How often a part that waits for something comes round by itself.
pub const ROUND: Duration = Duration::from_secs(10);

/// When a part came round last.
type Last = Mutex<Instant>;
/// A part and its name.
type Part = (String, Weak<Last>);

/// All parts of a process that are to come round.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats(Arc<Mutex<Vec<Part>>>);

/// That of one part, which is looked at as long as this is there.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Last>);

impl Heartbeats {
    /// Looks at one part more, which came round now.
    pub fn part(&self, name: impl Into<String>) -> Heartbeat {
        let last = Arc::new(Mutex::new(Instant::now()));
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|(_, last)| last.strong_count() > 0);
        parts.push((name.into(), Arc::downgrade(&last)));
        Heartbeat(last)
    }

    /// How many parts there are, and the names of those that stand still at `now`.
    pub fn look(&self, now: Instant) -> (usize, Vec<String>) {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive: Vec<_> = parts.iter().filter_map(|(name, last)| Some((name, last.upgrade()?))).collect();
        let stands_still = |last: &Last| {
            let last = *last.lock().unwrap_or_else(PoisonError::into_inner);
            now.saturating_duration_since(last) >= STALLED_AFTER
        };
        let stalled = alive.iter().filter(|(_, last)| stands_still(last)).map(|(name, _)| (*name).clone());
        (alive.len(), stalled.collect())
    }
}

impl Heartbeat {
    /// It came round.
    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_stands_still_is_named() {
        let parts = Heartbeats::default();
        let (lease, watch) = (parts.part("lease"), parts.part("watch"));
        let begun = Instant::now();
        assert_eq!(parts.look(begun), (2, vec![]));
        lease.beat();
        assert_eq!(parts.look(begun + STALLED_AFTER), (2, vec!["watch".to_owned()]));
        watch.beat();
        assert_eq!(parts.look(begun + STALLED_AFTER), (2, vec![]));
        // One that is done is not looked at any more.
        drop(watch);
        assert_eq!(parts.look(Instant::now() + STALLED_AFTER), (1, vec!["lease".to_owned()]));
    }
}
