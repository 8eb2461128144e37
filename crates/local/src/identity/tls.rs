//! A certificate authority of our own, and what it makes: servers' certificates
//! for loopback, and certificates that clients show.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::x509::X509;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, PublicKeyData,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use super::IdentityError;

/// A client that connects and says nothing is let go.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);

/// Issues certificates that only those trust who are told to.
pub struct PrivateCa(CertifiedIssuer<'static, KeyPair>);

impl std::fmt::Debug for PrivateCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateCa").finish_non_exhaustive()
    }
}

impl PrivateCa {
    /// A new one.
    pub fn new() -> Result<PrivateCa, IdentityError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "private CA of the stand-ins");
        Ok(PrivateCa(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// What goes into `SSL_CERT_FILE`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server on `localhost` and `127.0.0.1` that makes its
    /// own TLS.
    pub fn server_certificate(&self) -> Result<ServerCertificate, IdentityError> {
        let (key, certificate) = self.of_server()?;
        Ok(ServerCertificate { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn of_server(&self) -> Result<(KeyPair, rcgen::Certificate), IdentityError> {
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.0)?;
        Ok((key, certificate))
    }

    /// TLS for a server on `localhost` and `127.0.0.1`.
    fn acceptor(&self) -> Result<TlsAcceptor, IdentityError> {
        let (key, certificate) = self.of_server()?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A server's certificate and key, as PEM.
pub struct ServerCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}

/// Serves a router over https until it is dropped.
#[derive(Debug)]
pub struct Https {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl Https {
    /// On a free port of 127.0.0.1.
    pub async fn start(ca: &PrivateCa, routes: Router) -> Result<Https, IdentityError> {
        let listener = TlsListener { tcp: TcpListener::bind("127.0.0.1:0").await?, acceptor: ca.acceptor()? };
        let address = listener.tcp.local_addr()?;
        Ok(Https { address, task: tokio::spawn(axum::serve(listener, routes).into_future()) })
    }

    /// `https://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.tcp).await;
            match tokio::time::timeout(HANDSHAKE_WAIT, self.acceptor.accept(stream)).await {
                Ok(Ok(stream)) => return (stream, address),
                Ok(Err(error)) => tracing::debug!(%error, "A client did not get as far as TLS"),
                Err(_) => tracing::debug!("A client did not say anything"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// Puts TLS before a server that has none, until it is dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl TlsFront {
    /// On a free port of 127.0.0.1, before the server at `behind`.
    pub async fn start(ca: &PrivateCa, behind: SocketAddr) -> Result<TlsFront, IdentityError> {
        let mut listener = TlsListener { tcp: TcpListener::bind("127.0.0.1:0").await?, acceptor: ca.acceptor()? };
        let address = listener.tcp.local_addr()?;
        let task = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await;
                let mut server = TcpStream::connect(behind).await?;
                tokio::spawn(async move {
                    if let Err(error) = copy_bidirectional(&mut client, &mut server).await {
                        tracing::debug!(%error, "A connection broke off");
                    }
                });
            }
        });
        Ok(TlsFront { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An RSA certificate with its key, such as a client shows.
pub struct ClientCertificate {
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

impl ClientCertificate {
    /// A new one, signed by itself.
    pub fn new(subject: &str) -> Result<ClientCertificate, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, subject);
        let certificate = params.self_signed(&key)?;
        Ok(ClientCertificate { key, certificate })
    }

    /// Key and certificate, as a vault has them.
    pub fn pem(&self) -> String {
        format!("{}{}", self.key.serialize_pem(), self.certificate.pem())
    }

    /// Key and certificate as a credential URL gives them: PKCS #12 without a
    /// password, in base64.
    pub fn pkcs12(&self) -> Result<String, IdentityError> {
        let key = PKey::private_key_from_der(&self.key.serialize_der())?;
        let certificate = X509::from_der(self.certificate.der())?;
        let made = Pkcs12::builder().name("identity").pkey(&key).cert(&certificate).build2("")?;
        Ok(BASE64_STANDARD.encode(made.to_der()?))
    }

    /// The certificate.
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The public key.
    pub(super) fn public_key(&self) -> &[u8] {
        self.key.der_bytes()
    }
}
