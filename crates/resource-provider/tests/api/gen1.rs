//! The scenarios of seed 002 that need no worker (resource-provider.md 3.11).

use reqwest::Method;
use resource_provider::api::ApiSettings;
use serde_json::{Value, json};

use super::bodies::{device_mapping, fhir_mapping};
use super::provider::{GEN1, GROUP, Provider};

const CONNECTOR: &str = "services/fhir1/iomtconnectors/TestIomtConnector";

fn body(resolution: &str) -> Value {
    json!({ "location": "westus2", "properties": { "serviceConfiguration": { "resourceIdentityResolutionType": resolution } } })
}

async fn with_connector() -> Provider {
    let provider = Provider::start().await;
    provider.put(CONNECTOR, GEN1, &body("Lookup")).await.is(201);
    provider.work().await;
    provider
}

async fn document(provider: &Provider, path: &str) -> Option<Value> {
    let id = match arm::Route::of_path(&format!("{GROUP}/{path}")) {
        Ok(arm::Route::Resource(id)) => id,
        other => panic!("{other:?}"),
    };
    let document = provider.store.resource(&id).await.unwrap();
    document.map(|document| serde_json::to_value(document).unwrap())
}

/// Scenario 1: the document of the seed.
#[tokio::test]
async fn a_connector_is_stored_as_the_seed_stores_it() {
    let provider = Provider::start().await;
    let made = provider.put(CONNECTOR, GEN1, &body("Lookup")).await.is(201);
    assert!(made.header("azure-asyncoperation").is_some());
    assert_eq!((made.state(), made.body["name"].as_str()), ("Accepted", Some("fhir1/TestIomtConnector")));
    assert_eq!(made.body["type"], "Microsoft.HealthcareApis/services/iomtconnectors");
    let document = document(&provider, CONNECTOR).await.unwrap();
    for (member, expected) in [
        ("type", json!("iomtConnector")),
        ("resourceGroupName", json!("rg1")),
        ("resourceTypeName", json!("Microsoft.HealthcareApis/services/iomtconnectors")),
        ("state", json!("Accepted")),
        ("location", json!("westus2")),
        ("providerNameSpace", json!("Microsoft.HealthcareApis")),
        ("parentServiceName", json!("fhir1")),
        ("name", json!("fhir1/testiomtconnector")),
        (
            "searchIndex",
            json!({
                "name": "fhir1/testiomtconnector", "resourceGroupName": "RG1",
                "resourceTypeName": "MICROSOFT.HEALTHCAREAPIS/SERVICES/IOMTCONNECTORS",
                "providerNameSpace": "MICROSOFT.HEALTHCAREAPIS",
            }),
        ),
    ] {
        assert_eq!(document[member], expected, "{member}");
    }
    let id = document["currentOperationId"].as_str().unwrap();
    let operation = provider.store.operation(&arm::DocumentId::read(id).unwrap()).await.unwrap().unwrap();
    let operation = serde_json::to_value(operation).unwrap();
    assert_eq!(
        (&operation["provisioningOperation"], &operation["provisioningStatus"]),
        (&json!("Provision"), &json!("Requested"))
    );
    provider.work().await;
    assert_eq!(provider.get(CONNECTOR, GEN1).await.state(), "Succeeded");
}

/// Scenarios 3 and 5.
#[tokio::test]
async fn a_service_that_is_not_there_or_anothers_changes_nothing() {
    let provider = with_connector().await;
    provider
        .put("services/absent/iomtconnectors/c12", GEN1, &body("Lookup"))
        .await
        .is_error(404, "ParentResourceNotFound");
    assert_eq!(document(&provider, "services/absent/iomtconnectors/c12").await, None);
    provider
        .put("services/fhir3/iomtconnectors/c12", GEN1, &body("Lookup"))
        .await
        .is_error(409, "AncestorNotProvisioned");
    let other = CONNECTOR.replace("fhir1", "fhir2");
    provider.patch(&other, GEN1, &json!({ "tags": {} })).await.is_error(404, "ResourceNotFound");
    let put = |header: Option<(&'static str, &'static str)>, body: Value| {
        let (provider, other) = (&provider, other.clone());
        async move { provider.send(Method::PUT, &other, GEN1, &body.to_string(), header.as_slice()).await }
    };
    put(Some(("if-match", "*")), body("Create")).await.is_error(412, "PreconditionFailed");
    put(Some(("if-match", "\"x\"")), body("Create")).await.is_error(412, "PreconditionFailed");
    let mut with_id = body("Create");
    with_id["id"] = json!(format!("{GROUP}/{CONNECTOR}"));
    put(None, with_id).await.is_error(400, "InvalidRequestContent");
    assert_eq!(document(&provider, &other).await, None);
}

/// Scenario 4.
#[tokio::test]
async fn a_connector_is_changed() {
    let provider = with_connector().await;
    let changed = provider.put(CONNECTOR, GEN1, &body("create")).await.is(200);
    assert!(changed.header("azure-asyncoperation").is_some());
    provider.work().await;
    let read = provider.get(CONNECTOR, GEN1).await.is(200);
    assert_eq!(read.body["properties"]["serviceConfiguration"]["resourceIdentityResolutionType"], "Create");
    provider.put(CONNECTOR, GEN1, &body("Update")).await.is_error(400, "InvalidPropertyValue");
}

