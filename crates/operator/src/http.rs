//! What Kubernetes and Prometheus ask: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use https_server::Limits;
use tokio::task::JoinSet;

use crate::heartbeat::Heartbeats;
use crate::metrics;

/// What a replica waits for before it can take over from another, such as one of
/// an older version.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<Option<String>>>);

impl Readiness {
    /// Of a replica that has just begun.
    pub fn new() -> Readiness {
        Readiness(Arc::new(Mutex::new(Some("the platform's values are looked at".to_owned()))))
    }

    /// It waits for this now; for nothing more when it is none.
    pub fn waits_for(&self, what: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    fn answer(&self) -> (StatusCode, String) {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {what}\n")),
        }
    }
}

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness::new()
    }
}

/// Answers at `address` from now on. A replica is ready as soon as it can do what
/// it is for, whether or not it leads: both serve the lag. It is healthy while all
/// its `parts` come round.
pub async fn serve(
    address: SocketAddr,
    parts: Heartbeats,
    readiness: Readiness,
    tasks: &mut JoinSet<anyhow::Error>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "Listens for HTTP");
    let router = Router::new()
        .route("/healthz", get(|| async move { health(&parts, Instant::now()) }))
        .route("/readyz", get(|| async move { readiness.answer() }))
        .route("/metrics", get(|| async { metrics_text() }));
    tasks.spawn(async move {
        https_server::serve_plain(listener, router, Limits::default(), std::future::pending()).await;
        anyhow::Error::msg("the HTTP server stopped")
    });
    Ok(())
}

/// Names the parts that stand still: a restart is all that helps them.
fn health(parts: &Heartbeats, now: Instant) -> (StatusCode, String) {
    match parts.look(now) {
        (count, stalled) if stalled.is_empty() => (StatusCode::OK, format!("{count} parts\n")),
        (_, stalled) => {
            tracing::error!(parts = stalled.join(", "), "Parts of the operator stand still");
            (StatusCode::SERVICE_UNAVAILABLE, format!("standing still: {}\n", stalled.join(", ")))
        }
    }
}

fn metrics_text() -> Response {
    match metrics::text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::STALLED_AFTER;

    #[test]
    fn who_waits_is_not_ready() {
        let readiness = Readiness::new();
        assert_eq!(readiness.answer().0, StatusCode::SERVICE_UNAVAILABLE);
        readiness.waits_for(Some("the Secret".to_owned()));
        assert_eq!(readiness.answer(), (StatusCode::SERVICE_UNAVAILABLE, "not ready: the Secret\n".to_owned()));
        readiness.waits_for(None);
        assert_eq!(readiness.answer().0, StatusCode::OK);
    }

    #[test]
    fn who_stands_still_is_not_healthy() {
        let parts = Heartbeats::default();
        let part = parts.part("Fhir");
        let begun = Instant::now();
        assert_eq!(health(&parts, begun), (StatusCode::OK, "1 parts\n".to_owned()));
        let late = (StatusCode::SERVICE_UNAVAILABLE, "standing still: Fhir\n".to_owned());
        assert_eq!(health(&parts, begun + STALLED_AFTER), late);
        part.beat();
        assert_eq!(health(&parts, begun + STALLED_AFTER).0, StatusCode::OK);
    }
}
