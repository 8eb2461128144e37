//! The templates that we ship.

use serde_json::json;

use super::bodies::{device_mapping, fhir_mapping};
use super::deployment::deploy;
use super::provider::{GEN1, GROUP, NEWEST};
use super::site;

/// The last segments of ids.
fn ends(ids: &[String]) -> Vec<&str> {
    ids.iter().map(|id| id.strip_prefix(GROUP).expect("it is of the group")).collect()
}

#[tokio::test]
async fn the_second_generation_is_deployed_and_names_whom_to_grant_rights() {
    let site = site().await;
    let parameters = json!({
        "workspaceName": "ws1", "connectorName": "iot1", "destinationName": "dest1",
        "eventHubNamespace": "contoso", "eventHubName": "telemetry",
        "fhirServiceResourceId": format!("{GROUP}/services/fhir1"),
        "deviceMapping": device_mapping(), "fhirMapping": fhir_mapping(),
    });
    let deployed = deploy(&site, "iot-connector.json", &parameters).await;
    let order = [
        "/workspaces/ws1",
        "/workspaces/ws1/iotconnectors/iot1",
        "/workspaces/ws1/iotconnectors/iot1/fhirdestinations/dest1",
    ];
    assert_eq!(ends(&deployed.order), order);
    let connector = site.provider.get("workspaces/ws1/iotconnectors/iot1", NEWEST).await.is(200).body;
    assert_eq!(deployed.outputs["managedIdentityId"], connector["identity"]["principalId"]);
    assert_eq!(connector["properties"]["ingestionEndpointConfiguration"]["consumerGroup"], "$Default");
    assert_eq!(connector["location"], "westus2");
}

#[tokio::test]
async fn the_first_generation_is_deployed_and_gives_a_connection_string() {
    let site = site().await;
    let parameters = json!({
        "accountName": "fhir1", "connectorName": "c12", "connectionName": "conn1",
        "resourceIdentityResolutionType": "Create",
        "deviceMapping": device_mapping(), "fhirMapping": fhir_mapping(),
    });
    let deployed = deploy(&site, "iomt-connector.json", &parameters).await;
    assert_eq!(ends(&deployed.order)[0], "/services/fhir1/iomtconnectors/c12");
    assert_eq!(deployed.order.len(), 4);
    let string = deployed.outputs["connectionString"].as_str().unwrap();
    assert!(string.starts_with("Endpoint=sb://devices.example/;SharedAccessKeyName=conn1;"), "another form");
    let connector = site.provider.get("services/fhir1/iomtconnectors/c12", GEN1).await.is(200).body;
    assert_eq!(connector["properties"]["serviceConfiguration"]["resourceIdentityResolutionType"], "Create");
}
