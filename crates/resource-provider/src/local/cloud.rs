//! Azure and a cluster that only remember what was made in them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arm::identity::SystemAssigned;
use arm::{DocumentId, ErrorCode};
use async_trait::async_trait;

use super::{NamedFhirServices, files};
use crate::documents::{Certificate, InternalIdentity, KubernetesObject, ScaleInfo};
use crate::ports::{
    Allocation, AllocationRequest, Azure, Blobs, Certificates, Cluster, ConnectorSpec, EnsuredCertificate, Federation,
    Platform, PortError, RoleAssignment, ServiceAccount, TaggedGroup, WorkloadStatus,
};

/// When a gate is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before anything has changed.
    Before,
    /// When it has, and the caller does not know yet.
    After,
}

/// Stands before and behind every call; tests let calls fail or hang there.
#[async_trait]
pub trait Gate: Debug + Send + Sync {
    /// Lets a call through, or says why not.
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError>;
}

/// A gate that is always open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

#[async_trait]
impl Gate for Open {
    async fn pass(&self, _: &str, _: Moment) -> Result<(), PortError> {
        Ok(())
    }
}

/// The subscription of ours that everything is in.
const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";

/// What was made, by names like `hub nd-…`.
#[derive(Debug)]
pub struct LocalCloud {
    things: Mutex<BTreeMap<String, String>>,
    connectors: Mutex<BTreeMap<String, ConnectorSpec>>,
    renew_after: Mutex<String>,
    gate: Arc<dyn Gate>,
    /// Where the names are kept; none for a test.
    file: Option<PathBuf>,
}

impl LocalCloud {
    /// An empty one behind a gate.
    pub fn behind(gate: Arc<dyn Gate>) -> Arc<LocalCloud> {
        Arc::new(LocalCloud::with(BTreeMap::new(), gate, None))
    }

