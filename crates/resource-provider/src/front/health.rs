//! What Kubernetes and Prometheus ask: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use delivery::away::error_chain;

use super::callers::Callers;
use crate::store::Store;
use crate::worker::metrics;

#[derive(Clone)]
struct Asked {
    store: Store,
    callers: Arc<Callers>,
}

/// Answers probes. A process that cannot go on ends by itself, so one that answers
/// is healthy; it is ready when its store answers and callers can be told.
pub fn routes(store: Store, callers: Arc<Callers>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "healthy\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(numbers))
        .with_state(Asked { store, callers })
}

async fn readiness(State(asked): State<Asked>) -> (StatusCode, &'static str) {
    if !asked.callers.is_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: the front door's certificates\n");
    }
    match asked.store.check().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(error = error_chain(&error), "Not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the store\n")
        }
    }
}

async fn numbers(State(asked): State<Asked>) -> Response {
    match metrics::text(&asked.store).await {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::warn!(error = error_chain(&error), "The metrics could not be told");
            (StatusCode::SERVICE_UNAVAILABLE, "the metrics could not be told\n").into_response()
        }
    }
}
