//! What is outside: behind traits, with an implementation on Azure and one on
//! this machine (design.md D9).

use std::fmt::Debug;
use std::sync::Arc;

use arm::gen1::{ConnectionKeys, KeyType};
use arm::gen2::{IngestionEndpoint, Resolution, Sku};
use arm::identity::SystemAssigned;
use arm::{DocumentId, ErrorCode, Location, ResourceId};
use async_trait::async_trait;

use crate::documents::{Certificate, InternalIdentity, KubernetesObject, ResourceDocument, ScaleInfo};

/// What is outside did not do it (resource-provider.md 6.3).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// What a client is told that it was.
    pub code: ErrorCode,
    /// Whether it can help to try again.
    pub class: ErrorClass,
    /// What happened, for us; without secrets.
    pub message: String,
}

impl PortError {
    /// One that may pass by itself.
    pub fn transient(code: ErrorCode, message: impl Into<String>) -> PortError {
        let class = ErrorClass::Transient { retry_after_seconds: None };
        PortError { code, class, message: message.into() }
    }

    /// Whether it goes on by itself.
    pub fn is_under_way(&self) -> bool {
        matches!(self.class, ErrorClass::UnderWay { .. })
    }

    /// One that stays.
    pub fn permanent(code: ErrorCode, message: impl Into<String>) -> PortError {
        PortError { code, class: ErrorClass::Permanent, message: message.into() }
    }
}

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Try again, not before so many seconds when it says.
    Transient {
        /// `Retry-After`.
        retry_after_seconds: Option<u64>,
    },
    /// It was begun, and goes on by itself: that is no failure. It is looked at again,
    /// not before so many seconds when it says.
    UnderWay {
        /// `Retry-After`.
        retry_after_seconds: Option<u64>,
    },
    /// Nothing.
    Permanent,
}

/// A FHIR service, as the team says that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirService {
    /// Its region.
    pub location: Location,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Its base URL.
    pub url: String,
    /// What tokens for it have to be for, where that is not its base URL.
    pub audience: Option<String>,
}

/// The FHIR services of the platform, which are not ours.
#[async_trait]
pub trait FhirServices: Debug + Send + Sync {
    /// A service by its resource id, letter case ignored.
    async fn get(&self, path: &str) -> Result<Option<FhirService>, PortError>;

    /// Whether a workspace has any FHIR or DICOM service.
    async fn has_any(&self, workspace: &ResourceId) -> Result<bool, PortError>;
}

/// Makes the identities that ARM makes where it stands in front.
#[async_trait]
pub trait IdentityIssuer: Debug + Send + Sync {
    /// The identity of a resource, the same each time.
    async fn issue(&self, resource: &ResourceId) -> Result<SystemAssigned, PortError>;
}

/// A connection of a Gen1 connector: a rule on its hub.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRule<'r> {
    /// Whose hub.
    pub connector: &'r ResourceDocument,
    /// The rule.
    pub connection: &'r str,
}

