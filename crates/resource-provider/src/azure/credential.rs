//! The credential of a connector's identity, from the URL that Resource Manager
//! gave with the identity (resource-provider.md 4.10).
//!
//! The answer holds the private key of the identity's certificate. It goes into
//! the vault and is dropped; nothing here prints it.

use arm::ErrorCode;
use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::AzurePorts;
use super::rest::Request;
use crate::ports::PortError;

/// As whom an identity signs in, and with what.
#[derive(Debug)]
pub struct Credential {
    /// Its application.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// Whose it is.
    pub principal_id: Option<String>,
    /// Certificate and key: PKCS #12 without a password, in base64.
    pub pkcs12: SecretString,
    /// From when on another is to be had.
    pub renew_after: Timestamp,
}

#[derive(Deserialize)]
struct Answered {
    client_id: String,
    tenant_id: String,
    object_id: Option<String>,
    client_secret: SecretText,
    renew_after: String,
}

/// Read without a type that prints it.
#[derive(Deserialize)]
#[serde(transparent)]
struct SecretText(String);

fn unavailable(message: &str) -> PortError {
    PortError::permanent(ErrorCode::IdentityCredentialUnavailable, message)
}

impl AzurePorts {
    /// Fetches the credential at a URL.
    pub(super) async fn credential_at(&self, url: &str) -> Result<Credential, PortError> {
        let url = self.trusted(url).ok_or_else(|| {
            unavailable("the credential URL of the identity is not below a domain that tokens are shown to")
        })?;
        let request = Request { method: Method::GET, url, scope: &self.settings.credential_scope, body: None };
        let answer = self.rest.send(request).await.map_err(|mut failure| {
            // The path names the customer's resource, the query is a key to it.
            "`GET` of the credential URL".clone_into(&mut failure.what);
            failure.port(ErrorCode::IdentityCredentialUnavailable)
        })?;
        let unreadable = || unavailable("the credential of the identity has another form than it should");
        let answered: Answered = serde_json::from_value(answer.body).map_err(|_| unreadable())?;
        Ok(Credential {
            client_id: answered.client_id,
            tenant_id: answered.tenant_id,
            principal_id: answered.object_id,
            pkcs12: answered.client_secret.0.into(),
            renew_after: answered.renew_after.parse().map_err(|_| unreadable())?,
        })
    }

    fn trusted(&self, url: &str) -> Option<Url> {
        let url = Url::parse(url).ok()?;
        let host = url.host_str()?.to_ascii_lowercase();
        let is_below = |domain: &String| {
            let domain = domain.trim_start_matches('.').to_ascii_lowercase();
            host == domain || host.ends_with(&format!(".{domain}"))
        };
        let is_trusted = url.scheme() == "https" && self.settings.credential_domains.iter().any(is_below);
        is_trusted.then_some(url)
    }
}
