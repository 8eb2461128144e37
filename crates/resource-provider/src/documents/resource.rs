//! The document of a resource.

use arm::Generation;
use arm::desired::{Desired, Properties};
use arm::gen2::IngestionEndpoint;
use arm::identity::SystemAssigned;
use arm::name_of_provider;
use arm::state::{ResourceState, SubscriptionState};
use arm::system_data::SystemData;
use arm::tags::Tags;
use arm::{ArmError, DocumentId, Location, Resource, ResourceId, ResourceType};
use serde::{Deserialize, Serialize};

use super::SCHEMA_VERSION;
use super::infrastructure::{Infrastructure, ScaleInfo};

/// What a document is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DocumentType {
    /// A Gen1 connector.
    IomtConnector,
    /// A Gen1 connection.
    IomtConnectorConnection,
    /// A Gen1 mapping.
    IomtConnectorMapping,
    /// A workspace.
    Workspace,
    /// A Gen2 connector.
    IotConnectorGen2,
    /// A destination.
    IotDestination,
    /// A Gen2 mapping of its own.
    IotMapping,
}

/// A resource, with everything that was made for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDocument {
    /// What it is of.
    #[serde(rename = "type")]
    pub kind: DocumentType,
    /// Its id: random, and what everything made for it is called after.
    pub id: DocumentId,
    /// Of which form it is.
    pub schema_version: u32,
    /// The subscription; opaque to readers.
    pub partition_key: String,
    /// The customer's subscription.
    pub subscription_id: String,
    /// As it was last written.
    pub resource_group_name: String,
    /// `Microsoft.HealthcareApis`.
    pub provider_name_space: String,
    /// The namespace and the type.
    pub resource_type_name: String,
    /// The nested name in small letters.
    pub name: String,
    /// The nested name as it was last written.
    pub display_name: String,
    /// The document of the resource of ours above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<DocumentId>,
    /// What that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_type: Option<DocumentType>,
    /// Its name, in Gen2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<String>,
    /// The same in Gen1: the FHIR service's, for a connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_service_name: Option<String>,
    /// What lookups without letter case compare.
    pub search_index: SearchIndex,
    /// Where it stands.
    pub state: ResourceState,
    /// The operation that was started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_operation_id: Option<DocumentId>,
    /// The region.
    pub location: Location,
    /// Of tracked resources.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Who made and changed it.
    #[serde(default, skip_serializing_if = "SystemData::is_empty")]
    pub system_data: SystemData,
    /// The identity that ARM made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SystemAssigned>,
    /// Whether one was asked for.
    #[serde(default)]
    pub has_identity: bool,
    /// What the customer wants of it.
    pub properties: Properties,
    /// What a Gen2 connector reads, and how often that has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest_definition: Option<IngestDefinition>,
    /// Where it was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleInfo>,
    /// What was made for it.
    #[serde(default)]
    pub infrastructure: Infrastructure,
    /// What was wanted when it last succeeded: what a failed change goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Box<LastGood>>,
    /// Why the last operation failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_error: Option<ArmError>,
    /// Changes with every stored change; quotes included. A column.
    #[serde(skip)]
    pub etag: String,
}

/// What a failed change goes back to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastGood {
    /// What was wanted.
    pub desired: Desired,
    /// Of a Gen2 connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest_definition: Option<IngestDefinition>,
}

/// See [`ResourceDocument::search_index`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchIndex {
    /// In small letters.
    pub name: String,
    /// In capitals.
    pub resource_group_name: String,
    /// In capitals.
    pub resource_type_name: String,
    /// In capitals.
    pub provider_name_space: String,
    /// In small letters, in Gen2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<String>,
}

/// What a connector reads (resource-provider.md 4.12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestDefinition {
    /// The hub.
    pub connection_definition: ConnectionDefinition,
    /// Another whenever the hub changes: then reading begins anew.
    pub epoch: u32,
    /// The highest that there ever was, also of a change that failed: the positions
    /// of one hub are never another's.
    #[serde(default)]
    pub highest_epoch: u32,
}

/// A hub, with its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "connectionType")]
pub enum ConnectionDefinition {
    /// An event hub of the customer's.
    EventHub(IngestionEndpoint),
}

impl DocumentType {
    /// Of a type of resources.
    pub fn of(kind: ResourceType) -> DocumentType {
        match kind {
            ResourceType::IomtConnector => DocumentType::IomtConnector,
            ResourceType::Connection => DocumentType::IomtConnectorConnection,
            ResourceType::IomtMapping => DocumentType::IomtConnectorMapping,
            ResourceType::Workspace => DocumentType::Workspace,
            ResourceType::IotConnector => DocumentType::IotConnectorGen2,
            ResourceType::FhirDestination => DocumentType::IotDestination,
            ResourceType::IotMapping => DocumentType::IotMapping,
        }
    }

    /// The type of resources.
    pub fn resource_type(self) -> ResourceType {
        match self {
            DocumentType::IomtConnector => ResourceType::IomtConnector,
            DocumentType::IomtConnectorConnection => ResourceType::Connection,
            DocumentType::IomtConnectorMapping => ResourceType::IomtMapping,
            DocumentType::Workspace => ResourceType::Workspace,
            DocumentType::IotConnectorGen2 => ResourceType::IotConnector,
            DocumentType::IotDestination => ResourceType::FhirDestination,
            DocumentType::IotMapping => ResourceType::IotMapping,
        }
    }
}

