//! What was made for a resource, and where (resource-provider.md 4.8 to 4.11).
//! Names and ids are stored before they are used, and never made anew.

use std::collections::BTreeMap;

use arm::gen2::Sku;
use serde::{Deserialize, Serialize};

/// Where the things of a workspace are placed; the allocation service says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleInfo {
    /// The subscription of ours.
    pub subscription_id: String,
    /// The cluster.
    pub aks_cluster_resource_id: String,
    /// The namespace of the workspace.
    pub event_hub_namespace_resource_id: String,
    /// The vault of certificates.
    pub key_vault_resource_id: String,
}

/// What was made for a resource; each is there once its name is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Infrastructure {
    /// Of a workspace: the SKU that its place was chosen for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed_for: Option<Sku>,
    /// Of a workspace: the group that holds the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    /// Of a workspace: its storage account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_account: Option<String>,
    /// Of a workspace: the namespace of internal hubs, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_hub_namespace: Option<String>,
    /// Of a workspace: the identity by which everything internal is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_identity: Option<InternalIdentity>,
    /// Of a connector: the hub of measurements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_hub_name: Option<String>,
    /// Of a Gen1 connector: the hub that devices send to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_hub_name: Option<String>,
    /// Of a destination: the consumer group on that hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_group: Option<String>,
    /// Of role assignments: the ids, by what is granted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub role_assignments: RoleAssignments,
    /// Of a connector: the certificate of its external identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Of a connector or destination: the blob of its mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_blob: Option<String>,
    /// Of a connector or destination: its workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesObject>,
    /// Of a destination or Gen1 connector: its FHIR service, as it was found when
    /// its workload was last made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fhir_service: Option<FhirAddress>,
    /// Of a connector: whether the cluster was last told to let it stand; none
    /// before the cluster was told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_suspended: Option<bool>,
    /// Whether a change failed and what was good could not be brought back: the
    /// sweeper has it tried again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_half_changed: bool,
    /// Of a connector that is being removed: whether it needs the workspace's namespace
    /// no more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_left_namespace: bool,
}

/// The ids of role assignments, by what is granted: `hubSender`.
pub type RoleAssignments = BTreeMap<String, String>;

/// An identity of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternalIdentity {
    /// Its name.
    pub name: String,
    /// Its resource id.
    #[serde(default)]
    pub resource_id: String,
    /// As whom it signs in.
    #[serde(default)]
    pub client_id: String,
    /// Whom roles are granted.
    #[serde(default)]
    pub principal_id: String,
}

/// Where a FHIR service is. It is not ours, and may be gone by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FhirAddress {
    /// Its resource id.
    pub resource_id: String,
    /// Its base URL.
    pub url: String,
    /// What tokens for it have to be for, where that is not its base URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// A certificate in the vault. The key is there and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Where it is, without a version.
    pub uri: String,
    /// Which version was stored last.
    pub version: String,
    /// As whom it signs in.
    pub client_id: String,
    /// In which tenant.
    pub tenant_id: String,
    /// When it is to be renewed, RFC 3339.
    pub renew_after: String,
}

/// What the cluster calls a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesObject {
    /// The key of just this object.
    pub uid: String,
    /// What people call it.
    pub name: String,
}
