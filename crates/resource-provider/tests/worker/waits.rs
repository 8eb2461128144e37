//! What is waited for, and is no failure.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use resource_provider::local::Open;
use resource_provider::worker::metrics;

use super::bodies::{CONNECTOR, connector};
use super::provider::NEWEST;
use super::site::Site;

/// The number behind a line of the metrics; 0 before there is one.
async fn counted(site: &Site, line: &str) -> u64 {
    let text = String::from_utf8(metrics::text(&site.provider.store).await.unwrap()).unwrap();
    let value = text.lines().find_map(|text| text.strip_prefix(line).map(str::trim).map(str::to_owned));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Waiting for the lock of a workspace is no try: it is waited for longer than a
/// step is tried.
#[tokio::test]
async fn the_lock_of_a_workspace_is_waited_for() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_workspace().await;
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    let (store, workspace) = (&site.provider.store, site.document_id("workspaces/ws1").await);
    let (now, hour) = (Timestamp::now(), SignedDuration::from_hours(1));
    assert!(store.take_lock(workspace.as_str(), "another", now, now + hour).await.unwrap());
    let waiting = r#"iot_connector_provider_steps_total{attempt="1",outcome="waiting",step="Namespace"}"#;
    let before = counted(&site, waiting).await;
    let worker = site.worker();
    let let_go = async {
        let tries_max = u64::from(worker.settings.tries_max);
        while counted(&site, waiting).await <= before + 2 * tries_max {
            tokio::task::yield_now().await;
        }
        store.release_lock(workspace.as_str(), "another").await.unwrap();
    };
    let both = async { tokio::join!(worker.work_once(), let_go) };
    let (worked, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("it ends");
    assert!(worked.unwrap());
    assert_eq!(site.status(&made).await["status"], "Succeeded");
    let done = r#"iot_connector_provider_operations_total{code="",command="Provision",outcome="Succeeded",type="workspaces/iotconnectors"}"#;
    assert!(counted(&site, done).await > 0);
}