/// The keys of Gen1 connections. They are asked for, given on, and kept nowhere.
#[async_trait]
pub trait Keys: Debug + Send + Sync {
    /// Both keys.
    async fn list(&self, rule: ConnectionRule<'_>) -> Result<ConnectionKeys, PortError>;

    /// Both keys, one of which is new.
    async fn regenerate(&self, rule: ConnectionRule<'_>, key: KeyType) -> Result<ConnectionKeys, PortError>;
}

/// Who is asked where the things of a workspace go (resource-provider.md 4.9).
#[async_trait]
pub trait Allocation: Debug + Send + Sync {
    /// A place for a workspace; the same each time until it is released.
    async fn allocate(&self, request: AllocationRequest<'_>) -> Result<ScaleInfo, PortError>;

    /// Gives the place back.
    async fn release(&self, workspace: &DocumentId) -> Result<(), PortError>;
}

/// Whose place is asked for.
#[derive(Clone, Copy, Debug)]
pub struct AllocationRequest<'r> {
    /// The workspace's document.
    pub workspace: &'r DocumentId,
    /// Its region.
    pub region: &'r Location,
    /// Its own cluster, or the region's.
    pub sku: Sku,
    /// What its namespace is to be called.
    pub event_hub_namespace: &'r str,
}

/// What is made in Azure for a customer. Each is ensured: made when it is not
/// there, left when it is as it should be; and removed when it is there. `place`
/// says in which subscription.
#[async_trait]
pub trait Azure: Debug + Send + Sync {
    /// A resource group, tagged with what it is for.
    async fn ensure_resource_group(&self, place: &ScaleInfo, name: &str, for_resource: &str) -> Result<(), PortError>;
    /// Removes a resource group and what is left in it.
    async fn delete_resource_group(&self, place: &ScaleInfo, name: &str) -> Result<(), PortError>;

    /// The groups of ours, in all subscriptions of ours, that are tagged with what
    /// they are for: the sweeper looks for those whose resource is gone. None,
    /// where nobody can tell.
    async fn tagged_resource_groups(&self) -> Result<Vec<TaggedGroup>, PortError> {
        Ok(Vec::new())
    }
    /// Removes one of them and what is left in it.
    async fn delete_tagged_resource_group(&self, group: &TaggedGroup) -> Result<(), PortError> {
        let message = format!("the group `{}` cannot be removed here", group.name);
        Err(PortError::permanent(ErrorCode::InternalServerError, message))
    }

    /// A storage account.
    async fn ensure_storage_account(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError>;
    /// Removes it.
    async fn delete_storage_account(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError>;

    /// A user-assigned identity.
    async fn ensure_identity(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<InternalIdentity, PortError>;
    /// Removes it.
    async fn delete_identity(&self, place: &ScaleInfo, group: &str, name: &str) -> Result<(), PortError>;

    /// Lets the pods of a service account be an identity, by the tokens that the
    /// cluster gives them. An identity takes such changes one at a time.
    async fn ensure_federation(&self, place: &ScaleInfo, federation: Federation<'_>) -> Result<(), PortError>;
    /// Takes that back.
    async fn delete_federation(&self, place: &ScaleInfo, federation: Federation<'_>) -> Result<(), PortError>;

    /// An Event Hubs namespace of one throughput unit.
    async fn ensure_namespace(&self, place: &ScaleInfo) -> Result<(), PortError>;
    /// Removes it.
    async fn delete_namespace(&self, place: &ScaleInfo) -> Result<(), PortError>;

    /// A hub in the namespace.
    async fn ensure_event_hub(&self, place: &ScaleInfo, hub: &str) -> Result<(), PortError>;
    /// Removes it, with its consumer groups.
    async fn delete_event_hub(&self, place: &ScaleInfo, hub: &str) -> Result<(), PortError>;

    /// A consumer group on a hub.
    async fn ensure_consumer_group(&self, place: &ScaleInfo, hub: &str, group: &str) -> Result<(), PortError>;
    /// Removes it.
    async fn delete_consumer_group(&self, place: &ScaleInfo, hub: &str, group: &str) -> Result<(), PortError>;

    /// A rule on a hub that lets its holder send and no more.
    async fn ensure_send_rule(&self, place: &ScaleInfo, hub: &str, rule: &str) -> Result<(), PortError>;
    /// Removes it.
    async fn delete_send_rule(&self, place: &ScaleInfo, hub: &str, rule: &str) -> Result<(), PortError>;

    /// A role assignment under an id that was stored before. An assignment of the
    /// same principal, role and scope under another id counts.
    async fn ensure_role_assignment(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), PortError>;
    /// Removes it.
    async fn delete_role_assignment(&self, place: &ScaleInfo, assignment: RoleAssignment<'_>) -> Result<(), PortError>;
}

/// A resource group of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedGroup {
    /// The subscription of ours that it is in.
    pub subscription_id: String,
    /// Its name.
    pub name: String,
    /// The customer's resource that its tag names, by its path.
    pub for_resource: String,
}

/// Which pods are which identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Federation<'a> {
    /// The group of the identity.
    pub group: &'a str,
    /// The identity.
    pub identity: &'a str,
    /// What the pods run as.
    pub service_account: &'a ServiceAccount,
}

/// Who may do what, where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleAssignment<'a> {
    /// The id: a GUID.
    pub id: &'a str,
    /// Who.
    pub principal_id: &'a str,
    /// What.
    pub role: Role,
    /// On what: a hub, or the storage account.
    pub scope: Scope<'a>,
}

/// A built-in role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Azure Event Hubs Data Sender.
    EventHubsDataSender,
    /// Azure Event Hubs Data Receiver.
    EventHubsDataReceiver,
    /// Storage Blob Data Contributor.
    StorageBlobDataContributor,
    /// FHIR Data Contributor.
    FhirDataContributor,
    /// Key Vault Secrets User.
    KeyVaultSecretsUser,
}

/// What a role is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope<'a> {
    /// A hub of the workspace's namespace.
    EventHub(&'a str),
    /// The workspace's storage account, in its group.
    StorageAccount {
        /// The group.
        group: &'a str,
        /// The account.
        name: &'a str,
    },
    /// A FHIR service of the customer's, by its resource id.
    FhirService(&'a str),
    /// A certificate in the vault of the place, with its key.
    Certificate(&'a str),
}

/// The external identity's credential (resource-provider.md 4.10).
#[async_trait]
pub trait Certificates: Debug + Send + Sync {
    /// Fetches the credential of an identity and stores its certificate in the
    /// vault under a name; nothing, when the one there is not to be renewed yet.
    async fn ensure(
        &self,
        place: &ScaleInfo,
        name: &str,
        identity: &SystemAssigned,
    ) -> Result<EnsuredCertificate, PortError>;
    /// Removes it.
    async fn delete(&self, place: &ScaleInfo, name: &str) -> Result<(), PortError>;
}

/// A certificate that is in the vault.
#[derive(Clone, Debug)]
pub struct EnsuredCertificate {
    /// It.
    pub certificate: Certificate,
    /// Why it was not renewed, though it is due; it holds on for a while.
    pub not_renewed: Option<PortError>,
}

impl From<Certificate> for EnsuredCertificate {
    fn from(certificate: Certificate) -> EnsuredCertificate {
        EnsuredCertificate { certificate, not_renewed: None }
    }
}

/// The container of mappings in the storage account of a workspace.
pub const MAPPINGS: &str = "mappings";

/// The blobs of a workspace's storage account.
#[async_trait]
pub trait Blobs: Debug + Send + Sync {
    /// Writes the text of a mapping.
    async fn put_mapping(&self, account: &str, blob: &str, text: &str) -> Result<(), PortError>;
    /// Removes it.
    async fn delete_mapping(&self, account: &str, blob: &str) -> Result<(), PortError>;
    /// Removes a container of positions.
    async fn delete_positions(&self, account: &str, container: &str) -> Result<(), PortError>;
}

/// What the pods of a connector run as in their cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The cluster that the workloads of a connector run on.
#[async_trait]
pub trait Cluster: Debug + Send + Sync {
    /// What the pods of a connector will run as, which the workspace's identity
    /// has to trust. None where nobody's tokens count, as on one machine.
    fn service_account(&self, _place: &ScaleInfo, _connector: &str) -> Option<ServiceAccount> {
        None
    }

    /// What the host names of Event Hubs namespaces end with where its pods run.
    fn event_hubs_suffix(&self) -> &str {
        "servicebus.windows.net"
    }

    /// Makes a connector as it should be, with all its destinations.
    async fn apply(&self, place: &ScaleInfo, connector: &ConnectorSpec) -> Result<(), PortError>;
    /// A workload of a connector, when the cluster has it.
    async fn workload(
        &self,
        place: &ScaleInfo,
        connector: &str,
        workload: &str,
    ) -> Result<Option<WorkloadStatus>, PortError>;
    /// Removes a connector and waits until its pods are gone.
    async fn delete(&self, place: &ScaleInfo, connector: &str) -> Result<(), PortError>;
}

/// A workload, as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadStatus {
    /// What the cluster calls it.
    pub object: KubernetesObject,
    /// Whether it is as it was last asked for, and ready or at zero by its lag.
    pub is_ready: bool,
}

/// A connector, as the cluster is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorSpec {
    /// Of normalize's workload, and the resource's.
    pub name: String,
    /// The hub of the customer.
    pub endpoint: IngestionEndpoint,
    /// Whether that hub is one of ours, which is made for the connector: of Gen1.
    pub has_own_hub: bool,
    /// How often that has changed.
    pub epoch: u32,
    /// The hub of measurements.
    pub internal_hub: String,
    /// The storage account.
    pub storage_account: String,
    /// The identity by which everything internal is opened.
    pub internal_identity: InternalIdentity,
    /// The identity by which the customer's things are.
    pub certificate: Option<Certificate>,
    /// The blob of the device mapping.
    pub device_mapping: String,
    /// What the mapping means: pods take up another when it changes.
    pub device_mapping_hash: String,
    /// Where Observations go.
    pub destinations: Vec<DestinationSpec>,
    /// Whether nothing may run: the subscription is suspended.
    pub is_suspended: bool,
}

/// A destination, as the cluster is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSpec {
    /// Of its workload.
    pub name: String,
    /// Its group on the hub of measurements.
    pub consumer_group: String,
    /// The FHIR server.
    pub fhir_url: String,
    /// What tokens for it have to be for, where that is not its URL.
    pub fhir_audience: Option<String>,
    /// How Devices and Patients are found.
    pub resolution: Resolution,
    /// The blob of the FHIR mapping.
    pub fhir_mapping: String,
    /// What the mapping means.
    pub fhir_mapping_hash: String,
}

/// Everything that is outside, for the worker.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Where things go.
    pub allocation: Arc<dyn Allocation>,
    /// Azure.
    pub azure: Arc<dyn Azure>,
    /// Certificates.
    pub certificates: Arc<dyn Certificates>,
    /// Blobs.
    pub blobs: Arc<dyn Blobs>,
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// The FHIR services.
    pub fhir_services: Arc<dyn FhirServices>,
}
