//! The resource `Fhir`: one FHIR server, Microsoft's or another that reads the
//! same settings, as the values of `helm/fhir-service` describe it, one to one.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fhir_parts::{
    Audit, Authentication, Authorization, DataStore, Export, Reindex, Resources, SecretKey, Telemetry,
};
use super::patterns::{GUID, NAME};
use super::status::Status;

/// What one FHIR server is to be.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "iotconnector.health",
    version = "v1alpha1",
    kind = "Fhir",
    plural = "fhirs",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    doc = "One FHIR server.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "FHIR", type_ = "string", json_path = ".spec.fhirVersion"),
    printcolumn(name = "Domain", type_ = "string", json_path = ".spec.ingress.domain"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 50").message("the name begins with a letter, has small letters, digits and hyphens only, and 50 characters at most")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.fhirVersion) || !has(oldSelf.fhirVersion) || self.fhirVersion == oldSelf.fhirVersion").message("fhirVersion never changes: what is stored is of that version"))]
pub struct FhirSpec {
    /// The version of FHIR. Chooses the image, unless that is given.
    #[serde(default)]
    pub fhir_version: ServedVersion,
    /// What the pods run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// How many pods. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i64>,
    /// How pods are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// How it is reached within the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// How it is reached from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// As whom the server opens its database and storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<ServerIdentity>,
    /// Where resources are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_store: Option<DataStore>,
    /// Whether callers must show a token, and whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// What callers may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// What is noted of calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Logs and metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
    /// The operation `$export`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
    /// The operation `$reindex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reindex: Option<Reindex>,
    /// More settings of the server, such as `FhirServer__CoreFeatures__SupportsBatch`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The same, with values of Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_environment: BTreeMap<String, SecretKey>,
    /// What the pods ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A version of FHIR that there is an image of.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ServedVersion {
    Stu3,
    #[default]
    R4,
    R4B,
    R5,
}

/// A container image.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Default: of the platform, by `fhirVersion`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^([A-Za-z0-9.-]+:[0-9]+/)?[a-z0-9]+([._/-]+[a-z0-9]+)*$"))]
    pub repository: Option<String>,
    /// Its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9_][-._A-Za-z0-9]{0,127}$"))]
    pub tag: Option<String>,
    /// Its digest, in place of the tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// When it is pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
}

/// When an image is pulled.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// How pods are replaced.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'Recreate' || (!has(self.maxSurge) && !has(self.maxUnavailable))").message("type Recreate knows no maxSurge and maxUnavailable"))]
pub struct Strategy {
    /// Default: `RollingUpdate`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<StrategyType>,
    /// A number or a percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+%?$"))]
    pub max_surge: Option<String>,
    /// A number or a percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+%?$"))]
    pub max_unavailable: Option<String>,
}

/// The kinds of [`Strategy`].
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum StrategyType {
    RollingUpdate,
    Recreate,
}

/// The Service.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Default: 80.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i64>,
    /// The port that the server listens on. Default: 8080.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65_535))]
    pub target_port: Option<i64>,
    /// Its kind.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceType>,
}

/// The kinds of [`Service`].
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// An address within the cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
}

/// The Ingress.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.enabled || has(self.domain)").message("domain is needed"),
    validation = Rule::new("!self.enabled || (has(self.tls) && has(self.tls.secretName)) || (has(self.allowPlainHttp) && self.allowPlainHttp)").message("tls.secretName is needed: patient data would be sent in plain text")
)]
pub struct Ingress {
    /// Whether there is one.
    #[serde(default)]
    pub enabled: bool,
    /// The IngressClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub class_name: Option<String>,
    /// The host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub domain: Option<String>,
    /// The Service that requests go to. Default: the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub service: Option<String>,
    /// Its port. Default: that of the server's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i64>,
    /// The certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whether a domain without a certificate is meant, because TLS ends before the Ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_plain_http: Option<bool>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A certificate.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Its Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub secret_name: Option<String>,
}

/// As whom the server opens what it needs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'None' || has(self.clientId)").message("clientId is needed, unless type is None"),
    validation = Rule::new("self.type != 'AadPodIdentity' || has(self.resourceId)").message("type AadPodIdentity needs resourceId")
)]
pub struct ServerIdentity {
    /// What the pods are.
    #[serde(rename = "type", default)]
    pub kind: ServerIdentityType,
    /// Its client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = GUID))]
    pub client_id: Option<String>,
    /// Its resource id, for `AadPodIdentity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/subscriptions/\S+$"))]
    pub resource_id: Option<String>,
    /// Its tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = GUID))]
    pub tenant_id: Option<String>,
}

/// The kinds of [`ServerIdentity`].
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerIdentityType {
    /// A service account that is federated with the identity.
    WorkloadIdentity,
    /// The retired one, which makes an AzureIdentity and an AzureIdentityBinding.
    AadPodIdentity,
    /// None.
    #[default]
    None,
}
