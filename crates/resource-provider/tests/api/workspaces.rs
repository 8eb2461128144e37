//! Workspaces (resource-provider.md 4.2, 4.7), locations (2.4) and names (2.13).

use reqwest::Method;
use resource_provider::api::{ApiSettings, Limits};
use serde_json::json;

use super::bodies::{connector, workspace};
use super::provider::{GROUP, NEWEST, Provider, SUBSCRIPTION};

#[tokio::test]
async fn a_workspace_with_something_in_it_stays() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    provider.delete("workspaces/ws1", NEWEST).await.is_error(409, "NestedResourcesExist");
    provider.delete("workspaces/ws1/iotconnectors/iot1", NEWEST).await.is(202);
    provider.delete("workspaces/ws1", NEWEST).await.is_error(409, "NestedResourcesExist");
    provider.work().await;
    let service = resource_provider::ports::FhirService {
        location: arm::Location::new("westus2"),
        is_ready: true,
        url: "https://f.example".to_owned(),
        audience: None,
    };
    provider.fhir_services.put(&format!("{GROUP}/workspaces/ws2/fhirservices/f"), service);
    provider.put("workspaces/ws2", NEWEST, &workspace()).await.is(201);
    provider.work().await;
    provider.delete("workspaces/ws1", NEWEST).await.is(202);
    provider.delete("workspaces/ws2", NEWEST).await.is_error(409, "NestedResourcesExist");
}

#[tokio::test]
async fn a_sku_is_kept_and_does_not_change_under_connectors() {
    let provider = Provider::start().await;
    let dedicated = json!({ "location": "westus2", "sku": { "name": "Dedicated" } });
    provider.put("workspaces/ws1", NEWEST, &dedicated).await.is(201);
    provider.work().await;
    let kept = provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(200);
    assert_eq!(kept.body["sku"], json!({ "name": "Dedicated" }));
    let consumption = json!({ "sku": { "name": "Consumption" } });
    provider.patch("workspaces/ws1", NEWEST, &consumption).await.is(202);
    provider.work().await;
    provider.put("workspaces/ws1/iotconnectors/iot1", NEWEST, &connector()).await.is(201);
    provider.work().await;
    provider.put("workspaces/ws1", NEWEST, &dedicated).await.is_error(409, "SkuChangeNotSupported");
}

#[tokio::test]
async fn locations_are_required_equal_enabled_and_stay() {
    let settings = ApiSettings { regions: vec![arm::Location::new("West US 2")], ..ApiSettings::default() };
    let provider = Provider::start_with(settings).await;
    provider.subscription_is("Registered").await;
    let put = |path: &'static str, location: &'static str| {
        let mut body = connector();
        body["location"] = json!(location);
        let provider = &provider;
        async move { provider.put(path, NEWEST, &body).await }
    };
    provider.put("workspaces/ws1", NEWEST, &json!({})).await.is_error(400, "LocationRequired");
    put("workspaces/ws1", "eastus").await.is_error(400, "LocationNotAvailableForResourceType");
    assert_eq!(put("workspaces/ws1", "US West 2").await.is(201).body["location"], "US West 2");
    provider.work().await;
    put("workspaces/ws1", "eastus").await.is_error(409, "InvalidResourceLocation");
    put("workspaces/ws1/iotconnectors/iot1", "eastus").await.is_error(400, "LocationMismatch");
    put("workspaces/ws1/iotconnectors/iot1", "").await.is(201);
}

