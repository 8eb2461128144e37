//! What each step does. A step that removes succeeds when there is nothing.

use arm::desired::Properties;
use arm::gen2::Sku;
use arm::infrastructure::{ConnectorNames, DestinationNames, WorkspaceNames};
use arm::{DocumentId, ErrorCode, ResourceType};
use delivery::away::error_chain;
use uuid::Uuid;

use super::Worker;
use super::plan::Step;
use super::scene::{
    CERTIFICATE_ROLE, DEVICE_RECEIVER, FHIR_ROLE, HUB_RECEIVER, HUB_SENDER, STORAGE_ROLE, Scene, missing, stored,
};
use crate::documents::IngestDefinition;
use crate::ports::{AllocationRequest, Federation, PortError, Role, RoleAssignment, Scope};
use crate::store::StoreError;

/// What a step needs beside the documents.
#[derive(Clone, Debug)]
pub struct Stage<'w> {
    /// Who works.
    pub worker: &'w Worker,
    /// The documents; what a step changes in `subject` is stored with its entry
    /// in the journal.
    pub scene: Scene,
    /// The operation that it is done for.
    pub operation: DocumentId,
    /// Whether what is done was good before: then nobody is asked where things are
    /// that are not ours.
    pub is_known: bool,
    /// Whether it is done to renew the certificate.
    pub renews: bool,
}

/// Why a step did not succeed.
#[derive(Debug)]
pub enum StepError {
    /// What is outside did not do it.
    Port(PortError),
    /// The store failed: the operation goes on from what is stored.
    Store(StoreError),
    /// Another has what it needs: that is no failure.
    Waiting,
    /// The operation is another worker's.
    Lost,
}

impl From<PortError> for StepError {
    fn from(error: PortError) -> StepError {
        StepError::Port(error)
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> StepError {
        StepError::Store(error)
    }
}

impl Stage<'_> {
    /// Does a step.
    pub async fn perform(&mut self, step: Step) -> Result<(), StepError> {
        match step {
            Step::Names => self.scene.decide_names(),
            Step::OldPlace => Box::pin(self.leave_old_place()).await?,
            Step::Allocation => self.allocate().await?,
            Step::ResourceGroup
            | Step::StorageAccount
            | Step::InternalIdentity
            | Step::NoInternalIdentity
            | Step::NoStorageAccount
            | Step::NoResourceGroup => self.of_workspace(step).await?,
            Step::StorageRole => self.assign(STORAGE_ROLE).await?,
            Step::HubRoles => {
                for role in self.hub_roles() {
                    self.assign(role).await?;
                }
            }
            Step::FhirRole => self.assign(FHIR_ROLE).await?,
            Step::NoFhirRole => self.revoke(FHIR_ROLE).await?,
            Step::NoStorageRole => self.revoke(STORAGE_ROLE).await?,
            Step::NoHubRoles => {
                for role in self.hub_roles() {
                    self.revoke(role).await?;
                }
            }
            Step::Namespace => self.namespace().await?,
            Step::NoNamespace => self.no_namespace().await?,
            Step::EventHub
            | Step::NoEventHub
            | Step::ConsumerGroup
            | Step::NoConsumerGroup
            | Step::DeviceHub
            | Step::NoDeviceHub
            | Step::SendRule
            | Step::NoSendRule => self.of_hub(step).await?,
            Step::Federation | Step::NoFederation => self.federation(step).await?,
            Step::Certificate => self.certificate().await?,
            Step::NoCertificate => self.no_certificate().await?,
            // Without an identity of its own a connector has no certificate.
            Step::CertificateRole if self.scene.subject.infrastructure.certificate.is_none() => {}
            Step::CertificateRole => self.assign(CERTIFICATE_ROLE).await?,
            Step::NoCertificateRole => self.revoke(CERTIFICATE_ROLE).await?,
            Step::MappingBlob | Step::NoMappingBlob => self.mapping(step).await?,
            Step::Workload => self.workload().await?,
            Step::NoWorkload => self.no_workload().await?,
            Step::OldPositions | Step::NoPositions => self.positions(step).await?,
            Step::NoAllocation => {
                // Also one that was given and never stored.
                self.worker.platform.allocation.release(&self.scene.subject.id).await?;
                self.scene.subject.scale = None;
                self.scene.subject.infrastructure.placed_for = None;
            }
        }
        Ok(())
    }

