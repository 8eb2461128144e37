//! HTTP with a FHIR server: one request at a time, retried within limits.
//!
//! ```text
//! Request --send--> Answer            every status that says something about the data
//!                   or ServerAway     401, 403, 408, 429, 5xx, no connection, no token, no time left
//! ```
//!
//! Classification is by status alone: gateways answer 429 or 503 with pages of
//! their own (fhir-conversion.md 8.3). What an answer means for the data is
//! for the caller to say. Nothing here reads or writes a resource by itself.

mod batch;
mod bundle_size;
mod limiter;
mod observer;
mod retry;
mod suspect;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use delivery::{Fence, Unfenced};
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, LOCATION,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use self::bundle_size::BundleSize;
use self::limiter::Limiter;
pub use self::observer::{RequestObserver, SentRequest};
pub use self::retry::RetryOptions;
pub(crate) use self::retry::spread;
use self::retry::{Backoff, retry_after};
use self::suspect::{Suspects, is_suspicious};
use crate::auth::{CachedTokens, TokenError};
use crate::search::{Identifier, next_link, page_address, resources_of};
use crate::surroundings::{Clock, Http, Missing, NoAnswer, SystemClock, Transport, before};
use crate::version::Version;

const FHIR_JSON: &str = "application/fhir+json";
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// No answer is read further than this: 100 Observations with a value for each
/// second of a day are about 40 MiB.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Pages of one search. We search for single resources, so a second page is
/// already odd; a server whose pages never end must not hold us.
const PAGES_MAX: usize = 50;

/// What a [`Client`] needs to know.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The base of the FHIR server, from [`base_url`].
    pub base_url: Url,
    /// To open a connection. Defaults to 10 s.
    pub connect_timeout: Duration,
    /// From the start of a request to the end of its answer. Defaults to 60 s.
    pub request_timeout: Duration,
    /// Attempts and waits for one request.
    pub retry: RetryOptions,
    /// Requests under way at once, for all users of the client. Defaults to 8.
    pub concurrency_max: usize,
    /// Entries of one batch bundle; 1 for a server without batches. Defaults to
    /// 100.
    pub bundle_entries_max: usize,
    /// Bytes of the resources in one batch bundle; a single larger one goes by
    /// itself. Defaults to 4 MiB, far below what servers take (30 MB and more),
    /// since some answer a bundle with a timeout when it takes long.
    pub bundle_bytes_max: usize,
    /// How long the server may answer 500 to one request, while it works
    /// otherwise, until that counts as an answer about the data. Defaults to
    /// 30 s, longer than a restart or failover behind a gateway takes.
    pub server_error_patience: Duration,
    /// Who is told of each request. Defaults to nobody.
    pub observer: Option<Arc<dyn RequestObserver>>,
}

impl ClientOptions {
    /// The defaults, for the server at `base_url`.
    pub fn new(base_url: Url) -> ClientOptions {
        ClientOptions {
            base_url,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            retry: RetryOptions::default(),
            concurrency_max: 8,
            bundle_entries_max: 100,
            bundle_bytes_max: 4 * 1024 * 1024,
            server_error_patience: Duration::from_secs(30),
            observer: None,
        }
    }
}

