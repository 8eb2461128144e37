//! `GET /metrics`: the metrics in Prometheus' text format.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use https_server::Limits;
use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Encoder, Registry, TextEncoder};

/// Reads the meter for [`serve`]. Names get no scope labels: there is one scope.
pub(crate) fn reader(registry: &Registry) -> Result<PrometheusExporter, opentelemetry_sdk::error::OTelSdkError> {
    opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()
}

/// Answers at `address` from now on. An address that cannot be had is logged and
/// nothing more: events do not depend on it.
pub(crate) async fn serve(address: SocketAddr, registry: Registry) {
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "There is no Prometheus endpoint: its address cannot be had");
            return;
        }
    };
    tracing::info!(%address, "Metrics are at `/metrics`");
    let router = Router::new().route("/metrics", get(move || async move { metrics(&registry) }));
    tokio::spawn(https_server::serve_plain(listener, router, Limits::default(), std::future::pending()));
}

fn metrics(registry: &Registry) -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
