//! What Kubernetes and Prometheus ask: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::task::JoinSet;

use crate::metrics;

/// Answers at `address` from now on. A replica is ready as soon as it has found
/// its cluster, whether or not it leads: both serve the lag. A part that ends takes
/// the process with it, so that it lives is all there is to say.
pub async fn serve(address: SocketAddr, tasks: &mut JoinSet<anyhow::Error>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "Listens for HTTP");
    let router = Router::new()
        .route("/healthz", get(StatusCode::OK))
        .route("/readyz", get(StatusCode::OK))
        .route("/metrics", get(|| async { metrics_text() }));
    tasks.spawn(async move {
        let ended = axum::serve(listener, router).await;
        anyhow::Error::msg("the HTTP server stopped").context(format!("{ended:?}"))
    });
    Ok(())
}

fn metrics_text() -> Response {
    match metrics::text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
