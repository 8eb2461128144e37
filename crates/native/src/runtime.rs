//! The runtime of a real process.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use delivery::Runtime;
use expressions::UtcTime;
use futures::future::BoxFuture;

/// The machine's clocks, tokio's timers and tasks.
#[derive(Debug)]
pub struct TokioRuntime {
    started: Instant,
}

impl TokioRuntime {
    /// One whose `elapsed` begins now.
    pub fn new() -> TokioRuntime {
        TokioRuntime { started: Instant::now() }
    }
}

impl Default for TokioRuntime {
    fn default() -> TokioRuntime {
        TokioRuntime::new()
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> UtcTime {
        UtcTime::from(SystemTime::now())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// By the keys that the standard library gives its hash maps: enough to
    /// keep processes from doing the same at the same time.
    fn random(&self) -> u64 {
        RandomState::new().hash_one(self.elapsed())
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}
