//! The certificate of the lag server: given in files, or of an authority of our
//! own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::serve::Listener;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// A client that connects and says nothing is let go.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// Handshakes at once; more wait in the kernel's queue.
const HANDSHAKES: usize = 64;

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

/// Gives connections whose handshake is done; those that dawdle hold up nobody.
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// On a listener.
    pub fn new(tcp: TcpListener, acceptor: TlsAcceptor) -> io::Result<TlsListener> {
        let address = tcp.local_addr()?;
        let (done, ready) = mpsc::channel(HANDSHAKES);
        tokio::spawn(accept(tcp, acceptor, done));
        Ok(TlsListener { address, ready })
    }
}

async fn accept(mut tcp: TcpListener, acceptor: TlsAcceptor, done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    loop {
        // Before the connection: who cannot be served waits outside.
        let Ok(permit) = done.clone().reserve_owned().await else { return };
        let (stream, address) = Listener::accept(&mut tcp).await;
        let handshake = acceptor.accept(stream);
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_WAIT, handshake).await {
                Ok(Ok(stream)) => drop(permit.send((stream, address))),
                Ok(Err(error)) => tracing::debug!(%error, "A client did not get as far as TLS"),
                Err(_) => tracing::debug!("A client did not say anything"),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
