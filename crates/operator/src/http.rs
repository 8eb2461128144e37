//! What Kubernetes and Prometheus ask: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics;

/// Answers at `address` from now on. A replica is ready as soon as it has found
/// its cluster, whether or not it leads: both serve the lag.
pub async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "Listens for HTTP");
    let router = Router::new()
        .route("/healthz", get(StatusCode::OK))
        .route("/readyz", get(StatusCode::OK))
        .route("/metrics", get(|| async { metrics_text() }));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "The HTTP server stopped");
        }
    });
    Ok(())
}

fn metrics_text() -> Response {
    match metrics::text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
