//! Mappings and destinations, as the spec of an `IotConnector` names them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hub::SecretReference;
use super::patterns::{CONSUMER_GROUP, CONTAINER, KEY, NAME};

/// The mappings that belong to no destination.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mappings {
    /// The device mapping.
    pub device: Mapping,
}

/// A mapping document, in exactly one of three forms.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.blob) ? 1 : 0) + (has(self.configMap) ? 1 : 0) + (has(self.content) ? 1 : 0) == 1").message("expected exactly one of blob, configMap and content"))]
pub struct Mapping {
    /// A blob of `storage.containers.mappings`; looked at again every minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub blob: Option<String>,
    /// A ConfigMap of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapReference>,
    /// The document itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    // What the resource provider takes (resource-provider.md 4.13).
    #[schemars(length(min = 2, max = 524_288))]
    pub content: Option<String>,
    /// Any text that is another with another mapping, such as its hash: pods start anew when it changes, so that a
    /// blob is in use when they are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[0-9A-Za-z:._+/=-]+$"))]
    pub version: Option<String>,
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapReference {
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub name: String,
    /// The key. Default: `devicecontent.json` and `fhirmapping.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = KEY))]
    pub key: Option<String>,
}

/// One FHIR server, with a workload and a consumer group of its own.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.workloadName) ? self.workloadName : '') == (has(oldSelf.workloadName) ? oldSelf.workloadName : '')").message("workloadName never changes: positions are called so, and a new name reads everything again. Make another destination"),
    validation = Rule::new("(has(self.consumerGroup) ? self.consumerGroup.lowerAscii() : 'dst-' + self.name) == (has(oldSelf.consumerGroup) ? oldSelf.consumerGroup.lowerAscii() : 'dst-' + oldSelf.name)").message("consumerGroup never changes: positions are those of a group, and another reads everything again. Make another destination")
)]
pub struct Destination {
    /// Names it within the connector.
    #[schemars(length(max = 40), regex(pattern = CONTAINER))]
    pub name: String,
    /// The consumer group of the internal hub. Default: `dst-<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50), regex(pattern = CONSUMER_GROUP))]
    pub consumer_group: Option<String>,
    /// The name of its workload. Default: `<connector>-convert-<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = CONTAINER))]
    pub workload_name: Option<String>,
    /// The FHIR mapping.
    pub mapping: Mapping,
    /// The server.
    pub fhir: FhirServer,
    /// How Device and Patient are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_resolution: Option<IdentityResolution>,
    /// What is gathered before it is written, whichever comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// More app settings of its workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// A FHIR server.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FhirServer {
    /// Its base URL.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s/?#]+(/[^\s?#]*)?$"))]
    pub url: String,
    /// What tokens are for. Default: the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub audience: Option<String>,
    /// The version of FHIR that it speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<FhirVersion>,
    /// As whom it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<FhirAuthentication>,
}

/// A version of FHIR.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FhirVersion {
    #[default]
    R4,
}

/// As whom a FHIR server is called.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'ClientCredentials' || (has(self.authority) && has(self.clientId) && has(self.clientSecret))").message("type ClientCredentials needs authority, clientId and clientSecret"))]
pub struct FhirAuthentication {
    /// Default: `ExternalIdentity` when `identity.external` has a client id, else as `identity.type` says.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FhirAuthenticationType>,
    /// Where tokens come from, for `ClientCredentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s?#]+$"))]
    pub authority: Option<String>,
    /// The app's client id, for `ClientCredentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub client_id: Option<String>,
    /// The app's secret, for `ClientCredentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretReference>,
}

/// The kinds of [`FhirAuthentication`].
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FhirAuthenticationType {
    ExternalIdentity,
    WorkloadIdentity,
    ManagedIdentity,
    ClientCredentials,
    None,
}

/// How Device and Patient are found.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityResolution {
    /// Default: `Lookup`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ResolutionType>,
    /// The system of a Device's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub device_identifier_system: Option<String>,
}

/// The kinds of [`IdentityResolution`].
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ResolutionType {
    Lookup,
    Create,
    LookupWithEncounter,
}

/// What is gathered before it is written.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Default: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_events: Option<i64>,
    /// Default: 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub seconds: Option<i64>,
    /// Default: 8388608.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 67_108_864))]
    pub max_bytes: Option<i64>,
}
