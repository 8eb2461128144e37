//! What a request meets (resource-provider.md 5.4).

use resource_provider::api::{ApiSettings, Limits};
use serde_json::json;

use super::bodies::{CONNECTOR, connector, destination, workspace};
use super::provider::{NEWEST, Provider};

#[tokio::test]
async fn the_same_put_joins_and_another_waits() {
    let provider = Provider::start().await;
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    provider.work().await;
    let first = provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    let same = provider.put(CONNECTOR, NEWEST, &connector()).await.is(200);
    assert_eq!(same.header("azure-asyncoperation"), first.header("azure-asyncoperation"));
    let mut other = connector();
    other["properties"]["ingestionEndpointConfiguration"]["eventHubName"] = json!("other");
    let refused = provider.put(CONNECTOR, NEWEST, &other).await;
    refused.is_error(409, "AnotherOperationInProgress");
    assert_eq!(refused.header("retry-after"), Some("1"));
    provider
        .patch(CONNECTOR, NEWEST, &json!({ "tags": { "a": "b" } }))
        .await
        .is_error(409, "AnotherOperationInProgress");
    let child = provider.put(&format!("{CONNECTOR}/fhirdestinations/dest1"), NEWEST, &destination()).await;
    child.is_error(409, "AncestorNotProvisioned");
    assert!(child.header("retry-after").is_some());
    provider.work().await;
    assert_eq!(provider.put(CONNECTOR, NEWEST, &other).await.is(200).state(), "Accepted");
}

#[tokio::test]
async fn a_delete_stops_what_nobody_has_begun() {
    let provider = Provider::start().await;
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    provider.work().await;
    let created = provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    let deleted = provider.delete(CONNECTOR, NEWEST).await.is(202);
    let stopped = provider.follow(created.header("azure-asyncoperation").unwrap()).await.is(200);
    assert_eq!(
        (&stopped.body["status"], &stopped.body["error"]["code"]),
        (&json!("Canceled"), &json!("OperationPreempted"))
    );
    provider.put(CONNECTOR, NEWEST, &connector()).await.is_error(409, "AnotherOperationInProgress");
    provider.work().await;
    let done = provider.follow(deleted.header("azure-asyncoperation").unwrap()).await.is(200);
    assert_eq!(done.body["status"], "Succeeded");
    provider.get(CONNECTOR, NEWEST).await.is_error(404, "ResourceNotFound");
}

#[tokio::test]
async fn children_go_with_their_connector() {
    let provider = Provider::start().await;
    provider.with_connector().await;
    let path = format!("{CONNECTOR}/fhirdestinations/dest1");
    provider.put(&path, NEWEST, &destination()).await.is(201);
    provider.work().await;
    provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(provider.get(&path, NEWEST).await.is(200).state(), "Deleting");
    provider.put(&path, NEWEST, &destination()).await.is_error(409, "AncestorNotProvisioned");
    provider.work().await;
    provider.get(&path, NEWEST).await.is_error(404, "ResourceNotFound");
}

/// Whoever sends a request again before it is answered has no other than itself before it.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_create_joins_itself_also_for_a_name_and_the_last_room() {
    let limits = Limits { workspaces: 1, connectors: 1, ..Limits::default() };
    let settings = ApiSettings { limits, retry_after_seconds: 1, ..ApiSettings::default() };
    let provider = Provider::start_with(settings).await;
    provider.subscription_is("Registered").await;
    for (path, body) in [("workspaces/ws1", workspace()), (CONNECTOR, connector())] {
        let answers = futures::future::join_all((0..8).map(|_| provider.put(path, NEWEST, &body))).await;
        let operation = answers[0].header("azure-asyncoperation").expect("an operation");
        let mut made = 0;
        for answer in &answers {
            made += usize::from(answer.status == 201);
            assert!(answer.status == 201 || answer.status == 200, "{answer:?}");
            assert_eq!(answer.header("azure-asyncoperation"), Some(operation));
        }
        assert_eq!(made, 1, "{path}");
        provider.work().await;
    }
}

#[tokio::test]
async fn ten_connectors_are_taken_and_no_more_however_they_come() {
    let provider = Provider::start().await;
    provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
    provider.work().await;
    let (body, paths): (_, Vec<_>) =
        (connector(), (0..11).map(|number| format!("workspaces/ws1/iotconnectors/iot{number}")).collect());
    let answers = futures::future::join_all(paths.iter().map(|path| provider.put(path, NEWEST, &body))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    refused[0].is_error(409, "ResourceQuotaExceeded");
    assert_eq!(refused[0].header("retry-after"), None);
    provider.work().await;
    let (there, absent): (Vec<_>, Vec<_>) = paths.iter().zip(&answers).partition(|(_, answer)| answer.status == 201);
    provider.delete(there[0].0, NEWEST).await.is(202);
    provider.put(absent[0].0, NEWEST, &body).await.is_error(409, "ResourceQuotaExceeded");
    provider.work().await;
    provider.put(absent[0].0, NEWEST, &body).await.is(201);
}
