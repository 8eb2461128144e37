//! HTTP over TLS: the lag of the operator, the API of the resource provider. And
//! without, within the same limits: probes, metrics, and events that the functions
//! take by HTTP.
//!
//! ```text
//! folder (tls.crt, tls.key, ca.crt) --> acceptor --> serve: request + PeerCertificate --> routes
//!                                              serve_plain: request                   --> routes
//! ```
//!
//! A client's certificate is asked for and not judged: that it holds the key is
//! proved, whom it belongs to is for the routes to know ([`PeerCertificate`]).

mod clients;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// What a request's head may take.
const BUFFER: usize = 16 * 1024;
/// How often files are looked at. The kubelet takes a minute to replace them.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What clients may take of the server, with TLS and without.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// With TLS, a client that connects and says nothing is let go after this.
    pub handshake_wait: Duration,
    /// So is one that does not ask to the end, or nothing more: KEDA and ARM ask
    /// every half minute by themselves.
    pub headers_wait: Duration,
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// How long requests that are there at the end may still take.
    pub stop_wait: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake_wait: Duration::from_secs(5),
            headers_wait: Duration::from_secs(45),
            connections: 256,
            stop_wait: Duration::from_secs(20),
        }
    }
}

/// What a server shows, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// The authority that clients are told, where there is a file of it.
    pub authority: Option<String>,
}

/// Certificate chain, key and authority out of a folder, as cert-manager has
/// them in a Secret: `tls.crt`, `tls.key`, and where there is one `ca.crt`.
///
/// # Errors
///
/// A file that cannot be read, by its name.
pub fn read(folder: &Path) -> anyhow::Result<Files> {
    let read = |name: &str| {
        let file = folder.join(name);
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let authority = folder.join("ca.crt").exists().then(|| read("ca.crt")).transpose()?;
    Ok(Files { chain: read("tls.crt")?, key: read("tls.key")?, authority })
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// No.
    Anonymous,
    /// They may show one; see [`PeerCertificate`].
    Asked,
}

/// The certificate that a client showed, DER, in the extensions of each request;
/// none when it showed none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub Option<CertificateDer<'static>>);

/// TLS with a certificate chain and its key, PEM.
///
/// # Errors
///
/// What of the two cannot be used; never the key.
pub fn acceptor(chain: &str, key: &str, clients: Clients) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.context("tls.crt, the certificate of the server, is not PEM")?;
    ensure!(!chain.is_empty(), "tls.crt holds no certificate (PEM)");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).context("tls.key holds no key of the server (PEM)")?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = match clients {
        Clients::Anonymous => config.with_no_client_auth(),
        Clients::Asked => config.with_client_cert_verifier(Arc::new(clients::AnyCertificate::new(provider))),
    };
    let config = config.with_single_cert(chain, key).context("the certificate of the server cannot be used")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Whether somebody was told which authority signs the certificate (`ca.crt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// All clients were, at the start: of another they have to be told, so serving
    /// cannot go on.
    Told,
    /// Nobody was: clients know their authorities from elsewhere.
    Untold,
}

/// The certificate of a folder, kept as the folder has it.
pub struct Kept {
    folder: PathBuf,
    read: Files,
    clients: Clients,
    authority: Authority,
    acceptor: watch::Sender<TlsAcceptor>,
}

impl Kept {
    /// What was read from `folder`, and how it is served.
    pub fn new(
        folder: &Path,
        read: Files,
        (clients, authority): (Clients, Authority),
        acceptor: watch::Sender<TlsAcceptor>,
    ) -> Kept {
        Kept { folder: folder.to_owned(), read, clients, authority, acceptor }
    }

    /// Looks again and again, and gives why serving cannot go on.
    pub async fn keep(mut self) -> anyhow::Error {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.look() {
                return error;
            }
        }
    }

    /// Serves a renewed certificate from now on.
    fn look(&mut self) -> anyhow::Result<()> {
        // Files that are being replaced are looked at again.
        let Ok(read) = read(&self.folder) else { return Ok(()) };
        if read == self.read {
            return Ok(());
        }
        let is_same = read.authority == self.read.authority || self.authority == Authority::Untold;
        anyhow::ensure!(is_same, "the authority of the server's certificate is another now");
        match acceptor(&read.chain, &read.key, self.clients) {
            Ok(acceptor) => {
                self.acceptor.send_replace(acceptor);
                self.read = read;
                tracing::info!("Serves with a renewed certificate");
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "A renewed certificate cannot be used"),
        }
        Ok(())
    }
}

/// Serves HTTP over TLS until `stop` is done, and then to their end the requests
/// that are there, for as long as `limits` say. Whoever dawdles holds up nobody
/// else, and is let go.
pub async fn serve(
    tcp: TcpListener,
    acceptor: watch::Receiver<TlsAcceptor>,
    routes: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let answer_one = |stream, watcher| {
        let (acceptor, routes) = (acceptor.borrow().clone(), routes.clone());
        async move {
            match timeout(limits.handshake_wait, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let routes = routes.layer(Extension(shown(&stream)));
                    answer(stream, routes, limits.headers_wait, watcher).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "A client did not get as far as TLS"),
                Err(_) => tracing::debug!("A client did not say anything"),
            }
        }
    };
    serve_each(tcp, limits, stop, answer_one).await;
}

/// As [`serve`], without TLS: for loopback, for who asks for probes and metrics, and
/// behind what ends TLS.
/// Requests have no [`PeerCertificate`].
pub async fn serve_plain(tcp: TcpListener, routes: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let answer_one = |stream, watcher| answer(stream, routes.clone(), limits.headers_wait, watcher);
    serve_each(tcp, limits, stop, answer_one).await;
}

/// Lets connections in while there are places, each answered by a task of its own.
async fn serve_each<Answering: Future<Output = ()> + Send + 'static>(
    mut tcp: TcpListener,
    limits: Limits,
    stop: impl Future<Output = ()>,
    answer_one: impl Fn(TcpStream, Watcher) -> Answering,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let going_on = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let next = async {
            // Before the connection: who cannot be served waits outside.
            let place = places.clone().acquire_owned().await;
            (place, Listener::accept(&mut tcp).await.0)
        };
        let (place, stream) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let answering = answer_one(stream, going_on.watcher());
        tokio::spawn(async move {
            let _place = place;
            answering.await;
        });
    }
    // Whoever comes now is turned away at once, and finds another.
    drop(tcp);
    if timeout(limits.stop_wait, going_on.shutdown()).await.is_err() {
        tracing::warn!("Requests were cut off, which took too long to answer");
    }
}

/// What a client showed in its handshake.
fn shown(stream: &TlsStream<TcpStream>) -> PeerCertificate {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    PeerCertificate(shown.map(|shown| shown.clone().into_owned()))
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Router,
    headers_wait: Duration,
    watcher: Watcher,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(headers_wait).max_buf_size(BUFFER);
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = watcher.watch(serving).await {
        tracing::debug!(%error, "A connection ended");
    }
}

#[cfg(test)]
mod tests;
