//! What Kubernetes asks, `/healthz` and `/readyz`; and by itself, where it is asked
//! for, what Prometheus does: `/metrics`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use delivery::away::error_chain;
use tokio::sync::Mutex;

use super::callers::Callers;
use crate::store::Store;
use crate::worker::metrics;

/// How long it is known whether the store answers: whoever asks more often is told
/// the same, and takes no connection from requests.
const KNOWN_FOR: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Asked {
    store: Store,
    callers: Arc<Callers>,
    /// Whether the store answered, and when.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// Answers probes. A process that cannot go on ends by itself, so one that answers
/// is healthy; it is ready when its store answers and callers can be told.
pub fn probes(store: Store, callers: Arc<Callers>) -> Router {
    Router::new().route("/healthz", get(|| async { "healthy\n" })).route("/readyz", get(readiness)).with_state(Asked {
        store,
        callers,
        last: Arc::default(),
    })
}

/// Tells what workers count.
pub fn metrics(store: Store) -> Router {
    Router::new().route("/metrics", get(numbers)).with_state(store)
}

async fn readiness(State(asked): State<Asked>) -> (StatusCode, &'static str) {
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
        let answered = self.store.check().await;
        if let Err(error) = &answered {
            tracing::warn!(error = error_chain(error), "Not ready");
        }
        *last = Some((Instant::now(), answered.is_ok()));
        answered.is_ok()
    }
}

async fn numbers(State(store): State<Store>) -> Response {
    match metrics::text(&store).await {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::warn!(error = error_chain(&error), "The metrics could not be told");
            (StatusCode::SERVICE_UNAVAILABLE, "the metrics could not be told\n").into_response()
        }
    }
}
