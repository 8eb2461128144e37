//! So many in a second, and no more. Who comes too early waits; that is no error
//! (resource-provider.md 4.9).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets through so many in a second, each after the other.
#[derive(Debug)]
pub struct Pace {
    period: Duration,
    /// When the next may go.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many in a second, one at the least.
    pub fn per_second(count: u32) -> Pace {
        Pace { period: Duration::from_secs(1) / count.max(1), next: Mutex::new(None) }
    }

    /// Waits for its turn.
    pub async fn turn(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let at = next.map_or(now, |next| next.max(now));
            *next = Some(at + self.period);
            at
        };
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_go_in_a_second_than_may() {
        let pace = Pace::per_second(50);
        let begin = Instant::now();
        let turns = (0..6).map(|_| pace.turn());
        futures::future::join_all(turns).await;
        // The first goes at once, five wait for 20 ms each.
        assert!(begin.elapsed() >= Duration::from_millis(100), "{:?}", begin.elapsed());
    }
}