/// Checks the base URL of a FHIR server and ends its path with a slash, without
/// which the last segment would get lost (fhir-conversion.md 8.1).
pub fn base_url(text: &str) -> Result<Url, InvalidBaseUrl> {
    let mut url = Url::parse(text.trim()).map_err(|_| InvalidBaseUrl)?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(InvalidBaseUrl);
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// A text is not the base URL of a FHIR server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an absolute http or https URL without query and fragment")]
pub struct InvalidBaseUrl;

/// The server cannot be used for now: a batch that needs it is to be given
/// again. Holds no address of a resource.
#[derive(Debug, thiserror::Error)]
pub enum ServerAway {
    /// It answered, but not about the data.
    #[error("the FHIR server answers with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It did not answer, or only in part.
    #[error("no answer from the FHIR server: {missing}")]
    NoAnswer {
        /// How that went.
        missing: Missing,
        /// The library's error, without the address.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// There is no token to show to it.
    #[error("no access token for the FHIR server")]
    NoToken(#[source] Arc<TokenError>),
    /// The time of the whole operation is over.
    #[error("the FHIR server did not answer before the deadline")]
    DeadlinePassed,
    /// It answered with success and something that is not FHIR JSON.
    #[error("the FHIR server answers with something that is not FHIR JSON")]
    NotFhir,
    /// The partition may belong to another process now (design.md D13).
    #[error("the partition may belong to another process")]
    NotOwner,
    /// Whom the partition belongs to cannot be found out.
    #[error("whom the partition belongs to cannot be found out")]
    OwnerUnknown(#[source] delivery::Away),
}

/// How long, and under what, requests may be sent.
#[derive(Clone, Copy)]
pub(crate) struct Until<'f> {
    /// Everything ends before this.
    deadline: Instant,
    /// Asked before each write, repetitions too: no write begins once it does
    /// not hold (design.md D13).
    fence: &'f dyn Fence,
}

impl From<Instant> for Until<'static> {
    /// For what belongs to no partition.
    fn from(deadline: Instant) -> Self {
        Until { deadline, fence: &Unfenced }
    }
}

impl<'f> Until<'f> {
    pub(crate) fn new(deadline: Instant, fence: &'f dyn Fence) -> Until<'f> {
        Until { deadline, fence }
    }

    /// Before what everything ends.
    pub(crate) fn deadline(self) -> Instant {
        self.deadline
    }
}

/// What the server must hold for a write to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing in particular.
    #[default]
    None,
    /// This version: `If-Match`.
    Version(Version),
    /// No such resource: `If-None-Match: *`.
    Absent,
}

/// One request, to be sent as often as needed.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// The address below the base, for the entries of a bundle.
    pub(crate) relative: String,
    pub(crate) condition: Condition,
    pub(crate) body: Option<Vec<u8>>,
    /// `Prefer: return=minimal` instead of `representation`.
    pub(crate) minimal: bool,
    /// Of a bundle: an entry is a write.
    pub(crate) writes: bool,
    /// It is not sent again when it may have been done already: what it was made
    /// from may have changed since.
    pub(crate) once: bool,
    /// It makes something, or one of what it holds does.
    pub(crate) creates: bool,
}

/// What the server said, whatever its status, but for what [`ServerAway`]
/// covers.
#[derive(Clone)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The version of the resource, from `ETag` or `Location`.
    pub(crate) version: Option<Version>,
    /// The body, empty where there is none.
    pub(crate) body: Vec<u8>,
    /// When the request went out.
    pub(crate) asked: Instant,
}

impl fmt::Debug for Answer {
    /// Leaves the body out: it is about a patient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Answer {
    /// Whether the status is 2xx.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; an empty or broken one is away, for a gateway can cut
    /// in at any time.
    pub(crate) fn json(&self) -> Result<Value, ServerAway> {
        serde_json::from_slice(&self.body).map_err(|_| ServerAway::NotFhir)
    }

    /// This answer as a reason not to go on.
    pub(crate) fn away(&self) -> ServerAway {
        ServerAway::Status { status: self.status, retry_after: None }
    }
}

/// A connection to one FHIR server, cheap to share through an `Arc`.
pub struct Client {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    tokens: Option<Arc<CachedTokens>>,
    options: ClientOptions,
    limiter: Limiter,
    bundle_size: BundleSize,
    suspects: Suspects,
    round_trips: AtomicU64,
    /// When the server last answered something with success.
    succeeded: Mutex<Option<Instant>>,
    /// Held while it is asked whether it is well: one of many asks.
    proving: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that shows the tokens of `tokens`, or none.
    pub fn new(options: ClientOptions, tokens: Option<Arc<CachedTokens>>) -> Result<Client, reqwest::Error> {
        let transport = Arc::new(Http::new(options.connect_timeout)?);
        Ok(Client::within((transport, Arc::new(SystemClock)), options, tokens))
    }

