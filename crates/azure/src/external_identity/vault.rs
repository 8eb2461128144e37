//! Where a certificate is kept, and which version of it is in use.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Url};
use azure_security_keyvault_secrets::models::SecretClientGetSecretOptions;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::VaultCertificate;
use super::certificate::{Certificate, InvalidCertificate};
use crate::connection_string::is_loopback;

/// How long looking at the vault may take, tries included.
const LOOK_WAIT: Duration = Duration::from_secs(20);

/// The address of a certificate in a key vault:
/// `https://v1.vault.azure.net/certificates/mi-c1`, which means its newest
/// version, or with a version behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateUri {
    vault: Url,
    name: String,
    version: Option<String>,
}

/// Not the address of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `https://<vault>/certificates/<name>`, with a version behind it only if no other is wanted")]
pub struct InvalidCertificateUri;

impl FromStr for CertificateUri {
    type Err = InvalidCertificateUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text.trim()).map_err(|_| InvalidCertificateUri)?;
        let is_plain = url.query().is_none() && url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !is_plain {
            return Err(InvalidCertificateUri);
        }
        let segments: Vec<&str> = url.path().trim_end_matches('/').split('/').skip(1).collect();
        let (name, version) = match segments[..] {
            ["certificates" | "secrets", name] => (name, None),
            ["certificates" | "secrets", name, version] => (name, Some(version.to_owned())),
            _ => return Err(InvalidCertificateUri),
        };
        if name.is_empty() || version.as_ref().is_some_and(String::is_empty) {
            return Err(InvalidCertificateUri);
        }
        let vault = url.join("/").map_err(|_| InvalidCertificateUri)?;
        Ok(CertificateUri { vault, name: name.to_owned(), version })
    }
}

impl CertificateUri {
    /// Whether the vault is on this machine, so a stand-in.
    pub fn is_loopback(&self) -> bool {
        self.vault.host_str().is_some_and(is_loopback)
    }
}

impl fmt::Display for CertificateUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}certificates/{}", self.vault, self.name)?;
        self.version.iter().try_for_each(|version| write!(f, "/{version}"))
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCertificate {
    #[error("the key vault does not give the certificate `{uri}`")]
    Vault { uri: String, source: azure_core::Error },
    #[error("the key vault did not give the certificate `{uri}` in time")]
    TimedOut { uri: String },
    #[error("the certificate `{uri}` cannot be used")]
    Invalid { uri: String, source: InvalidCertificate },
}

/// The certificate in use, and when the vault was looked at.
pub(super) struct Certificates {
    uri: CertificateUri,
    client: SecretClient,
    look_every: Duration,
    look_again_after: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Certificate>>,
    looked: Option<Looked>,
}

struct Looked {
    at: Instant,
    went_well: bool,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Certificates {
    pub(super) fn new(place: &VaultCertificate) -> azure_core::Result<Certificates> {
        let uri = place.uri.clone();
        // Few: a vault that is away is looked at again soon.
        let retry = ExponentialRetryOptions { max_retries: 2, ..Default::default() };
        let options = SecretClientOptions {
            client_options: ClientOptions { retry: RetryOptions::exponential(retry), ..Default::default() },
            // A stand-in has no domain that its tokens could be for.
            verify_challenge_resource: Some(!uri.is_loopback()),
            ..Default::default()
        };
        let client = SecretClient::new(uri.vault.as_str(), place.opened_as.credential()?, Some(options))?;
        let VaultCertificate { look_every, look_again_after, .. } = *place;
        Ok(Certificates { uri, client, look_every, look_again_after, state: Mutex::default() })
    }

    /// The certificate to use now. Looks at the vault when it was not looked at
    /// for long; whoever comes meanwhile waits.
    pub(super) async fn current(&self) -> Result<Arc<Certificate>, NoCertificate> {
        let mut state = self.state.lock().await;
        let is_due = state.looked.as_ref().is_none_or(|looked| {
            let wait = if looked.went_well { self.look_every } else { self.look_again_after };
            looked.at.elapsed() >= wait
        });
        match &state.current {
            Some(current) if !is_due && !current.has_ended() => Ok(current.clone()),
            _ => self.look(&mut state).await,
        }
    }

    /// Looks at the vault because a token was refused, if that was not just
    /// done. Gives whether another certificate is in use now.
    pub(super) async fn look_again(&self) -> bool {
        let mut state = self.state.lock().await;
        if state.looked.as_ref().is_some_and(|looked| looked.at.elapsed() < self.look_again_after) {
            return false;
        }
        let before = state.current.as_ref().map(|current| current.thumbprint());
        match self.look(&mut state).await {
            Ok(current) => before.is_some_and(|before| before != current.thumbprint()),
            Err(_) => false,
        }
    }

    /// Takes the newest certificate; keeps the one at hand when that fails.
    async fn look(&self, state: &mut State) -> Result<Arc<Certificate>, NoCertificate> {
        let fetched = self.fetch().await;
        state.looked = Some(Looked { at: Instant::now(), went_well: fetched.is_ok() });
        match (fetched, &state.current) {
            (Ok(new), current) => {
                if current.as_ref().is_none_or(|current| current.thumbprint() != new.thumbprint()) {
                    let (thumbprint, not_after) = (new.thumbprint(), new.not_after());
                    tracing::info!(uri = %self.uri, thumbprint, not_after, "A certificate of the external identity is in use");
                }
                let new = Arc::new(new);
                state.current = Some(new.clone());
                Ok(new)
            }
            (Err(error), Some(current)) => {
                let error = delivery::away::error_chain(&error);
                tracing::warn!(error, not_after = current.not_after(), "The external identity keeps its certificate");
                Ok(current.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn fetch(&self) -> Result<Certificate, NoCertificate> {
        let uri = || self.uri.to_string();
        let options = SecretClientGetSecretOptions { secret_version: self.uri.version.clone(), ..Default::default() };
        let getting = async { self.client.get_secret(&self.uri.name, Some(options)).await?.into_model() };
        let secret = timeout(LOOK_WAIT, getting).await.map_err(|_| NoCertificate::TimedOut { uri: uri() })?;
        let secret = secret.map_err(|source| NoCertificate::Vault { uri: uri(), source })?;
        let value = secret.value.unwrap_or_default();
        Certificate::read(&value).map_err(|source| NoCertificate::Invalid { uri: uri(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_with_and_without_a_version() {
        let check = |text: &str| text.parse::<CertificateUri>().map(|uri| uri.to_string()).ok();
        let expected = Some("https://v1.vault.azure.net/certificates/mi-c1".to_owned());
        assert_eq!(check("https://v1.vault.azure.net/certificates/mi-c1"), expected);
        assert_eq!(check(" https://V1.vault.azure.net/secrets/mi-c1/ "), expected);
        let versioned = "https://v1.vault.azure.net/certificates/mi-c1/0123";
        assert_eq!(check(versioned).as_deref(), Some(versioned));
        for bad in [
            "http://v1.vault.azure.net/certificates/c",
            "https://v1.vault.azure.net/",
            "https://v1.vault.azure.net/certificates/",
            "https://v1.vault.azure.net/keys/c",
            "https://v1.vault.azure.net/certificates/c/1/2",
            "https://u:p@v1.vault.azure.net/certificates/c",
            "mi-c1",
        ] {
            assert_eq!(check(bad), None, "{bad}");
        }
    }
}
