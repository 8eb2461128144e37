//! The documents that an operation is about.

use arm::infrastructure::{ConnectorNames, DestinationNames, WorkspaceNames};
use arm::{ErrorCode, ResourceType};
use uuid::Uuid;

use crate::documents::{InternalIdentity, ResourceDocument, ScaleInfo};
use crate::ports::PortError;
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
                roles.extend([HUB_SENDER, HUB_RECEIVER, CERTIFICATE_ROLE]);
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
}

/// The key of the role that lets the pods of a Gen1 connector read what devices
/// send.
pub const DEVICE_RECEIVER: &str = "deviceHubReceiver";
/// The key of the role that lets them write to the FHIR service.
pub const FHIR_ROLE: &str = "fhirContributor";
/// The key of the role that lets the pods of a connector read the certificate of
/// its external identity.
pub const CERTIFICATE_ROLE: &str = "certificateReader";
/// The key of the role on the storage account.
pub const STORAGE_ROLE: &str = "storageContributor";
/// The key of the role that lets a connector's pods send.
pub const HUB_SENDER: &str = "hubSender";
/// The key of the role that lets them receive.
pub const HUB_RECEIVER: &str = "hubReceiver";

/// What was decided before, and has to be there.
pub fn stored<'v>(value: &'v Option<String>, what: &str) -> Result<&'v str, PortError> {
    value.as_deref().ok_or_else(|| missing(what))
}

/// Something is not known that has to be.
pub fn missing(what: &str) -> PortError {
    let message = format!("{what} is not known: the resource above was not made whole");
    PortError::permanent(ErrorCode::InternalServerError, message)
}