    /// One that finds its names again in a file.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub fn kept_in(file: PathBuf) -> io::Result<LocalCloud> {
        Ok(LocalCloud::with(files::read(&file)?.unwrap_or_default(), Arc::new(Open), Some(file)))
    }

    fn with(things: BTreeMap<String, String>, gate: Arc<dyn Gate>, file: Option<PathBuf>) -> LocalCloud {
        let renew_after = Mutex::new("9999-01-01T00:00:00Z".to_owned());
        LocalCloud { things: Mutex::new(things), connectors: Mutex::default(), renew_after, gate, file }
    }

    /// All parts of a platform, but for the FHIR services.
    pub fn platform(self: &Arc<Self>, fhir_services: Arc<NamedFhirServices>) -> Platform {
        Platform {
            allocation: self.clone(),
            azure: self.clone(),
            certificates: self.clone(),
            blobs: self.clone(),
            cluster: self.clone(),
            fhir_services,
        }
    }

    /// Says when certificates are to be renewed that are made from now on.
    pub fn renew_certificates_after(&self, time: &str) {
        time.clone_into(&mut self.renew_after.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The names of what is there, and what each holds.
    pub fn things(&self) -> BTreeMap<String, String> {
        self.all().clone()
    }

    /// A connector, as the cluster was asked for it.
    pub fn connector(&self, name: &str) -> Option<ConnectorSpec> {
        self.specs().get(name).cloned()
    }

    /// All connectors, as the cluster was asked for them.
    pub fn connectors(&self) -> Vec<ConnectorSpec> {
        self.specs().values().cloned().collect()
    }

    /// How many connectors the cluster has.
    pub fn connector_count(&self) -> usize {
        self.specs().len()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn specs(&self) -> MutexGuard<'_, BTreeMap<String, ConnectorSpec>> {
        self.connectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a thing, if it is not there as it should be.
    async fn ensure(&self, name: String, value: &str) -> Result<(), PortError> {
        self.gate.pass(&name, Moment::Before).await?;
        self.change(|things| things.insert(name.clone(), value.to_owned()))?;
        self.gate.pass(&name, Moment::After).await
    }

    async fn remove(&self, name: String) -> Result<(), PortError> {
        let call = format!("no {name}");
        self.gate.pass(&call, Moment::Before).await?;
        self.change(|things| things.remove(&name))?;
        self.gate.pass(&call, Moment::After).await
    }

    /// Changes the names, on disk first where they are kept.
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> Result<(), PortError> {
        let mut things = self.all();
        let mut changed = things.clone();
        change(&mut changed);
        if let Some(file) = self.file.as_ref().filter(|_| *things != changed) {
            files::write(file, &changed).map_err(|error| files::failed(file, &error))?;
        }
        *things = changed;
        Ok(())
    }

    /// What is not there cannot hold anything.
    fn needs(&self, name: &str, code: ErrorCode) -> Result<(), PortError> {
        if self.all().contains_key(name) {
            return Ok(());
        }
        Err(PortError::permanent(code, format!("there is no {name}")))
    }
}

fn namespace(place: &ScaleInfo) -> String {
    let id = &place.event_hub_namespace_resource_id;
    format!("namespace {}", id.rsplit('/').next().unwrap_or(id))
}

/// A text that a name always gives, in the form of a GUID.
fn guid(name: &str) -> String {
    uuid::Uuid::new_v8(super::digest(name)).to_string()
}

#[async_trait]
impl Allocation for LocalCloud {
    async fn allocate(&self, request: AllocationRequest<'_>) -> Result<ScaleInfo, PortError> {
        self.ensure(format!("place {}", request.workspace), "").await?;
        let subscription_id = SUBSCRIPTION.to_owned();
        let of = |kind: &str, name: &str| {
            format!("/subscriptions/{subscription_id}/resourceGroups/local/providers/{kind}/{name}")
        };
        Ok(ScaleInfo {
            aks_cluster_resource_id: of("Microsoft.ContainerService/managedClusters", "local"),
            event_hub_namespace_resource_id: of("Microsoft.EventHub/namespaces", request.event_hub_namespace),
            key_vault_resource_id: of("Microsoft.KeyVault/vaults", "local"),
            subscription_id,
        })
    }

    async fn release(&self, workspace: &DocumentId) -> Result<(), PortError> {
        self.remove(format!("place {workspace}")).await
    }
}

#[async_trait]
impl Azure for LocalCloud {
    async fn ensure_resource_group(&self, _: &ScaleInfo, name: &str, for_resource: &str) -> Result<(), PortError> {
        self.ensure(format!("group {name}"), for_resource).await
    }

    async fn delete_resource_group(&self, _: &ScaleInfo, name: &str) -> Result<(), PortError> {
        self.remove(format!("group {name}")).await
    }

    async fn tagged_resource_groups(&self) -> Result<Vec<TaggedGroup>, PortError> {
        let groups = self.things().into_iter().filter_map(|(name, for_resource)| {
            let name = name.strip_prefix("group ")?.to_owned();
            Some(TaggedGroup { subscription_id: SUBSCRIPTION.to_owned(), name, for_resource })
        });
        Ok(groups.collect())
    }

    async fn delete_tagged_resource_group(&self, group: &TaggedGroup) -> Result<(), PortError> {
        self.remove(format!("group {}", group.name)).await
    }

    async fn ensure_storage_account(&self, _: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError> {
        self.needs(&format!("group {group}"), ErrorCode::StorageProvisioningFailed)?;
        self.ensure(format!("storage {name}"), "").await
    }

    async fn delete_storage_account(&self, _: &ScaleInfo, _: &str, name: &str) -> Result<(), PortError> {
        self.remove(format!("storage {name}")).await
    }

    async fn ensure_identity(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<InternalIdentity, PortError> {
        self.needs(&format!("group {group}"), ErrorCode::StorageProvisioningFailed)?;
        self.ensure(format!("identity {name}"), "").await?;
        let subscription = &place.subscription_id;
        let kind = "Microsoft.ManagedIdentity/userAssignedIdentities";
        Ok(InternalIdentity {
            name: name.to_owned(),
            resource_id: format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}"),
            client_id: guid(&format!("client {name}")),
            principal_id: guid(&format!("principal {name}")),
        })
    }

    async fn delete_identity(&self, _: &ScaleInfo, _: &str, name: &str) -> Result<(), PortError> {
        self.remove(format!("identity {name}")).await
    }

    async fn ensure_federation(&self, _: &ScaleInfo, federation: Federation<'_>) -> Result<(), PortError> {
        self.needs(&format!("identity {}", federation.identity), ErrorCode::IdentityCredentialUnavailable)?;
        self.ensure(format!("federation {}", federation.service_account.name), federation.identity).await
    }

    async fn delete_federation(&self, _: &ScaleInfo, federation: Federation<'_>) -> Result<(), PortError> {
        self.remove(format!("federation {}", federation.service_account.name)).await
    }

    async fn ensure_namespace(&self, place: &ScaleInfo) -> Result<(), PortError> {
        self.ensure(namespace(place), "").await
    }

    async fn delete_namespace(&self, place: &ScaleInfo) -> Result<(), PortError> {
        self.remove(namespace(place)).await
    }

    async fn ensure_event_hub(&self, place: &ScaleInfo, hub: &str) -> Result<(), PortError> {
        self.needs(&namespace(place), ErrorCode::EventHubProvisioningFailed)?;
        self.ensure(format!("hub {hub}"), "").await
    }

    async fn delete_event_hub(&self, _: &ScaleInfo, hub: &str) -> Result<(), PortError> {
        self.remove(format!("hub {hub}")).await
    }

    async fn ensure_consumer_group(&self, _: &ScaleInfo, hub: &str, group: &str) -> Result<(), PortError> {
        self.needs(&format!("hub {hub}"), ErrorCode::EventHubProvisioningFailed)?;
        self.ensure(format!("consumer group {hub}/{group}"), "").await
    }

    async fn delete_consumer_group(&self, _: &ScaleInfo, hub: &str, group: &str) -> Result<(), PortError> {
        self.remove(format!("consumer group {hub}/{group}")).await
    }

    async fn ensure_send_rule(&self, _: &ScaleInfo, hub: &str, rule: &str) -> Result<(), PortError> {
        self.needs(&format!("hub {hub}"), ErrorCode::EventHubProvisioningFailed)?;
        self.ensure(format!("rule {hub}/{rule}"), "").await
    }

    async fn delete_send_rule(&self, _: &ScaleInfo, hub: &str, rule: &str) -> Result<(), PortError> {
        self.remove(format!("rule {hub}/{rule}")).await
    }

    async fn ensure_role_assignment(&self, _: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), PortError> {
        self.ensure(format!("role {:?} on {:?}", assignment.role, assignment.scope), assignment.id).await
    }

    async fn delete_role_assignment(&self, _: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), PortError> {
        self.remove(format!("role {:?} on {:?}", assignment.role, assignment.scope)).await
    }
}

#[async_trait]
impl Certificates for LocalCloud {
    async fn ensure(
        &self,
        _: &ScaleInfo,
        name: &str,
        identity: &SystemAssigned,
    ) -> Result<EnsuredCertificate, PortError> {
        let principal = identity.principal_id.clone().unwrap_or_default();
        LocalCloud::ensure(self, format!("certificate {name}"), &principal).await?;
        let renew_after = self.renew_after.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let certificate = Certificate {
            uri: format!("https://local.vault.example/certificates/{name}"),
            version: guid(&format!("{principal} {renew_after}")),
            client_id: guid(&format!("client {principal}")),
            tenant_id: identity.tenant_id.clone().unwrap_or_default(),
            renew_after,
        };
        Ok(certificate.into())
    }

    async fn delete(&self, _: &ScaleInfo, name: &str) -> Result<(), PortError> {
        self.remove(format!("certificate {name}")).await
    }
}

#[async_trait]
impl Blobs for LocalCloud {
    async fn put_mapping(&self, account: &str, blob: &str, text: &str) -> Result<(), PortError> {
        self.needs(&format!("storage {account}"), ErrorCode::StorageProvisioningFailed)?;
        self.ensure(format!("blob {blob}"), text).await
    }

    async fn delete_mapping(&self, _: &str, blob: &str) -> Result<(), PortError> {
        self.remove(format!("blob {blob}")).await
    }

    async fn delete_positions(&self, _: &str, container: &str) -> Result<(), PortError> {
        self.remove(format!("positions {container}")).await
    }
}

#[async_trait]
impl Cluster for LocalCloud {
    fn service_account(&self, _: &ScaleInfo, connector: &str) -> Option<ServiceAccount> {
        Some(ServiceAccount { namespace: "local".to_owned(), name: connector.to_owned() })
    }

    async fn apply(&self, _: &ScaleInfo, connector: &ConnectorSpec) -> Result<(), PortError> {
        let call = format!("connector {}", connector.name);
        self.gate.pass(&call, Moment::Before).await?;
        self.specs().insert(connector.name.clone(), connector.clone());
        self.gate.pass(&call, Moment::After).await
    }

    async fn workload(
        &self,
        _: &ScaleInfo,
        connector: &str,
        workload: &str,
    ) -> Result<Option<WorkloadStatus>, PortError> {
        let specs = self.specs();
        let spec = specs.get(connector).filter(|spec| {
            spec.name == workload || spec.destinations.iter().any(|destination| destination.name == workload)
        });
        Ok(spec.map(|_| WorkloadStatus {
            object: KubernetesObject { uid: guid(workload), name: workload.to_owned() },
            is_ready: true,
        }))
    }

    async fn delete(&self, _: &ScaleInfo, connector: &str) -> Result<(), PortError> {
        let call = format!("no connector {connector}");
        self.gate.pass(&call, Moment::Before).await?;
        self.specs().remove(connector);
        self.gate.pass(&call, Moment::After).await
    }
}
