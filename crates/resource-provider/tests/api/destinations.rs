//! Destinations, connectors and mappings of the second generation
//! (resource-provider.md 4.3 to 4.6), with the aliases of section 9.

use arm::Route;
use serde_json::json;

use super::bodies::{CONNECTOR, connector, destination, device_mapping, fhir_mapping};
use super::provider::{FIRST, GROUP, NEWEST, Provider};

#[tokio::test]
async fn a_destination_is_one_under_all_its_names() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let path = |segment: &str| format!("{CONNECTOR}/{segment}/dest1");
    let first = provider.put(&path("destinations"), FIRST, &destination()).await.is(201);
    assert_eq!(first.body["type"], "Microsoft.HealthcareApis/workspaces/iotconnectors/destinations");
    assert_eq!(first.body["properties"]["destinationType"], "FhirService");
    provider.work().await;
    let newest = provider.get(&path("fhirdestinations"), NEWEST).await.is(200);
    assert_eq!(newest.body["type"], "Microsoft.HealthcareApis/workspaces/iotconnectors/fhirdestinations");
    assert!(newest.body["properties"].get("destinationType").is_none());
    assert_eq!(
        newest.body["properties"]["fhirServiceResourceId"],
        destination()["properties"]["fhirServiceResourceId"]
    );
    provider.get(&path("destination"), NEWEST).await.is(200);
    let old = format!("{GROUP}/workspace/ws1/IotConnectors/iot1/destination/dest1");
    provider.get(&old, FIRST).await.is(200);
    provider.delete(&path("fhirdestinations"), NEWEST).await.is(202);
    provider.work().await;
    provider.get(&path("destinations"), FIRST).await.is_error(404, "ResourceNotFound");
}

