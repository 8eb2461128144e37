//! The feature, switched on and off (resource-provider.md 2.15).

use arm::Location;
use reqwest::Method;
use resource_provider::api::{ApiSettings, Switches};
use serde_json::{Value, json};

use super::bodies::{CONNECTOR, connector, destination, workspace};
use super::provider::{GEN1, NEWEST, Provider, SUBSCRIPTION};

const DESTINATION: &str = "workspaces/ws1/iotconnectors/iot1/fhirdestinations/dest1";

/// A provider over the store of another, whose settings are others.
async fn with_switches(switches: Switches) -> (Provider, Provider) {
    let before = Provider::start().await;
    before.with_connector().await;
    let after = before.beside(ApiSettings { switches, retry_after_seconds: 1, ..ApiSettings::default() }).await;
    (before, after)
}

#[tokio::test]
async fn where_it_is_off_nothing_is_created_and_what_is_there_lives_on() {
    let off_in = vec![Location::new("West US 2")];
    let (_before, provider) = with_switches(Switches { off_in, required_feature: None }).await;
    for (path, version, body) in [
        ("workspaces/ws2", NEWEST, workspace()),
        ("workspaces/ws1/iotconnectors/iot2", NEWEST, connector()),
        (DESTINATION, NEWEST, destination()),
        ("services/fhir1/iomtconnectors/c12", GEN1, json!({})),
    ] {
        provider.put(path, version, &body).await.is_error(404, "InvalidResourceType");
    }
    let elsewhere = json!({ "location": "eastus" });
    provider.put("workspaces/ws3", NEWEST, &elsewhere).await.is(201);
    provider.get(CONNECTOR, NEWEST).await.is(200);
    provider.patch(CONNECTOR, NEWEST, &json!({ "tags": { "a": "b" } })).await.is(200);
    provider.delete(CONNECTOR, NEWEST).await.is(202);
    provider.work().await;
    provider.get(CONNECTOR, NEWEST).await.is_error(404, "ResourceNotFound");
}

#[tokio::test]
async fn a_subscription_needs_the_feature_that_is_asked_for() {
    let required_feature = Some("IotConnector".to_owned());
    let (_before, provider) = with_switches(Switches { off_in: Vec::new(), required_feature }).await;
    provider.put("workspaces/ws2", NEWEST, &workspace()).await.is_error(404, "InvalidResourceType");
    provider.put(CONNECTOR, NEWEST, &connector()).await.is(200);
    let features = |features: Value| {
        let body = json!({ "state": "Registered", "properties": { "registeredFeatures": features } }).to_string();
        let provider = &provider;
        async move { provider.send(Method::PUT, &format!("/subscriptions/{SUBSCRIPTION}"), "2.0", &body, &[]).await.is(200) }
    };
    features(json!([{ "name": "Microsoft.HealthcareApis/iotconnector", "state": "Registered" }])).await;
    provider.put("workspaces/ws2", NEWEST, &workspace()).await.is(201);
    features(json!([])).await;
    provider.put("workspaces/ws3", NEWEST, &workspace()).await.is_error(404, "InvalidResourceType");
    provider.get("workspaces/ws2", NEWEST).await.is(200);
}
