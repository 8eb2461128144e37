//! Connectors as the worker asks for them.

use arm::DocumentId;
use arm::gen2::{IngestionEndpoint, Resolution};
use arm::infrastructure::{ConnectorNames, DestinationNames};
use resource_provider::documents::{Certificate, InternalIdentity, ScaleInfo};
use resource_provider::ports::{ConnectorSpec, DestinationSpec};

/// The cluster of most tests.
pub const CLUSTER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/One";

pub const CLIENT: &str = "00000000-0000-0000-0000-000000000001";
pub const OBJECT: &str = "00000000-0000-0000-0000-000000000002";
pub const EXTERNAL: &str = "00000000-0000-0000-0000-000000000003";
pub const TENANT: &str = "00000000-0000-0000-0000-000000000004";
pub const IDENTITY: &str =
    "/subscriptions/s/resourceGroups/rg-ioc-1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-ioc-1";
pub const CERTIFICATE: &str = "https://vault.vault.azure.net/certificates/mi-1";

pub fn id(number: u128) -> DocumentId {
    DocumentId::from_random(number)
}

/// The place of a workspace, by its number.
pub fn place(cluster: &str, workspace: u32) -> ScaleInfo {
    ScaleInfo {
        subscription_id: "s".to_owned(),
        aks_cluster_resource_id: cluster.to_owned(),
        event_hub_namespace_resource_id: format!(
            "/subscriptions/s/resourceGroups/rg-ioc-{workspace}/providers/Microsoft.EventHub/namespaces/ehn-ioc-{workspace}"
        ),
        key_vault_resource_id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/vault".to_owned(),
    }
}

/// A connector without destinations.
pub fn connector(number: u128) -> ConnectorSpec {
    let id = id(number);
    let names = ConnectorNames(&id);
    ConnectorSpec {
        name: names.workload(),
        endpoint: IngestionEndpoint {
            event_hub_name: "DeviceData".to_owned(),
            consumer_group: Some("FHIR".to_owned()),
            fully_qualified_event_hub_namespace: "Hospital.servicebus.windows.net".to_owned(),
        },
        has_own_hub: false,
        epoch: 1,
        internal_hub: names.event_hub(),
        storage_account: "ioc1".to_owned(),
        internal_identity: InternalIdentity {
            name: "id-ioc-1".to_owned(),
            resource_id: IDENTITY.to_owned(),
            client_id: CLIENT.to_owned(),
            principal_id: OBJECT.to_owned(),
        },
        certificate: Some(Certificate {
            uri: CERTIFICATE.to_owned(),
            version: "1".to_owned(),
            client_id: EXTERNAL.to_owned(),
            tenant_id: TENANT.to_owned(),
            renew_after: "9999-01-01T00:00:00Z".to_owned(),
        }),
        device_mapping: format!("{}/devicemapping.json", names.workload()),
        device_mapping_hash: "sha256:d1".to_owned(),
        destinations: Vec::new(),
        is_suspended: false,
    }
}

/// A destination.
pub fn destination(number: u128) -> DestinationSpec {
    let id = id(number);
    let names = DestinationNames(&id);
    DestinationSpec {
        name: names.workload(),
        consumer_group: names.consumer_group(),
        fhir_url: "https://hospital.fhir.azurehealthcareapis.com".to_owned(),
        fhir_audience: None,
        resolution: Resolution::Create,
        fhir_mapping: format!("{}/fhirmapping.json", names.workload()),
        fhir_mapping_hash: "sha256:f1".to_owned(),
    }
}
