//! How many requests may be under way at once, learnt from what the server
//! says.
//!
//! Additive increase, multiplicative decrease: a full round of answers without
//! complaint allows one more request at a time, an answer that says "too many"
//! (429, 503), or none in time, halves the number. When the server asks to be
//! left alone, all are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// One complaint is often said to all requests that are under way: what comes
/// within this time counts as one.
const ONE_COMPLAINT: Duration = Duration::from_millis(250);

/// The server is left alone no longer than this, whatever it asks for: a gateway
/// that says "tomorrow" is asked again.
const LEAVE_ALONE_MAX: Duration = Duration::from_secs(300);

/// Hands out permits, as many as the server bears.
#[derive(Debug)]
pub(crate) struct Limiter {
    most: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    used: usize,
    good: usize,
    complained: Option<Instant>,
    /// The server wants to be left alone until then, and said so with this
    /// status.
    not_before: Option<(Instant, u16)>,
}

/// The right to have one request under way.
#[derive(Debug)]
pub(crate) struct Permit<'l>(&'l Limiter);

impl Limiter {
    /// Allows up to `most` requests at once, and at least one.
    pub(crate) fn new(most: usize) -> Limiter {
        let most = most.max(1);
        let state = State { limit: most, used: 0, good: 0, complained: None, not_before: None };
        Limiter { most, state: Mutex::new(state), freed: Notify::new() }
    }

    /// Waits for a permit.
    pub(crate) async fn permit(&self) -> Permit<'_> {
        loop {
            let freed = self.freed.notified();
            if let Some(permit) = self.try_permit() {
                return permit;
            }
            freed.await;
        }
    }

    fn try_permit(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        if state.used >= state.limit {
            return None;
        }
        state.used += 1;
        Some(Permit(self))
    }

    /// The server answered and did not complain.
    pub(crate) fn good(&self) {
        let mut state = self.state();
        state.good += 1;
        if state.good >= state.limit && state.limit < self.most {
            state.limit += 1;
            state.good = 0;
            drop(state);
            self.freed.notify_one();
        }
    }

    /// The server says that it has too much to do.
    pub(crate) fn complaint(&self, now: Instant) {
        let mut state = self.state();
        state.good = 0;
        if state.complained.is_some_and(|then| now.duration_since(then) < ONE_COMPLAINT) {
            return;
        }
        state.complained = Some(now);
        state.limit = (state.limit / 2).max(1);
    }

    /// The server asks at `now` with `status` to be left alone for `wait`.
    pub(crate) fn leave_alone(&self, status: u16, now: Instant, wait: Duration) {
        let then = now + wait.min(LEAVE_ALONE_MAX);
        let mut state = self.state();
        state.not_before = state.not_before.max(Some((then, status)));
    }

    /// Until when the server is to be left alone, if that is not over at `now`,
    /// and the status that it said so with.
    pub(crate) fn left_alone_until(&self, now: Instant) -> Option<(Instant, u16)> {
        self.state().not_before.filter(|(then, _)| *then > now)
    }

    /// How many requests are allowed at once now.
    pub(crate) fn limit(&self) -> usize {
        self.state().limit
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state().used -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_once_for_one_complaint_and_grows_back() {
        let limiter = Limiter::new(8);
        let start = Instant::now();
        limiter.complaint(start);
        limiter.complaint(start + Duration::from_millis(10));
        assert_eq!(limiter.limit(), 4);
        limiter.complaint(start + Duration::from_secs(1));
        limiter.complaint(start + Duration::from_secs(2));
        limiter.complaint(start + Duration::from_secs(3));
        assert_eq!(limiter.limit(), 1);
        for _ in 0..1 + 2 + 3 {
            limiter.good();
        }
        assert_eq!(limiter.limit(), 4);
        for _ in 0..100 {
            limiter.good();
        }
        assert_eq!(limiter.limit(), 8);
    }

    #[test]
    fn leaves_the_server_alone_for_as_long_as_it_asks_but_not_for_days() {
        let (limiter, now) = (Limiter::new(2), Instant::now());
        limiter.leave_alone(503, now, Duration::from_secs(60));
        limiter.leave_alone(429, now, Duration::from_secs(20));
        assert_eq!(limiter.left_alone_until(now), Some((now + Duration::from_secs(60), 503)));
        assert_eq!(limiter.left_alone_until(now + Duration::from_secs(60)), None);
        limiter.leave_alone(429, now, Duration::from_secs(86_400));
        assert_eq!(limiter.left_alone_until(now), Some((now + LEAVE_ALONE_MAX, 429)));
    }

    #[tokio::test]
    async fn holds_back_what_is_above_the_limit() {
        let limiter = Limiter::new(2);
        let first = limiter.permit().await;
        let _second = limiter.permit().await;
        assert!(limiter.try_permit().is_none());
        drop(first);
        let _third = limiter.permit().await;
        assert!(limiter.try_permit().is_none());
    }
}