impl IngestDefinition {
    /// What a connector reads that reads this hub, after it read what `before`
    /// says.
    pub fn next(endpoint: &IngestionEndpoint, before: Option<&IngestDefinition>) -> IngestDefinition {
        let epoch = match before {
            Some(before) => {
                let ConnectionDefinition::EventHub(last) = &before.connection_definition;
                if endpoint.is_same_stream(last) { before.epoch } else { before.highest() + 1 }
            }
            None => 1,
        };
        let highest_epoch = before.map_or(0, IngestDefinition::highest).max(epoch);
        let connection_definition = ConnectionDefinition::EventHub(endpoint.clone());
        IngestDefinition { connection_definition, epoch, highest_epoch }
    }

    /// The highest epoch that there ever was.
    pub fn highest(&self) -> u32 {
        self.highest_epoch.max(self.epoch)
    }
}

impl ResourceDocument {
    /// The document of a resource that is new.
    pub fn new(
        id: DocumentId,
        resource: &ResourceId,
        parent: Option<&ResourceDocument>,
        desired: Desired,
    ) -> ResourceDocument {
        let kind = resource.kind;
        let above = resource.names.iter().rev().nth(1).cloned();
        let (service_above, resource_above) = match kind.generation() {
            Generation::Gen1 => (above, None),
            Generation::Gen2 => (None, above),
        };
        let mut document = ResourceDocument {
            kind: DocumentType::of(kind),
            id,
            schema_version: SCHEMA_VERSION,
            partition_key: resource.subscription.to_lowercase(),
            subscription_id: resource.subscription.clone(),
            resource_group_name: String::new(),
            provider_name_space: arm::NAMESPACE.to_owned(),
            resource_type_name: name_of_provider(&kind.canonical_path()),
            name: String::new(),
            display_name: String::new(),
            parent_id: parent.map(|parent| parent.id.clone()),
            parent_type: parent.map(|parent| parent.kind),
            parent_name: resource_above.clone(),
            parent_service_name: service_above,
            search_index: SearchIndex {
                name: String::new(),
                resource_group_name: String::new(),
                resource_type_name: String::new(),
                provider_name_space: arm::NAMESPACE.to_uppercase(),
                parent_name: resource_above.map(|name| name.to_lowercase()),
            },
            state: ResourceState::Accepted,
            current_operation_id: None,
            location: desired.location.clone(),
            tags: Tags::new(),
            system_data: SystemData::default(),
            identity: None,
            has_identity: false,
            properties: desired.properties.clone(),
            ingest_definition: None,
            scale: None,
            infrastructure: Infrastructure::default(),
            last_good: None,
            provisioning_error: None,
            etag: String::new(),
        };
        document.set_id(resource);
        document.set_desired(desired);
        document
    }

    /// Takes over how the caller writes the id now.
    pub fn set_id(&mut self, resource: &ResourceId) {
        self.subscription_id.clone_from(&resource.subscription);
        self.resource_group_name.clone_from(&resource.group);
        self.display_name = resource.nested_name();
        self.name = self.display_name.to_lowercase();
        self.search_index.name.clone_from(&self.name);
        self.search_index.resource_group_name = resource.group.to_uppercase();
        self.search_index.resource_type_name = self.resource_type_name.to_uppercase();
    }

    /// The id of the resource.
    pub fn resource_id(&self) -> ResourceId {
        ResourceId {
            subscription: self.subscription_id.clone(),
            group: self.resource_group_name.clone(),
            kind: self.kind.resource_type(),
            names: self.display_name.split('/').map(str::to_owned).collect(),
        }
    }

    /// What the customer wants of it.
    pub fn desired(&self) -> Desired {
        Desired {
            location: self.location.clone(),
            tags: self.tags.clone(),
            has_identity: self.has_identity,
            properties: self.properties.clone(),
        }
    }

    /// The resource as answers show it to a subscription in a state.
    pub fn show<T>(&self, subscription: SubscriptionState, show: impl FnOnce(Resource<'_>) -> T) -> T {
        let (id, desired) = (self.resource_id(), self.desired());
        show(Resource {
            id: &id,
            etag: &self.etag,
            desired: &desired,
            identity: self.identity.as_ref(),
            system_data: &self.system_data,
            state: self.state.shown(subscription),
        })
    }

    /// Takes over what the customer wants of it now.
    pub fn set_desired(&mut self, desired: Desired) {
        if let Properties::IotConnector(connector) = &desired.properties {
            let endpoint = &connector.ingestion_endpoint_configuration;
            self.ingest_definition = Some(IngestDefinition::next(endpoint, self.ingest_definition.as_ref()));
        }
        self.assign(desired);
    }

    fn assign(&mut self, desired: Desired) {
        let Desired { location, tags, has_identity, properties } = desired;
        (self.location, self.tags, self.has_identity, self.properties) = (location, tags, has_identity, properties);
    }

    /// Remembers what is wanted now as what a failed change goes back to.
    pub fn mark_good(&mut self) {
        let (desired, ingest_definition) = (self.desired(), self.ingest_definition.clone());
        self.last_good = Some(Box::new(LastGood { desired, ingest_definition }));
        self.provisioning_error = None;
        self.state = ResourceState::Provisioned;
    }

    /// Shows why the last operation failed: with what was good before, unless it was to
    /// be removed; what is half gone is not brought back.
    pub fn mark_failed(&mut self, error: Option<ArmError>, was_removal: bool) {
        if was_removal {
            self.infrastructure.is_half_changed = false;
        } else {
            self.revert();
        }
        self.provisioning_error = error;
        self.state = ResourceState::Failed;
    }

    /// Goes back to what was good last. False when nothing ever was.
    pub fn revert(&mut self) -> bool {
        let Some(good) = self.last_good.clone() else { return false };
        self.assign(good.desired);
        let highest = self.ingest_definition.as_ref().map_or(0, IngestDefinition::highest);
        self.ingest_definition = good.ingest_definition;
        if let Some(ingest) = &mut self.ingest_definition {
            ingest.highest_epoch = ingest.highest().max(highest);
        }
        true
    }
}
