//! ETags (resource-provider.md 2.9), and what is read-only (2.18).

use std::time::Duration;

use arm::Route;
use reqwest::Method;
use serde_json::json;

use super::bodies::{CONNECTOR, connector, device_mapping, workspace};
use super::provider::{Answered, FIRST, GROUP, NEWEST, Provider};

async fn put(provider: &Provider, path: &str, header: (&str, &str)) -> Answered {
    let body = if path == CONNECTOR { connector() } else { workspace() };
    provider.send(Method::PUT, path, NEWEST, &body.to_string(), &[header]).await
}

#[tokio::test]
async fn a_condition_holds_or_nothing_happens() {
    let provider = Provider::start().await;
    put(&provider, "workspaces/ws1", ("if-match", "*")).await.is_error(412, "PreconditionFailed");
    put(&provider, "workspaces/ws1", ("if-match", "\"x\"")).await.is_error(412, "PreconditionFailed");
    provider.get("workspaces/ws1", NEWEST).await.is_error(404, "ResourceNotFound");
    put(&provider, "workspaces/ws1", ("if-none-match", "*")).await.is(201);
    put(&provider, "workspaces/ws1", ("if-none-match", "*")).await.is_error(412, "PreconditionFailed");
    provider.work().await;
    put(&provider, CONNECTOR, ("if-none-match", "*")).await.is(201);
    provider.work().await;
    let etag = provider.get(CONNECTOR, NEWEST).await.header("etag").unwrap().to_owned();
    put(&provider, CONNECTOR, ("if-match", &etag)).await.is(200);
    put(&provider, CONNECTOR, ("if-match", "*")).await.is(200);
    let patch = json!({ "tags": { "a": "b" } }).to_string();
    let send = |method: Method, body: String, etag: String| {
        let provider = &provider;
        async move { provider.send(method, CONNECTOR, NEWEST, &body, &[("if-match", &etag)]).await }
    };
    send(Method::PATCH, patch.clone(), "\"x\"".to_owned()).await.is_error(412, "PreconditionFailed");
    send(Method::PATCH, patch, etag.clone()).await.is(200);
    send(Method::DELETE, String::new(), etag).await.is_error(412, "PreconditionFailed");
    send(Method::DELETE, String::new(), "*".to_owned()).await.is(202);
    provider.work().await;
    send(Method::DELETE, String::new(), "\"x\"".to_owned()).await.is(204);
}

#[tokio::test]
async fn what_was_read_can_be_sent_back_while_nothing_moved() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let read = provider.get(CONNECTOR, NEWEST).await.is(200).body;
    let again = provider.put(CONNECTOR, NEWEST, &read).await.is(200);
    assert_eq!(again.body["etag"], read["etag"]);
    let mut moved = read.clone();
    moved["properties"]["provisioningState"] = json!("Failed");
    provider.put(CONNECTOR, NEWEST, &moved).await.is_error(400, "ReadOnlyPropertyConflict");
    let mut other = read;
    other["id"] = json!(other["id"].as_str().unwrap().replace("iot1", "iot2"));
    provider.put(CONNECTOR, NEWEST, &other).await.is_error(400, "InvalidRequestContent");
}

/// A mapping that is changed while its delete waits for the change is not removed.
#[tokio::test]
async fn a_condition_of_a_delete_holds_when_it_takes_effect() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let path = format!("{CONNECTOR}/mappings/dev");
    let body = json!({ "properties": { "content": device_mapping() } });
    let etag = provider.put(&path, FIRST, &body).await.is(201).header("etag").unwrap().to_owned();
    let Ok(Route::Resource(id)) = Route::of_path(&format!("{GROUP}/{path}")) else { panic!("{path}") };
    let mut transaction = provider.store.begin().await.unwrap();
    transaction.lock(&id).await.unwrap();
    let headers = [("if-match", etag.as_str())];
    let mut delete = Box::pin(provider.send(Method::DELETE, &path, FIRST, "", &headers));
    let waited = tokio::time::timeout(Duration::from_millis(500), &mut delete).await;
    assert!(waited.is_err(), "it waits for who has the mapping");
    let mut mapping = transaction.resource(&id).await.unwrap().unwrap();
    transaction.update_resource(&mut mapping).await.unwrap();
    transaction.commit().await.unwrap();
    delete.await.is_error(412, "PreconditionFailed");
    provider.get(&path, FIRST).await.is(200);
}
