//! Long-running operations (resource-provider.md 2.7).

use arm::{ArmError, ErrorCode};
use serde_json::json;

use super::bodies::{CONNECTOR, connector, device_mapping, workspace};
use super::provider::{NEWEST, Provider};

#[tokio::test]
async fn a_resource_is_made_polled_and_read() {
    let provider = Provider::start().await;
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    provider.work().await;
    let created = provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    assert_eq!(created.state(), "Accepted");
    assert_eq!(created.header("retry-after"), Some("1"));
    assert_eq!(created.header("location"), None);
    assert_eq!(created.header("etag"), created.body["etag"].as_str());
    assert!(created.body["identity"]["principalId"].is_string(), "{created:?}");
    let url = created.header("azure-asyncoperation").unwrap().to_owned();
    let running = provider.follow(&url).await.is(200);
    assert_eq!(running.body["status"], "Requested");
    assert_eq!(running.header("retry-after"), Some("1"));
    assert!(running.body.get("error").is_none() && running.body.get("endTime").is_none(), "{running:?}");
    assert!(running.body.get("properties").is_none());
    provider.work().await;
    let done = provider.follow(&url).await.is(200);
    assert_eq!(done.body["status"], "Succeeded");
    assert_eq!(done.header("retry-after"), None);
    assert!(done.body["endTime"].is_string());
    let read = provider.get(CONNECTOR, NEWEST).await.is(200);
    assert_eq!(read.state(), "Succeeded");
    assert_ne!(read.body["etag"], created.body["etag"]);
}

#[tokio::test]
async fn the_result_of_a_patch_is_the_whole_resource() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let mut mapping = device_mapping();
    mapping["template"] = json!([]);
    let patch = json!({ "properties": { "deviceMapping": { "content": mapping } } });
    let patched = provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    assert_eq!(patched.body["properties"]["deviceMapping"]["content"]["template"], json!([]));
    assert_eq!(patched.body["properties"]["ingestionEndpointConfiguration"]["consumerGroup"], "fhir");
    let location = patched.header("location").unwrap().to_owned();
    let running = provider.follow(&location).await.is(202);
    assert!(running.body.is_null() && running.header("location").is_some() && running.header("retry-after").is_some());
    provider.work().await;
    let done = provider.follow(&location).await.is(200);
    assert_eq!((done.body["name"].as_str(), done.state()), (Some("ws1/iot1"), "Succeeded"));
}

#[tokio::test]
async fn what_needs_no_work_is_answered_at_once() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let tagged = provider.patch(CONNECTOR, NEWEST, &json!({ "tags": { "a": "b" } })).await.is(200);
    assert_eq!(tagged.body["tags"], json!({ "a": "b" }));
    assert_eq!((tagged.state(), tagged.header("azure-asyncoperation")), ("Succeeded", None));
    let replaced = provider.patch(CONNECTOR, NEWEST, &json!({ "tags": { "c": "d" } })).await.is(200);
    assert_eq!(replaced.body["tags"], json!({ "c": "d" }));
    let same = provider.patch(CONNECTOR, NEWEST, &json!({})).await.is(200);
    assert_eq!(same.body["etag"], replaced.body["etag"]);
    let cleared = provider.put(CONNECTOR, NEWEST, &connector()).await.is(200);
    assert!(cleared.body.get("tags").is_none(), "{cleared:?}");
    let same = provider.put(CONNECTOR, NEWEST, &connector()).await.is(200);
    assert_eq!((same.header("azure-asyncoperation"), &same.body["etag"]), (None, &cleared.body["etag"]));
}

#[tokio::test]
async fn a_delete_has_both_urls_and_the_second_is_nothing() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let deleted = provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert!(deleted.body.is_null());
    let (status, location) =
        (deleted.header("azure-asyncoperation").unwrap(), deleted.header("location").unwrap().to_owned());
    let again = provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(again.header("azure-asyncoperation"), Some(status));
    assert_eq!(provider.get(CONNECTOR, NEWEST).await.is(200).state(), "Deleting");
    provider.work().await;
    assert!(provider.follow(&location).await.is(200).body.is_null());
    provider.get(CONNECTOR, NEWEST).await.is_error(404, "ResourceNotFound");
    provider.delete(CONNECTOR, NEWEST).await.is(204);
}

#[tokio::test]
async fn a_failure_is_in_the_operation_and_what_was_good_is_shown() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
    let patched = provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    let error = ArmError::new(ErrorCode::EventHubProvisioningFailed, "The event hub could not be created.");
    provider.work_with(Some(error)).await;
    let status = provider.follow(patched.header("azure-asyncoperation").unwrap()).await.is(200);
    assert_eq!(status.body["status"], "Failed");
    assert_eq!(status.body["error"]["code"], "EventHubProvisioningFailed");
    provider.follow(patched.header("location").unwrap()).await.is_error(500, "EventHubProvisioningFailed");
    let read = provider.get(CONNECTOR, NEWEST).await.is(200);
    assert_eq!(read.state(), "Failed");
    assert_eq!(read.body["properties"]["ingestionEndpointConfiguration"]["eventHubName"], "telemetry");
    provider.put(CONNECTOR, NEWEST, &connector()).await.is(200);
    provider.work().await;
    assert_eq!(provider.get(CONNECTOR, NEWEST).await.state(), "Succeeded");
}

#[tokio::test]
async fn an_operation_is_found_in_its_subscription_only() {
    let provider = Provider::start().await;
    let created = provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    let url = created.header("azure-asyncoperation").unwrap().to_owned();
    let other = url.replace("0b1f6471", "0b1f6472");
    provider.follow(&other).await.is_error(404, "OperationNotFound");
    provider.follow(&url.replace("operationresults/", "operationresults/x")).await.is_error(404, "OperationNotFound");
    provider.follow(&url.to_uppercase().replace("API-VERSION", "api-version")).await.is(200);
}
