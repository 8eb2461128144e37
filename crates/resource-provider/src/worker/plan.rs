//! The steps of each command (resource-provider.md 4.7, 6.2).

use arm::ResourceType;
use arm::operation::OperationKind;

/// A step. Each ensures what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The names of what will be made are stored.
    Names,
    /// What a workspace has where it was placed for another SKU is gone, and that place
    /// given back.
    OldPlace,
    /// A workspace has its place.
    Allocation,
    /// A workspace has its resource group.
    ResourceGroup,
    /// A workspace has its storage account.
    StorageAccount,
    /// A workspace has its identity.
    InternalIdentity,
    /// That identity may use the storage account.
    StorageRole,
    /// The workspace of a connector has its namespace.
    Namespace,
    /// A Gen1 connector has the hub that devices send to.
    DeviceHub,
    /// A connector has its hub.
    EventHub,
    /// The workspace's identity may use the hub.
    HubRoles,
    /// A Gen1 connector may write to the FHIR service above it.
    FhirRole,
    /// A connection has its rule on the hub that devices send to.
    SendRule,
    /// The pods of a connector are the workspace's identity.
    Federation,
    /// A connector has its certificate.
    Certificate,
    /// That identity may read the certificate.
    CertificateRole,
    /// A destination has its consumer group.
    ConsumerGroup,
    /// The mapping is where the pods read it.
    MappingBlob,
    /// The workload is as it should be, and ready.
    Workload,
    /// Positions of an endpoint that was given up are gone.
    OldPositions,
    /// The workload is gone.
    NoWorkload,
    /// All positions are gone.
    NoPositions,
    /// The mapping's blob is gone.
    NoMappingBlob,
    /// The consumer group is gone.
    NoConsumerGroup,
    /// The certificate is gone.
    NoCertificate,
    /// The role on it is gone.
    NoCertificateRole,
    /// The pods of a connector are nobody's identity.
    NoFederation,
    /// The rule of a connection is gone.
    NoSendRule,
    /// The role on the FHIR service is gone.
    NoFhirRole,
    /// The hub that devices send to is gone.
    NoDeviceHub,
    /// The roles on the hub are gone.
    NoHubRoles,
    /// The hub is gone.
    NoEventHub,
    /// The namespace is gone, unless another connector has it.
    NoNamespace,
    /// The role on the storage account is gone.
    NoStorageRole,
    /// The workspace's identity is gone.
    NoInternalIdentity,
    /// The storage account is gone.
    NoStorageAccount,
    /// The resource group is gone.
    NoResourceGroup,
    /// The place is given back.
    NoAllocation,
}

use Step::{
    Allocation, Certificate, CertificateRole, ConsumerGroup, DeviceHub, EventHub, Federation, FhirRole, HubRoles,
    InternalIdentity, MappingBlob, Names, Namespace, NoAllocation, NoCertificate, NoCertificateRole, NoConsumerGroup,
    NoDeviceHub, NoEventHub, NoFederation, NoFhirRole, NoHubRoles, NoInternalIdentity, NoMappingBlob, NoNamespace,
    NoPositions, NoResourceGroup, NoSendRule, NoStorageAccount, NoStorageRole, NoWorkload, OldPlace, OldPositions,
    ResourceGroup, SendRule, StorageAccount, StorageRole, Workload,
};

