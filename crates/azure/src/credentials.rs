//! How a process shows Azure who it is.
//!
//! There is no default chain: which credential is used is said by the
//! configuration (functions-eventhubs-keda.md 6.5), so that a wrong one fails
//! instead of another being found by chance.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_core::time::OffsetDateTime;
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientSecretCredential, DeveloperToolsCredential,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use secrecy::{ExposeSecret, SecretString};

use crate::external_identity::ExternalIdentity;

/// Which credential to use, and with what.
#[derive(Clone, Debug)]
pub enum CredentialSettings {
    /// The identity that Azure gave the machine or app: the system-assigned one
    /// or, by its client id, a user-assigned one.
    ManagedIdentity {
        /// Client id of a user-assigned identity.
        client_id: Option<String>,
    },
    /// The identity of a Kubernetes service account. What is not given is read
    /// from `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_FEDERATED_TOKEN_FILE`,
    /// which the workload identity webhook sets.
    WorkloadIdentity {
        /// Client id of the identity.
        client_id: Option<String>,
        /// Tenant of the identity.
        tenant_id: Option<String>,
        /// File with the service account's token; read again as it changes.
        token_file: Option<PathBuf>,
    },
    /// An app registration with a secret.
    ClientSecret {
        /// Tenant of the app.
        tenant_id: String,
        /// Client id of the app.
        client_id: String,
        /// Never printed.
        secret: SecretString,
    },
    /// An application that trusts tokens of somebody who can ask for them, such
    /// as our operator for a connector's service account.
    Federated {
        /// Client id of the application.
        client_id: String,
        /// Its tenant.
        tenant_id: String,
        /// Gives the tokens.
        assertion: Arc<dyn Assertion>,
    },
    /// The connector's external identity, for what is the customer's.
    ExternalIdentity(Box<ExternalIdentity>),
    /// One that is there already, with the tokens that it holds.
    Given(Arc<dyn TokenCredential>),
    /// Whoever is logged in to the Azure CLI or the Azure Developer CLI.
    DeveloperTools,
    /// A made-up token, for a stand-in on this machine. Whoever uses it must
    /// see to it that nobody else gets it, see [`crate::event_hubs::HubProducer::new`].
    Development,
}

/// Gives what an application is shown, anew for each of its tokens.
#[async_trait::async_trait]
pub trait Assertion: std::fmt::Debug + Send + Sync {
    /// A signed token.
    async fn assertion(&self) -> Result<String, AssertionError>;
}

/// There is no assertion.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AssertionError(pub String);

/// For the SDK.
#[derive(Debug)]
struct Shown(Arc<dyn Assertion>);

#[async_trait::async_trait]
impl ClientAssertion for Shown {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let shown = self.0.assertion().await;
        shown.map_err(|error| azure_core::Error::with_error(ErrorKind::Credential, error, "no assertion"))
    }
}

impl CredentialSettings {
    /// Makes the credential. Asks nobody for a token yet.
    pub fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        Ok(match self {
            Self::ManagedIdentity { client_id } => {
                let user_assigned_id = client_id.clone().map(UserAssignedId::ClientId);
                let options = ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() };
                ManagedIdentityCredential::new(Some(options))?
            }
            Self::WorkloadIdentity { client_id, tenant_id, token_file } => {
                let options = WorkloadIdentityCredentialOptions {
                    client_id: client_id.clone(),
                    tenant_id: tenant_id.clone(),
                    token_file_path: token_file.clone(),
                    ..Default::default()
                };
                WorkloadIdentityCredential::new(Some(options))?
            }
            Self::ClientSecret { tenant_id, client_id, secret } => {
                let secret = Secret::new(secret.expose_secret().to_owned());
                ClientSecretCredential::new(tenant_id, client_id.clone(), secret, None)?
            }
            Self::Federated { client_id, tenant_id, assertion } => {
                let shown = Shown(assertion.clone());
                ClientAssertionCredential::new(tenant_id.clone(), client_id.clone(), shown, None)?
            }
            Self::ExternalIdentity(identity) => identity.credential()?,
            Self::Given(credential) => credential.clone(),
            Self::DeveloperTools => DeveloperToolsCredential::new(None)?,
            Self::Development => Arc::new(MadeUpToken),
        })
    }

    /// Whether the token is made up, so that only a stand-in takes it.
    pub fn is_development(&self) -> bool {
        matches!(self, Self::Development)
    }
}

/// Gives a token that proves nothing.
#[derive(Debug)]
struct MadeUpToken;

#[async_trait::async_trait]
impl TokenCredential for MadeUpToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        // The client asks anew some minutes before the end; an hour is what real tokens last.
        Ok(AccessToken::new("development", OffsetDateTime::now_utc() + Duration::from_secs(3600)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "00000000-0000-0000-0000-000000000001";

    fn client_secret(tenant_id: &str) -> CredentialSettings {
        CredentialSettings::ClientSecret {
            tenant_id: tenant_id.to_owned(),
            client_id: "app".to_owned(),
            secret: "s3cret".into(),
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let printed = format!("{:?}", client_secret(TENANT));
        assert!(printed.contains(TENANT) && !printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn every_kind_gives_a_credential_without_asking_for_a_token() {
        let token_file = tempfile::NamedTempFile::new().unwrap();
        let workload_identity = CredentialSettings::WorkloadIdentity {
            client_id: Some("app".to_owned()),
            tenant_id: Some(TENANT.to_owned()),
            token_file: Some(token_file.path().to_owned()),
        };
        let kinds = [
            CredentialSettings::ManagedIdentity { client_id: None },
            CredentialSettings::ManagedIdentity { client_id: Some("app".to_owned()) },
            workload_identity,
            client_secret(TENANT),
            CredentialSettings::DeveloperTools,
            CredentialSettings::Development,
        ];
        for kind in kinds {
            assert!(kind.credential().is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn a_tenant_that_can_not_be_is_refused() {
        assert!(client_secret("no tenant").credential().is_err());
    }
}
