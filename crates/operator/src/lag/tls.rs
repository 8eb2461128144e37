//! The certificate of the lag server: given in files, or of an authority of our
//! own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// A client that connects and says nothing is let go.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// So is one that does not ask to the end, or nothing more: KEDA asks every half
/// minute by itself.
const HEADERS_WAIT: Duration = Duration::from_secs(45);
/// What a request's head may take.
const BUFFER: usize = 16 * 1024;
/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// How often files are looked at. The kubelet takes a minute to replace them.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// A certificate authority of our own. Who trusts it trusts nobody else by it:
/// its key never leaves the Secret and the processes that read it.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "iot-connector-operator lag");
    Ok(params)
}

impl Authority {
    /// A new one.
    pub fn make() -> Result<Authority, rcgen::Error> {
        let key = KeyPair::generate()?;
        let params = authority_params()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// The one that has this key, PEM.
    pub fn of(key: &str) -> Result<Authority, rcgen::Error> {
        let key = KeyPair::from_pem(key)?;
        Ok(Authority { issuer: Issuer::new(authority_params()?, key), certificate: String::new() })
    }

    /// Certificate and key, PEM.
    pub fn pem(&self) -> (String, String) {
        (self.certificate.clone(), self.issuer.key().serialize_pem())
    }

    /// A certificate and its key for a client, PEM.
    pub fn client(&self, name: &str) -> Result<(String, String), rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A certificate and its key for a server of that name, PEM.
    pub fn server(&self, name: &str) -> Result<(String, String), rcgen::Error> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "iot-connector-operator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<(String, String), rcgen::Error> {
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// Certificate chain, key and authority out of a folder, as cert-manager has
/// them in a Secret: `tls.crt`, `tls.key`, `ca.crt`.
pub fn read(folder: &Path) -> anyhow::Result<(String, String, String)> {
    let read = |name: &str| {
        let file = folder.join(name);
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    Ok((read("tls.crt")?, read("tls.key")?, read("ca.crt")?))
}

/// TLS with a certificate chain and its key, PEM.
pub fn acceptor(chain: &str, key: &str) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.context("the certificate of the lag server is not PEM")?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).context("the key of the lag server is not PEM")?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate of the lag server cannot be used")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificate of a folder, kept as the folder has it.
pub struct Kept {
    folder: PathBuf,
    read: (String, String, String),
    acceptor: watch::Sender<TlsAcceptor>,
}

impl Kept {
    /// What was read from `folder`, and how it is served.
    pub fn new(folder: &Path, read: (String, String, String), acceptor: watch::Sender<TlsAcceptor>) -> Kept {
        Kept { folder: folder.to_owned(), read, acceptor }
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

    /// Serves a renewed certificate from now on. Of another authority every
    /// connector has to be told, which happens at the start.
    fn look(&mut self) -> anyhow::Result<()> {
        // Files that are being replaced are looked at again.
        let Ok(read) = read(&self.folder) else { return Ok(()) };
        if read == self.read {
            return Ok(());
        }
        anyhow::ensure!(read.2 == self.read.2, "the authority of the lag server's certificate is another now");
        match acceptor(&read.0, &read.1) {
            Ok(acceptor) => {
                self.acceptor.send_replace(acceptor);
                self.read = read;
                tracing::info!("Serves the lag with a renewed certificate");
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "A renewed certificate cannot be used"),
        }
        Ok(())
    }
}

/// Serves HTTP over TLS, for ever. Whoever dawdles holds up nobody else, and is
/// let go.
pub async fn serve(mut tcp: TcpListener, acceptor: watch::Receiver<TlsAcceptor>, routes: Router) -> anyhow::Error {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Before the connection: who cannot be served waits outside.
        let place = match places.clone().acquire_owned().await {
            Ok(place) => place,
            Err(error) => return error.into(),
        };
        let (stream, _) = Listener::accept(&mut tcp).await;
        let (acceptor, routes) = (acceptor.borrow().clone(), routes.clone());
        tokio::spawn(async move {
            let _place = place;
            match timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => answer(stream, routes).await,
                Ok(Err(error)) => tracing::debug!(%error, "A client did not get as far as TLS"),
                Err(_) => tracing::debug!("A client did not say anything"),
            }
        });
    }
}

async fn answer(stream: TlsStream<TcpStream>, routes: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WAIT).max_buf_size(BUFFER);
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = serving.await {
        tracing::debug!(%error, "A connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_renewed_certificate_and_no_other_authority() {
        let folder = tempfile::tempdir().unwrap();
        let write = |authority: &Authority, ca: &str| {
            let (chain, key) = authority.server("localhost").unwrap();
            for (name, text) in [("tls.crt", chain.as_str()), ("tls.key", &key), ("ca.crt", ca)] {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
        };
        let authority = Authority::make().unwrap();
        let ca = authority.pem().0;
        write(&authority, &ca);
        let first = read(folder.path()).unwrap();
        let (sender, mut served) = watch::channel(acceptor(&first.0, &first.1).unwrap());
        let mut kept = Kept::new(folder.path(), first, sender);
        kept.look().unwrap();
        assert!(!served.has_changed().unwrap(), "it is the same");
        write(&authority, &ca);
        kept.look().unwrap();
        assert!(served.has_changed().unwrap(), "it was renewed");
        served.mark_unchanged();
        std::fs::write(folder.path().join("tls.crt"), "half").unwrap();
        kept.look().unwrap();
        assert!(!served.has_changed().unwrap(), "it cannot be used");
        let other = Authority::make().unwrap();
        write(&other, &other.pem().0);
        assert!(kept.look().is_err());
    }
}
