//! The settings of a FHIR server, as the spec of a `Fhir` names them. The chart
//! `helm/fhir-service` gives them the names that the server knows.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns::{KEY, NAME};

/// A key of a Secret of the namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub secret_name: String,
    /// The key.
    #[schemars(length(max = 253), regex(pattern = KEY))]
    pub secret_key: String,
}

/// Where resources are stored.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type != 'SqlServer' || has(self.connectionString)").message("type SqlServer needs connectionString"),
    validation = Rule::new("self.type != 'CosmosDb' || has(self.host)").message("type CosmosDb needs host")
)]
pub struct DataStore {
    /// Default: as the image says.
    #[serde(rename = "type", default)]
    pub kind: DataStoreType,
    /// The database, for `SqlServer`. It holds no password where the server's identity opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_string: Option<SecretKey>,
    /// The account, for `CosmosDb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https://[^\s?#]+$"))]
    pub host: Option<String>,
    /// Its key, for `CosmosDb`. Without, the server's identity opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretKey>,
    /// Whether the server makes and upgrades the schema itself, for `SqlServer`. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic_schema: Option<bool>,
}

/// The kinds of [`DataStore`].
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataStoreType {
    /// As the image says.
    #[default]
    Image,
    /// A SQL database.
    SqlServer,
    /// A Cosmos DB account.
    CosmosDb,
}

/// Whether callers must show a token, and whose.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whose tokens are taken. Needed, here or in the platform's defaults, unless `enabled` is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https://[^\s?#]+$"))]
    pub authority: Option<String>,
    /// What tokens must be for. Needed as `authority` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^\S*$"))]
    pub audience: Option<String>,
}

/// What callers may do: role-based access control.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// Default: as `authentication.enabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The claim of a token that names its roles. Default: `roles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub roles_claim: Option<String>,
    /// The roles. Default: those of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub roles: Vec<Role>,
}

/// A role.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// What it allows: `*`, `read`, `write`, `delete`, `export` and so on.
    #[schemars(length(min = 1, max = 50))]
    pub data_actions: Vec<String>,
    /// What it does not allow, out of what `dataActions` does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub not_data_actions: Vec<String>,
}

/// What is noted of calls.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Headers of requests with this prefix are noted. Default: `X-MS-AZUREFHIR-AUDIT-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9-]{1,100}$"))]
    pub custom_header_prefix: Option<String>,
}

/// Logs and metrics.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Telemetry {
    /// What is logged. Default: `Information`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// Where telemetry goes. Default: `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<TelemetryProvider>,
    /// The connection string of Application Insights or Azure Monitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_string: Option<SecretKey>,
    /// Metrics for Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Prometheus>,
}

/// What is logged.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum LogLevel {
    Trace,
    Debug,
    Information,
    Warning,
    Error,
    Critical,
}

/// Where telemetry goes.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum TelemetryProvider {
    None,
    ApplicationInsights,
    OpenTelemetry,
}

/// Metrics for Prometheus.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Default: 1234.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65_535))]
    pub port: Option<i64>,
}

/// The operation `$export`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.enabled) || !self.enabled || (has(self.storageAccountUri) != has(self.storageAccountConnection))").message("expected either storageAccountUri or storageAccountConnection"))]
pub struct Export {
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The storage account, which the server's identity opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https://[^\s?#]+$"))]
    pub storage_account_uri: Option<String>,
    /// Its connection string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_account_connection: Option<SecretKey>,
    /// How many exports run at once in a pod. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub maximum_concurrent_jobs: Option<i64>,
}

/// The operation `$reindex`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reindex {
    /// Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Threads of one reindexing. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub maximum_threads: Option<i64>,
    /// Resources that one query reads. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub maximum_resources_per_query: Option<i64>,
    /// Milliseconds between two queries. Default: 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3_600_000))]
    pub query_delay_milliseconds: Option<i64>,
    /// Failures in a row after which it ends. Default: 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub consecutive_failures_threshold: Option<i64>,
}

/// What a pod asks for, as Kubernetes writes it: `cpu: 500m`, `memory: 1Gi`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// At least.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
    /// At most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
}
