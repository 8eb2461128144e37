//! The documents that an operation is about.

use arm::desired::Properties;
use arm::gen1::IomtMapping;
use arm::gen2::fhir_destination::FhirServiceId;
use arm::gen2::{FhirTarget, IngestionEndpoint};
use arm::infrastructure::{ConnectorNames, DestinationNames, WorkspaceNames};
use arm::mapping_content::MappingKind;
use arm::state::{ResourceState, SubscriptionState};
use arm::{ErrorCode, ResourceType};
use uuid::Uuid;

use crate::documents::{ConnectionDefinition, InternalIdentity, ResourceDocument, ScaleInfo};
use crate::ports::{ConnectorSpec, DestinationSpec, ErrorClass, FhirServices, PortError};
use crate::store::{Store, StoreError};

/// The resource that is worked on, and what is above it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The resource.
    pub subject: ResourceDocument,
    /// Its workspace, unless it is one.
    pub workspace: Option<ResourceDocument>,
    /// Its connector, unless it is one.
    pub connector: Option<ResourceDocument>,
}

impl Scene {
    /// Loads what is above a resource. None when something of it is gone.
    pub async fn of(store: &Store, subject: ResourceDocument) -> Result<Option<Scene>, StoreError> {
        let mut scene = Scene { subject, workspace: None, connector: None };
        let mut id = scene.subject.resource_id().parent();
        while let Some(above) = id {
            let Some(document) = store.resource(&above).await? else { return Ok(None) };
            match above.kind {
                ResourceType::Workspace => scene.workspace = Some(document),
                _ => scene.connector = Some(document),
            }
            id = above.parent();
        }
        Ok(Some(scene))
    }

    /// The workspace; a Gen1 connector is its own.
    pub fn workspace(&self) -> &ResourceDocument {
        self.workspace.as_ref().unwrap_or(self.connector())
    }

    /// The connector.
    pub fn connector(&self) -> &ResourceDocument {
        self.connector.as_ref().unwrap_or(&self.subject)
    }

    /// Where the workspace was placed.
    pub fn place(&self) -> Result<&ScaleInfo, PortError> {
        self.workspace().scale.as_ref().ok_or_else(|| missing("the place of the workspace"))
    }

    /// The workspace's storage account.
    pub fn storage_account(&self) -> Result<&str, PortError> {
        stored(&self.workspace().infrastructure.storage_account, "the workspace's storage account")
    }

    /// The workspace's identity.
    pub fn internal_identity(&self) -> Result<&InternalIdentity, PortError> {
        let identity = self.workspace().infrastructure.internal_identity.as_ref();
        identity.ok_or_else(|| missing("the workspace's identity"))
    }

    /// Decides the names of what will be made for the resource, those that are
    /// not decided yet.
    pub fn decide_names(&mut self) {
        let Scene { subject, .. } = self;
        let id = subject.id.clone();
        let kind = subject.kind.resource_type();
        let connector = self.connector.as_ref().map_or_else(|| id.clone(), |connector| connector.id.clone());
        let own_name = subject.resource_id().own_name().to_lowercase();
        let infrastructure = &mut subject.infrastructure;
        let mut roles: Vec<&str> = Vec::new();
        if matches!(kind, ResourceType::Workspace | ResourceType::IomtConnector) {
            let names = WorkspaceNames(&id);
            infrastructure.resource_group.get_or_insert_with(|| names.resource_group());
            infrastructure.storage_account.get_or_insert_with(|| names.storage_account());
            infrastructure.internal_identity.get_or_insert_with(|| InternalIdentity {
                name: names.identity(),
                resource_id: String::new(),
                client_id: String::new(),
                principal_id: String::new(),
            });
            roles.push(STORAGE_ROLE);
        }
        match kind {
            ResourceType::IomtConnector => {
                let names = ConnectorNames(&id);
                infrastructure.device_hub_name.get_or_insert_with(|| names.device_hub());
                infrastructure.event_hub_name.get_or_insert_with(|| names.event_hub());
                infrastructure.consumer_group.get_or_insert_with(|| DestinationNames(&id).consumer_group());
                roles.extend([HUB_SENDER, HUB_RECEIVER, DEVICE_RECEIVER, FHIR_ROLE]);
            }
            ResourceType::IomtMapping => {
                let names = ConnectorNames(&connector);
                infrastructure
                    .mapping_blob
                    .get_or_insert_with(|| format!("{}/{own_name}mapping.json", names.workload()));
            }
            ResourceType::IotConnector => {
                let names = ConnectorNames(&id);
                infrastructure.event_hub_name.get_or_insert_with(|| names.event_hub());
                infrastructure.mapping_blob.get_or_insert_with(|| format!("{}/devicemapping.json", names.workload()));
                roles.extend([HUB_SENDER, HUB_RECEIVER]);
            }
            ResourceType::FhirDestination => {
                let names = DestinationNames(&id);
                infrastructure.consumer_group.get_or_insert_with(|| names.consumer_group());
                infrastructure.mapping_blob.get_or_insert_with(|| format!("{}/fhirmapping.json", names.workload()));
            }
            _ => {}
        }
        for role in roles {
            infrastructure.role_assignments.entry(role.to_owned()).or_insert_with(|| Uuid::new_v4().to_string());
        }
    }

