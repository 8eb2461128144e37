//! What Kubernetes asks, `/healthz` and `/readyz`; and by itself, where it is asked
//! for, what Prometheus does: `/metrics`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use delivery::away::error_chain;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::callers::Callers;
use crate::metrics;
use crate::store::{Store, StoreError};
use crate::worker::Pulse;

/// How long it is known whether the store answers: whoever asks more often is told
/// the same, and takes no connection from requests.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// How long the store may take to answer a probe: with another connection less than
/// Kubernetes waits, which would break off the look before it is known that nobody answers.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// For how long the connections to a store that takes others may be dead until a new start
/// is the better try: TCP finds out after a quarter of an hour.
const DEAD_FOR: Duration = Duration::from_secs(180);

/// What a process knows of itself.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// Whether its worker comes round; none where it has no worker.
    pub pulse: Option<Pulse>,
    /// Whether it has begun to take requests and operations.
    pub has_begun: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Asked {
    store: Store,
    callers: Arc<Callers>,
    signs: Signs,
    /// Whether the store answered, and when; whoever looks has it.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
    /// Since when the connections to the store are dead.
    dead_since: Arc<StdMutex<Option<Instant>>>,
}

/// Answers probes. A process is healthy as long as a new start could not help it: its
/// worker comes round, and its connections to the store are alive. It is ready when it has
/// begun, its store answers and callers can be told.
pub fn probes(store: Store, callers: Arc<Callers>, signs: Signs) -> Router {
    let asked = Asked { store, callers, signs, last: Arc::default(), dead_since: Arc::default() };
    Router::new().route("/healthz", get(health)).route("/readyz", get(readiness)).with_state(asked)
}

/// Tells what API and workers count.
pub fn metrics(store: Store) -> Router {
    Router::new().route("/metrics", get(numbers)).with_state(store)
}

async fn health(State(asked): State<Asked>) -> (StatusCode, &'static str) {
    let dead_since = *asked.dead_since.lock().unwrap_or_else(PoisonError::into_inner);
    verdict(asked.signs.pulse.is_none_or(|pulse| pulse.is_good()), dead_since.map(|since| since.elapsed()))
}

/// Whether a process is healthy whose worker, if it has one, comes round, and whose
/// connections to the store have been dead for so long.
fn verdict(comes_round: bool, dead_for: Option<Duration>) -> (StatusCode, &'static str) {
    match dead_for {
        _ if !comes_round => (StatusCode::SERVICE_UNAVAILABLE, "not healthy: the worker does not come round\n"),
        Some(dead) if dead >= DEAD_FOR => {
            (StatusCode::SERVICE_UNAVAILABLE, "not healthy: the connections to the store are dead\n")
        }
        _ => (StatusCode::OK, "healthy\n"),
    }
}

async fn readiness(State(asked): State<Asked>) -> (StatusCode, &'static str) {
    if !asked.signs.has_begun.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: it begins\n");
    }
    if !asked.callers.is_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: the front door's certificates\n");
    }
    match asked.store_answers().await {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready: the store\n"),
    }
}

impl Asked {
    async fn store_answers(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, answers)) = *last
            && at.elapsed() < KNOWN_FOR
        {
            return answers;
        }
        let answered = timeout(ANSWER_LIMIT, self.store.check()).await;
        let answered = answered.unwrap_or_else(|_| Err(StoreError::late("answer")));
        if let Err(error) = &answered {
            tracing::warn!(error = error_chain(error), "Not ready");
        }
        let is_dead = answered.as_ref().is_err_and(StoreError::is_late) && self.store.takes_connections().await;
        let mut dead_since = self.dead_since.lock().unwrap_or_else(PoisonError::into_inner);
        *dead_since = is_dead.then(|| dead_since.unwrap_or_else(Instant::now));
        *last = Some((Instant::now(), answered.is_ok()));
        answered.is_ok()
    }
}

async fn numbers(State(store): State<Store>) -> Response {
    match metrics::text(&store).await {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(error = error_chain(&error), "The metrics could not be told");
            (StatusCode::SERVICE_UNAVAILABLE, "the metrics could not be told\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_new_start_could_help_is_not_healthy() {
        let second = Duration::from_secs(1);
        for (comes_round, dead_for, expected) in [
            (true, None, "healthy\n"),
            (true, Some(DEAD_FOR - second), "healthy\n"),
            (true, Some(DEAD_FOR), "not healthy: the connections to the store are dead\n"),
            (false, None, "not healthy: the worker does not come round\n"),
        ] {
            let (status, text) = verdict(comes_round, dead_for);
            assert_eq!((status == StatusCode::OK, text), (expected == "healthy\n", expected));
        }
    }
}
