//! Scaling, ingest and the Functions host, as the spec of an `IotConnector`
//! names them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hub::SecretReference;
use super::patterns::NAME;

/// How many replicas there are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.normalize) || !has(self.normalize.unprocessedEventThreshold) || self.normalize.unprocessedEventThreshold > 0").message("normalize.unprocessedEventThreshold is at least 1"))]
pub struct Scaling {
    /// Whether KEDA scales. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Who reads the lag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<LagSource>,
    /// Seconds. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub polling_interval: Option<i64>,
    /// Seconds without lag until a workload is scaled to zero. Default: 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub cooldown_period: Option<i64>,
    /// Seconds that a new workload runs in any case, to store its first positions. Default: 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub initial_cooldown_period: Option<i64>,
    /// Of normalize.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<WorkloadScaling>,
    /// Of each group-convert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_convert: Option<WorkloadScaling>,
    /// Replicas when the lag cannot be read three times in a row. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2000))]
    pub fallback_replicas: Option<i64>,
    /// Seconds. Default: 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub scale_down_stabilization_seconds: Option<i64>,
}

/// Who reads the lag.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LagSource {
    /// KEDA, from hub and positions.
    Keda,
    /// The operator as the connector's identity, for hubs on which KEDA has no right.
    Operator,
}

/// Replicas of one workload.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || !has(self.maxReplicas) || self.maxReplicas == 0 || self.minReplicas <= self.maxReplicas").message("minReplicas is above maxReplicas"))]
pub struct WorkloadScaling {
    /// Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2000))]
    pub min_replicas: Option<i64>,
    /// Default, and at most: the partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2000))]
    pub max_replicas: Option<i64>,
    /// How many waiting events each replica is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub unprocessed_event_threshold: Option<i64>,
}

/// How events come in by HTTPS.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingest {
    /// `POST /api/ingest` of normalize.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpIngest>,
}

/// HTTPS ingest.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.enabled || (has(self.host) && has(self.tlsSecretName) && has(self.token))").message("host, tlsSecretName and token are needed"))]
pub struct HttpIngest {
    /// Whether there is any.
    #[serde(default)]
    pub enabled: bool,
    /// The host of the Ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub host: Option<String>,
    /// The IngressClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub class_name: Option<String>,
    /// Annotations of the Ingress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The Secret of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub tls_secret_name: Option<String>,
    /// The bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretReference>,
}

/// How the Functions host gathers events.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionsHost {
    /// Default: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_event_batch_size: Option<i64>,
    /// Default: 65536.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 67_108_864))]
    pub largest_event_bytes: Option<i64>,
}
