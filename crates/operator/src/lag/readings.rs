//! Readings that several ask for, and that go on when nobody waits any more.
//!
//! ```text
//! ask --> a reading that is new enough -----------------> its result
//!     \-> one under way, or a new one --in time---------> its result
//!                                     \-takes longer----> the result before, if there is one
//! ```
//!
//! KEDA lets its connection go after three seconds. A hub that is slower than
//! that would never scale if its reading went with the connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Workloads whose readings are kept at the most.
const READINGS_MAX: usize = 10_000;
/// How long somebody waits for a new reading when there is one before it: less
/// than KEDA does.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nobody tries again after a failure.
const FAILED_FOR: Duration = Duration::from_secs(3);
/// For how many times as long as it is new a reading may stand in for one that
/// is under way: with five seconds a minute, twice KEDA's interval.
const STAND_IN: u32 = 12;

/// How many are read at once. Each asks up to eight partitions, over one connection
/// to the hub and a few to the storage; 32 that take a second are as many as KEDA
/// asks for of a thousand workloads in its half a minute.
const AT_ONCE: usize = 32;

/// Namespace and name of a workload.
pub type Key = (String, String);
/// How a reading ended; an error may be shared.
pub type Ended = Result<u64, Arc<str>>;

/// The readings of all workloads.
#[derive(Debug)]
pub struct Readings {
    keep_for: Duration,
    patience: Duration,
    turns: Arc<Semaphore>,
    all: Mutex<HashMap<Key, Reading>>,
}

/// The newest reading of a workload, and what was read before it.
#[derive(Clone, Debug)]
struct Reading {
    newest: watch::Receiver<Option<(Instant, Ended)>>,
    before: Option<(Instant, u64)>,
}

impl Readings {
    /// Readings are given again for as long as `keep_for`; with zero each is new.
    pub fn new(keep_for: Duration) -> Readings {
        Readings { keep_for, patience: PATIENCE, turns: Arc::new(Semaphore::new(AT_ONCE)), all: Mutex::default() }
    }

    /// A reading of a workload; `read` is run when there is none that will do.
    pub async fn get<F>(&self, key: Key, read: impl FnOnce() -> F) -> Ended
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        let Reading { mut newest, before } = self.reading(key, read);
        let ended = async move {
            match newest.wait_for(Option::is_some).await.as_deref() {
                Ok(Some((_, ended))) => ended.clone(),
                _ => Err(Arc::from("the reading broke off")),
            }
        };
        match before.filter(|(at, _)| at.elapsed() < self.keep_for.saturating_mul(STAND_IN)) {
            Some((_, lag)) => timeout(self.patience, ended).await.unwrap_or(Ok(lag)),
            None => ended.await,
        }
    }

    fn reading<F>(&self, key: Key, read: impl FnOnce() -> F) -> Reading
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= READINGS_MAX {
            let stands_in = self.keep_for.saturating_mul(STAND_IN);
            all.retain(|_, reading| reading.newest.borrow().as_ref().is_none_or(|(at, _)| at.elapsed() < stands_in));
        }
        let mut before = None;
        if let Some(reading) = all.get(&key) {
            match &*reading.newest.borrow() {
                // Under way, unless it broke off.
                None if reading.newest.has_changed().is_ok() => return reading.clone(),
                Some((at, ended)) if self.is_new(*at, ended) => return reading.clone(),
                Some((at, Ok(lag))) => before = Some((*at, *lag)),
                // A hub that is away has no lag, so what was before is gone.
                _ => {}
            }
        }
        let (sender, newest) = watch::channel(None);
        let (reading, turns) = (read(), self.turns.clone());
        tokio::spawn(async move {
            // Never closed, so there is always a turn to wait for.
            let turn = turns.acquire_owned().await;
            let ended = reading.await;
            drop(turn);
            sender.send_replace(Some((Instant::now(), ended)));
        });
        let reading = Reading { newest, before };
        all.insert(key, reading.clone());
        reading
    }

    fn is_new(&self, at: Instant, ended: &Ended) -> bool {
        let keep_for = if ended.is_ok() { self.keep_for } else { self.keep_for.min(FAILED_FOR) };
        at.elapsed() < keep_for
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn key() -> Key {
        ("ns1".to_owned(), "w".to_owned())
    }

    async fn never() -> Ended {
        panic!("read again")
    }

    #[tokio::test]
    async fn goes_on_when_nobody_waits_any_more() {
        let readings = Readings::new(LONG);
        let (end, ended) = oneshot::channel();
        let read = || async { ended.await.map_err(|_| Arc::from("gone")) };
        assert!(timeout(Duration::from_millis(1), readings.get(key(), read)).await.is_err(), "KEDA let go");
        // The next shares what is under way, and finds its result.
        let (found, _) = tokio::join!(readings.get(key(), never), async { end.send(17) });
        assert_eq!(found, Ok(17));
        assert_eq!(readings.get(key(), never).await, Ok(17));
    }

    #[tokio::test]
    async fn reads_so_many_at_once_and_no_more() {
        let readings = Readings { turns: Arc::new(Semaphore::new(1)), ..Readings::new(LONG) };
        let (begun, first_begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (other_begun, mut other) = oneshot::channel();
        let first = readings.get(key(), || async move {
            begun.send(()).unwrap();
            ended.await.map_err(|_| Arc::from("gone"))
        });
        let second = readings.get(("ns1".to_owned(), "other".to_owned()), || async move {
            other_begun.send(()).unwrap();
            Ok(2)
        });
        let look = async {
            first_begun.await.unwrap();
            // Whatever is ready to go on has gone on when it is this one's turn again.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(other.try_recv().is_err(), "it waits for its turn");
            end.send(1).unwrap();
        };
        let (first, second, ()) = tokio::join!(first, second, look);
        assert_eq!((first, second), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn keeps_a_failure_for_a_while() {
        let readings = Readings::new(LONG);
        let away: Arc<str> = Arc::from("away");
        let failed = away.clone();
        assert_eq!(readings.get(key(), || async { Err(failed) }).await, Err(away.clone()));
        assert_eq!(readings.get(key(), never).await, Err(away));
        let readings = Readings::new(Duration::ZERO);
        assert_eq!(readings.get(key(), || async { Err(Arc::from("away")) }).await, Err(Arc::from("away")));
        assert_eq!(readings.get(key(), || async { Ok(1) }).await, Ok(1));
    }

    #[tokio::test]
    async fn gives_the_one_before_while_a_slow_one_is_under_way() {
        let keep_for = Duration::from_secs(60);
        let readings = Readings { patience: Duration::from_millis(1), ..Readings::new(keep_for) };
        assert_eq!(readings.get(key(), || async { Ok(5) }).await, Ok(5));
        // Old by moving its time, not by waiting.
        let (sender, newest) = watch::channel(Some((Instant::now().checked_sub(keep_for).unwrap(), Ok(5))));
        readings.all.lock().unwrap().insert(key(), Reading { newest, before: None });
        drop(sender);
        let (end, ended) = oneshot::channel();
        let slow = readings.get(key(), || async { ended.await.map_err(|_| Arc::from("gone")) }).await;
        assert_eq!(slow, Ok(5));
        end.send(9).unwrap();
        let patient = Readings { patience: LONG, ..readings };
        assert_eq!(patient.get(key(), never).await, Ok(9));
    }

    #[tokio::test]
    async fn one_that_broke_off_is_read_anew() {
        let readings = Readings::new(LONG);
        assert!(readings.get(key(), never).await.is_err());
        assert_eq!(readings.get(key(), || async { Ok(2) }).await, Ok(2));
    }
}