    /// The SKU says which cluster a workspace's connectors go to. It changes only while
    /// there is none, so what was made has nothing in it.
    async fn leave_old_place(&mut self) -> Result<(), StepError> {
        let subject = &self.scene.subject;
        let Properties::Workspace(workspace) = &subject.properties else { return Ok(()) };
        let was_for = subject.infrastructure.placed_for.filter(|_| subject.scale.is_some());
        if was_for.is_none_or(|sku| sku == workspace.sku) {
            return Ok(());
        }
        for step in Step::of_deprovision(ResourceType::Workspace) {
            Box::pin(self.perform(*step)).await?;
        }
        Ok(())
    }

    async fn allocate(&mut self) -> Result<(), StepError> {
        let subject = &mut self.scene.subject;
        if subject.scale.is_some() {
            return Ok(());
        }
        let sku = match &subject.properties {
            Properties::Workspace(workspace) => workspace.sku,
            _ => Sku::default(),
        };
        let namespace = WorkspaceNames(&subject.id).event_hub_namespace();
        let request = AllocationRequest {
            workspace: &subject.id,
            region: &subject.location,
            sku,
            event_hub_namespace: &namespace,
        };
        let place = self.worker.platform.allocation.allocate(request).await?;
        subject.scale = Some(place);
        subject.infrastructure.placed_for = Some(sku);
        Ok(())
    }

    /// What a workspace has.
    async fn of_workspace(&mut self, step: Step) -> Result<(), StepError> {
        let azure = &self.worker.platform.azure;
        let place = match self.scene.place() {
            Ok(place) => place.clone(),
            // Nothing was placed, so nothing was made.
            Err(_) if step.is_removal() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let id = self.scene.subject.resource_id().to_string();
        let infrastructure = &mut self.scene.subject.infrastructure;
        let group = stored(&infrastructure.resource_group, "the resource group")?.to_owned();
        let account = stored(&infrastructure.storage_account, "the storage account")?.to_owned();
        match step {
            Step::ResourceGroup => azure.ensure_resource_group(&place, &group, &id).await?,
            Step::NoResourceGroup => azure.delete_resource_group(&place, &group).await?,
            Step::StorageAccount => azure.ensure_storage_account(&place, &group, &account).await?,
            Step::NoStorageAccount => azure.delete_storage_account(&place, &group, &account).await?,
            Step::InternalIdentity => {
                if let Some(identity) = &mut infrastructure.internal_identity {
                    *identity = azure.ensure_identity(&place, &group, &identity.name).await?;
                }
            }
            _ => {
                if let Some(identity) = &infrastructure.internal_identity {
                    azure.delete_identity(&place, &group, &identity.name).await?;
                }
            }
        }
        Ok(())
    }

    /// Gives the workspace's identity a role, under the stored id. When Azure
    /// takes that for colliding, another is made and stored, three times at the
    /// most (resource-provider.md 4.10).
    async fn assign(&mut self, key: &str) -> Result<(), StepError> {
        const IDS_MAX: usize = 3;
        for _ in 0..IDS_MAX {
            match self.with_assignment(key, false).await {
                Err(StepError::Port(error)) if error.code == ErrorCode::HashConflictOnDifferentRoleAssignmentIds => {
                    let id = Uuid::new_v4().to_string();
                    self.scene.subject.infrastructure.role_assignments.insert(key.to_owned(), id);
                    if !self.worker.store_made(&self.operation, &mut self.scene.subject).await? {
                        return Err(StepError::Lost);
                    }
                }
                other => return other,
            }
        }
        let message = "Azure took one id of a role assignment after the other for colliding".to_owned();
        let code = ErrorCode::HashConflictOnDifferentRoleAssignmentIds;
        Err(PortError::permanent(code, message).into())
    }

    async fn revoke(&mut self, key: &str) -> Result<(), StepError> {
        let known = self.scene.subject.infrastructure.role_assignments.contains_key(key);
        let is_made = known && self.scene.place().is_ok() && self.scene.internal_identity().is_ok();
        if is_made { self.with_assignment(key, true).await } else { Ok(()) }
    }

    async fn with_assignment(&self, key: &str, remove: bool) -> Result<(), StepError> {
        let scene = &self.scene;
        let infrastructure = &scene.subject.infrastructure;
        let id = stored(&infrastructure.role_assignments.get(key).cloned(), "the id of a role assignment")?.to_owned();
        let service = scene.connector().resource_id().fhir_service().unwrap_or_default();
        let certificate = ConnectorNames(&scene.connector().id).certificate();
        let (role, scope) = match key {
            STORAGE_ROLE => {
                let group = stored(&infrastructure.resource_group, "the resource group")?;
                let name = stored(&infrastructure.storage_account, "the storage account")?;
                (Role::StorageBlobDataContributor, Scope::StorageAccount { group, name })
            }
            HUB_SENDER => (Role::EventHubsDataSender, Scope::EventHub(self.hub()?)),
            DEVICE_RECEIVER => (Role::EventHubsDataReceiver, Scope::EventHub(self.device_hub()?)),
            FHIR_ROLE => (Role::FhirDataContributor, Scope::FhirService(&service)),
            CERTIFICATE_ROLE => (Role::KeyVaultSecretsUser, Scope::Certificate(&certificate)),
            _ => (Role::EventHubsDataReceiver, Scope::EventHub(self.hub()?)),
        };
        let principal_id = &scene.internal_identity()?.principal_id;
        let (azure, place) = (&self.worker.platform.azure, scene.place()?);
        let assignment = RoleAssignment { id: &id, principal_id, role, scope };
        match remove {
            true => azure.delete_role_assignment(place, assignment).await?,
            false => azure.ensure_role_assignment(place, assignment).await?,
        }
        Ok(())
    }

    /// The roles on hubs that the pods of the connector need.
    fn hub_roles(&self) -> &'static [&'static str] {
        match self.scene.subject.kind.resource_type() {
            ResourceType::IomtConnector => &[HUB_SENDER, HUB_RECEIVER, DEVICE_RECEIVER],
            _ => &[HUB_SENDER, HUB_RECEIVER],
        }
    }

