//! The resource `IotConnector`: one connector, as the values of
//! `helm/iot-connector` describe it, one to one. What belongs to the platform
//! (images, probes, network policies) is not here but in the operator's
//! defaults.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::destination::{Destination, Mappings};
use super::hub::{DeadLetters, InternalHub, Source};
use super::identity::{Identity, KeyVault, ServiceAccount, Storage};
use super::patterns::CONTAINER;
use super::scaling::{FunctionsHost, Ingest, Scaling};
use super::status::Status;

/// What one connector is to be.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "iotconnector.health",
    version = "v1alpha1",
    kind = "IotConnector",
    plural = "iotconnectors",
    shortname = "iotc",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    doc = "One connector: device events of a customer's hub become Observations on one or several FHIR servers.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Destinations", type_ = "integer", json_path = ".status.destinations"),
    printcolumn(name = "Front", type_ = "string", json_path = ".spec.front", priority = 1),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source.eventHub.name", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z][a-z0-9]*(-[a-z0-9]+)*$') && size(self.metadata.name) <= 40").message("the name begins with a letter, has small letters, digits and single hyphens only, and 40 characters at most")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.front == oldSelf.front").message("front never changes: the other one has positions of its own, and would read everything again beside this one. Make another connector"),
    validation = Rule::new("self.internalHub.eventHub.fullyQualifiedNamespace.lowerAscii() == oldSelf.internalHub.eventHub.fullyQualifiedNamespace.lowerAscii() && self.internalHub.eventHub.name.lowerAscii() == oldSelf.internalHub.eventHub.name.lowerAscii()").message("internalHub.eventHub never changes: what waits in it would be lost. Make another connector"),
    validation = Rule::new("(has(self.normalize) && has(self.normalize.workloadName) ? self.normalize.workloadName : '') == (has(oldSelf.normalize) && has(oldSelf.normalize.workloadName) ? oldSelf.normalize.workloadName : '')").message("normalize.workloadName never changes: positions are called so, and a new name reads everything again. Make another connector")
)]
pub struct IotConnectorSpec {
    /// What the connector is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<Connector>,
    /// Who reads the hubs.
    #[serde(default)]
    pub front: Front,
    /// Whether nothing runs: no pods, and KEDA waits. Positions stay.
    #[serde(default)]
    pub suspended: bool,
    /// The customer's hub.
    pub source: Source,
    /// The hub between the two functions, one a connector.
    pub internal_hub: InternalHub,
    /// The storage account of positions, mappings, dead letters and what is parked.
    pub storage: Storage,
    /// Where rejected events and measurements go in place of `storage.containers.deadLetters`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetters>,
    /// The mappings that belong to no destination.
    pub mappings: Mappings,
    /// One FHIR server each. With none there is normalize alone, and what it sends waits in the internal hub.
    // Never left out of the values: the chart has an example there.
    #[serde(default)]
    #[schemars(length(max = 19))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub destinations: Vec<Destination>,
    /// What is normalize's alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalize>,
    /// App settings of all workloads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// How the Functions host gathers events; only for the functions front.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions_host: Option<FunctionsHost>,
    /// What the pods are, and as whom they open what.
    pub identity: Identity,
    /// The service account of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccount>,
    /// The vault of secrets given as `keyVaultSecret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_vault: Option<KeyVault>,
    /// How many replicas there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// How events come in by HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingest: Option<Ingest>,
}

/// What the connector is called.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connector {
    /// Its name in metrics, traces and logs. Default: the resource's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub name: Option<String>,
}

/// Who reads the hubs.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Front {
    /// The processes themselves.
    #[default]
    Native,
    /// The Azure Functions host.
    Functions,
}

/// What is normalize's alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Normalize {
    /// The name of its workload. Default: `<connector>-normalize`, and `-e<epoch>` from the second epoch on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = CONTAINER))]
    pub workload_name: Option<String>,
    /// More app settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}
