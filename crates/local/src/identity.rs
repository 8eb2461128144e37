//! Stand-ins for what identities need on one machine: a key vault, a token
//! endpoint and credential URLs, over https with a certificate authority of
//! their own.
//!
//! ```text
//! KeyVault       GET /secrets/{name}[/{version}]    wants a bearer token
//!                certificates: import, read, delete, recover, purge
//! Credentials    GET /credentials/{principal}       wants a bearer token
//! TokenEndpoint  POST /{tenant}/oauth2/v2.0/token   checks what a client shows
//! ```
//!
//! They are for tests and development: loopback only, everything in memory.
//! Clients trust them by `SSL_CERT_FILE` with [`PrivateCa::pem`].

mod credentials;
mod key_vault;
mod tls;
mod token_endpoint;

pub use credentials::Credentials;
pub use key_vault::KeyVault;
pub use tls::{ClientCertificate, Https, PrivateCa, ServerCertificate, TlsFront};
pub use token_endpoint::{Issued, TokenEndpoint};

/// Why a stand-in can't start.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The keys or certificates.
    #[error("no certificate can be made")]
    Certificate(#[from] rcgen::Error),
    /// The same in another form.
    #[error("no PKCS #12 can be made")]
    Pkcs12(#[from] openssl::error::ErrorStack),
    /// Their use.
    #[error("no TLS can be made")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// The port.
    #[error("no port can be listened on")]
    Listen(#[from] std::io::Error),
}
