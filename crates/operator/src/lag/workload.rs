//! What a workload reads, out of the environment of its Deployment: the chart
//! says there what the pods read, and so what the lag is of.

use std::collections::BTreeMap;

use azure::external_identity::VaultCertificate;
use azure::{CertificateUri, ConnectionString, CredentialSettings, ExternalIdentity};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::EnvVar;
use url::Url;

use super::hosts::AllowedHosts;
use super::identity::FederatedIdentity;
use crate::manifest::COMPONENT;

/// The container of the Functions host's positions.
const HOST_CONTAINER: &str = "azure-webjobs-eventhub";

/// The variable with the SAS that the address of the container refers to.
const STORAGE_SAS: &str = "STORAGE_SAS";

/// The way of opening a hub that says by itself which one.
const CONNECTION_STRING: &str = "ConnectionString";

/// What settings of the hub that normalize reads begin with, and of that which
/// group-convert does. The Functions host has a connection string under this name.
const INPUT: &str = "InputEventHub";
const NORMALIZATION: &str = "NormalizationEventHub";

/// Key of a Secret.
pub type SecretKey = (String, String);

/// The hub that a workload reads, and where it keeps its positions.
pub struct Workload {
    /// Host name of the namespace.
    pub namespace: String,
    /// Name of the hub.
    pub hub: String,
    /// The consumer group.
    pub group: String,
    /// Another address to dial.
    pub custom_endpoint: Option<Url>,
    /// What opens the hub.
    pub opening: Opening,
    /// The container, whose address may carry a SAS.
    pub container: Url,
    /// What opens the container; none with a SAS.
    pub storage: Option<CredentialSettings>,
}

/// Without its address of the container, which may carry a SAS.
impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Workload");
        shown.field("namespace", &self.namespace).field("hub", &self.hub).field("group", &self.group);
        shown.finish_non_exhaustive()
    }
}

/// What opens a hub.
pub enum Opening {
    /// A token.
    Token(Box<CredentialSettings>),
    /// A connection string.
    ConnectionString(Box<ConnectionString>),
}

/// Without what opens it.
impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Opening::Token(_) => "Token",
            Opening::ConnectionString(_) => "ConnectionString",
        })
    }
}

/// Why it cannot be said what a workload reads.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWorkload {
    /// No workload of a connector.
    #[error("its Deployment is none of a connector")]
    NoWorkload,
    /// A setting is not there.
    #[error("its Deployment has no setting `{0}`")]
    Missing(String),
    /// A host that the platform does not let the operator connect to.
    #[error(
        "the setting `{name}` of its Deployment names `{host}`, which the operator may not connect to; expected a host \
         that the platform lists (`lag.allowedHosts`)"
    )]
    HostNotAllowed {
        /// The name of the setting.
        name: String,
        /// Scheme and host, without what opens anything.
        host: String,
    },
    /// Nobody says in which tenant an identity is.
    #[error(
        "nothing says the tenant of the identity `{0}`; expected one of the connector (`identity.internal.tenantId`, \
         `identity.external.tenantId`) or of the platform (`lag.tenantId`)"
    )]
    NoTenant(String),
    /// A setting is nothing that can be used.
    #[error("the setting `{name}` of its Deployment cannot be used: {reason}")]
    Invalid {
        /// Its name.
        name: String,
        /// Why; never with the value.
        reason: String,
    },
}

/// The environment of a Deployment's first container, with what Secrets hold.
pub struct Environment {
    variables: BTreeMap<String, String>,
    prefix: &'static str,
}

/// Names only: some values are secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// The keys of Secrets that the environment of a Deployment refers to, by the
/// variable.
pub fn secret_keys(deployment: &Deployment) -> Vec<(String, SecretKey)> {
    let key = |variable: &EnvVar| {
        let reference = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some((variable.name.clone(), (reference.name.clone(), reference.key.clone())))
    };
    variables(deployment).filter_map(key).filter(|(name, _)| is_needed(name)).collect()
}

/// Of all secrets of a pod only those are read that the lag needs.
fn is_needed(variable: &str) -> bool {
    let hub = variable.strip_suffix("__ConnectionString").unwrap_or(variable);
    [INPUT, NORMALIZATION].contains(&hub) || variable == STORAGE_SAS
}

fn variables(deployment: &Deployment) -> impl Iterator<Item = &EnvVar> {
    let pod = deployment.spec.template.spec.as_ref();
    let container = pod.and_then(|pod| pod.containers.first());
    container.and_then(|container| container.env.as_ref()).into_iter().flatten()
}

