//! Resources that come, change and go: the whole worker over Azure, on a good day
//! and on one on which requests fail, break off and conflict.

use serde_json::json;

use super::bodies::{CONNECTOR, connector, destination, device_mapping, fhir_mapping, workspace};
use super::provider::NEWEST;
use super::site::{Site, other_mapping};

const DESTINATION: &str = "workspaces/ws1/iotconnectors/iot1/fhirdestinations/dest1";
const GEN1: &str = "services/fhir1/iomtconnectors/c12";

async fn check_gen2(is_disturbed: bool) {
    let Some(site) = Site::start(is_disturbed).await else { return };
    site.put("workspaces/ws1", &workspace()).await;
    assert_eq!((site.count("namespaces"), site.count("storageAccounts"), site.count("roleAssignments")), (0, 1, 1));
    site.put_with_identity(CONNECTOR, &connector(), "p1").await;
    let made = site.cloud.resource_manager.made();
    assert_eq!((site.count("namespaces"), site.count("eventhubs")), (1, 1), "{made:?}");
    assert_eq!((site.count("roleAssignments"), site.count("federatedIdentityCredentials")), (4, 1), "{made:?}");
    assert_eq!(site.cloud.vault.certificates().len(), 1);
    site.put(DESTINATION, &destination()).await;
    assert_eq!(site.count("consumergroups"), 1);

    let before = site.cloud.resource_manager.made();
    site.done(site.provider.patch(CONNECTOR, NEWEST, &other_mapping()).await.is(202)).await;
    let endpoint = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
    site.done(site.provider.patch(CONNECTOR, NEWEST, &endpoint).await.is(202)).await;
    assert_eq!(site.cloud.resource_manager.made(), before, "a change makes nothing anew");
    // Resource Manager has made the identity anew.
    let mut changed = connector();
    changed["tags"] = json!({ "a": "b" });
    site.put_with_identity(CONNECTOR, &changed, "p2").await;
    assert_eq!(site.cloud.vault.certificates().into_values().collect::<Vec<_>>(), [2]);

    let second = CONNECTOR.replace("iot1", "iot2");
    site.put_with_identity(&second, &connector(), "p3").await;
    site.delete(CONNECTOR).await;
    assert_eq!((site.count("namespaces"), site.count("eventhubs")), (1, 1), "the other connector keeps its namespace");
    site.delete(&second).await;
    assert_eq!(site.count("namespaces"), 0);
    site.delete("workspaces/ws1").await;
    site.is_empty();
    site.check_rights();
}

#[tokio::test(flavor = "multi_thread")]
async fn gen2_comes_changes_and_goes() {
    check_gen2(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gen2_comes_changes_and_goes_while_azure_has_a_bad_day() {
    check_gen2(true).await;
}

async fn check_gen1(is_disturbed: bool) {
    let Some(site) = Site::start(is_disturbed).await else { return };
    site.put(GEN1, &json!({ "location": "westus2" })).await;
    site.put(&format!("{GEN1}/connections/conn1"), &json!({})).await;
    site.put(&format!("{GEN1}/mappings/device"), &json!({ "properties": { "content": device_mapping() } })).await;
    site.put(&format!("{GEN1}/mappings/fhir"), &json!({ "properties": { "content": fhir_mapping() } })).await;
    assert_eq!(site.cluster.connector_count(), 1);
    let made = site.cloud.resource_manager.made();
    assert_eq!((site.count("eventhubs"), site.count("authorizationRules")), (2, 1), "{made:?}");
    // Of storage, two of the hub of measurements, one of the devices', one of the FHIR service.
    assert_eq!((site.count("roleAssignments"), site.count("federatedIdentityCredentials")), (5, 1), "{made:?}");
    site.delete(&format!("{GEN1}/connections/conn1")).await;
    assert_eq!(site.count("authorizationRules"), 0);
    site.delete(GEN1).await;
    site.is_empty();
    site.check_rights();
}

#[tokio::test(flavor = "multi_thread")]
async fn gen1_comes_and_goes() {
    check_gen1(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gen1_comes_and_goes_while_azure_has_a_bad_day() {
    check_gen1(true).await;
}
