//! Serves functions to the Functions host on loopback.
//!
//! The host polls `GET /` until it gets any answer, then posts invocations.
//! It never stops a handler politely, and takes exit code 0 for an orderly end
//! that it does not mend (functions-eventhubs-keda.md 1.3 to 1.5): so nothing
//! here relies on a graceful stop, and nothing returns while the host lives.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
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
    /// `Err` only when a dependency is away (design.md D5), or a mapping
    /// that is waited for (docs/decisions/0004).
    fn handle(&self, invocation: &Invocation) -> impl Future<Output = Result<Answer, HandlerError>> + Send;
}

/// The route of one function; `name` is its folder in the app root.
pub fn function<H: Handler>(name: &str, handler: Arc<H>) -> Router {
    let route = format!("/{name}");
    let name = name.to_owned();
    let spare = Arc::new(Spare::default());
    let invoke = move |body: Body| async move {
        let mut memory = spare.take();
        let response = invoke(&name, &*handler, body, &mut memory).await;
        spare.give_back(memory);
        response
    };
    Router::new().route(&route, post(invoke))
}

async fn invoke<H: Handler>(name: &str, handler: &H, body: Body, memory: &mut Memory) -> Response {
    let Memory { request, invocation } = memory;
    if let Err(status) = read_body(body, request).await {
        tracing::error!(function = name, request.bytes = request.len(), %status, "Cannot read an invocation");
        return status.into_response();
    }
    if let Err(error) = invocation.read_again(request) {
        tracing::error!(function = name, request.bytes = request.len(), %error, "Refused an invocation");
        return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
    }
    match handler.handle(invocation).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => {
            tracing::error!(function = name, %error, "A batch has to be given again");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

/// Appends the whole body to `request`, each part as it comes, so that the
/// connection's buffer is free for the next one.
async fn read_body(mut body: Body, request: &mut Vec<u8>) -> Result<(), StatusCode> {
    // The host sends chunks and no length.
    request.reserve(usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX).min(REQUEST_BYTES_MAX));
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        let Some(data) = frame.data_ref() else { continue };
        if request.len() + data.len() > REQUEST_BYTES_MAX {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        request.extend_from_slice(data);
    }
    Ok(())
}

/// How much memory of an invocation that is done is kept for the next one, in
/// bytes: what a batch of a thousand ordinary events needs, twice. A rare
/// large one must not hold its memory for ever.
const SPARE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many invocations' memory is kept; partitions beyond that get theirs anew.
const SPARE_MAX: usize = 4;

/// What one invocation needs while it is worked on.
#[derive(Default)]
struct Memory {
    request: Vec<u8>,
    invocation: Invocation,
}

/// Memory of invocations that are done.
#[derive(Default)]
struct Spare(Mutex<Vec<Memory>>);

/// Without the memory: it holds what is left of events.
impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spare").finish_non_exhaustive()
    }
}

impl Spare {
    fn take(&self) -> Memory {
        self.lock().pop().unwrap_or_default()
    }

    fn give_back(&self, mut memory: Memory) {
        memory.request.clear();
        memory.invocation.clear();
        let mut spare = self.lock();
        if spare.len() < SPARE_MAX && memory.request.capacity() + memory.invocation.capacity() <= SPARE_BYTES_MAX {
            spare.push(memory);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        // Taking and giving back leave it good whatever happens.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    let router = functions.route("/", get(StatusCode::OK));
    // An answer is one write, which nothing is gained by holding back.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "A connection keeps Nagle's algorithm");
        }
    });
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
