//! Makes invocation requests and reads their answers
//! (functions-eventhubs-keda.md 1.7, 1.12).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http_body::Frame;
use reqwest::header::{CONTENT_TYPE, HOST};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::functions_host::handler::{HandlerState, HostStopped, Restarter};

/// The version that the host says it has.
const HOST_VERSION: &str = "4.1037.0.0";
/// How long an invocation waits for a handler that is not ready: (3+1) × 30 s.
const READY_WAIT: Duration = Duration::from_secs(120);
/// What the client waits longer than the function may take.
const CLIENT_GRACE: Duration = Duration::from_secs(60);

/// Why a try of an invocation failed. The texts hold nothing of the payload.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvocationFailed {
    #[error("the handler answered {0}")]
    Status(u16),
    #[error("the handler cannot be reached, or ended before it answered")]
    Unreachable,
    #[error("the handler's answer is not a JSON object")]
    NotAnObject,
    #[error("the function took longer than `functionTimeout`; the handler is killed")]
    TimedOut,
    #[error("the host is stopping")]
    HostEnded,
    #[error(transparent)]
    NotBindable(#[from] crate::functions_host::invocation::NotBindable),
}

/// Calls the handler.
#[derive(Clone, Debug)]
pub(super) struct Invoker {
    client: Client,
    /// Hands redirects on to the caller.
    forwarder: Client,
    states: watch::Receiver<HandlerState>,
    restarter: Restarter,
    stopped: mpsc::UnboundedSender<HostStopped>,
    timeout: Option<Duration>,
}

/// A handler that can be called.
#[derive(Clone, Copy)]
struct ReadyHandler {
    port: u16,
    start: u64,
}

impl Invoker {
    /// `timeout` is the `functionTimeout`.
    pub(super) fn new(
        states: watch::Receiver<HandlerState>,
        restarter: Restarter,
        stopped: mpsc::UnboundedSender<HostStopped>,
        timeout: Option<Duration>,
    ) -> Result<Self, reqwest::Error> {
        let builder = || {
            let builder = Client::builder().no_proxy().http1_only().http1_title_case_headers();
            let builder = builder.user_agent(format!("Azure-Functions-Host/{HOST_VERSION}"));
            match timeout {
                Some(timeout) => builder.timeout(timeout + CLIENT_GRACE),
                None => builder,
            }
        };
        let (client, forwarder) = (builder().build()?, builder().redirect(Policy::none()).build()?);
        Ok(Self { client, forwarder, states, restarter, stopped, timeout })
    }

    /// Posts an invocation and gives the handler's answer.
    pub(super) async fn invoke(&self, function: &str, id: Uuid, body: String) -> Result<Value, InvocationFailed> {
        let handler = self.ready().await?;
        let url = format!("http://127.0.0.1:{}/{function}", handler.port);
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json; charset=utf-8");
        let request = with_host_headers(request, id).body(reqwest::Body::wrap(Chunk(Some(body.into()))));
        self.within_timeout(handler, read_answer(request)).await
    }

    /// Sends an HTTP request on as it came, and gives the answer as it is.
    pub(super) async fn forward(
        &self,
        method: Method,
        path_and_query: &str,
        headers: reqwest::header::HeaderMap,
        id: Uuid,
        body: Bytes,
    ) -> Result<(Response, Bytes), InvocationFailed> {
        let handler = self.ready().await?;
        let url = format!("http://127.0.0.1:{}{path_and_query}", handler.port);
        let mut headers = headers;
        headers.remove(HOST);
        let request = with_host_headers(self.forwarder.request(method, url).headers(headers), id).body(body);
        let forwarding = async {
            let mut response = request.send().await.map_err(|_| InvocationFailed::Unreachable)?;
            let mut whole = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|_| InvocationFailed::Unreachable)? {
                whole.extend_from_slice(&chunk);
            }
            Ok((response, whole.into()))
        };
        self.within_timeout(handler, forwarding).await
    }

    /// Waits until the handler is ready; a host whose handler never is stops.
    async fn ready(&self) -> Result<ReadyHandler, InvocationFailed> {
        let mut states = self.states.clone();
        let waiting = states.wait_for(|state| *state != HandlerState::Starting);
        match tokio::time::timeout(READY_WAIT, waiting).await {
            Ok(Ok(state)) => match *state {
                HandlerState::Ready { port, start } => Ok(ReadyHandler { port, start }),
                _ => Err(InvocationFailed::HostEnded),
            },
            Ok(Err(_)) => Err(InvocationFailed::HostEnded),
            Err(_elapsed) => {
                // Nobody listens any more when the host is stopping anyway.
                let _ = self.stopped.send(HostStopped::HandlerNotReady);
                Err(InvocationFailed::HostEnded)
            }
        }
    }

    /// A function that takes too long fails, and takes its handler with it.
    async fn within_timeout<T>(
        &self,
        handler: ReadyHandler,
        call: impl Future<Output = Result<T, InvocationFailed>>,
    ) -> Result<T, InvocationFailed> {
        let Some(timeout) = self.timeout else { return call.await };
        match tokio::time::timeout(timeout, call).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                self.restarter.restart(handler.start);
                Err(InvocationFailed::TimedOut)
            }
        }
    }
}

fn with_host_headers(request: RequestBuilder, id: Uuid) -> RequestBuilder {
    request
        .header("X-Azure-Functions-HostVersion", HOST_VERSION)
        .header("X-Azure-Functions-InvocationId", id.to_string())
}

async fn read_answer(request: RequestBuilder) -> Result<Value, InvocationFailed> {
    let response = request.send().await.map_err(|_| InvocationFailed::Unreachable)?;
    let status = response.status();
    if !status.is_success() {
        return Err(InvocationFailed::Status(status.as_u16()));
    }
    let is_json =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let body = response.bytes().await.map_err(|_| InvocationFailed::Unreachable)?;
    if !is_json {
        return Err(InvocationFailed::NotAnObject);
    }
    let text = body.trim_ascii();
    if text.is_empty() || text == b"null" {
        // The real host never sets the result of this invocation, so that it
        // hangs until its timeout (functions-eventhubs-keda.md 1.12).
        return std::future::pending().await;
    }
    match serde_json::from_slice(text) {
        Ok(answer @ Value::Object(_)) => Ok(answer),
        _ => Err(InvocationFailed::NotAnObject),
    }
}

/// A member of an answer, whose names are matched without regard to case.
pub(super) fn member<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    answer.as_object()?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A body of unknown length, so that it is sent chunked, as the host does.
struct Chunk(Option<Bytes>);

impl http_body::Body for Chunk {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
