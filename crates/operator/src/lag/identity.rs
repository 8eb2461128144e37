//! Shows Azure the identity of a connector's pods, without being one of them.
//!
//! ```text
//! TokenRequest for the pods' ServiceAccount --> assertion --> token endpoint --> tokens
//! ```
//!
//! It is what a pod does with the token that is mounted into it. An assertion is
//! asked for anew each time, and kept nowhere; tokens are kept by `credentials`.

use std::sync::Arc;

use async_trait::async_trait;
use azure::CredentialSettings;
use azure::credentials::{Assertion, AssertionError};
use custom_resources::error_text::error_text;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};

/// What a token of a service account must be for, to be exchanged.
const AUDIENCE: &str = "api://AzureADTokenExchange";
/// The shortest time that the API server gives.
const EXPIRATION_SECONDS: i64 = 600;
/// The annotation with the tenant, as the webhook of workload identity reads it.
const TENANT: &str = "azure.workload.identity/tenant-id";

/// The identity of a service account, in a tenant.
#[derive(Clone, Debug)]
pub struct FederatedIdentity {
    assertion: Arc<dyn Assertion>,
    tenant_id: Option<String>,
}

impl FederatedIdentity {
    /// Of a service account. Its tenant is that of its annotation, or `default_tenant`.
    pub fn new(client: Client, account: &ServiceAccount, default_tenant: Option<String>) -> FederatedIdentity {
        let (namespace, name) = (account.metadata.namespace.clone(), account.metadata.name.clone());
        let annotations = account.metadata.annotations.as_ref();
        let tenant_id = annotations.and_then(|annotations| annotations.get(TENANT)).cloned().or(default_tenant);
        let tenant_id = tenant_id.filter(|tenant| !tenant.is_empty());
        let accounts = Api::namespaced(client, &namespace.unwrap_or_default());
        FederatedIdentity { assertion: Arc::new(AccountToken { accounts, name: name.unwrap_or_default() }), tenant_id }
    }

    /// To be shown as the application `client_id`, which trusts the account; none
    /// when nobody says its tenant.
    pub fn credential(&self, client_id: &str, tenant_id: Option<&str>) -> Option<CredentialSettings> {
        Some(CredentialSettings::Federated {
            client_id: client_id.to_owned(),
            tenant_id: tenant_id.map(str::to_owned).or_else(|| self.tenant_id.clone())?,
            assertion: self.assertion.clone(),
        })
    }

    /// One that nobody trusts.
    #[cfg(test)]
    pub(crate) fn for_tests(tenant_id: Option<&str>) -> FederatedIdentity {
        #[derive(Debug)]
        struct Nothing;
        #[async_trait]
        impl Assertion for Nothing {
            async fn assertion(&self) -> Result<String, AssertionError> {
                Ok(String::new())
            }
        }
        FederatedIdentity { assertion: Arc::new(Nothing), tenant_id: tenant_id.map(str::to_owned) }
    }
}

/// Asks the API server for tokens of an account.
struct AccountToken {
    accounts: Api<ServiceAccount>,
    name: String,
}

impl std::fmt::Debug for AccountToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountToken").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Assertion for AccountToken {
    async fn assertion(&self) -> Result<String, AssertionError> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                expiration_seconds: Some(EXPIRATION_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let given = self.accounts.create_token_request(&self.name, &PostParams::default(), &request).await;
        let given = given.map_err(|error| {
            AssertionError(format!("no token of ServiceAccount `{}`: {}", self.name, error_text(&error)))
        })?;
        let token = given.status.and_then(|status| status.token);
        token.ok_or_else(|| AssertionError("the API server gave no token".to_owned()))
    }
}
