//! Serves functions to the Functions host on loopback.
//!
//! The host polls `GET /` until it gets any answer, then posts invocations.
//! It never stops a handler politely, and takes exit code 0 for an orderly end
//! that it does not mend (functions-eventhubs-keda.md 1.3 to 1.5): so nothing
//! here relies on a graceful stop, and nothing returns while the host lives.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use crate::answer::Answer;
use crate::invocation::Invocation;

/// The largest request accepted, in bytes: above what the host itself can
/// make of a batch (design.md D4: it fails above 64 MiB before it calls us),
/// doubled for the encodings.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A batch could not be finished and has to be given again: answered with 500.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HandlerError(pub String);

/// A function with an Event Hubs trigger.
pub trait Handler: Send + Sync + 'static {
    /// Works through the whole batch: `Ok` when every event has its fate,
    /// `Err` only when a dependency is away (design.md D5).
    fn handle(&self, invocation: Invocation) -> impl Future<Output = Result<Answer, HandlerError>> + Send;
}

/// The route of one function; `name` is its folder in the app root.
pub fn function<H: Handler>(name: &str, handler: Arc<H>) -> Router {
    let route = format!("/{name}");
    let name = name.to_owned();
    let invoke = move |body: Bytes| async move { invoke(&name, &*handler, &body).await };
    Router::new().route(&route, post(invoke))
}

async fn invoke<H: Handler>(name: &str, handler: &H, body: &[u8]) -> Response {
    let invocation = match Invocation::read(body) {
        Ok(invocation) => invocation,
        Err(error) => {
            tracing::error!(function = name, request.bytes = body.len(), %error, "Refused an invocation");
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    match handler.handle(invocation).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => {
            tracing::error!(function = name, %error, "A batch has to be given again");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

/// Opens the port that the host polls. To be called before anything slow.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    listener.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on 127.0.0.1:{port}: {error}")))
}

/// Serves `functions`, and `GET /` with 200, until the process ends. Returns
/// only with an error: also when the process that started this one is gone,
/// since a handler whose host was killed would otherwise stay for ever.
pub async fn serve(listener: TcpListener, functions: Router) -> io::Error {
    let router = functions.route("/", get(StatusCode::OK)).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX));
    tokio::select! {
        ended = axum::serve(listener, router) => match ended {
            Ok(()) => io::Error::other("the handler's server ended"),
            Err(error) => error,
        },
        () = orphaned() => io::Error::other("the Functions host is gone"),
    }
}

async fn orphaned() {
    let parent = std::os::unix::process::parent_id();
    let mut look = tokio::time::interval(Duration::from_secs(1));
    while std::os::unix::process::parent_id() == parent {
        look.tick().await;
    }
}
