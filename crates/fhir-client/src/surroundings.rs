//! What the client gets from its machine: time, chance and the network. Behind
//! traits, so that a simulator can run everything here with its own.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use reqwest::redirect;

/// Time and chance.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time, to measure with.
    fn now(&self) -> Instant;

    /// Done at `then`.
    fn sleep_until(&self, then: Instant) -> BoxFuture<'_, ()>;

    /// A number by chance.
    fn random(&self) -> u64;
}

/// The clock of the machine that we run on.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, then: Instant) -> BoxFuture<'_, ()> {
        tokio::time::sleep_until(then.into()).boxed()
    }

    fn random(&self) -> u64 {
        // The keys of a `RandomState` are random enough to keep clients apart.
        RandomState::new().build_hasher().finish()
    }
}

/// Brings requests to the server.
pub trait Transport: Send + Sync {
    /// Sends one request and gives its answer, whatever the status; the answer
    /// may still be on its way then. The request's time limit holds for all of
    /// it. What is given up before it is done may have reached the server.
    fn send(&self, request: reqwest::Request) -> BoxFuture<'_, Result<reqwest::Response, NoAnswer>>;
}

/// The server did not answer, or only in part.
#[derive(Debug)]
pub struct NoAnswer {
    /// How that went.
    pub missing: Missing,
    /// The library's error, without the address, which holds identifiers.
    pub source: Option<reqwest::Error>,
}

/// How an answer is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There was no connection: the server did not get the request.
    Connection,
    /// None came in time; the request may have been done.
    Timeout,
    /// It was cut off, or never began; the request may have been done.
    CutOff,
    /// It is longer than anything that we asked for.
    TooLarge,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missing::Connection => "connection",
            Missing::Timeout => "timeout",
            Missing::CutOff => "answer cut off",
            Missing::TooLarge => "answer too large",
        })
    }
}

impl From<Missing> for NoAnswer {
    fn from(missing: Missing) -> NoAnswer {
        NoAnswer { missing, source: None }
    }
}

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> NoAnswer {
        // A connection that takes too long is both.
        let missing = if error.is_connect() {
            Missing::Connection
        } else if error.is_timeout() {
            Missing::Timeout
        } else {
            Missing::CutOff
        };
        NoAnswer { missing, source: Some(error.without_url()) }
    }
}

/// HTTP over connections that are kept for a minute.
#[derive(Debug)]
pub(crate) struct Http(reqwest::Client);

impl Http {
    pub(crate) fn new(connect_timeout: Duration) -> Result<Http, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(connect_timeout)
            // Idle connections are let go, so that a changed DNS entry is seen
            // (fhir-conversion.md quirk 62).
            .pool_idle_timeout(Duration::from_secs(60))
            .redirect(redirect::Policy::none())
            .user_agent(concat!("iot-connector/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Http(client))
    }
}

impl Transport for Http {
    fn send(&self, request: reqwest::Request) -> BoxFuture<'_, Result<reqwest::Response, NoAnswer>> {
        self.0.execute(request).map(|answer| answer.map_err(NoAnswer::from)).boxed()
    }
}

/// What comes of something if that is before `deadline`.
pub(crate) async fn before<T>(clock: &dyn Clock, deadline: Instant, wanted: impl Future<Output = T>) -> Option<T> {
    let wanted = std::pin::pin!(wanted);
    match select(wanted, clock.sleep_until(deadline)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
