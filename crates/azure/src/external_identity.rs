//! The connector's external identity: as whom it opens what is the customer's,
//! their hub and their FHIR server (resource-provider.md 4.10, design.md 4a).
//!
//! ```text
//! workload identity: service account's token ----------------> token endpoint --> tokens
//! certificate:       key vault --certificate--> assertion ---> token endpoint --> tokens
//!                    (opened as the internal identity)
//! ```
//!
//! A certificate is kept in memory only. The vault is looked at again every
//! hour, when a token is needed, and when the token endpoint refuses: a new
//! version is used without a restart, and the one at hand is kept while the
//! vault is away or holds one that cannot be used.

mod certificate;
mod vault;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientMethodOptions, ClientOptions, StatusCode, Url};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use tokio::time::timeout;

use self::vault::Certificates;
use crate::credentials::CredentialSettings;

pub use self::certificate::InvalidCertificate;
pub use self::vault::{CertificateUri, InvalidCertificateUri};

/// Where tokens come from when nothing else is said.
pub const PUBLIC_AUTHORITY_HOST: &str = "https://login.microsoftonline.com";
/// How long a token may take: looking at the vault and asking, with their tries.
const TOKEN_WAIT: Duration = Duration::from_secs(90);

/// Which identity, and how it shows itself.
#[derive(Clone, Debug)]
pub struct ExternalIdentity {
    /// Its client id.
    pub client_id: String,
    /// Its tenant; for workload identity `AZURE_TENANT_ID` when it is none.
    pub tenant_id: Option<String>,
    /// Where tokens come from; [`PUBLIC_AUTHORITY_HOST`] or `AZURE_AUTHORITY_HOST`
    /// when it is none. Https.
    pub authority_host: Option<Url>,
    /// The certificate to show; none for workload identity.
    pub certificate: Option<VaultCertificate>,
}

/// A certificate with its private key in a key vault.
#[derive(Clone, Debug)]
pub struct VaultCertificate {
    /// Where it is.
    pub uri: CertificateUri,
    /// As whom the vault is opened: the internal identity.
    pub opened_as: Box<CredentialSettings>,
    /// How often, at the most, the vault is looked at for a newer version.
    pub look_every: Duration,
    /// How soon it is looked at again after it was away, or after a token was
    /// refused.
    pub look_again_after: Duration,
}

impl VaultCertificate {
    /// The certificate at `uri`: looked for every hour, and again after 10
    /// seconds when something went wrong.
    pub fn new(uri: CertificateUri, opened_as: CredentialSettings) -> VaultCertificate {
        VaultCertificate {
            uri,
            opened_as: Box::new(opened_as),
            look_every: Duration::from_secs(3600),
            look_again_after: Duration::from_secs(10),
        }
    }
}

impl ExternalIdentity {
    /// Makes the credential. Asks nobody for a token or certificate yet.
    pub fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let Some(place) = &self.certificate else {
            return Ok(WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                client_id: Some(self.client_id.clone()),
                tenant_id: self.tenant_id.clone(),
                credential_options: self.options(),
                ..Default::default()
            }))?);
        };
        let tenant_id = self.tenant_id.clone().unwrap_or_default();
        let certificates = Arc::new(Certificates::new(place)?);
        let authority_host = match &self.authority_host {
            Some(host) => host.clone(),
            None => Url::parse(PUBLIC_AUTHORITY_HOST)?,
        };
        let audience = authority_host.join(&format!("/{tenant_id}/oauth2/v2.0/token"))?;
        let assertion = Assertion {
            certificates: certificates.clone(),
            client_id: self.client_id.clone(),
            audience: audience.to_string(),
        };
        let options = ClientAssertionCredentialOptions { client_options: client_options(&authority_host) };
        let tokens = ClientAssertionCredential::new(tenant_id, self.client_id.clone(), assertion, Some(options))?;
        Ok(Arc::new(CertificateCredential { tokens, certificates }))
    }

    fn options(&self) -> ClientAssertionCredentialOptions {
        let client_options = self.authority_host.as_ref().map(client_options).unwrap_or_default();
        ClientAssertionCredentialOptions { client_options }
    }
}

fn client_options(authority_host: &Url) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = authority_host.as_str().trim_end_matches('/').to_owned();
    ClientOptions { cloud: Some(Arc::new(cloud.into())), ..Default::default() }
}

/// Signs what the identity shows to the token endpoint, with the certificate
/// of the moment.
struct Assertion {
    certificates: Arc<Certificates>,
    client_id: String,
    audience: String,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let certificate = self.certificates.current().await.map_err(credential_error)?;
        let id = uuid::Uuid::new_v4().to_string();
        certificate.assertion(&self.client_id, &self.audience, &id, SystemTime::now()).map_err(credential_error)
    }
}

fn credential_error(error: impl Error + Send + Sync + 'static) -> azure_core::Error {
    // The chain as one text: the SDK prints what it wraps, and not its sources.
    let text = delivery::away::error_chain(&error);
    azure_core::Error::with_error(ErrorKind::Credential, error, text)
}

/// Tokens for whom a certificate shows.
#[derive(Debug)]
struct CertificateCredential {
    tokens: Arc<ClientAssertionCredential<Assertion>>,
    certificates: Arc<Certificates>,
}

impl CertificateCredential {
    async fn token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let refused = match self.tokens.get_token(scopes, options.clone()).await {
            Err(error) if is_refusal(&error) => error,
            answer => return answer,
        };
        // The certificate at hand may have been withdrawn in favour of a newer one.
        match self.certificates.look_again().await {
            true => self.tokens.get_token(scopes, options).await,
            false => Err(refused),
        }
    }
}

#[async_trait::async_trait]
impl TokenCredential for CertificateCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let token = timeout(TOKEN_WAIT, self.token(scopes, options)).await;
        token.unwrap_or_else(|_| {
            let text = format!("no token for the external identity within {} s", TOKEN_WAIT.as_secs());
            Err(azure_core::Error::with_message(ErrorKind::Credential, text))
        })
    }
}

/// Whether the token endpoint said no: 400 or 401, `invalid_client` and the like.
fn is_refusal(error: &azure_core::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let status = error.downcast_ref::<azure_core::Error>().and_then(azure_core::Error::http_status);
        if matches!(status, Some(StatusCode::BadRequest | StatusCode::Unauthorized)) {
            return true;
        }
        cause = error.source();
    }
    false
}
