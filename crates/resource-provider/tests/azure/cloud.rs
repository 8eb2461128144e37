//! Azure, as far as the ports see it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use local::identity::{Credentials, KeyVault, PrivateCa};
use local::resource_manager::ResourceManager;
use resource_provider::azure::{AzurePorts, AzureSettings};
use resource_provider::documents::ScaleInfo;
use resource_provider::ports::{ErrorClass, PortError};
use serde_json::{Value, json};

use super::azurite::Azurite;

/// Ours, where things are made.
pub const OURS: &str = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/local/providers";
/// The customer's.
pub const FHIR: &str =
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/Microsoft.HealthcareApis";

/// The stand-ins, and the ports before them.
pub struct Cloud {
    pub resource_manager: ResourceManager,
    pub vault: KeyVault,
    pub credentials: Credentials,
    pub azurite: Option<Azurite>,
    pub ports: Arc<AzurePorts>,
    /// Trusts the stand-ins.
    pub http: reqwest::Client,
}

/// Gives tokens that say what they are for, and prove nothing.
#[derive(Debug)]
pub struct Tokens;

#[async_trait]
impl TokenCredential for Tokens {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let now = OffsetDateTime::now_utc();
        let claims = json!({
            "aud": scopes[0].trim_end_matches("/.default"),
            "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000001/",
            "iat": now.unix_timestamp() - 60, "nbf": now.unix_timestamp() - 60, "exp": now.unix_timestamp() + 3600,
        });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("{}.{}.bm9uZQ", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
        Ok(AccessToken::new(token, now + Duration::from_secs(3600)))
    }
}

/// Whether a token is for `audience`.
pub fn is_for(audience: &'static str) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    move |token| {
        let claims = token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
        claims["aud"] == audience
    }
}

impl Cloud {
    /// A cluster, a vault and a FHIR service, and nothing that we made.
    pub async fn start() -> Cloud {
        Cloud::start_with(patient()).await
    }

    pub async fn start_with(settings: AzureSettings) -> Cloud {
        Cloud::over(&PrivateCa::new().unwrap(), settings, None).await
    }

    /// One with a blob storage; none without the component.
    pub async fn with_storage() -> Option<Cloud> {
        let ca = PrivateCa::new().unwrap();
        let azurite = Azurite::start(&ca)?;
        Some(Cloud::over(&ca, patient(), Some(azurite)).await)
    }

    async fn over(ca: &PrivateCa, settings: AzureSettings, azurite: Option<Azurite>) -> Cloud {
        let resource_manager = ResourceManager::start(ca, is_for("https://management.azure.com")).await.unwrap();
        let vault = KeyVault::start(ca, is_for("https://vault.azure.net")).await.unwrap();
        let credentials = Credentials::start(ca, is_for("https://identity.azure.net")).await.unwrap();
        let group = OURS.trim_end_matches("/providers");
        resource_manager.put_existing(group, json!({ "location": "westus2" }));
        let issuer = json!({ "oidcIssuerProfile": { "enabled": true, "issuerURL": "https://oidc.example/c/" } });
        let cluster = json!({ "location": "westus2", "properties": issuer });
        resource_manager.put_existing(&format!("{OURS}/Microsoft.ContainerService/managedClusters/local"), cluster);
        resource_manager.put_existing(&format!("{OURS}/Microsoft.KeyVault/vaults/local"), json!({}));
        let properties = json!({
            "provisioningState": "Succeeded",
            "authenticationConfiguration": { "audience": "https://audience.example" },
        });
        let service = json!({ "location": "West US 2", "kind": "fhir-R4", "properties": properties });
        resource_manager.put_existing(&format!("{FHIR}/services/fhir1"), service);
        let settings = AzureSettings {
            resource_manager: resource_manager.url().parse().unwrap(),
            vaults: vault.url().parse().unwrap(),
            blobs: azurite.as_ref().map_or("https://localhost:1", Azurite::url).parse().unwrap(),
            credential_domains: vec!["localhost".to_owned()],
            trusted_authorities: ca.pem().into_bytes(),
            // Its own test is beside it.
            identities_per_second: 1000,
            ..settings
        };
        let ports = Arc::new(AzurePorts::new(settings, Arc::new(Tokens)).unwrap());
        let roots = reqwest::Certificate::from_pem_bundle(ca.pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().no_gzip().tls_certs_merge(roots).build().unwrap();
        Cloud { resource_manager, vault, credentials, azurite, ports, http }
    }
}

/// Waits for what takes some looks.
fn patient() -> AzureSettings {
    AzureSettings { operation_wait: Duration::from_secs(10), ..AzureSettings::default() }
}

/// The place that the allocation of a cloud in memory gives.
pub fn place() -> ScaleInfo {
    ScaleInfo {
        subscription_id: "00000000-0000-4000-8000-000000000001".to_owned(),
        aks_cluster_resource_id: format!("{OURS}/Microsoft.ContainerService/managedClusters/local"),
        event_hub_namespace_resource_id: format!("{OURS}/Microsoft.EventHub/namespaces/ehn-ioc-w1"),
        key_vault_resource_id: format!("{OURS}/Microsoft.KeyVault/vaults/local"),
    }
}

/// More tries than anything needs here.
const TRIES_MAX: usize = 20;

/// Does something again while that can help, as the worker does.
pub async fn settled<T, F: Future<Output = Result<T, PortError>>>(mut act: impl FnMut() -> F) -> Result<T, PortError> {
    for _ in 0..TRIES_MAX {
        match act().await {
            Err(error) if error.class != ErrorClass::Permanent => {}
            done => return done,
        }
    }
    act().await
}