impl Step {
    /// What an operation does to a resource of a type; to remove it, after its
    /// children are gone.
    pub fn of(operation: OperationKind, kind: ResourceType) -> &'static [Step] {
        match operation {
            OperationKind::Provision | OperationKind::Patch => Step::of_provision(kind),
            OperationKind::Deprovision => Step::of_deprovision(kind),
            OperationKind::Reapply => match kind {
                ResourceType::Workspace | ResourceType::Connection | ResourceType::IotMapping => &[],
                _ => &[Workload],
            },
            OperationKind::Renew => &[Certificate, Workload],
        }
    }

    /// What a create or change of a type does.
    pub fn of_provision(kind: ResourceType) -> &'static [Step] {
        match kind {
            ResourceType::Workspace => {
                &[Names, OldPlace, Allocation, ResourceGroup, StorageAccount, InternalIdentity, StorageRole]
            }
            ResourceType::IotConnector => &[
                Names,
                Namespace,
                EventHub,
                HubRoles,
                Federation,
                Certificate,
                CertificateRole,
                MappingBlob,
                Workload,
                OldPositions,
            ],
            ResourceType::FhirDestination => &[Names, ConsumerGroup, MappingBlob, Workload],
            // A workspace and a connector in one. It runs once it has both mappings.
            ResourceType::IomtConnector => &[
                Names,
                Allocation,
                ResourceGroup,
                StorageAccount,
                InternalIdentity,
                StorageRole,
                Namespace,
                DeviceHub,
                EventHub,
                HubRoles,
                FhirRole,
                Federation,
                ConsumerGroup,
                Workload,
            ],
            ResourceType::Connection => &[SendRule],
            ResourceType::IomtMapping => &[Names, MappingBlob, Workload],
            ResourceType::IotMapping => &[],
        }
    }

    /// What makes a resource again what it was when it last succeeded.
    pub fn of_return(kind: ResourceType) -> Vec<Step> {
        Step::of_provision(kind).iter().copied().filter(|step| *step != OldPositions).collect()
    }

    /// What a delete of a type does, after its children are gone.
    pub fn of_deprovision(kind: ResourceType) -> &'static [Step] {
        match kind {
            ResourceType::Workspace => {
                &[NoStorageRole, NoInternalIdentity, NoStorageAccount, NoNamespace, NoResourceGroup, NoAllocation]
            }
            ResourceType::IotConnector => &[
                NoWorkload,
                NoFederation,
                NoHubRoles,
                NoEventHub,
                NoCertificateRole,
                NoCertificate,
                NoPositions,
                NoMappingBlob,
                NoNamespace,
            ],
            ResourceType::FhirDestination => &[NoWorkload, NoConsumerGroup, NoPositions, NoMappingBlob],
            ResourceType::IomtConnector => &[
                NoWorkload,
                NoFederation,
                NoFhirRole,
                NoHubRoles,
                NoConsumerGroup,
                NoEventHub,
                NoDeviceHub,
                NoPositions,
                NoNamespace,
                NoStorageRole,
                NoInternalIdentity,
                NoStorageAccount,
                NoResourceGroup,
                NoAllocation,
            ],
            ResourceType::Connection => &[NoSendRule],
            // Without one of its mappings a connector stands still.
            ResourceType::IomtMapping => &[NoWorkload, NoMappingBlob],
            ResourceType::IotMapping => &[],
        }
    }

    /// What undoes it, when a create fails for good. The place of a workspace is
    /// given back with the workspace only.
    pub fn undo(self) -> Option<Step> {
        match self {
            ResourceGroup => Some(NoResourceGroup),
            StorageAccount => Some(NoStorageAccount),
            InternalIdentity => Some(NoInternalIdentity),
            StorageRole => Some(NoStorageRole),
            Namespace => Some(NoNamespace),
            EventHub => Some(NoEventHub),
            DeviceHub => Some(NoDeviceHub),
            FhirRole => Some(NoFhirRole),
            SendRule => Some(NoSendRule),
            HubRoles => Some(NoHubRoles),
            Federation => Some(NoFederation),
            Certificate => Some(NoCertificate),
            CertificateRole => Some(NoCertificateRole),
            ConsumerGroup => Some(NoConsumerGroup),
            MappingBlob => Some(NoMappingBlob),
            Workload => Some(NoWorkload),
            _ => None,
        }
    }

    /// Whether it removes, and so succeeds when there is nothing.
    pub fn is_removal(self) -> bool {
        ResourceType::ALL.into_iter().any(|kind| Step::of_deprovision(kind).contains(&self))
    }

    /// Its name in the journal.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_create_makes_a_delete_removes() {
        for kind in ResourceType::ALL {
            let removed = Step::of_deprovision(kind);
            for undo in Step::of_provision(kind).iter().filter_map(|step| step.undo()) {
                assert!(removed.contains(&undo), "{kind:?}: {undo:?}");
            }
        }
    }
}
