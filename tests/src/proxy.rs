//! A proxy between our binaries and a FHIR server that injects faults.
//!
//! ```text
//! client --> Proxy --the oldest rule that fits--> forward | cut | answer by itself | hold
//!                 \--no rule fits--> forward
//! ```
//!
//! It listens on loopback and forwards everything unless a [`Rule`] says
//! otherwise. What it forwards takes effect whatever the client does meanwhile,
//! as on a real server: a request that was received is worked on to its end.

mod rule;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub use rule::{Fault, Injected, Of, Rule};
pub use seen::{Entry, Seen};

/// How long the server behind may take for a request; the client behind us
/// gives up long before.
const LIMIT: Duration = Duration::from_secs(180);

/// Requests that were sent when the answer to another one, to leave the server
/// alone, was not yet there have come by then.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// A running proxy. Dropping it ends its connections.
#[derive(Debug)]
pub struct Proxy {
    /// The base URL to be used in place of the server's, without a slash at
    /// the end.
    pub url: String,
    front: Arc<Front>,
    /// Serves until it is dropped.
    _runtime: Runtime,
}

/// What went through, faults included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// HTTP requests.
    pub requests: usize,
    /// What they asked for: each entry of a bundle, or the request itself.
    pub entries: usize,
    /// Those of them that write Observations.
    pub observation_writes: usize,
}

#[derive(Debug)]
struct Front {
    /// Scheme, host and port of the server behind.
    origin: String,
    /// The path of its base, without a slash at the end.
    base_path: String,
    http: reqwest::Client,
    rules: Mutex<Vec<Arc<Rule>>>,
    counts: Mutex<Counts>,
    /// While we have asked to be left alone.
    closed: Mutex<Option<Range<Instant>>>,
    impatient: AtomicUsize,
    failed: Mutex<Vec<String>>,
    tokens: Mutex<Tokens>,
}

/// What was in `Authorization`.
#[derive(Debug, Default)]
struct Tokens {
    seen: HashSet<String>,
    expired: HashSet<String>,
    refused: usize,
}

/// An answer, or none: then the connection ends.
type Answer = Option<Response<Full<Bytes>>>;

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