    /// What the workload of the resource is called.
    pub fn workload(&self) -> String {
        match self.subject.kind.resource_type() {
            ResourceType::FhirDestination => DestinationNames(&self.subject.id).workload(),
            _ => ConnectorNames(&self.connector().id).workload(),
        }
    }

    /// The Gen1 connector as the cluster is to have it; none while it lacks a
    /// mapping, since there is nothing that it could do. Its own hub is its
    /// source, and the FHIR service above it its destination.
    pub async fn gen1_spec(
        &self,
        store: &Store,
        fhir_services: &dyn FhirServices,
    ) -> Result<Result<Option<ConnectorSpec>, PortError>, StoreError> {
        let id = self.connector().resource_id();
        let mut mappings = [None, None];
        let mut transaction = store.begin().await?;
        for mut document in transaction.descendants(&id).await? {
            let is_made = if document.id == self.subject.id {
                document.clone_from(&self.subject);
                true
            } else {
                document.revert()
            };
            if let Properties::IomtMapping(mapping) = &document.properties
                && is_made
                && document.state != ResourceState::Deprovisioning
                && let Some(blob) = &document.infrastructure.mapping_blob
            {
                let position =
                    usize::from(IomtMapping::kind_of_name(document.resource_id().own_name()) == MappingKind::Fhir);
                mappings[position] = Some((blob.clone(), mapping.content.hash()));
            }
        }
        drop(transaction);
        let [Some(device), Some(fhir)] = mappings else { return Ok(Ok(None)) };
        let service = match fhir_services.get(&id.fhir_service().unwrap_or_default()).await {
            Ok(Some(service)) => service,
            Ok(None) => return Ok(Err(missing("the FHIR service above the connector"))),
            Err(error) => return Ok(Err(error)),
        };
        let subscription = store.subscription_state(&id.subscription).await?;
        let is_suspended = matches!(subscription, SubscriptionState::Warned | SubscriptionState::Suspended);
        Ok(self.spec_of_gen1(device, fhir, service.url, is_suspended).map(Some))
    }

    fn spec_of_gen1(
        &self,
        (device_mapping, device_mapping_hash): (String, String),
        (fhir_mapping, fhir_mapping_hash): (String, String),
        fhir_url: String,
        is_suspended: bool,
    ) -> Result<ConnectorSpec, PortError> {
        let mut connector = self.connector().clone();
        if connector.id != self.subject.id {
            connector.revert();
        }
        let Properties::IomtConnector(properties) = &connector.properties else { return Err(missing("the connector")) };
        let infrastructure = &connector.infrastructure;
        let namespace = self.place()?.event_hub_namespace_resource_id.rsplit('/').next().unwrap_or_default();
        Ok(ConnectorSpec {
            name: ConnectorNames(&connector.id).workload(),
            endpoint: IngestionEndpoint {
                event_hub_name: stored(&infrastructure.device_hub_name, "the hub that devices send to")?.to_owned(),
                consumer_group: None,
                fully_qualified_event_hub_namespace: format!("{namespace}.servicebus.windows.net"),
            },
            epoch: 1,
            internal_hub: stored(&infrastructure.event_hub_name, "the connector's hub")?.to_owned(),
            storage_account: self.storage_account()?.to_owned(),
            internal_identity: self.internal_identity()?.clone(),
            certificate: None,
            device_mapping,
            device_mapping_hash,
            destinations: vec![DestinationSpec {
                name: DestinationNames(&connector.id).workload(),
                consumer_group: stored(&infrastructure.consumer_group, "the consumer group")?.to_owned(),
                fhir_url,
                resolution: properties.resource_identity_resolution_type,
                fhir_mapping,
                fhir_mapping_hash,
            }],
            is_suspended,
        })
    }

