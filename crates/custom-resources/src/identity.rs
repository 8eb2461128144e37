//! Identities, storage and vault, as the spec of an `IotConnector` names them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hub::SecretReference;
use super::patterns::{CONTAINER, GUID, HOST, NAME};

/// The storage account of positions, mappings, dead letters and what is parked.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its name.
    #[schemars(regex(pattern = r"^[a-z0-9]{3,24}$"))]
    pub account_name: String,
    /// Default: `core.windows.net`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = HOST))]
    pub endpoint_suffix: Option<String>,
    /// The address of its blobs, when that is not `https://<accountName>.blob.<endpointSuffix>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s?#]+$"))]
    pub blob_service_uri: Option<String>,
    /// As whom it is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<StorageAuthentication>,
    /// Names of containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Containers>,
}

/// How the storage account is opened.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.type) && self.type == 'Sas') == has(self.sas)").message("sas is needed by type Sas, and by no other"))]
pub struct StorageAuthentication {
    /// Default: as `identity.type` says.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<StorageAuthenticationType>,
    /// The query of a shared access signature, without `?`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sas: Option<SecretReference>,
    /// The account's connection string, for the Functions host and for KEDA where they cannot take an identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_string: Option<SecretReference>,
}

/// The kinds of [`StorageAuthentication`].
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum StorageAuthenticationType {
    WorkloadIdentity,
    ManagedIdentity,
    Sas,
}

/// Names of containers. Those of positions are called as their workload.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Containers {
    /// Default: `mappings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = CONTAINER))]
    pub mappings: Option<String>,
    /// Default: `dead-letters`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = CONTAINER))]
    pub dead_letters: Option<String>,
    /// Where measurements wait whose Device or Patient is not known yet. Empty: they are rejected at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^$|^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub parking: Option<String>,
}

/// What the pods are, and as whom they open what.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'None' || (has(self.internal) && has(self.internal.clientId))").message("internal.clientId is needed, unless type is None"),
    validation = Rule::new("self.type != 'AadPodIdentity' || (has(self.internal) && has(self.internal.resourceId))").message("type AadPodIdentity needs internal.resourceId")
)]
pub struct Identity {
    /// What the pods are.
    #[serde(rename = "type", default)]
    pub kind: IdentityType,
    /// Opens what is the connector's own: internal hub, storage, key vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<InternalIdentity>,
    /// Opens what is the customer's: hub and FHIR server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalIdentity>,
}

/// What pods are.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityType {
    /// A service account that is federated with the identity.
    #[default]
    WorkloadIdentity,
    /// The retired one, which makes an AzureIdentity and an AzureIdentityBinding.
    AadPodIdentity,
    /// None.
    None,
}

/// The internal identity.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternalIdentity {
    /// Its client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = GUID))]
    pub client_id: Option<String>,
    /// Its tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = GUID))]
    pub tenant_id: Option<String>,
    /// Its object id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = GUID))]
    pub object_id: Option<String>,
    /// Its resource id, for `AadPodIdentity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/subscriptions/\S+$"))]
    pub resource_id: Option<String>,
}

/// The external identity.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.certificateUri) || has(self.tenantId)").message("certificateUri needs tenantId"))]
pub struct ExternalIdentity {
    /// Its client id.
    #[schemars(regex(pattern = GUID))]
    pub client_id: String,
    /// Its tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = GUID))]
    pub tenant_id: Option<String>,
    /// A certificate of a key vault, which it shows. Without it is federated with the service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://[^\s/?#]+/certificates/[0-9a-zA-Z-]+(/[0-9a-zA-Z]+)?$"))]
    pub certificate_uri: Option<String>,
    /// Where tokens come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https://[^\s/?#]+(/[^\s?#]*)?$"))]
    pub authority_host: Option<String>,
}

/// The service account of the pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.create) || self.create || has(self.name)").message("without create, name is needed"))]
pub struct ServiceAccount {
    /// Whether it is made. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
    /// Default: the connector's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub name: Option<String>,
    /// More annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The vault of secrets given as `keyVaultSecret`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyVault {
    /// Its name.
    #[schemars(regex(pattern = r"^[a-zA-Z][0-9a-zA-Z-]{1,22}[0-9a-zA-Z]$"))]
    pub name: String,
    /// Its tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = GUID))]
    pub tenant_id: Option<String>,
    /// As whom it is opened. Default: the internal identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = GUID))]
    pub client_id: Option<String>,
}
