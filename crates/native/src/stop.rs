//! The sign to stop.

use std::io;

use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal as listen};
use tokio::sync::oneshot;

/// The sign to stop; who has it listens.
///
/// The first process of a container gets no signal that it does not listen for,
/// SIGTERM neither: one that comes before is lost, and the pod stays for all of
/// its grace period. So listening begins before anything that takes time.
#[derive(Clone, Debug)]
pub struct Stop(pub(crate) Shared<BoxFuture<'static, ()>>);

impl Stop {
    /// Listens for SIGTERM and SIGINT from now on, and for the end of standard
    /// input where that is asked for.
    ///
    /// # Errors
    ///
    /// Signals cannot be listened for.
    pub fn listen(on_stdin_end: bool) -> io::Result<Stop> {
        Ok(Stop(signal(on_stdin_end)?.shared()))
    }

    /// Waits for it.
    pub async fn told(self) {
        self.0.await;
    }
}

fn signal(on_stdin_end: bool) -> io::Result<BoxFuture<'static, ()>> {
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
