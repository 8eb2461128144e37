//! What a platform says of its connectors: what a [`ConnectorSpec`] does not carry
//! because it is the same for all of them.

use arm::DocumentId;
use arm::gen2::{IngestionEndpoint, Resolution};
use custom_resources::identity::IdentityType;
use custom_resources::scaling::LagSource;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::resource::{laid_out, resource};
use crate::documents::{Certificate, InternalIdentity, ScaleInfo};
use crate::ports::{ConnectorSpec, DestinationSpec};

/// What all connectors of a platform share.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// `namespace`: of connectors, in each cluster; it has to be there. Default:
    /// `iot-connectors`.
    pub namespace: String,
    /// `identity`: what the pods are. Default: `WorkloadIdentity`.
    pub identity: IdentityType,
    /// `tenantId`: the tenant of the workspaces' identities. Default: whatever
    /// the cluster knows.
    pub tenant_id: Option<String>,
    /// `authorityHost`: where tokens of external identities come from, when that
    /// is not Azure's public cloud.
    pub authority_host: Option<String>,
    /// `eventHubsSuffix`: what namespaces of internal hubs end with. Default:
    /// `servicebus.windows.net`.
    pub event_hubs_suffix: String,
    /// `storageSuffix`: as the chart's `storage.endpointSuffix`.
    pub storage_suffix: String,
    /// `internalPartitions`: how many partitions internal hubs are made with.
    /// Default: 4.
    pub internal_partitions: u32,
    /// `sourcePartitions`: how many a customer's hub is taken to have, whose
    /// number nobody is told: no more replicas read it. Default: 32, the most of
    /// the tier Standard.
    pub source_partitions: u32,
    /// `lagSource`: who reads the lag. Default: `operator`, since customers grant
    /// nothing to KEDA.
    pub lag_source: LagSource,
    /// `connector`: members of the spec of every `IotConnector`, over all else.
    pub connector: Map<String, Value>,
    /// `destination`: members of every destination, over all else.
    pub destination: Map<String, Value>,
}

impl Default for ClusterSettings {
    fn default() -> ClusterSettings {
        ClusterSettings {
            namespace: "iot-connectors".to_owned(),
            identity: IdentityType::default(),
            tenant_id: None,
            authority_host: None,
            event_hubs_suffix: "servicebus.windows.net".to_owned(),
            storage_suffix: "core.windows.net".to_owned(),
            internal_partitions: 4,
            source_partitions: 32,
            lag_source: LagSource::Operator,
            connector: Map::new(),
            destination: Map::new(),
        }
    }
}

/// Settings that make no connector.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// A value that a connector does not take.
    #[error("the settings `connector` and `destination` make no IotConnector")]
    Spec(#[source] serde_json::Error),
    /// Names that a connector does not have.
    #[error("a connector has no {}", .0.join(", "))]
    Unknown(Vec<String>),
}

impl ClusterSettings {
    /// Tries whether connectors can be made of them.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`].
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let (connector, place) = example();
        let made = resource(&connector, &place, self)?;
        let made = serde_json::to_value(made.spec).map_err(InvalidSettings::Spec)?;
        let mut unknown = Vec::new();
        find_missing(&laid_out(&connector, &place, self), &made, "", &mut unknown);
        if unknown.is_empty() { Ok(()) } else { Err(InvalidSettings::Unknown(unknown)) }
    }
}

/// The names that are in one value and not in another.
fn find_missing(asked: &Value, made: &Value, path: &str, missing: &mut Vec<String>) {
    match (asked, made) {
        (Value::Object(asked), made) => {
            for (name, value) in asked {
                match made.get(name) {
                    Some(made) => find_missing(value, made, &format!("{path}{name}."), missing),
                    None if is_nothing(value) => {}
                    None => missing.push(format!("`{path}{name}`")),
                }
            }
        }
        (Value::Array(asked), Value::Array(made)) => {
            for (asked, made) in asked.iter().zip(made) {
                find_missing(asked, made, path, missing);
            }
        }
        _ => {}
    }
}

/// What is left out when it is written.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

/// A connector and its place, for trying.
pub(super) fn example() -> (ConnectorSpec, ScaleInfo) {
    let id = DocumentId::from_random(0);
    let guid = "00000000-0000-0000-0000-000000000000".to_owned();
    let connector = ConnectorSpec {
        name: format!("iotn-{id}"),
        endpoint: IngestionEndpoint {
            event_hub_name: "hub".to_owned(),
            consumer_group: None,
            fully_qualified_event_hub_namespace: "example.servicebus.windows.net".to_owned(),
        },
        has_own_hub: false,
        epoch: 1,
        internal_hub: format!("nd-{id}"),
        storage_account: "ioc0".to_owned(),
        internal_identity: InternalIdentity {
            name: "id-ioc-0".to_owned(),
            resource_id: "/subscriptions/0".to_owned(),
            client_id: guid.clone(),
            principal_id: guid.clone(),
        },
        certificate: Some(Certificate {
            uri: "https://vault.example/certificates/mi-0".to_owned(),
            version: "0".to_owned(),
            client_id: guid.clone(),
            tenant_id: guid,
            renew_after: "9999-01-01T00:00:00Z".to_owned(),
        }),
        device_mapping: "devicemapping.json".to_owned(),
        device_mapping_hash: "sha256:0".to_owned(),
        destinations: vec![DestinationSpec {
            name: format!("iotd-{id}"),
            consumer_group: format!("dst-{id}"),
            fhir_url: "https://fhir.example".to_owned(),
            fhir_audience: None,
            resolution: Resolution::Lookup,
            fhir_mapping: "fhirmapping.json".to_owned(),
            fhir_mapping_hash: "sha256:0".to_owned(),
        }],
        is_suspended: false,
    };
    let place = ScaleInfo {
        subscription_id: "0".to_owned(),
        aks_cluster_resource_id: "/subscriptions/0".to_owned(),
        event_hub_namespace_resource_id: "/subscriptions/0/ehn-ioc-0".to_owned(),
        key_vault_resource_id: "/subscriptions/0".to_owned(),
    };
    (connector, place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(text: Value) -> ClusterSettings {
        serde_json::from_value(text).expect("settings")
    }

    #[test]
    fn says_what_no_connector_has() {
        let said =
            |text: Value| settings(text).check().map_err(|error| custom_resources::error_text::error_text(&error));
        assert_eq!(said(json!({})), Ok(()));
        let scaling = json!({ "scaling": { "pollingInterval": 5 }, "settings": { "Answer__Fates": "true" } });
        assert_eq!(said(json!({ "connector": scaling, "destination": { "window": { "seconds": 2 } } })), Ok(()));
        let unknown = json!({ "connector": { "scaling": { "poling": 5 } }, "destination": { "windows": {} , "a": 1 } });
        assert_eq!(said(unknown), Err("a connector has no `destinations.a`, `scaling.poling`".to_owned()));
        let wrong = said(json!({ "connector": { "scaling": { "pollingInterval": "often" } } })).unwrap_err();
        assert!(wrong.starts_with("the settings `connector` and `destination` make no IotConnector: "), "{wrong}");
    }

    #[test]
    fn a_setting_that_nobody_reads_is_refused() {
        let wrong = serde_json::from_value::<ClusterSettings>(json!({ "namspace": "ward" }));
        assert!(wrong.is_err_and(|error| error.to_string().contains("namspace")));
    }
}
