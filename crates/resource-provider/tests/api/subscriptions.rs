//! Subscriptions (resource-provider.md 2.14).

use reqwest::Method;
use resource_provider::api::ApiSettings;

use super::bodies::{CONNECTOR, connector, workspace};
use super::provider::{NEWEST, Provider, SUBSCRIPTION};

#[tokio::test]
async fn a_subscription_that_is_not_registered_reads_nothing_and_writes_nothing() {
    let provider = Provider::start_with(ApiSettings::default()).await;
    let refused = provider.put("workspaces/ws1", NEWEST, &workspace()).await;
    refused.is_error(409, "MissingSubscriptionRegistration");
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("'Microsoft.HealthcareApis'"), "{message}");
    assert_eq!(provider.get("workspaces", NEWEST).await.is(200).body["value"], serde_json::json!([]));
    provider.delete("workspaces/ws1", NEWEST).await.is_error(409, "MissingSubscriptionRegistration");
}

#[tokio::test]
async fn a_suspended_subscription_reads_and_deletes() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let answered = provider.subscription_is("Suspended").await.is(200);
    assert_eq!(answered.body["properties"]["tenantId"], "t");
    assert_eq!(provider.get(CONNECTOR, NEWEST).await.is(200).state(), "Suspended");
    provider.put(CONNECTOR, NEWEST, &connector()).await.is_error(409, "ReadOnlyDisabledSubscription");
    let check = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.HealthcareApis/checkNameAvailability");
    provider.send(Method::POST, &check, NEWEST, "{}", &[]).await.is_error(409, "ReadOnlyDisabledSubscription");
    provider.subscription_is("Warned").await.is(200);
    provider.delete(CONNECTOR, NEWEST).await.is(202);
    provider.work().await;
    provider.subscription_is("Registered").await.is(200);
    assert_eq!(provider.get("workspaces/ws1", NEWEST).await.is(200).state(), "Succeeded");
    provider.subscription_is("Deleted").await.is(200);
    provider.get("workspaces/ws1", NEWEST).await.is_error(404, "ResourceNotFound");
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is_error(409, "MissingSubscriptionRegistration");
    provider.subscription_is("Elsewhere").await.is_error(400, "InvalidRequestContent");
}

#[tokio::test]
async fn a_front_door_registers() {
    let provider = Provider::start_with(ApiSettings { is_front_door: true, ..ApiSettings::default() }).await;
    let path = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.HealthcareApis");
    assert_eq!(provider.get(&path, "2016-02-01").await.is(200).body["registrationState"], "NotRegistered");
    let register = format!("{path}/register");
    let answer = provider.send(Method::POST, &register, "2016-02-01", "", &[]).await.is(200);
    assert_eq!(answer.body["registrationState"], "Registered");
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    // What ARM says stays.
    provider.subscription_is("Suspended").await.is(200);
    provider.send(Method::POST, &register, "2016-02-01", "", &[]).await.is(200);
    provider.put("workspaces/ws2", NEWEST, &workspace()).await.is_error(409, "ReadOnlyDisabledSubscription");
    let behind = Provider::start().await;
    behind.send(Method::POST, &register, "2016-02-01", "", &[]).await.is_error(404, "InvalidResourceType");
}

#[tokio::test]
async fn the_first_use_registers_where_that_is_wanted() {
    let settings = ApiSettings { registers_on_first_use: true, ..ApiSettings::default() };
    let provider = Provider::start_with(settings).await;
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    provider.subscription_is("Unregistered").await.is(200);
    let listed = provider.get("workspaces", NEWEST).await.is(200);
    assert_eq!(listed.body, serde_json::json!({ "value": [] }), "its customer has deleted everything");
    provider.get("workspaces/ws1", NEWEST).await.is(200);
    provider.put("workspaces/ws2", NEWEST, &workspace()).await.is_error(409, "MissingSubscriptionRegistration");
}
