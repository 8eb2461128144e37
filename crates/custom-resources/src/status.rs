//! What the operator says of a resource.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The status of an `IotConnector` or a `Fhir`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The generation that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and of what it is made: `Rendered`, `Applied`, `Scaling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How many FHIR servers it writes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<i64>,
    /// What runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub workloads: Vec<WorkloadStatus>,
    /// All objects that were made, or are about to be. What is not rendered any more is removed by its uid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub inventory: Vec<InventoryItem>,
}

/// One Deployment.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// `normalize`, `group-convert` or `fhir-server`.
    pub kind: String,
    /// The destination that it writes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Name of the Deployment.
    pub name: String,
    /// Its uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Whether it does what it should: its generation was observed and it has its minimum available, or KEDA
    /// scaled it to zero.
    pub ready: bool,
    /// How many replicas it is to have now.
    #[serde(default)]
    pub replicas: i32,
    /// How many of them are available.
    #[serde(default)]
    pub available_replicas: i32,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// An object that the operator made or is about to make, in the namespace of the resource.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryItem {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}
