//! Hubs and secrets, as the spec of an `IotConnector` names them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns::{CONSUMER_GROUP, HOST, HUB, KEY, NAME};

/// Where a secret is; never the secret itself.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.keyVaultSecret) != has(self.secretName) && has(self.secretName) == has(self.secretKey)").message("expected either secretName and secretKey, or keyVaultSecret"))]
pub struct SecretReference {
    /// A Secret of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = NAME))]
    pub secret_name: Option<String>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = KEY))]
    pub secret_key: Option<String>,
    /// A secret of the key vault in `keyVault`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 127), regex(pattern = r"^[0-9a-zA-Z-]+$"))]
    pub key_vault_secret: Option<String>,
}

/// The hub of the customer's device events.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.epoch >= oldSelf.epoch").message("epoch never goes back: positions of an earlier epoch are another hub's"),
    validation = Rule::new("self.epoch > oldSelf.epoch || (self.eventHub.fullyQualifiedNamespace.lowerAscii() == oldSelf.eventHub.fullyQualifiedNamespace.lowerAscii() && self.eventHub.name.lowerAscii() == oldSelf.eventHub.name.lowerAscii() && self.eventHub.consumerGroup.lowerAscii() == oldSelf.eventHub.consumerGroup.lowerAscii())").message("another hub needs a higher epoch, so that it is read from its beginning"),
    validation = Rule::new("!has(self.authentication) || !has(self.authentication.type) || self.authentication.type != 'Development' || (has(self.customEndpoint) && self.customEndpoint != '')").message("authentication Development needs a customEndpoint")
)]
pub struct Source {
    /// Raised by one when another hub is to be read: normalize becomes a new workload with positions of its own,
    /// and reads the new hub from its beginning.
    #[serde(default = "first_epoch")]
    #[schemars(range(min = 1, max = 999_999))]
    pub epoch: i64,
    /// The hub.
    pub event_hub: SourceEventHub,
    /// As whom it is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<SourceAuthentication>,
    /// Another address to dial, for a local stack: `amqp://127.0.0.1:5672`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^amqps?://[^\s/?#]+/?$"))]
    pub custom_endpoint: Option<String>,
}

fn first_epoch() -> i64 {
    1
}

/// The Event Hub, or the built-in endpoint of an IoT Hub.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceEventHub {
    /// Host name of its namespace.
    #[schemars(length(max = 253), regex(pattern = HOST))]
    pub fully_qualified_namespace: String,
    /// Its name.
    #[schemars(length(max = 256), regex(pattern = HUB))]
    pub name: String,
    /// The consumer group that only this connector reads with.
    #[serde(default = "default_group")]
    #[schemars(length(max = 50), regex(pattern = CONSUMER_GROUP))]
    pub consumer_group: String,
    /// How many partitions it has: no workload gets more replicas.
    #[schemars(range(min = 1, max = 2000))]
    pub partition_count: i64,
}

fn default_group() -> String {
    "$default".to_owned()
}

/// How the customer's hub is opened.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'ConnectionString' || has(self.connectionString)").message("type ConnectionString needs a connectionString"))]
pub struct SourceAuthentication {
    /// Default: `ExternalIdentity` when `identity.external` has a client id, else as `identity.type` says.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<SourceAuthenticationType>,
    /// The Event Hubs-compatible connection string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_string: Option<SecretReference>,
}

/// As whom the customer's hub is opened.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum SourceAuthenticationType {
    WorkloadIdentity,
    ManagedIdentity,
    ExternalIdentity,
    ConnectionString,
    Development,
}

/// The hub between the two functions.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.authentication) || !has(self.authentication.type) || self.authentication.type != 'Development' || (has(self.customEndpoint) && self.customEndpoint != '')").message("authentication Development needs a customEndpoint"))]
pub struct InternalHub {
    /// The hub.
    pub event_hub: InternalEventHub,
    /// As whom it is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<InternalAuthentication>,
    /// Another address to dial, for a local stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^amqps?://[^\s/?#]+/?$"))]
    pub custom_endpoint: Option<String>,
}

/// The internal Event Hub.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternalEventHub {
    /// Host name of its namespace.
    #[schemars(length(max = 253), regex(pattern = HOST))]
    pub fully_qualified_namespace: String,
    /// Its name.
    #[schemars(length(max = 256), regex(pattern = HUB))]
    pub name: String,
    /// How many partitions it has.
    #[schemars(range(min = 1, max = 2000))]
    pub partition_count: i64,
}

/// How the internal hub is opened.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.type) || self.type != 'ConnectionString' || has(self.connectionString)").message("type ConnectionString needs a connectionString"))]
pub struct InternalAuthentication {
    /// Default: as `identity.type` says.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<InternalAuthenticationType>,
    /// Its connection string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_string: Option<SecretReference>,
}

/// As whom the internal hub is opened.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum InternalAuthenticationType {
    WorkloadIdentity,
    ManagedIdentity,
    ConnectionString,
    Development,
}

/// Where rejected events and measurements go in place of `storage.containers.deadLetters`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    /// An Event Hub.
    pub event_hub: DeadLetterEventHub,
}

/// The Event Hub of dead letters.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterEventHub {
    /// Host name of its namespace.
    #[schemars(length(max = 253), regex(pattern = HOST))]
    pub fully_qualified_namespace: String,
    /// Its name.
    #[schemars(length(max = 256), regex(pattern = HUB))]
    pub name: String,
}