    /// The same in other surroundings than this machine.
    pub fn within(
        (transport, clock): (Arc<dyn Transport>, Arc<dyn Clock>),
        options: ClientOptions,
        tokens: Option<Arc<CachedTokens>>,
    ) -> Client {
        let limiter = Limiter::new(options.concurrency_max);
        let bundle_size = BundleSize::new(options.bundle_entries_max, options.bundle_bytes_max);
        Client {
            transport,
            clock,
            tokens,
            options,
            limiter,
            bundle_size,
            suspects: Suspects::default(),
            round_trips: AtomicU64::new(0),
            succeeded: Mutex::default(),
            proving: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Waits.
    pub(crate) async fn sleep(&self, wait: Duration) {
        self.clock.sleep_until(self.clock.now() + wait).await;
    }

    /// Requests sent so far, retries counted.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// How many requests may be under way at once now.
    pub fn concurrency(&self) -> usize {
        self.limiter.limit()
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// A request for `path` below the base: `Observation/a`, or nothing for a
    /// bundle. Segments must hold only what a FHIR id may hold.
    pub(crate) fn request(&self, method: Method, path: &str, query: Option<&str>) -> Request {
        let mut url = self.options.base_url.clone();
        if path.is_empty() {
            // A bundle goes to the base itself, which some servers know only
            // without the slash.
            let base = url.path().trim_end_matches('/').to_owned();
            url.set_path(&base);
        } else {
            let whole = format!("{}{path}", url.path());
            url.set_path(&whole);
        }
        url.set_query(query);
        let relative = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        Request {
            method,
            url,
            relative,
            condition: Condition::None,
            body: None,
            minimal: false,
            writes: false,
            once: false,
            creates: false,
        }
    }

    /// Sends `request` until there is an answer about the data, the attempts
    /// are used up, or `deadline` would pass. An answer with a status that
    /// [`is_server_error`] was found to be about this request alone.
    pub(crate) async fn send<'f>(&self, request: &Request, until: impl Into<Until<'f>>) -> Result<Answer, ServerAway> {
        let until = until.into();
        match self.send_again_and_again(request, until).await {
            Err(ServerAway::Status { status, .. }) if is_suspicious(status) => self.judge(request, status, until).await,
            other => other,
        }
    }

    async fn send_again_and_again(&self, request: &Request, until: Until<'_>) -> Result<Answer, ServerAway> {
        let mut backoff = Backoff::new(self.options.retry, self.clock());
        let mut token_renewed = false;
        loop {
            let away = match self.exchange(request, until).await {
                Ok(Exchange { answer, .. }) if is_about_data(answer.status) => return Ok(answer),
                Ok(Exchange { answer, token: Some(token), .. }) if answer.status == 401 && !token_renewed => {
                    token_renewed = true;
                    self.forget_token(&token).await;
                    continue;
                }
                Ok(Exchange { answer, retry_after, .. }) => ServerAway::Status { status: answer.status, retry_after },
                Err(away) => away,
            };
            if request.is_outdated_by(&away) {
                return Err(away);
            }
            let Some(wait) = away.is_worth_retrying().then(|| backoff.next(away.retry_after())).flatten() else {
                return Err(away);
            };
            if self.clock.now() + wait >= until.deadline {
                return Err(away);
            }
            self.sleep(wait).await;
        }
    }

    /// Sends `request` once.
    async fn exchange(&self, request: &Request, until: Until<'_>) -> Result<Exchange, ServerAway> {
        let deadline = until.deadline;
        let token = match &self.tokens {
            Some(tokens) => {
                let token = before(self.clock(), deadline, tokens.token()).await.ok_or_else(late_token)?;
                Some(token.map_err(ServerAway::NoToken)?)
            }
            None => None,
        };
        self.leave_alone(deadline).await?;
        let permit = before(self.clock(), deadline, self.limiter.permit()).await;
        let _permit = permit.ok_or(ServerAway::DeadlinePassed)?;
        let left = deadline.saturating_duration_since(self.clock.now());
        if left.is_zero() {
            return Err(ServerAway::DeadlinePassed);
        }
        // Last, since waiting for a token or a permit takes its time.
        if request.is_write() && !until.fence.holds() {
            return Err(ServerAway::NotOwner);
        }
        let asked = self.clock.now();
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let received = match http_request(request, token.as_ref(), left.min(self.options.request_timeout)) {
            Some(request) => self.receive(request).await,
            None => Err(unusable_token()),
        };
        match &received {
            Ok(Received { status: status @ (408 | 429 | 502 | 503 | 504), retry_after, .. }) => {
                let now = self.clock.now();
                self.limiter.complaint(now);
                if let Some(wait) = retry_after {
                    self.limiter.leave_alone(*status, now, *wait);
                }
            }
            Ok(_) => self.limiter.good(),
            Err(_) => {}
        }
        self.observe(request, received.as_ref().ok().map(|received| received.status), asked);
        let Received { status, retry_after, version, body } = received?;
        if status < 300 {
            // A sign-in page or the like: a write would take it for done, and a
            // refusal for proof that the server is well.
            if !is_fhir(&body) {
                return Err(ServerAway::NotFhir);
            }
            *self.succeeded() = Some(self.clock.now());
        }
        // Of a bundle its entries tell.
        if !request.is_bundle() {
            self.suspects.answered(request, status, asked);
        }
        Ok(Exchange { answer: Answer { status, version, body, asked }, retry_after, token })
    }

    /// Waits while the server wants to be left alone, by whomever it said so to.
    async fn leave_alone(&self, deadline: Instant) -> Result<(), ServerAway> {
        while let Some((then, status)) = self.limiter.left_alone_until(self.clock.now()) {
            if then >= deadline {
                let wait = then.saturating_duration_since(self.clock.now());
                return Err(ServerAway::Status { status, retry_after: Some(wait) });
            }
            self.clock.sleep_until(then).await;
        }
        Ok(())
    }

    async fn receive(&self, request: reqwest::Request) -> Result<Received, ServerAway> {
        let response = self.transport.send(request).await.map_err(|none| self.no_answer(none))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), Timestamp::now());
        let version = version_in(response.headers());
        Ok(Received { status, retry_after, version, body: self.read(response).await? })
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ServerAway> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.no_answer(error.into()))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.no_answer(Missing::TooLarge.into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The server did not answer. One that is too slow gets less at once.
    fn no_answer(&self, NoAnswer { missing, source }: NoAnswer) -> ServerAway {
        if missing == Missing::Timeout {
            self.limiter.complaint(self.clock.now());
        }
        ServerAway::NoAnswer { missing, source }
    }

    fn observe(&self, request: &Request, status: Option<u16>, asked: Instant) {
        if let Some(observer) = &self.options.observer {
            let took = self.clock.now().saturating_duration_since(asked);
            let kind = observer::kind(request);
            observer.sent(&SentRequest { kind, status, took, concurrency: self.concurrency() });
        }
    }

    async fn forget_token(&self, token: &SecretString) {
        if let Some(tokens) = &self.tokens {
            tokens.forget(token).await;
        }
    }

    /// Asks for the server's capabilities, which needs no data and no rights.
    async fn probe(&self, deadline: Instant) -> Result<(), ServerAway> {
        let answer = self.send(&self.request(Method::GET, "metadata", Some("_summary=true")), deadline).await?;
        if answer.is_success() { Ok(()) } else { Err(answer.away()) }
    }

    /// Whether a refusal is about the data. A wrong base URL answers 404 to
    /// everything, and a gateway that has lost its mind 400, and then whole
    /// batches would end as rejected: so something must have succeeded since
    /// `asked`, when the request that was refused went out, or succeed now.
    pub(crate) async fn prove(&self, asked: Instant, deadline: Instant) -> Result<(), ServerAway> {
        let is_well = || self.succeeded().is_some_and(|at| at >= asked);
        if is_well() {
            return Ok(());
        }
        let _one = self.proving.lock().await;
        if is_well() { Ok(()) } else { self.probe(deadline).await }
    }

    fn succeeded(&self) -> MutexGuard<'_, Option<Instant>> {
        self.succeeded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All resources of type `kind` that a search for `identifier` finds, over
    /// all pages. What the server takes for equal may not be: see
    /// [`Identifier::is_of`].
    pub async fn search(
        &self,
        kind: &str,
        identifier: Identifier<'_>,
        deadline: Instant,
    ) -> Result<Vec<Value>, SearchError> {
        let mut request = self.request(Method::GET, kind, Some(&identifier.query()));
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = self.send(&request, deadline).await?;
            if !answer.is_success() {
                return Err(SearchError::Refused { status: answer.status });
            }
            let page = answer.json()?;
            let next = next_link(&page).and_then(|link| page_address(&self.options.base_url, link));
            found.extend(resources_of(page, kind));
            match next {
                Some(next) => request.url = next,
                None => return Ok(found),
            }
        }
        Err(SearchError::TooManyPages)
    }
}