#[tokio::test]
async fn a_name_is_one_subscriptions_in_the_whole_cloud() {
    let provider = Provider::start().await;
    let check = |name: &'static str, subscription: &'static str| {
        let path = format!("/subscriptions/{subscription}/providers/Microsoft.HealthcareApis/checkNameAvailability");
        let body = json!({ "name": name, "type": "Microsoft.HealthcareApis/workspaces" }).to_string();
        let provider = &provider;
        async move { provider.send(Method::POST, &path, NEWEST, &body, &[]).await.is(200).body }
    };
    let other = "1b1f6471-1bf0-4dda-aec3-111122223333";
    let registered = |state: &'static str| {
        let (path, provider) = (format!("/subscriptions/{other}"), &provider);
        let body = json!({ "state": state }).to_string();
        async move { provider.send(Method::PUT, &path, "2.0", &body, &[]).await.is(200) }
    };
    registered("Registered").await;
    assert_eq!(check("ws1", SUBSCRIPTION).await, json!({ "nameAvailable": true }));
    assert_eq!(check("w", SUBSCRIPTION).await["reason"], "Invalid");
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    assert_eq!(check("WS1", other).await["reason"], "AlreadyExists");
    assert_eq!(check("ws1", SUBSCRIPTION).await["reason"], "AlreadyExists");
    let theirs = GROUP.replace(SUBSCRIPTION, other);
    let refused = provider.put(&format!("{theirs}/workspaces/Ws1"), NEWEST, &workspace()).await;
    refused.is_error(409, "Conflict");
    assert_eq!((refused.header("retry-after"), &refused.body["error"]["target"]), (None, &json!("name")));
    let beside = GROUP.replace("rg1", "rg2");
    provider.put(&format!("{beside}/workspaces/ws1"), NEWEST, &workspace()).await.is_error(409, "Conflict");
    provider.work().await;
    provider.delete("workspaces/ws1", NEWEST).await.is(202);
    provider.work().await;
    assert_eq!(check("ws1", SUBSCRIPTION).await, json!({ "nameAvailable": true }), "it stays its subscription's");
    assert_eq!(check("ws1", other).await["reason"], "AlreadyExists");
}

#[tokio::test]
async fn workspaces_of_a_subscription_have_a_limit() {
    let limits = Limits { workspaces: 2, ..Limits::default() };
    let provider = Provider::start_with(ApiSettings { limits, ..ApiSettings::default() }).await;
    provider.subscription_is("Registered").await;
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    provider.put("workspaces/ws2", NEWEST, &workspace()).await.is(201);
    provider.put("workspaces/ws3", NEWEST, &workspace()).await.is_error(409, "ResourceQuotaExceeded");
}

#[tokio::test]
async fn tags_and_system_data_are_kept_as_they_came() {
    let provider = Provider::start().await;
    let made = r#"{"createdBy":"a","createdByType":"User","createdAt":"1","lastModifiedBy":"a"}"#;
    let body = json!({ "location": "westus2", "tags": { "a": "b" } }).to_string();
    let header = [("x-ms-arm-resource-system-data", made)];
    provider.send(Method::PUT, "workspaces/ws1", NEWEST, &body, &header).await.is(201);
    provider.work().await;
    let changed = [("x-ms-arm-resource-system-data", r#"{"createdBy":"b","lastModifiedBy":"b"}"#)];
    let patch = json!({ "tags": { "c": "d" } }).to_string();
    let answer = provider.send(Method::PATCH, "workspaces/ws1", NEWEST, &patch, &changed).await.is(200);
    assert_eq!(
        answer.body["systemData"],
        json!({ "createdBy": "a", "createdByType": "User", "createdAt": "1", "lastModifiedBy": "b" })
    );
    let tags: serde_json::Map<_, _> = (0..16).map(|number| (number.to_string(), json!(""))).collect();
    provider.patch("workspaces/ws1", NEWEST, &json!({ "tags": tags })).await.is_error(400, "InvalidTag");
    provider
        .patch("workspaces/ws1", NEWEST, &json!({ "tags": { "a": 1 } }))
        .await
        .is_error(400, "InvalidRequestContent");
}

#[tokio::test]
async fn what_is_not_supported_says_so() {
    let provider = Provider::start().await;
    let path = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg1/moveResources");
    provider.send(Method::POST, &path, NEWEST, "{}", &[]).await.is_error(400, "ResourceMoveNotSupported");
    let operations = provider.get("/providers/Microsoft.HealthcareApis/operations", NEWEST).await.is(200);
    assert!(operations.body["value"].as_array().unwrap().len() > 20);
}

#[tokio::test]
async fn a_reserved_name_is_not_free() {
    let mut settings = ApiSettings { retry_after_seconds: 1, ..ApiSettings::default() };
    settings.rules.reserved_names = vec!["microsoft".to_owned()];
    let provider = Provider::start_with(settings).await;
    provider.subscription_is("Registered").await;
    provider.put("workspaces/Microsoft", NEWEST, &workspace()).await.is_error(400, "ReservedResourceName");
    let path = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.HealthcareApis/checkNameAvailability");
    let body = json!({ "name": "MICROSOFT", "type": "Microsoft.HealthcareApis/workspaces" }).to_string();
    let answer = provider.send(Method::POST, &path, NEWEST, &body, &[]).await.is(200).body;
    assert_eq!((&answer["nameAvailable"], &answer["reason"]), (&json!(false), &json!("Invalid")));
}