/// Scenarios 6 to 8.
#[tokio::test]
async fn connections_and_mappings_come_change_and_go() {
    let provider = with_connector().await;
    let (connection, device, fhir) = (
        format!("{CONNECTOR}/connections/conn1"),
        format!("{CONNECTOR}/mappings/device"),
        format!("{CONNECTOR}/mappings/fhir"),
    );
    let mapping = |content: Value| json!({ "properties": { "content": content } });
    provider.put(&connection, GEN1, &json!({ "location": "elsewhere" })).await.is(201);
    provider.put(&device, GEN1, &mapping(device_mapping())).await.is(201);
    provider.put(&fhir, GEN1, &mapping(fhir_mapping())).await.is(201);
    provider
        .put(&format!("{CONNECTOR}/mappings/other"), GEN1, &mapping(fhir_mapping()))
        .await
        .is_error(400, "InvalidResourceName");
    provider.put(&fhir, GEN1, &mapping(device_mapping())).await.is_error(400, "InvalidMapping");
    provider.work().await;
    provider.put(&connection, GEN1, &json!({ "properties": { "serviceConfiguration": {} } })).await.is(200);
    let mut changed = device_mapping();
    changed["template"] = json!([]);
    provider.put(&device, GEN1, &mapping(changed.clone())).await.is(200);
    provider.work().await;
    let list = provider.get(&format!("{CONNECTOR}/mappings"), GEN1).await.is(200);
    assert_eq!(list.body["value"][0]["properties"]["content"], changed);
    assert_eq!(list.body["value"].as_array().unwrap().len(), 2);
    provider.delete(&fhir, GEN1).await.is(202);
    provider.work().await;
    provider.get(&fhir, GEN1).await.is_error(404, "ResourceNotFound");
    provider.delete(CONNECTOR, GEN1).await.is(202);
    assert_eq!(provider.get(&connection, GEN1).await.state(), "Deleting");
    provider.work().await;
    assert_eq!(document(&provider, CONNECTOR).await, None);
    assert_eq!(document(&provider, &connection).await, None);
}

/// Scenarios 9 and 10.
#[tokio::test]
async fn keys_are_listed_and_made_anew_one_at_a_time() {
    let provider = with_connector().await;
    let connection = format!("{CONNECTOR}/connections/conn1");
    provider.put(&connection, GEN1, &json!({})).await.is(201);
    let act = |action: &'static str, body: &'static str| {
        let (provider, path) = (&provider, format!("{connection}/{action}"));
        async move { provider.send(Method::POST, &path, GEN1, body, &[]).await }
    };
    act("listKeys", "").await.is_error(409, "AncestorNotProvisioned");
    provider.work().await;
    let keys = act("listkeys", "").await.is(200);
    assert_eq!(keys.header("cache-control"), Some("no-store"));
    assert_eq!(keys.body["keyName"], "conn1");
    let string = keys.body["primaryConnectionString"].as_str().unwrap();
    assert!(string.contains("SharedAccessKeyName=conn1") && string.contains("EntityPath="), "{string}");
    let after = act("regenerateKeys", r#"{"keyType":"PrimaryKey"}"#).await.is(200).body;
    assert_ne!(after["primaryKey"], keys.body["primaryKey"]);
    assert_eq!(after["secondaryKey"], keys.body["secondaryKey"]);
    assert_eq!(act("listKeys", "").await.is(200).body, after);
    act("listKeys", "{bad").await.is_error(400, "InvalidRequestContent");
    // By the name that it was written with last.
    let listed = provider.send(Method::POST, &format!("{CONNECTOR}/connections/CONN1/listKeys"), GEN1, "", &[]).await;
    assert_eq!(listed.is(200).body, after);
    act("regenerateKey", r#"{"keyName":"tertiary"}"#).await.is_error(400, "InvalidPropertyValue");
    let stored = document(&provider, &connection).await.unwrap().to_string();
    assert!(!stored.contains(after["primaryKey"].as_str().unwrap()));
}

#[tokio::test]
async fn a_strict_delete_asks_for_the_children_first() {
    let settings = ApiSettings { gen1_delete_requires_no_children: true, ..ApiSettings::default() };
    let provider = Provider::start_with(settings).await;
    provider.subscription_is("Registered").await;
    provider.put(CONNECTOR, GEN1, &body("Lookup")).await.is(201);
    provider.work().await;
    let connection = format!("{CONNECTOR}/connections/conn1");
    provider.put(&connection, GEN1, &json!({})).await.is(201);
    provider.work().await;
    provider.delete(CONNECTOR, GEN1).await.is_error(409, "NestedResourcesExist");
    provider.delete(&connection, GEN1).await.is(202);
    provider.work().await;
    provider.delete(CONNECTOR, GEN1).await.is(202);
}