/// As resource-provider.md 4.14 has it.
#[tokio::test]
async fn a_connector_is_stored_with_what_is_above_it() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let stored = async |path: &str| {
        let path = format!("{GROUP}/{path}");
        let Ok(Route::Resource(id)) = Route::of_path(&path) else { panic!("{path}") };
        serde_json::to_value(provider.store.resource(&id).await.unwrap().expect("it is stored")).unwrap()
    };
    let (workspace, connector) = (stored("workspaces/ws1").await, stored(CONNECTOR).await);
    for (member, expected) in [
        ("type", json!("iotConnectorGen2")),
        ("name", json!("ws1/iot1")),
        ("parentId", workspace["id"].clone()),
        ("parentName", json!("ws1")),
        ("parentType", json!("workspace")),
        (
            "searchIndex",
            json!({
                "name": "ws1/iot1", "parentName": "ws1", "resourceGroupName": "RG1",
                "resourceTypeName": "MICROSOFT.HEALTHCAREAPIS/WORKSPACES/IOTCONNECTORS",
                "providerNameSpace": "MICROSOFT.HEALTHCAREAPIS",
            }),
        ),
    ] {
        assert_eq!(connector[member], expected, "{member}");
    }
    assert_eq!((&workspace["parentId"], &workspace["parentName"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn the_fhir_service_is_there_ready_and_in_reach() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let put = |id: String| {
        let mut body = destination();
        body["properties"]["fhirServiceResourceId"] = json!(id);
        let provider = &provider;
        async move { provider.put(&format!("{CONNECTOR}/fhirdestinations/dest1"), NEWEST, &body).await }
    };
    put("fhir1".to_owned()).await.is_error(400, "InvalidFhirServiceResourceId");
    put(format!("{GROUP}/services/absent")).await.is_error(400, "FhirServiceNotFound");
    put(format!("{GROUP}/workspaces/ws2/fhirservices/f")).await.is_error(400, "FhirServiceOutOfScope");
    put(format!("{GROUP}/services/fhir3")).await.is_error(409, "AncestorNotProvisioned");
    put(format!("{GROUP}/services/FHIR1")).await.is(201);
}

#[tokio::test]
async fn a_connector_says_what_is_wrong_with_it() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let put = |change: fn(&mut serde_json::Value)| {
        let mut body = connector();
        change(&mut body);
        let provider = &provider;
        async move { provider.put(CONNECTOR, NEWEST, &body).await }
    };
    put(|body| body["identity"] = json!(null)).await.is_error(400, "IdentityRequired");
    put(|body| body["identity"]["type"] = json!("UserAssigned")).await.is_error(400, "InvalidPropertyValue");
    put(|body| body["properties"]["deviceMapping"] = json!(null)).await.is_error(400, "InvalidMapping");
    put(|body| body["properties"] = json!({})).await.is_error(400, "InvalidIngestionEndpoint");
    put(|body| body["properties"]["ingestionEndpointConfiguration"] = json!({ "iotHubName": "h" }))
        .await
        .is_error(400, "InvalidIngestionEndpoint");
    let bad = put(|body| {
        body["properties"]["deviceMapping"]["content"] = json!({ "templateType": "CollectionContent", "template": [
            { "templateType": "JsonPathContent", "template": { "typeName": "a" } },
            { "templateType": "XmlContent", "template": {} },
        ] });
    });
    let bad = bad.await;
    bad.is_error(400, "InvalidMapping");
    let details = bad.body["error"]["details"].as_array().unwrap();
    assert!(details.iter().any(|detail| detail["code"] == "UnknownTemplateType"), "{bad:?}");
    assert!(details.iter().all(|detail| detail["target"].as_str().unwrap().starts_with("/template/")), "{bad:?}");
    let patch = json!({ "properties": { "deviceMapping": null } });
    provider.patch(CONNECTOR, NEWEST, &patch).await.is_error(400, "InvalidMapping");
    assert_eq!(provider.get(CONNECTOR, NEWEST).await.state(), "Succeeded");
}

#[tokio::test]
async fn a_mapping_of_its_own_is_stored_and_copied() {
    let settings = resource_provider::api::ApiSettings::default();
    let allowed = arm::gen2::fhir_destination::Allowed { manual_url: true, encounter: false };
    let rules = arm::desired::Rules { destinations: allowed, ..settings.rules };
    let provider = Provider::start_with(resource_provider::api::ApiSettings { rules, ..settings }).await;
    provider.subscription_is("Registered").await;
    provider.with_connector().await;
    let mapping = format!("{CONNECTOR}/mappings/fhir");
    let body = json!({ "properties": { "content": fhir_mapping() } });
    let made = provider.put(&mapping, FIRST, &body).await.is(201);
    assert_eq!((made.state(), made.header("azure-asyncoperation")), ("Succeeded", None));
    provider.put(&mapping, NEWEST, &body).await.is_error(400, "NoRegisteredProviderFound");
    let wrapped = |id: String| {
        json!({ "properties": { "outputEndpointConfiguration": {
            "connectionType": "FhirServer", "resourceIdentityResolutionType": "Update",
            "fhirServerUrl": "https://fhir.example", "fhirMappingResourceId": id,
        } } })
    };
    let path = format!("{CONNECTOR}/destinations/dest1");
    let absent = wrapped(format!("{GROUP}/{CONNECTOR}/mappings/none"));
    provider.put(&path, FIRST, &absent).await.is_error(400, "InvalidMapping");
    let made = provider.put(&path, FIRST, &wrapped(format!("{GROUP}/{mapping}"))).await.is(201);
    assert_eq!(made.body["properties"]["fhirMapping"]["content"], fhir_mapping());
    assert_eq!(made.body["properties"]["resourceIdentityResolutionType"], "Lookup");
    assert!(made.body["properties"].get("outputEndpointConfiguration").is_none());
    provider.delete(&mapping, FIRST).await.is(200);
    provider.get(&mapping, FIRST).await.is_error(404, "ResourceNotFound");
    let device = json!({ "properties": { "content": device_mapping() } });
    provider.put(&format!("{CONNECTOR}/mappings/dev"), FIRST, &device).await.is(201);
    let neither = json!({ "properties": { "content": { "templateType": "Other", "template": [] } } });
    provider.put(&format!("{CONNECTOR}/mappings/other"), FIRST, &neither).await.is_error(400, "InvalidMapping");
}

#[tokio::test]
async fn an_epoch_begins_with_another_hub_only() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let epoch = || async {
        let id = match arm::Route::of_path(&format!("{GROUP}/{CONNECTOR}")) {
            Ok(arm::Route::Resource(id)) => id,
            other => panic!("{other:?}"),
        };
        provider.store.resource(&id).await.unwrap().unwrap().ingest_definition.unwrap().epoch
    };
    assert_eq!(epoch().await, 1);
    let patch = |endpoint: serde_json::Value| {
        let body = json!({ "properties": { "ingestionEndpointConfiguration": endpoint } });
        let provider = &provider;
        async move {
            provider.patch(CONNECTOR, NEWEST, &body).await;
            provider.work().await;
        }
    };
    patch(json!({ "consumerGroup": "FHIR", "fullyQualifiedEventHubNamespace": "CONTOSO.servicebus.windows.net." }))
        .await;
    assert_eq!(epoch().await, 1, "the same stream in other letters");
    patch(json!({ "eventHubName": "other" })).await;
    assert_eq!(epoch().await, 2);
    patch(json!({ "eventHubName": "telemetry" })).await;
    assert_eq!(epoch().await, 3, "back is another one");
    let mapping = json!({ "properties": { "deviceMapping": { "content": { "templateType": "CollectionContent", "template": [] } } } });
    provider.patch(CONNECTOR, NEWEST, &mapping).await.is(202);
    provider.work().await;
    assert_eq!(epoch().await, 3);
}

/// With and without its first slash an id is the same one, and is shown as it was
/// written last.
#[tokio::test]
async fn an_id_is_given_back_as_it_was_written_last() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let path = format!("{CONNECTOR}/fhirdestinations/dest1");
    let spelled = |id: &str| {
        let mut body = destination();
        body["properties"]["fhirServiceResourceId"] = json!(id);
        body
    };
    let id = destination()["properties"]["fhirServiceResourceId"].as_str().unwrap().trim_start_matches('/').to_owned();
    for text in [format!("/{id}"), id.clone(), id.to_uppercase()] {
        provider.put(&path, NEWEST, &spelled(&text)).await;
        provider.work().await;
        let again = provider.put(&path, NEWEST, &spelled(&text)).await.is(200);
        assert_eq!(again.header("azure-asyncoperation"), None, "{text}: there is nothing to do");
        let shown = provider.get(&path, NEWEST).await.is(200);
        assert_eq!(shown.body["properties"]["fhirServiceResourceId"], text);
        assert_eq!(shown.state(), "Succeeded");
    }
}