    /// The connector as the cluster is to have it: with the destinations that are
    /// made or being made, and not those that are being removed.
    pub async fn connector_spec(
        &self,
        store: &Store,
        fhir_services: &dyn FhirServices,
    ) -> Result<Result<ConnectorSpec, PortError>, StoreError> {
        let id = self.connector().resource_id();
        let mut destinations = Vec::new();
        let mut transaction = store.begin().await?;
        for mut document in transaction.descendants(&id).await? {
            let is_made = match document.id == self.subject.id {
                true => {
                    document.clone_from(&self.subject);
                    true
                }
                // What is wanted of others is their operations' business.
                false => document.revert(),
            };
            let is_wanted = is_made && document.state != ResourceState::Deprovisioning;
            if document.kind.resource_type() != ResourceType::FhirDestination || !is_wanted {
                continue;
            }
            match destination(&document, fhir_services).await {
                Ok(destination) => destinations.push(destination),
                Err(error) => return Ok(Err(error)),
            }
        }
        drop(transaction);
        let subscription = store.subscription_state(&id.subscription).await?;
        let is_suspended = matches!(subscription, SubscriptionState::Warned | SubscriptionState::Suspended);
        Ok(self.spec(destinations, is_suspended))
    }

    fn spec(&self, destinations: Vec<DestinationSpec>, is_suspended: bool) -> Result<ConnectorSpec, PortError> {
        let mut connector = self.connector().clone();
        if connector.id != self.subject.id {
            connector.revert();
        }
        let Properties::IotConnector(properties) = &connector.properties else { return Err(missing("the connector")) };
        let Some(ingest) = &connector.ingest_definition else { return Err(missing("what the connector reads")) };
        let ConnectionDefinition::EventHub(endpoint) = &ingest.connection_definition;
        let infrastructure = &connector.infrastructure;
        Ok(ConnectorSpec {
            name: ConnectorNames(&connector.id).workload(),
            endpoint: endpoint.clone(),
            epoch: ingest.epoch,
            internal_hub: stored(&infrastructure.event_hub_name, "the connector's hub")?.to_owned(),
            storage_account: self.storage_account()?.to_owned(),
            internal_identity: self.internal_identity()?.clone(),
            certificate: infrastructure.certificate.clone(),
            device_mapping: stored(&infrastructure.mapping_blob, "the mapping's blob")?.to_owned(),
            device_mapping_hash: properties.device_mapping.hash(),
            destinations,
            is_suspended,
        })
    }
}

/// The key of the role that lets the pods of a Gen1 connector read what devices
/// send.
pub const DEVICE_RECEIVER: &str = "deviceHubReceiver";
/// The key of the role that lets them write to the FHIR service.
pub const FHIR_ROLE: &str = "fhirContributor";
/// The key of the role on the storage account.
pub const STORAGE_ROLE: &str = "storageContributor";
/// The key of the role that lets a connector's pods send.
pub const HUB_SENDER: &str = "hubSender";
/// The key of the role that lets them receive.
pub const HUB_RECEIVER: &str = "hubReceiver";

async fn destination(
    document: &ResourceDocument,
    fhir_services: &dyn FhirServices,
) -> Result<DestinationSpec, PortError> {
    let Properties::FhirDestination(properties) = &document.properties else { return Err(missing("the destination")) };
    let fhir_url = match &properties.target {
        FhirTarget::FhirServerUrl(url) => url.clone(),
        FhirTarget::FhirServiceResourceId(text) => {
            let gone = |code| PortError {
                code,
                class: ErrorClass::Permanent,
                message: "the FHIR service of a destination is not there any more".to_owned(),
            };
            let service = FhirServiceId::read(text, &document.resource_id()).map_err(|error| gone(error.code))?;
            let found = fhir_services.get(&service.path).await?;
            found.ok_or_else(|| gone(ErrorCode::FhirServiceNotFound))?.url
        }
    };
    let infrastructure = &document.infrastructure;
    Ok(DestinationSpec {
        name: DestinationNames(&document.id).workload(),
        consumer_group: stored(&infrastructure.consumer_group, "the destination's consumer group")?.to_owned(),
        fhir_url,
        resolution: properties.resource_identity_resolution_type,
        fhir_mapping: stored(&infrastructure.mapping_blob, "the mapping's blob")?.to_owned(),
        fhir_mapping_hash: properties.fhir_mapping.hash(),
    })
}

/// What was decided before, and has to be there.
pub fn stored<'v>(value: &'v Option<String>, what: &str) -> Result<&'v str, PortError> {
    value.as_deref().ok_or_else(|| missing(what))
}

fn missing(what: &str) -> PortError {
    PortError {
        code: ErrorCode::InternalServerError,
        class: ErrorClass::Permanent,
        message: format!("{what} is not known: the resource above was not made whole"),
    }
}
