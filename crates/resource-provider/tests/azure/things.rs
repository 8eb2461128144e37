//! Everything that a workspace and its connectors have in Azure.

use resource_provider::ports::{Azure, Federation, PortError, Role, RoleAssignment, Scope, ServiceAccount};

use super::cloud::{Cloud, FHIR, OURS, place, settled};

pub const GROUP: &str = "rg-ioc-w1";
pub const ACCOUNT: &str = "iocw1";
pub const IDENTITY: &str = "id-ioc-w1";
pub const HUB: &str = "nd-c1";

/// A thing; each needs those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    Group,
    Account,
    Identity,
    Federation,
    Namespace,
    Hub,
    ConsumerGroup,
    SendRule,
    Role(usize),
}

pub const ALL: [Thing; 13] = [
    Thing::Group,
    Thing::Account,
    Thing::Identity,
    Thing::Federation,
    Thing::Namespace,
    Thing::Hub,
    Thing::ConsumerGroup,
    Thing::SendRule,
    Thing::Role(0),
    Thing::Role(1),
    Thing::Role(2),
    Thing::Role(3),
    Thing::Role(4),
];

fn service_account() -> ServiceAccount {
    ServiceAccount { namespace: "ioc-w1".to_owned(), name: "iotn-c1".to_owned() }
}

/// Which role, on what, under which id.
pub fn role(index: usize) -> (Role, Scope<'static>, &'static str) {
    const SERVICE: &str = "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/Microsoft.HealthcareApis/services/fhir1";
    assert!(SERVICE.starts_with(FHIR));
    [
        (Role::EventHubsDataSender, Scope::EventHub(HUB), "10000000-0000-4000-8000-000000000000"),
        (Role::EventHubsDataReceiver, Scope::EventHub(HUB), "20000000-0000-4000-8000-000000000000"),
        (
            Role::StorageBlobDataContributor,
            Scope::StorageAccount { group: GROUP, name: ACCOUNT },
            "30000000-0000-4000-8000-000000000000",
        ),
        (Role::FhirDataContributor, Scope::FhirService(SERVICE), "40000000-0000-4000-8000-000000000000"),
        (Role::KeyVaultSecretsUser, Scope::Certificate("mi-c1"), "50000000-0000-4000-8000-000000000000"),
    ][index]
}

/// The id of the identity.
pub fn identity_id() -> String {
    let ours = OURS.replace("/local/", &format!("/{GROUP}/"));
    format!("{ours}/Microsoft.ManagedIdentity/userAssignedIdentities/{IDENTITY}")
}

/// The principal of the identity, if it is there.
pub fn principal(cloud: &Cloud) -> String {
    let found = cloud.resource_manager.resource(&identity_id());
    found.and_then(|found| found["properties"]["principalId"].as_str().map(str::to_owned)).unwrap_or_default()
}

impl Thing {
    /// Makes it, once.
    pub async fn ensure(self, cloud: &Cloud) -> Result<(), PortError> {
        let (azure, place) = (&cloud.ports, &place());
        match self {
            Thing::Group => azure.ensure_resource_group(place, GROUP, "/customers/ws1").await,
            Thing::Account => azure.ensure_storage_account(place, GROUP, ACCOUNT).await,
            Thing::Identity => azure.ensure_identity(place, GROUP, IDENTITY).await.map(|_| ()),
            Thing::Federation => {
                let service_account = &service_account();
                azure.ensure_federation(place, Federation { group: GROUP, identity: IDENTITY, service_account }).await
            }
            Thing::Namespace => azure.ensure_namespace(place).await,
            Thing::Hub => azure.ensure_event_hub(place, HUB).await,
            Thing::ConsumerGroup => azure.ensure_consumer_group(place, HUB, "dst-d1").await,
            Thing::SendRule => azure.ensure_send_rule(place, HUB, "conn1").await,
            Thing::Role(index) => {
                let ((role, scope, id), principal_id) = (role(index), &principal(cloud));
                azure.ensure_role_assignment(place, RoleAssignment { id, principal_id, role, scope }).await
            }
        }
    }

    /// Removes it, once.
    pub async fn remove(self, cloud: &Cloud) -> Result<(), PortError> {
        let (azure, place) = (&cloud.ports, &place());
        match self {
            Thing::Group => azure.delete_resource_group(place, GROUP).await,
            Thing::Account => azure.delete_storage_account(place, GROUP, ACCOUNT).await,
            Thing::Identity => azure.delete_identity(place, GROUP, IDENTITY).await,
            Thing::Federation => {
                let service_account = &service_account();
                azure.delete_federation(place, Federation { group: GROUP, identity: IDENTITY, service_account }).await
            }
            Thing::Namespace => azure.delete_namespace(place).await,
            Thing::Hub => azure.delete_event_hub(place, HUB).await,
            Thing::ConsumerGroup => azure.delete_consumer_group(place, HUB, "dst-d1").await,
            Thing::SendRule => azure.delete_send_rule(place, HUB, "conn1").await,
            Thing::Role(index) => {
                let ((role, scope, id), principal_id) = (role(index), &principal(cloud));
                azure.delete_role_assignment(place, RoleAssignment { id, principal_id, role, scope }).await
            }
        }
    }

    /// Makes it and what it needs.
    pub async fn make_all_before(self, cloud: &Cloud) {
        for thing in ALL.into_iter().take_while(|thing| *thing != self) {
            settled(|| thing.ensure(cloud)).await.unwrap();
        }
    }

    /// What the path of its own requests has in it.
    pub fn path(self) -> &'static str {
        match self {
            Thing::Group => "/resourcegroups/rg-ioc-w1",
            Thing::Account => "/storageaccounts/",
            Thing::Identity => "/userassignedidentities/",
            Thing::Federation => "/federatedidentitycredentials/",
            Thing::Namespace => "/namespaces/",
            Thing::Hub => "/eventhubs/",
            Thing::ConsumerGroup => "/consumergroups/",
            Thing::SendRule => "/authorizationrules/",
            Thing::Role(_) => "/roleassignments/",
        }
    }
}

pub async fn make_all(cloud: &Cloud) {
    for thing in ALL {
        settled(|| thing.ensure(cloud)).await.unwrap_or_else(|error| panic!("{thing:?}: {error:?}"));
    }
}
