//! Documents that nobody can read: they hold up nothing but themselves.

use std::sync::Arc;

use resource_provider::local::Open;
use resource_provider::worker::Swept;
use serde_json::json;
use sqlx::{Connection, Executor};

use super::bodies::{CONNECTOR, device_mapping, workspace};
use super::provider::NEWEST;
use super::site::{DESTINATION, Site};

const OTHER: &str = "workspaces/ws2";

/// Changes what is stored by hand.
async fn change(site: &Site, statement: String) {
    let url = site.provider.url_of_store().unwrap();
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let done = connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    connection.close().await.unwrap();
}

/// Workers go on with the others; when it was claimed too often it has failed, and
/// can be asked for again.
#[tokio::test]
async fn an_operation_that_cannot_be_read_stops_no_other_and_fails_in_the_end() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_connector().await;
    let unreadable = site.provider.put(OTHER, NEWEST, &workspace()).await.is(201);
    let id = site.document(OTHER).await.unwrap().current_operation_id.unwrap();
    change(&site, format!("UPDATE operations SET body = '{{\"later\":1}}' WHERE id = '{id}'")).await;
    let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
    let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    assert_eq!(site.done(patched).await["status"], "Succeeded");
    // Each look at it is a claim, which counts and lasts.
    assert_eq!(site.sweep().await, Swept::default());
    let claimed = format!("UPDATE operations SET attempts = 21 WHERE id = '{id}' AND attempts = 1 AND lease_until > 0");
    change(&site, claimed).await;
    assert_eq!(site.sweep().await, Swept { settled: 1, ..Swept::default() });
    let status = site.status(&unreadable).await;
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!("InternalServerError")));
    assert_eq!(site.provider.get(OTHER, NEWEST).await.state(), "Failed");
    let again = site.provider.put(OTHER, NEWEST, &workspace()).await.is(200);
    assert_eq!(site.done(again).await["status"], "Succeeded");
}

/// The sweeper goes on with the others.
#[tokio::test]
async fn a_resource_that_cannot_be_read_ends_no_sweep() {
    let site = Site::behind(Arc::new(Open)).await;
    for path in ["workspaces/ws1", OTHER] {
        site.provider.put(path, NEWEST, &workspace()).await.is(201);
    }
    let documents = [site.document("workspaces/ws1").await.unwrap(), site.document(OTHER).await.unwrap()];
    for document in &documents {
        let operation = document.current_operation_id.clone().unwrap();
        change(&site, format!("DELETE FROM operations WHERE id = '{operation}'")).await;
    }
    change(&site, format!("UPDATE resources SET body = '{{\"later\":1}}' WHERE id = '{}'", documents[0].id)).await;
    assert_eq!(site.sweep().await, Swept { enqueued: 1, ..Swept::default() });
    site.work().await;
    assert_eq!(site.provider.get(OTHER, NEWEST).await.state(), "Succeeded");
}

/// An operation whose resource cannot be read fails, too.
#[tokio::test]
async fn what_is_about_a_resource_that_cannot_be_read_fails_in_the_end() {
    let site = Site::behind(Arc::new(Open)).await;
    let made = site.provider.put(OTHER, NEWEST, &workspace()).await.is(201);
    let id = site.document_id(OTHER).await;
    change(&site, format!("UPDATE resources SET body = '{{\"later\":1}}' WHERE id = '{id}'")).await;
    assert!(site.worker().work_once().await.is_err());
    change(&site, format!("UPDATE operations SET attempts = 21 WHERE resource_id = '{id}'")).await;
    assert_eq!(site.sweep().await.settled, 1);
    let status = site.status(&made).await;
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!("InternalServerError")));
}

/// A delete that comes upon a child that cannot be read fails in the end, and can be
/// asked for again when it can be.
#[tokio::test]
async fn a_delete_with_a_child_that_cannot_be_read_fails_in_the_end() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    let (connector, child) = (site.document_id(CONNECTOR).await, site.document(DESTINATION).await.unwrap());
    change(&site, format!("UPDATE resources SET body = '{{\"later\":1}}' WHERE id = '{}'", child.id)).await;
    assert!(site.worker().work_once().await.is_err());
    let claims = "UPDATE operations SET attempts = 21, lease_until = 0";
    change(&site, format!("{claims} WHERE resource_id = '{connector}' AND status = 'Running'")).await;
    site.work().await;
    assert_eq!(site.status(&deleted).await["status"], "Failed");
    assert_eq!(site.provider.get(CONNECTOR, NEWEST).await.state(), "Failed");
    let readable = serde_json::to_string(&child).unwrap().replace('\'', "''");
    change(&site, format!("UPDATE resources SET body = '{readable}' WHERE id = '{}'", child.id)).await;
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    assert_eq!(site.cloud.connector_count(), 0);
}

/// What a worker that died again and again has done of a change is not left: the
/// sweeper brings back what was good.
#[tokio::test]
async fn a_change_that_is_given_up_half_way_is_brought_back() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_connector().await;
    let mut mapping = device_mapping();
    mapping["template"] = json!([]);
    let patch = json!({ "properties": { "deviceMapping": { "content": mapping } } });
    let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    let id = site.document(CONNECTOR).await.unwrap().current_operation_id.unwrap();
    change(&site, format!("UPDATE operations SET attempts = 21 WHERE id = '{id}'")).await;
    site.work().await;
    assert_eq!(site.status(&patched).await["status"], "Failed");
    assert_eq!(
        site.provider.get(CONNECTOR, NEWEST).await.body["properties"]["deviceMapping"]["content"],
        device_mapping()
    );
    assert_eq!(site.sweep().await, Swept { restored: 1, ..Swept::default() });
    site.work().await;
    assert!(!site.document(CONNECTOR).await.unwrap().infrastructure.is_half_changed);
    assert_eq!(site.sweep().await, Swept::default());
}