/// A search gave no result, not even an empty one.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The server is away.
    #[error(transparent)]
    Away(#[from] ServerAway),
    /// The server does not take the search.
    #[error("the FHIR server answers a search with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The result does not end.
    #[error("the FHIR server answers a search for one resource with more than {PAGES_MAX} pages")]
    TooManyPages,
}

struct Exchange {
    answer: Answer,
    retry_after: Option<Duration>,
    token: Option<SecretString>,
}

impl ServerAway {
    /// How long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ServerAway::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a request that ended so may have been done all the same.
    pub(crate) fn leaves_open(&self) -> bool {
        match self {
            ServerAway::NoAnswer { missing, .. } => *missing != Missing::Connection,
            ServerAway::Status { status, .. } => leaves_open(*status),
            ServerAway::NotFhir => true,
            _ => false,
        }
    }

    /// 401 and 403 last until somebody assigns a role: the next invocation is
    /// early enough.
    fn is_worth_retrying(&self) -> bool {
        match self {
            ServerAway::Status { status, .. } => !matches!(status, 401 | 403),
            ServerAway::NoAnswer { .. } => true,
            ServerAway::NoToken(error) => error.is_worth_retrying(),
            ServerAway::DeadlinePassed | ServerAway::NotFhir => false,
            ServerAway::NotOwner | ServerAway::OwnerUnknown(_) => false,
        }
    }
}

