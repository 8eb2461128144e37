//! What the ports on Azure are told.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use url::Url;

/// What the ports on Azure are told, as the platform's file has it; the defaults
/// are those of Azure's public cloud.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AzureSettings {
    /// Resource Manager.
    pub resource_manager: Endpoint,
    /// What its tokens are for.
    pub resource_manager_scope: String,
    /// The subscriptions of ours in which resource groups are looked for that have
    /// outlived what they were made for: those of the pools.
    #[serde(skip)]
    pub subscriptions: Vec<String>,
    /// Key vaults.
    pub vaults: Endpoint,
    /// What their tokens are for.
    pub vault_scope: String,
    /// The blobs of storage accounts.
    pub blobs: Endpoint,
    /// The domain of FHIR services.
    pub fhir_domain: String,
    /// Below which domains a credential URL may be: it comes in a header of a
    /// request, and is shown a token of ours.
    pub credential_domains: Vec<String>,
    /// What the tokens for credential URLs are for.
    pub credential_scope: String,
    /// The redundancy of storage accounts. Not every region has zones, so the
    /// default is what all of them have.
    pub storage_sku: String,
    /// How many partitions a hub gets, which the workloads are told too; it never
    /// changes.
    #[serde(skip)]
    pub hub_partitions: u32,
    /// How long a hub keeps events. Seven days is what Standard has at the most.
    pub hub_retention_days: u32,
    /// What is known of clusters, by their resource ids. The rest is asked of
    /// Azure.
    pub clusters: HashMap<String, KnownCluster>,
    /// How many identities are made in a second, by this process (4.9: about
    /// eight in a tenant, so fewer when several processes work).
    pub identities_per_second: u32,
    /// How long one request may take.
    #[serde(rename = "requestLimitSeconds", deserialize_with = "seconds")]
    pub request_limit: Duration,
    /// How long Azure is watched at what it has begun before the step is tried
    /// again later. Below a worker's patience, far above a namespace's usual
    /// minute.
    #[serde(rename = "operationWaitSeconds", deserialize_with = "seconds")]
    pub operation_wait: Duration,
    /// PEM certificates of authorities that are trusted beside the system's: of
    /// a proxy, or of a stand-in.
    #[serde(skip)]
    pub trusted_authorities: Vec<u8>,
}

/// What the platform says of a cluster; what is not said is asked of Azure.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KnownCluster {
    /// Its region.
    pub location: Option<String>,
    /// Who issues its service accounts' tokens.
    pub issuer: Option<String>,
}

impl Default for AzureSettings {
    fn default() -> AzureSettings {
        AzureSettings {
            resource_manager: Endpoint("https://management.azure.com".to_owned()),
            resource_manager_scope: "https://management.azure.com/.default".to_owned(),
            subscriptions: Vec::new(),
            vaults: Endpoint("https://{name}.vault.azure.net".to_owned()),
            vault_scope: "https://vault.azure.net/.default".to_owned(),
            blobs: Endpoint("https://{name}.blob.core.windows.net".to_owned()),
            fhir_domain: "azurehealthcareapis.com".to_owned(),
            credential_domains: vec!["identity.azure.net".to_owned()],
            credential_scope: "https://identity.azure.net/.default".to_owned(),
            storage_sku: "Standard_LRS".to_owned(),
            hub_partitions: 4,
            hub_retention_days: 7,
            clusters: HashMap::new(),
            identities_per_second: 8,
            request_limit: Duration::from_secs(30),
            operation_wait: Duration::from_secs(60),
            trusted_authorities: Vec::new(),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// The address of a service that each account has at a host of its own:
/// `https://{name}.vault.azure.net`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(String);

/// Not the address of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `https://…`, with `{{name}}` where an account's name belongs")]
pub struct InvalidEndpoint;

impl TryFrom<String> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: String) -> Result<Endpoint, InvalidEndpoint> {
        text.parse()
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        let url = Url::parse(&text.replace("{name}", "name")).map_err(|_| InvalidEndpoint)?;
        let is_plain = url.scheme() == "https" && url.query().is_none() && url.fragment().is_none();
        is_plain.then(|| Endpoint(text.trim_end_matches('/').to_owned())).ok_or(InvalidEndpoint)
    }
}

impl Endpoint {
    /// The address itself, of a service that has one for all.
    pub fn address(&self) -> Option<Url> {
        Url::parse(&self.0).ok()
    }

    /// The address of an account; none for a name that makes none.
    pub fn of(&self, name: &str) -> Option<Url> {
        // Names are ours, or an allocation's: nothing else may end up in a host.
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name {
            return None;
        }
        Url::parse(&self.0.replace("{name}", name)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_does_not_say_is_the_public_clouds() {
        let text = r#"{"operationWaitSeconds":5,"vaults":"https://{name}.vault.usgovcloudapi.net",
            "clusters":{"/C":{"issuer":"https://i"}}}"#;
        let settings: AzureSettings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.operation_wait, Duration::from_secs(5));
        assert_eq!(settings.resource_manager.address().unwrap().as_str(), "https://management.azure.com/");
        assert_eq!(settings.vaults.of("v").unwrap().as_str(), "https://v.vault.usgovcloudapi.net/");
        assert_eq!(settings.clusters["/C"].issuer.as_deref(), Some("https://i"));
        for bad in [r#"{"vaults":"http://{name}"}"#, r#"{"vault":"https://v"}"#] {
            assert!(serde_json::from_str::<AzureSettings>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_takes_names_and_nothing_else() {
        let endpoint: Endpoint = "https://{name}.vault.azure.net/".parse().unwrap();
        assert_eq!(endpoint.of("v1").unwrap().as_str(), "https://v1.vault.azure.net/");
        for bad in ["", "a.b", "evil.example/", "a@b", "a:1"] {
            assert_eq!(endpoint.of(bad), None, "{bad}");
        }
        for bad in ["http://{name}.vault.azure.net", "vault.azure.net", "https://{name}.v?x=1"] {
            assert_eq!(bad.parse::<Endpoint>(), Err(InvalidEndpoint), "{bad}");
        }
    }
}
