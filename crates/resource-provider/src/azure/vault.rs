//! Certificates in a key vault: read, imported, and removed so that their names
//! are free again.

use arm::ErrorCode;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::AzurePorts;
use super::failure::Failure;
use super::rest::Request;
use crate::documents::ScaleInfo;
use crate::ports::PortError;

const VERSION: &str = "7.4";

/// A certificate in a vault.
#[derive(Clone, Copy, Debug)]
pub struct VaultCertificate<'p> {
    ports: &'p AzurePorts,
    vault: &'p str,
    name: &'p str,
}

/// What is kept beside a certificate, so that the next who comes can tell
/// whether it is still the one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tags {
    /// Whose identity it is of.
    pub principal_id: String,
    /// As whom it signs in.
    pub client_id: String,
    /// In which tenant.
    pub tenant_id: String,
    /// When it is to be renewed, RFC 3339.
    pub renew_after: String,
}

/// A certificate that is there.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where, without a version.
    pub uri: String,
    /// Its newest version.
    pub version: String,
    /// What is kept beside it; none when somebody else put it there.
    pub tags: Option<Tags>,
}

impl Stored {
    fn read(body: &Value) -> Option<Stored> {
        let (uri, version) = body.get("id")?.as_str()?.rsplit_once('/')?;
        let tags = body.get("tags").and_then(|tags| Tags::deserialize(tags).ok());
        Some(Stored { uri: uri.to_owned(), version: version.to_owned(), tags })
    }
}

fn failed(failure: Failure) -> PortError {
    failure.port(ErrorCode::KeyVaultAccessFailed)
}

fn unreadable() -> PortError {
    PortError::permanent(ErrorCode::KeyVaultAccessFailed, "the vault gave a certificate that cannot be read")
}

impl AzurePorts {
    /// A certificate in the vault of a place.
    pub(super) fn certificate<'p>(&'p self, place: &'p ScaleInfo, name: &'p str) -> VaultCertificate<'p> {
        let vault = place.key_vault_resource_id.rsplit('/').next().unwrap_or_default();
        VaultCertificate { ports: self, vault, name }
    }
}

impl VaultCertificate<'_> {
    /// The newest version, when there is one.
    pub async fn get(self) -> Result<Option<Stored>, PortError> {
        match self.send(Method::GET, &["certificates", self.name], None).await? {
            Ok(body) => Stored::read(&body).map(Some).ok_or_else(unreadable),
            Err(failure) if failure.status == Some(404) => Ok(None),
            Err(failure) => Err(failed(failure)),
        }
    }

    /// Stores another version.
    pub async fn import(self, pkcs12: &SecretString, tags: &Tags) -> Result<Stored, PortError> {
        let body = json!({
            "value": pkcs12.expose_secret(),
            // The pods sign with the key, so it must come out again.
            "policy": {
                "key_props": { "exportable": true, "kty": "RSA", "reuse_key": false },
                "secret_props": { "contentType": "application/x-pkcs12" },
            },
            "tags": tags,
        });
        match self.send(Method::POST, &["certificates", self.name, "import"], Some(&body)).await? {
            Ok(body) => Stored::read(&body).ok_or_else(unreadable),
            Err(failure) if failure.is("ObjectIsDeletedButRecoverable") => {
                // One was deleted that could not be purged. It comes back, and
                // this one becomes its next version when that is done.
                let recover = ["deletedcertificates", self.name, "recover"];
                self.send(Method::POST, &recover, None).await?.map_err(failed)?;
                Err(failed(Failure { status: Some(409), ..failure }))
            }
            Err(failure) => Err(failed(failure)),
        }
    }

    /// Removes it with all its versions, and frees the name where the vault lets
    /// that be: one that is protected keeps what was deleted for its time.
    pub async fn delete(self) -> Result<(), PortError> {
        match self.send(Method::DELETE, &["certificates", self.name], None).await? {
            Ok(_) => {}
            Err(failure) if failure.status == Some(404) => {}
            Err(failure) => return Err(failed(failure)),
        }
        match self.send(Method::DELETE, &["deletedcertificates", self.name], None).await? {
            Ok(_) => Ok(()),
            Err(failure) if matches!(failure.status, Some(400 | 403 | 404)) => Ok(()),
            Err(failure) => Err(failed(failure)),
        }
    }

    async fn send(
        self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Result<Value, Failure>, PortError> {
        let url = self.url(path).ok_or_else(|| {
            PortError::permanent(
                ErrorCode::KeyVaultAccessFailed,
                "the place names no key vault, or not as one is named",
            )
        })?;
        let request = Request { method, url, scope: &self.ports.settings.vault_scope, body };
        Ok(self.ports.rest.send(request).await.map(|answer| answer.body))
    }

    fn url(self, path: &[&str]) -> Option<Url> {
        let mut url = self.ports.settings.vaults.of(self.vault)?;
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        url.query_pairs_mut().append_pair("api-version", VERSION);
        Some(url)
    }
}