impl Request {
    /// Whether it holds others.
    fn is_bundle(&self) -> bool {
        self.method == Method::POST && self.relative.is_empty()
    }

    /// Whether it is not to be sent again as it is after it ended so: it may have
    /// been done, or it makes something that others may have made or deleted while
    /// it was waited.
    fn is_outdated_by(&self, away: &ServerAway) -> bool {
        let waits =
            away.is_worth_retrying() && !matches!(away, ServerAway::Status { status, .. } if is_suspicious(*status));
        self.once && (away.leaves_open() || self.creates && waits)
    }

    /// Whether it changes something, or one of what it holds does.
    fn is_write(&self) -> bool {
        if self.is_bundle() { self.writes } else { self.method != Method::GET }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name, text: &str| {
            // Versions are checked to be plain when they are read.
            if let Ok(value) = text.parse() {
                headers.insert(name, value);
            }
        };
        put(ACCEPT, FHIR_JSON);
        match &self.condition {
            Condition::None => {}
            Condition::Version(version) => put(IF_MATCH, &version.if_match()),
            Condition::Absent => put(IF_NONE_MATCH, "*"),
        }
        // HAPI answers a repeated search from its cache for a minute, also one
        // in a bundle (crates-and-components.md 6).
        put(CACHE_CONTROL, "no-cache");
        if self.method != Method::GET {
            put(PREFER, if self.minimal { "return=minimal" } else { "return=representation" });
        }
        headers
    }
}

/// Whether a status says something about the data and not about the server.
/// 501 is for the caller, who can do without batches.
fn is_about_data(status: u16) -> bool {
    !matches!(status, 401 | 403 | 408 | 429) && (status < 500 || status == 501)
}