    /// The hub that devices send to.
    fn device_hub(&self) -> Result<&str, PortError> {
        stored(&self.scene.connector().infrastructure.device_hub_name, "the hub that devices send to")
    }

    /// The hub of the connector.
    fn hub(&self) -> Result<&str, PortError> {
        stored(&self.scene.connector().infrastructure.event_hub_name, "the connector's hub")
    }

    /// The first connector of a workspace brings the namespace.
    async fn namespace(&mut self) -> Result<(), StepError> {
        self.say_of_namespace(false).await?;
        let place = self.scene.place()?.clone();
        let workspace = self.scene.workspace().id.to_string();
        let ensure = || async { Ok(self.worker.platform.azure.ensure_namespace(&place).await?) };
        self.worker.with_lock(&workspace, ensure).await?;
        self.scene.subject.scale = Some(place);
        Ok(())
    }

    /// Stores whether a connector has left the namespace, before that is acted on: whoever
    /// goes last sees it of all others.
    async fn say_of_namespace(&mut self, has_left: bool) -> Result<(), StepError> {
        let subject = &mut self.scene.subject;
        if subject.infrastructure.has_left_namespace == has_left {
            return Ok(());
        }
        subject.infrastructure.has_left_namespace = has_left;
        let is_ours = self.worker.store_made(&self.operation, subject).await?;
        if is_ours { Ok(()) } else { Err(StepError::Lost) }
    }

    /// The last one takes it away: nobody else may need it, in any state. One that is
    /// accepted meanwhile keeps it, or makes it again.
    async fn no_namespace(&mut self) -> Result<(), StepError> {
        let Ok(place) = self.scene.place().cloned() else { return Ok(()) };
        let workspace = self.scene.workspace().clone();
        let kind = self.scene.subject.kind.resource_type();
        if kind == ResourceType::IomtConnector {
            return Ok(self.worker.platform.azure.delete_namespace(&place).await?);
        }
        if kind == ResourceType::IotConnector {
            self.say_of_namespace(true).await?;
        }
        let remove = || async {
            let mut transaction = self.worker.store.begin().await?;
            let count = transaction.count_in_namespace(&workspace.resource_id()).await?;
            drop(transaction);
            if count == 0 {
                self.worker.platform.azure.delete_namespace(&place).await?;
            }
            Ok(())
        };
        self.worker.with_lock(workspace.id.as_str(), remove).await
    }

