//! Documents that nobody can read: they hold up nothing but themselves.

use std::sync::Arc;

use resource_provider::local::Open;
use resource_provider::worker::Swept;
use serde_json::json;
use sqlx::{Connection, Executor};

use super::bodies::{CONNECTOR, workspace};
use super::provider::NEWEST;
use super::site::Site;

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
