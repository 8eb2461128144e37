//! What Kubernetes asks: `/healthz`, `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use delivery::away::error_chain;

use super::callers::Callers;
use crate::store::Store;

/// Answers probes. A process that cannot go on ends by itself, so one that answers
/// is healthy; it is ready when its store answers and callers can be told.
pub fn routes(store: Store, callers: Arc<Callers>) -> Router {
    Router::new().route("/healthz", get(|| async { "healthy\n" })).route(
        "/readyz",
        get(move || async move {
            if !callers.is_ready() {
                return (StatusCode::SERVICE_UNAVAILABLE, "not ready: the front door's certificates\n");
            }
            match store.check().await {
                Ok(()) => (StatusCode::OK, "ready\n"),
                Err(error) => {
                    tracing::warn!(error = error_chain(&error), "Not ready");
                    (StatusCode::SERVICE_UNAVAILABLE, "not ready: the store\n")
                }
            }
        }),
    )
}
