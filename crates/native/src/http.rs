//! What a process without the Functions host answers by HTTP.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use delivery::{Flush, Observer, Source, WindowState};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Readiness;

/// Serves until `stop` is done and the requests that are there are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    routes: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let ready = move || {
        let is_ready = *readiness.0.borrow();
        async move { if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE } }
    };
    let router = routes.route("/healthz", get(StatusCode::OK)).route("/readyz", get(ready));
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// Takes note that a process is ready, and tells another observer everything.
pub(crate) struct Ready {
    pub(crate) ready: watch::Sender<bool>,
    pub(crate) next: Arc<dyn Observer>,
}

impl Observer for Ready {
    fn ready(&self) {
        self.ready.send_replace(true);
        self.next.ready();
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
