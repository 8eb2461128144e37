//! The sign to stop.

use std::io;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal as listen};
use tokio::sync::oneshot;

/// Done when the process gets SIGTERM or SIGINT, or, if `on_stdin_end`, when
/// its standard input ends.
pub(crate) fn signal(on_stdin_end: bool) -> io::Result<BoxFuture<'static, ()>> {
    let (mut term, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let signals = async move {
        tokio::select! {
            _ = term.recv() => tracing::info!("Stops: SIGTERM"),
            _ = interrupt.recv() => tracing::info!("Stops: SIGINT"),
        }
    };
    if !on_stdin_end {
        return Ok(signals.boxed());
    }
    let first = stream::iter([signals.boxed(), stdin_end().boxed()]).buffer_unordered(2);
    Ok(first.into_future().map(|_| ()).boxed())
}

/// A thread of its own reads it, since the runtime waits for its own at the end
/// of the process.
async fn stdin_end() {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let copied = io::copy(&mut io::stdin(), &mut io::sink());
        // Nobody waits any more when the process ends for another reason.
        let _ = ended.send(copied.is_ok());
    });
    // The sender lives until standard input has ended.
    let _ = end.await;
}
