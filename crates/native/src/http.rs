//! What a process without the Functions host answers by HTTP.
//!
//! `/healthz` is tied to progress: a process whose loop stands still holds
//! partitions that nobody reads, and nothing but a new start helps it. What is
//! away (hub, storage, FHIR server) does not stop the loop, so it makes no
//! process unhealthy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use delivery::{Flush, Observer, Source, WindowState};
use futures::FutureExt;
use https_server::{Limits, serve_plain};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Readiness;

/// After how long without coming round the loop counts as standing still: as
/// long as an ownership lasts that is not renewed, a dozen of its rounds.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// More than senders need who wait for their turn at ingest, and fewer than files
/// that a process may have open. The kubelet's probes have their places among them.
const CONNECTIONS_MAX: usize = 512;

/// Longer than a gateway in front keeps a connection on which nothing is sent,
/// at most four minutes on Azure: it must not send events into one that we are
/// about to close.
const HEADERS_WAIT: Duration = Duration::from_secs(300);

/// How long a request that is there at the end may still take: half a minute for
/// its body and ten seconds for what is sent, once its turn has come. Pods have 90
/// seconds in all by default (`pod.terminationGracePeriodSeconds` of the chart).
const STOP_WAIT: Duration = Duration::from_secs(60);

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

/// What is answered from.
pub(crate) struct State {
    pub(crate) readiness: Readiness,
    pub(crate) heartbeat: Heartbeat,
}

/// Serves until `stop` is done, so long on, and until the requests that are
/// there are answered, but for those that take longer than [`STOP_WAIT`]. From
/// `stop` on it is not ready.
pub(crate) async fn serve(
    listener: TcpListener,
    State { readiness, heartbeat }: State,
    routes: Router,
    (stop, serves_on): (impl Future<Output = ()> + Clone + Send + Sync + 'static, Duration),
) {
    let stopping = stop.clone();
    let ready = move || {
        let is_ready = *readiness.0.borrow() && stopping.clone().now_or_never().is_none();
        async move { if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } }
    };
    let healthy = move || std::future::ready(heartbeat.health(Instant::now()));
    let router = routes.route("/healthz", get(healthy)).route("/readyz", get(ready));
    let end = async move {
        stop.await;
        tokio::time::sleep(serves_on).await;
    };
    let limits =
        Limits { connections: CONNECTIONS_MAX, headers_wait: HEADERS_WAIT, stop_wait: STOP_WAIT, ..Limits::default() };
    serve_plain(listener, router, limits, end).await;
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
    use futures::channel::oneshot;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn status(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn who_is_told_to_stop_is_not_ready_and_answers_on_for_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_ready, readiness) = watch::channel(true);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = stopped.map(|_| ()).shared();
        let state = State { readiness: Readiness(readiness), heartbeat: Heartbeat::new() };
        let serving = tokio::spawn(serve(listener, state, Router::new(), (stopped, Duration::from_secs(3600))));
        assert_eq!(status(address, "/readyz").await, "HTTP/1.0 200 OK");
        drop(stop);
        assert_eq!(status(address, "/readyz").await, "HTTP/1.0 503 Service Unavailable");
        assert_eq!(status(address, "/healthz").await, "HTTP/1.0 200 OK");
        assert!(!serving.is_finished());
        serving.abort();
    }

    /// Time goes on by itself when nothing else does.
    #[tokio::test(start_paused = true)]
    async fn who_does_not_ask_to_the_end_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_ready, readiness) = watch::channel(true);
        let state = State { readiness: Readiness(readiness), heartbeat: Heartbeat::new() };
        let never = std::future::pending::<()>().shared();
        let serving = tokio::spawn(serve(listener, state, Router::new(), (never, Duration::ZERO)));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        stream.write_all(b"POST /api/ingest HTTP/1.1\r\nhost: h\r\n").await.unwrap();
        let rest = tokio::time::timeout(2 * HEADERS_WAIT, stream.read_to_end(&mut Vec::new())).await;
        rest.expect("it is let go").unwrap();
        serving.abort();
    }

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