/// Whether a server that speaks FHIR JSON can have answered so with success: with
/// nothing, or with a resource.
fn is_fhir(body: &[u8]) -> bool {
    const MARK: &[u8] = b"\"resourceType\"";
    // It stands at the beginning as a rule, so little of a resource is looked at.
    body.is_empty() || body.trim_ascii_start().starts_with(b"{") && body.windows(MARK.len()).any(|part| part == MARK)
}

/// Whether a request that was answered so may have been done: a gateway did not
/// wait for its end.
fn leaves_open(status: u16) -> bool {
    matches!(status, 408 | 502 | 504)
}

/// Whether an answer says that the server failed on what the request holds.
pub(crate) fn is_server_error(status: u16) -> bool {
    is_suspicious(status)
}

fn version_in(headers: &HeaderMap) -> Option<Version> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(ETAG).and_then(Version::from_etag).or_else(|| text(LOCATION).and_then(Version::from_location))
}

/// An answer, before anything is made of it.
struct Received {
    status: u16,
    retry_after: Option<Duration>,
    version: Option<Version>,
    body: Vec<u8>,
}

fn late_token() -> ServerAway {
    let what = "none came before the deadline";
    ServerAway::NoToken(Arc::new(TokenError::Unreachable { what, source: None }))
}

/// The request as it is sent; none when the token is nothing that a header can
/// hold.
fn http_request(request: &Request, token: Option<&SecretString>, limit: Duration) -> Option<reqwest::Request> {
    let mut sent = reqwest::Request::new(request.method.clone(), request.url.clone());
    *sent.headers_mut() = request.headers();
    *sent.timeout_mut() = Some(limit);
    if let Some(token) = token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
        bearer.set_sensitive(true);
        sent.headers_mut().insert(AUTHORIZATION, bearer);
    }
    if let Some(body) = &request.body {
        sent.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
        *sent.body_mut() = Some(body.clone().into());
    }
    Some(sent)
}

fn unusable_token() -> ServerAway {
    let what = "it cannot be sent in a header";
    ServerAway::NoToken(Arc::new(TokenError::Unreachable { what, source: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_the_base_with_a_slash() {
        let cases = [
            ("https://h/fhir", Some("https://h/fhir/")),
            ("https://h/fhir/", Some("https://h/fhir/")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080/")),
            ("fhir", None),
            ("ftp://h/", None),
            ("https://h/?x=1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(base_url(text).ok().as_ref().map(Url::as_str), expected, "{text}");
        }
    }

    #[test]
    fn builds_addresses_below_the_base() {
        let client = Client::new(ClientOptions::new(base_url("http://h/fhir").unwrap()), None).unwrap();
        let address = |path, query| client.request(Method::GET, path, query).url.to_string();
        assert_eq!(address("Observation/a", None), "http://h/fhir/Observation/a");
        assert_eq!(address("Device", Some("identifier=a%7Cb")), "http://h/fhir/Device?identifier=a%7Cb");
        assert_eq!(address("", None), "http://h/fhir");
    }

    #[test]
    fn classifies_by_status_alone() {
        for status in [200, 201, 304, 400, 404, 405, 409, 410, 412, 413, 422, 501] {
            assert!(is_about_data(status), "{status}");
        }
        for status in [401, 403, 408, 429, 500, 502, 503, 504] {
            assert!(!is_about_data(status), "{status}");
        }
    }

    #[test]
    fn sends_conditions_as_headers() {
        let client = Client::new(ClientOptions::new(base_url("http://h/").unwrap()), None).unwrap();
        let mut request = client.request(Method::PUT, "Observation/a", None);
        request.condition = Condition::Absent;
        assert_eq!(request.headers()[IF_NONE_MATCH], "*");
        request.condition = Version::from_etag("W/\"7\"").map_or(Condition::None, Condition::Version);
        assert_eq!(request.headers()[IF_MATCH], "W/\"7\"");
        assert_eq!(request.headers()[PREFER], "return=representation");
        assert_eq!(request.headers()[ACCEPT], FHIR_JSON);
    }
}
