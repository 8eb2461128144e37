//! What Kubernetes asks, `/healthz` and `/readyz`; and by itself, where it is asked
//! for, what Prometheus does: `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
/// How long the store may take to answer a probe: less than Kubernetes waits, which would
/// break off the look before it is known that nobody answers.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// For how long a store may say nothing at all, not even no, until a new start is the
/// better try: the connections are dead, which TCP finds out after a quarter of an hour.
const SILENT_FOR: Duration = Duration::from_secs(180);

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
    last: Arc<Mutex<Last>>,
}

/// What is known of the store.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Whether it answered, and when.
    answered: Option<(Instant, bool)>,
    /// Since when it has not said anything at all.
    silent_since: Option<Instant>,
}

/// Answers probes. A process is healthy as long as a new start could not help it: its
/// worker comes round, and its store says anything. It is ready when it has begun, its store
/// answers and callers can be told.
pub fn probes(store: Store, callers: Arc<Callers>, signs: Signs) -> Router {
    let asked = Asked { store, callers, signs, last: Arc::default() };
    Router::new().route("/healthz", get(health)).route("/readyz", get(readiness)).with_state(asked)
}

/// Tells what API and workers count.
pub fn metrics(store: Store) -> Router {
    Router::new().route("/metrics", get(numbers)).with_state(store)
}

async fn health(State(asked): State<Asked>) -> (StatusCode, &'static str) {
    if asked.signs.pulse.is_some_and(|pulse| !pulse.is_good()) {
        return (StatusCode::SERVICE_UNAVAILABLE, "not healthy: the worker does not come round\n");
    }
    // Whoever looks just now has it: then it is not known to be silent.
    let silent_since = asked.last.try_lock().ok().and_then(|last| last.silent_since);
    match silent_since.is_some_and(|since| since.elapsed() >= SILENT_FOR) {
        true => (StatusCode::SERVICE_UNAVAILABLE, "not healthy: the connections to the store are dead\n"),
        false => (StatusCode::OK, "healthy\n"),
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
        if let Some((at, answers)) = last.answered
            && at.elapsed() < KNOWN_FOR
        {
            return answers;
        }
        let answered = timeout(ANSWER_LIMIT, self.store.check()).await;
        let answered = answered.unwrap_or_else(|_| Err(StoreError::silent("answer")));
        if let Err(error) = &answered {
            tracing::warn!(error = error_chain(error), "Not ready");
        }
        let is_silent = answered.as_ref().is_err_and(StoreError::is_silence);
        last.silent_since = is_silent.then(|| last.silent_since.unwrap_or_else(Instant::now));
        last.answered = Some((Instant::now(), answered.is_ok()));
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
