//! How long to wait after failures.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// At the most: an API server that comes back is not kept waiting for longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Failures in a row, by namespace and name.
#[derive(Debug, Default)]
pub struct Retries(Mutex<HashMap<(String, String), u32>>);

impl Retries {
    /// Counts a failure, and gives how long to wait.
    pub fn failed(&self, namespace: &str, name: &str) -> Duration {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = all.entry((namespace.to_owned(), name.to_owned())).or_default();
        *failures = failures.saturating_add(1);
        delay(*failures)
    }

    /// How many failures there were in a row.
    pub fn failures(&self, namespace: &str, name: &str) -> u32 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(namespace.to_owned(), name.to_owned())).copied().unwrap_or_default()
    }

    /// Forgets what failed.
    pub fn succeeded(&self, namespace: &str, name: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(namespace.to_owned(), name.to_owned()));
    }
}

fn delay(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST.saturating_mul(factor).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_after_each_failure() {
        let retries = Retries::default();
        let seconds: Vec<f32> = (0..9).map(|_| retries.failed("ns1", "c1").as_secs_f32()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(retries.failed("ns1", "c2"), FIRST);
        assert_eq!((retries.failures("ns1", "c1"), retries.failures("ns1", "c3")), (9, 0));
        retries.succeeded("ns1", "c1");
        assert_eq!(retries.failed("ns1", "c1"), FIRST);
        assert_eq!(delay(u32::MAX), LONGEST);
    }
}