impl Environment {
    /// Of a Deployment, with the values of [`secret_keys`].
    pub fn of(deployment: &Deployment, secrets: BTreeMap<String, String>) -> Result<Environment, InvalidWorkload> {
        let component = deployment.metadata.labels.as_ref().and_then(|labels| labels.get(COMPONENT));
        let prefix = match component.map(String::as_str) {
            Some("normalize") => INPUT,
            Some("group-convert") => NORMALIZATION,
            _ => return Err(InvalidWorkload::NoWorkload),
        };
        let mut all = secrets;
        for variable in variables(deployment) {
            if let Some(value) = &variable.value {
                let value = expand(value, &all);
                all.insert(variable.name.clone(), value);
            }
        }
        Ok(Environment { variables: all, prefix })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn needed(&self, name: &str) -> Result<&str, InvalidWorkload> {
        self.get(name).ok_or_else(|| InvalidWorkload::Missing(name.to_owned()))
    }

    fn hub_setting(&self, name: &str) -> String {
        format!("{}__{name}", self.prefix)
    }

    /// Whether the Functions host reads the hub.
    fn is_hosted(&self) -> bool {
        self.get("AzureWebJobsScriptRoot").is_some()
    }

    /// The setting with the connection string of the hub.
    fn connection_setting(&self) -> String {
        if self.is_hosted() { self.prefix.to_owned() } else { self.hub_setting("ConnectionString") }
    }

    fn url(&self, name: &str) -> Result<Url, InvalidWorkload> {
        self.needed(name)?.parse().map_err(|error: url::ParseError| invalid(name, error))
    }

    /// Whether the platform lets the operator connect to all that is named here.
    /// A connection string is looked at where the values of Secrets are known.
    pub fn check_hosts(&self, allowed: &AllowedHosts) -> Result<(), InvalidWorkload> {
        let endpoint = self.hub_setting("CustomEndpoint");
        let addresses = [
            endpoint.as_str(),
            "CheckpointStorage__BlobStorageContainerUri",
            "ExternalIdentity__CertificateUri",
            "ExternalIdentity__AuthorityHost",
        ];
        for name in addresses.into_iter().filter(|name| self.get(name).is_some()) {
            let address = self.url(name)?;
            if !allowed.allows(&address) {
                let host = format!("{}://{}", address.scheme(), address.host_str().unwrap_or_default());
                return Err(InvalidWorkload::HostNotAllowed { name: name.to_owned(), host });
            }
        }
        let namespace = self.hub_setting("EventHubNamespaceFQDN");
        let connection = self.connection_setting();
        if self.get(&self.hub_setting("AuthenticationType")) == Some(CONNECTION_STRING) {
            let Some(text) = self.get(&connection) else { return Ok(()) };
            let parsed: ConnectionString = text.parse().map_err(|error| invalid(&connection, error))?;
            let scheme = if parsed.is_emulator() { "amqp" } else { "amqps" };
            return check_host(allowed, connection, parsed.namespace(), scheme);
        }
        match self.get(&namespace) {
            // Else this name is not dialled.
            Some(host) if self.get(&endpoint).is_none() => check_host(allowed, namespace.clone(), host, "amqps"),
            _ => Ok(()),
        }
    }

    /// Whether the operator can show itself as what this names, `identity` being
    /// that of the pods. Nothing of a Secret needs to be known.
    pub fn check_credentials(&self, identity: &FederatedIdentity) -> Result<(), InvalidWorkload> {
        if self.get(&self.hub_setting("AuthenticationType")) != Some(CONNECTION_STRING) {
            self.opening(identity)?;
        }
        self.positions(identity).map(drop)
    }

    /// What the workload reads, seen as `identity`: that of its pods.
    pub fn workload(&self, identity: &FederatedIdentity) -> Result<Workload, InvalidWorkload> {
        let opening = self.opening(identity)?;
        let custom_endpoint = self.hub_setting("CustomEndpoint");
        let custom_endpoint = match self.get(&custom_endpoint) {
            Some(_) => Some(self.url(&custom_endpoint)?),
            None => None,
        };
        let (container, storage) = self.positions(identity)?;
        Ok(Workload {
            namespace: self.needed(&self.hub_setting("EventHubNamespaceFQDN"))?.to_owned(),
            hub: self.needed(&self.hub_setting("EventHubName"))?.to_owned(),
            group: self.needed(&self.hub_setting("EventHubConsumerGroup"))?.to_owned(),
            custom_endpoint,
            opening,
            container,
            storage,
        })
    }

    fn opening(&self, identity: &FederatedIdentity) -> Result<Opening, InvalidWorkload> {
        let (kind, connection) = (self.hub_setting("AuthenticationType"), self.connection_setting());
        let authentication = self.needed(&kind)?;
        if authentication == CONNECTION_STRING {
            let text = self.needed(&connection)?;
            let parsed = text.parse().map_err(|error| invalid(&connection, error))?;
            return Ok(Opening::ConnectionString(Box::new(parsed)));
        }
        Ok(Opening::Token(Box::new(self.credential(&kind, authentication, identity)?)))
    }

    fn positions(&self, identity: &FederatedIdentity) -> Result<(Url, Option<CredentialSettings>), InvalidWorkload> {
        let name = "CheckpointStorage__BlobStorageContainerUri";
        let mut container = self.url(name)?;
        if self.is_hosted() {
            // The host's container is fixed, and lies beside those that the chart names.
            if let Ok(mut path) = container.path_segments_mut() {
                path.pop().push(HOST_CONTAINER);
            }
        }
        if container.query().is_some() {
            return Ok((container, None));
        }
        let kind = "CheckpointStorage__AuthenticationType";
        let credential = self.credential(kind, self.needed(kind)?, identity)?;
        Ok((container, Some(credential)))
    }

    fn credential(
        &self,
        setting: &str,
        authentication: &str,
        identity: &FederatedIdentity,
    ) -> Result<CredentialSettings, InvalidWorkload> {
        match authentication {
            "WorkloadIdentity" => self.internal(identity),
            "ExternalIdentity" => self.external(identity),
            "Development" => Ok(CredentialSettings::Development),
            other => Err(cannot_be(setting, other)),
        }
    }

    fn internal(&self, identity: &FederatedIdentity) -> Result<CredentialSettings, InvalidWorkload> {
        let client_id = self.needed("InternalIdentity__ClientId")?;
        federated(identity, client_id, self.get("InternalIdentity__TenantId"))
    }

    fn external(&self, identity: &FederatedIdentity) -> Result<CredentialSettings, InvalidWorkload> {
        let client_id = self.needed("ExternalIdentity__ClientId")?;
        let tenant_id = self.get("ExternalIdentity__TenantId");
        let Some(uri) = self.get("ExternalIdentity__CertificateUri") else {
            return federated(identity, client_id, tenant_id);
        };
        let uri: CertificateUri = uri.parse().map_err(|error| invalid("ExternalIdentity__CertificateUri", error))?;
        // As whom the vault is opened.
        let kind = "InternalIdentity__AuthenticationType";
        if let Some(other) = self.get(kind).filter(|kind| *kind != "WorkloadIdentity") {
            return Err(cannot_be(kind, other));
        }
        let authority_host = match self.get("ExternalIdentity__AuthorityHost") {
            Some(_) => Some(self.url("ExternalIdentity__AuthorityHost")?),
            None => None,
        };
        Ok(CredentialSettings::ExternalIdentity(Box::new(ExternalIdentity {
            client_id: client_id.to_owned(),
            tenant_id: tenant_id.map(str::to_owned),
            authority_host,
            certificate: Some(VaultCertificate::new(uri, self.internal(identity)?)),
        })))
    }
}

fn check_host(allowed: &AllowedHosts, name: String, host: &str, scheme: &str) -> Result<(), InvalidWorkload> {
    if allowed.allows_host(host, scheme == "amqp") {
        return Ok(());
    }
    Err(InvalidWorkload::HostNotAllowed { name, host: format!("{scheme}://{host}") })
}

fn federated(
    identity: &FederatedIdentity,
    client_id: &str,
    tenant_id: Option<&str>,
) -> Result<CredentialSettings, InvalidWorkload> {
    let credential = identity.credential(client_id, tenant_id);
    credential.ok_or_else(|| InvalidWorkload::NoTenant(client_id.to_owned()))
}

/// A managed identity is the node's: the operator would be another.
fn cannot_be(setting: &str, authentication: &str) -> InvalidWorkload {
    invalid(setting, format!("the operator cannot show itself as `{authentication}`"))
}

fn invalid(name: &str, reason: impl ToString) -> InvalidWorkload {
    InvalidWorkload::Invalid { name: name.to_owned(), reason: reason.to_string() }
}

/// `$(NAME)` of what came before, as the kubelet does it: `$$` is one `$`, what
/// is put in is not looked at again, and an unknown name stays as it is.
fn expand(value: &str, known: &BTreeMap<String, String>) -> String {
    let (mut text, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let reference = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = reference
            && let Some(known) = known.get(name)
        {
            text.push_str(known);
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests;
