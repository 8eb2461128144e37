//! Whether a worker comes round: what Kubernetes starts anew when it does not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After how long without coming round a worker counts as standing still: each look for
/// work has a limit of far less.
const STILL_AFTER: Duration = Duration::from_secs(180);

/// When a worker came round last, for itself and for whoever asks.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Pulse {
    /// It came round.
    pub(super) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago that was.
    fn since(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Whether it was within the last minutes.
    pub fn is_good(&self) -> bool {
        self.since() < STILL_AFTER
    }
}