    /// What hubs have, and the hubs.
    async fn of_hub(&mut self, step: Step) -> Result<(), StepError> {
        let azure = &self.worker.platform.azure;
        let hub = match step {
            Step::DeviceHub | Step::NoDeviceHub | Step::SendRule | Step::NoSendRule => self.device_hub(),
            _ => self.hub(),
        };
        let (place, hub) = match (self.scene.place(), hub) {
            (Ok(place), Ok(hub)) => (place, hub),
            (Err(_), _) | (_, Err(_)) if step.is_removal() => return Ok(()),
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        let group = self.scene.subject.infrastructure.consumer_group.as_deref().unwrap_or_default();
        let id = self.scene.subject.resource_id();
        match step {
            Step::EventHub | Step::DeviceHub => azure.ensure_event_hub(place, hub).await?,
            Step::NoEventHub | Step::NoDeviceHub => azure.delete_event_hub(place, hub).await?,
            Step::SendRule => azure.ensure_send_rule(place, hub, id.own_name()).await?,
            Step::NoSendRule => azure.delete_send_rule(place, hub, id.own_name()).await?,
            Step::ConsumerGroup => azure.ensure_consumer_group(place, hub, group).await?,
            _ if group.is_empty() => {}
            _ => azure.delete_consumer_group(place, hub, group).await?,
        }
        Ok(())
    }

    /// The identity is the workspace's, so its changes are made under the lock of
    /// the workspace.
    async fn federation(&mut self, step: Step) -> Result<(), StepError> {
        let workspace = self.scene.workspace();
        let group = workspace.infrastructure.resource_group.as_deref();
        let (Ok(place), Ok(identity), Some(group)) = (self.scene.place(), self.scene.internal_identity(), group) else {
            // Nobody is anybody's yet.
            return if step.is_removal() { Ok(()) } else { Err(missing("the workspace's identity").into()) };
        };
        let connector = ConnectorNames(&self.scene.subject.id).workload();
        let platform = &self.worker.platform;
        let Some(service_account) = platform.cluster.service_account(place, &connector) else { return Ok(()) };
        let federation = Federation { group, identity: &identity.name, service_account: &service_account };
        let change = || async {
            match step {
                Step::Federation => platform.azure.ensure_federation(place, federation).await?,
                _ => platform.azure.delete_federation(place, federation).await?,
            }
            Ok(())
        };
        self.worker.with_lock(workspace.id.as_str(), change).await
    }

    async fn certificate(&mut self) -> Result<(), StepError> {
        let Some(identity) = &self.scene.subject.identity else {
            // What had one and is to have none no more.
            if self.scene.subject.infrastructure.certificate.is_some() {
                self.revoke(CERTIFICATE_ROLE).await?;
                self.no_certificate().await?;
            }
            return Ok(());
        };
        let name = ConnectorNames(&self.scene.subject.id).certificate();
        let ensured = self.worker.platform.certificates.ensure(self.scene.place()?, &name, identity).await?;
        self.scene.subject.infrastructure.certificate = Some(ensured.certificate);
        match ensured.not_renewed {
            // What else is done can go on with the one that is there; a renewal has failed.
            Some(error) if self.renews => Err(error.into()),
            Some(error) => {
                tracing::warn!(certificate = name, error = error_chain(&error), "A certificate could not be renewed");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Also one that no document tells of: whoever stored it may have been killed before
    /// it could say so.
    async fn no_certificate(&mut self) -> Result<(), StepError> {
        let name = ConnectorNames(&self.scene.subject.id).certificate();
        if let Ok(place) = self.scene.place() {
            self.worker.platform.certificates.delete(place, &name).await?;
        }
        self.scene.subject.infrastructure.certificate = None;
        Ok(())
    }

    async fn mapping(&mut self, step: Step) -> Result<(), StepError> {
        let blobs = &self.worker.platform.blobs;
        let (Ok(account), Some(blob)) =
            (self.scene.storage_account(), self.scene.subject.infrastructure.mapping_blob.as_deref())
        else {
            return Ok(());
        };
        let text = match &self.scene.subject.properties {
            Properties::IotConnector(connector) => connector.device_mapping.as_str(),
            Properties::FhirDestination(destination) => destination.fhir_mapping.as_str(),
            Properties::IomtMapping(mapping) => mapping.content.as_str(),
            _ => return Ok(()),
        };
        match step {
            Step::MappingBlob => blobs.put_mapping(account, blob, text).await?,
            _ => blobs.delete_mapping(account, blob).await?,
        }
        Ok(())
    }

    /// The containers of positions: of the endpoints before this one, or all.
    async fn positions(&mut self, step: Step) -> Result<(), StepError> {
        let Ok(account) = self.scene.storage_account() else { return Ok(()) };
        let subject = &self.scene.subject;
        let ingest = subject.ingest_definition.as_ref();
        let containers: Vec<String> = match subject.kind.resource_type() {
            ResourceType::FhirDestination => vec![DestinationNames(&subject.id).workload()],
            ResourceType::IomtConnector => {
                vec![ConnectorNames(&subject.id).checkpoints(1), DestinationNames(&subject.id).workload()]
            }
            _ => {
                let last = match step {
                    Step::OldPositions => ingest.map_or(0, |ingest| ingest.epoch.saturating_sub(1)),
                    _ => ingest.map_or(0, IngestDefinition::highest),
                };
                (1..=last).map(|epoch| ConnectorNames(&subject.id).checkpoints(epoch)).collect()
            }
        };
        for container in containers {
            self.worker.platform.blobs.delete_positions(account, &container).await?;
        }
        Ok(())
    }
}
