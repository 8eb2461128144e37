//! What a process without the Functions host answers by HTTP.
//!
//! `/healthz` is tied to progress: a process whose loop stands still holds
//! partitions that nobody reads, and nothing but a new start helps it. What is
//! away (hub, storage, FHIR server) does not stop the loop, so it makes no
//! process unhealthy.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use delivery::{Flush, Observer, Source, WindowState};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Readiness;

/// After how long without coming round the loop counts as standing still: as
/// long as an ownership lasts that is not renewed, a dozen of its rounds.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// When the loop came round last.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat(Arc<Mutex<Instant>>);

impl Heartbeat {
    /// Begins now.
    pub(crate) fn new() -> Heartbeat {
        Heartbeat(Arc::new(Mutex::new(Instant::now())))
    }

    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// What `/healthz` answers at `now`.
    fn health(&self, now: Instant) -> StatusCode {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(last) < STALLED_AFTER {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Serves until `stop` is done and the requests that are there are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    heartbeat: Heartbeat,
    routes: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let ready = move || {
        let is_ready = *readiness.0.borrow();
        async move { if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } }
    };
    let healthy = move || std::future::ready(heartbeat.health(Instant::now()));
    let router = routes.route("/healthz", get(healthy)).route("/readyz", get(ready));
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// Takes note that a process is ready and that its loop comes round, and tells
/// another observer everything.
pub(crate) struct Signs {
    pub(crate) ready: watch::Sender<bool>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) next: Arc<dyn Observer>,
}

impl Observer for Signs {
    fn ready(&self) {
        self.ready.send_replace(true);
        self.next.ready();
    }

    fn came_round(&self) {
        self.heartbeat.beat();
        self.next.came_round();
    }

    fn flushed(&self, source: &Source, flush: Flush) {
        self.next.flushed(source, flush);
    }

    fn window(&self, source: &Source, window: WindowState) {
        self.next.window(source, window);
    }

    fn waits(&self, source: &Source, dependency: &'static str) {
        self.next.waits(source, dependency);
    }

    fn lag(&self, source: &Source, events: u64) {
        self.next.lag(source, events);
    }

    fn expired(&self, source: &Source, events: u64) {
        self.next.expired(source, events);
    }

    fn restarted(&self, source: &Source) {
        self.next.restarted(source);
    }

    fn owned(&self, partitions: usize) {
        self.next.owned(partitions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_not_healthy() {
        let heartbeat = Heartbeat::new();
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(heartbeat.health(begun + STALLED_AFTER - second), StatusCode::OK);
        assert_eq!(heartbeat.health(begun + STALLED_AFTER + second), StatusCode::SERVICE_UNAVAILABLE);
        heartbeat.beat();
        assert_eq!(heartbeat.health(Instant::now()), StatusCode::OK);
    }
}