impl Proxy {
    /// Starts one in front of the server with this base URL.
    ///
    /// # Panics
    /// When it cannot listen.
    #[track_caller]
    pub fn start(target: &str) -> Proxy {
        let target: reqwest::Url = target.parse().unwrap_or_else(|error| panic!("{target}: {error}"));
        let base_path = target.path().trim_end_matches('/').to_owned();
        let origin = target.origin().ascii_serialization();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(LIMIT);
        let http = http.build().unwrap_or_else(|error| panic!("no HTTP client: {error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))));
        let listener = listener.unwrap_or_else(|error| panic!("the proxy cannot listen: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("the proxy has no address: {error}"));
        let url = format!("http://{address}{base_path}");
        let front = Arc::new(Front {
            origin,
            base_path,
            http,
            rules: Mutex::default(),
            counts: Mutex::default(),
            closed: Mutex::default(),
            impatient: AtomicUsize::new(0),
            failed: Mutex::default(),
            tokens: Mutex::default(),
        });
        runtime.spawn(serve(listener, front.clone()));
        Proxy { url, front, _runtime: runtime }
    }

    /// Applies `rule` to what comes from now on. Rules that were given before
    /// come first.
    pub fn inject(&self, rule: Rule) -> Injected {
        let rule = Arc::new(rule);
        lock(&self.front.rules).push(rule.clone());
        Injected::new(rule)
    }

    /// What went through so far.
    pub fn counts(&self) -> Counts {
        *lock(&self.front.counts)
    }

    /// How many requests came while we had asked to be left alone, for longer
    /// than two seconds.
    pub fn impatient(&self) -> usize {
        self.front.impatient.load(Ordering::Relaxed)
    }

    /// From now on every token that was shown so far is answered with 401, as is
    /// a request without one.
    pub fn expire_tokens(&self) {
        let mut tokens = lock(&self.front.tokens);
        let Tokens { seen, expired, .. } = &mut *tokens;
        expired.extend(seen.drain());
        expired.insert(String::new());
    }

    /// How many requests were answered with 401.
    pub fn refused_tokens(&self) -> usize {
        lock(&self.front.tokens).refused
    }

    /// Looks whether what was to happen meanwhile did happen.
    ///
    /// # Panics
    /// When a hook of a rule failed; the text is its own.
    #[track_caller]
    pub fn check(&self) {
        let failed = lock(&self.front.failed);
        assert!(failed.is_empty(), "what was to happen meanwhile failed: {failed:?}");
    }
}

async fn serve(listener: TcpListener, front: Arc<Front>) {
    loop {
        // A client that is gone before it was let in is none.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let front = front.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let front = front.clone();
                async move { front.handle(request).await.ok_or(Cut) }
            });
            // Ends with an error when the connection is cut, which is meant.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Front {
    async fn handle(self: Arc<Front>, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        // A client that ends while it sends has asked for nothing.
        let body = body.collect().await.ok()?.to_bytes();
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
        let below = path.strip_prefix(&self.base_path).unwrap_or(&path);
        let seen = Seen::read(parts.method.as_str(), below, &parts.headers, &body);
        self.count(&seen);
        if self.is_expired(&parts.headers) {
            return Some(refusal(401, None));
        }
        let sent = Sent { method: parts.method, path, headers: parts.headers, body };
        let rule = lock(&self.rules).iter().find(|rule| rule.takes(&seen)).cloned();
        let Some(rule) = rule else { return self.forward(sent).await };
        if let Some(hook) = &rule.before {
            self.meanwhile(hook.clone(), seen.clone()).await;
        }
        match rule.fault {
            Fault::Cut => None,
            Fault::Answer { status, retry_after } => {
                if let Some(seconds) = retry_after {
                    let now = Instant::now();
                    *lock(&self.closed) = Some(now + ON_THE_WAY..now + Duration::from_secs(u64::from(seconds)));
                }
                Some(refusal(status, retry_after))
            }
            Fault::AnswerEntries(status) => Some(seen.refusal(status)),
            Fault::LoseAnswer => {
                self.forward(sent).await;
                None
            }
            Fault::Silence => {
                self.forward(sent).await;
                // Until the client ends the connection.
                std::future::pending().await
            }
            Fault::Half(status) => {
                let half = seen::first_half(&sent.body)?;
                self.forward(Sent { body: half.into(), ..sent }).await;
                status.map(|status| refusal(status, None))
            }
            Fault::Forward => self.forward(sent).await,
            Fault::HoldRequest => {
                rule.released().await;
                self.forward(sent).await
            }
            Fault::HoldAnswer => {
                let answer = self.forward(sent).await;
                rule.reached();
                rule.released().await;
                answer
            }
        }
    }

    fn count(&self, seen: &Seen) {
        let mut counts = lock(&self.counts);
        counts.requests += 1;
        counts.entries += seen.entries.len();
        counts.observation_writes += seen.entries.iter().filter(|entry| entry.writes_observation()).count();
        if lock(&self.closed).as_ref().is_some_and(|closed| closed.contains(&Instant::now())) {
            self.impatient.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_expired(&self, headers: &HeaderMap) -> bool {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut tokens = lock(&self.tokens);
        let is_expired = tokens.expired.contains(token);
        tokens.refused += usize::from(is_expired);
        tokens.seen.insert(token.to_owned());
        is_expired
    }

    async fn meanwhile(&self, hook: rule::Hook, seen: Seen) {
        let done = tokio::task::spawn_blocking(move || hook(&seen)).await;
        if let Err(error) = done {
            lock(&self.failed).push(error.to_string());
        }
    }

    /// In a task of its own, so that it is done to its end when the client is
    /// gone.
    async fn forward(self: &Arc<Front>, sent: Sent) -> Answer {
        let front = self.clone();
        tokio::spawn(async move { front.exchange(sent).await }).await.ok()
    }

    async fn exchange(&self, sent: Sent) -> Response<Full<Bytes>> {
        let mut headers = sent.headers;
        for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        let request = self.http.request(sent.method, format!("{}{}", self.origin, sent.path)).headers(headers);
        let received = async {
            let answer = request.body(sent.body).send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.headers().clone(), answer.bytes().await?))
        };
        match received.await {
            Ok((status, headers, body)) => response(status, headers, body),
            Err(_) => refusal(502, None),
        }
    }
}

/// A request on its way.
struct Sent {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

fn response(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Response<Full<Bytes>> {
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What a gateway would answer: no FHIR.
fn refusal(status: u16, retry_after: Option<u32>) -> Response<Full<Bytes>> {
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response(status, headers, Bytes::from_static(b"<html>a fault was injected</html>"))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
