//! What is waited for, and is no failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arm::ErrorCode;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use resource_provider::documents::ScaleInfo;
use resource_provider::local::{Gate, LocalCloud, Moment, Open};
use resource_provider::metrics;
use resource_provider::ports::{Cluster, ConnectorSpec, ErrorClass, PortError, WorkloadStatus};
use serde_json::json;
use tokio::sync::Notify;

use super::bodies::{CONNECTOR, connector};
use super::provider::NEWEST;
use super::site::{DESTINATION, Site};

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

/// Says what it is told to of a namespace, so often.
#[derive(Debug)]
struct Namespaces {
    class: ErrorClass,
    times: AtomicUsize,
    asked: Notify,
}

#[async_trait]
impl Gate for Namespaces {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        if !call.starts_with("namespace ") || moment == Moment::After {
            return Ok(());
        }
        self.asked.notify_one();
        let left = self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let (code, message) = (ErrorCode::EventHubNamespaceProvisioningFailed, "the test says so".to_owned());
        left.map_or(Ok(()), |_| Err(PortError { code, class: self.class, message }))
    }
}

fn namespaces(class: ErrorClass, times: usize) -> Arc<Namespaces> {
    Arc::new(Namespaces { class, times: AtomicUsize::new(times), asked: Notify::new() })
}

/// What Azure is at takes as long as it takes: looking again is no try.
#[tokio::test]
async fn what_goes_on_by_itself_is_looked_at_again() {
    let class = ErrorClass::UnderWay { retry_after_seconds: None };
    let site = Site::behind(namespaces(class, 25)).await;
    site.with_connector().await;
    // No longer than a step may take.
    let site = Site::behind(namespaces(class, usize::MAX)).await;
    site.with_workspace().await;
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    let mut worker = site.worker();
    worker.settings.step_limit = Duration::from_millis(20);
    while worker.work_once().await.unwrap() {}
    let status = site.status(&made).await;
    assert_eq!(status["error"]["code"], "EventHubNamespaceProvisioningFailed", "{status}");
}

/// A delete does not wait until a step is tried again that was told to wait for half an hour.
#[tokio::test]
async fn a_delete_stops_the_wait_for_another_try() {
    let gate = namespaces(ErrorClass::Transient { retry_after_seconds: Some(1800) }, 1);
    let site = Site::behind(gate.clone()).await;
    site.with_workspace().await;
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    let mut worker = site.worker();
    worker.settings.lease = SignedDuration::from_secs(6);
    let delete = async {
        gate.asked.notified().await;
        site.provider.delete(CONNECTOR, NEWEST).await.is(202)
    };
    let both = async { tokio::join!(worker.work_once(), delete) };
    let (worked, deleted) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("it ends");
    assert!(worked.unwrap());
    assert_eq!(site.status(&made).await["error"]["code"], "OperationPreempted");
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
}

/// A delete of a destination is not said to be stopped when its connector goes too.
#[tokio::test]
async fn a_delete_is_not_stopped_by_that_of_what_is_above() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    let below = site.provider.delete(DESTINATION, NEWEST).await.is(202);
    let above = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    site.work().await;
    assert_eq!(site.status(&below).await["status"], "Succeeded");
    assert_eq!(site.status(&above).await["status"], "Succeeded");
    assert_eq!(site.resource_count().await, 1, "the workspace");
}

/// A cluster whose workloads never come up.
#[derive(Debug)]
struct NeverReady(Arc<LocalCloud>, Arc<Notify>);

#[async_trait]
impl Cluster for NeverReady {
    async fn apply(&self, place: &ScaleInfo, connector: &ConnectorSpec) -> Result<(), PortError> {
        Cluster::apply(&*self.0, place, connector).await
    }

    async fn workload(&self, place: &ScaleInfo, of: &str, name: &str) -> Result<Option<WorkloadStatus>, PortError> {
        let found = self.0.workload(place, of, name).await?;
        self.1.notify_one();
        Ok(found.map(|status| WorkloadStatus { is_ready: false, ..status }))
    }

    async fn delete(&self, place: &ScaleInfo, connector: &str) -> Result<(), PortError> {
        Cluster::delete(&*self.0, place, connector).await
    }
}

/// A delete does not wait until a workload that never comes up is given up.
#[tokio::test]
async fn a_delete_stops_the_wait_for_a_workload() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_workspace().await;
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    let mut worker = site.worker();
    worker.settings.ready_limit = Duration::from_secs(3600);
    let looked = Arc::new(Notify::new());
    worker.platform.cluster = Arc::new(NeverReady(site.cloud.clone(), looked.clone()));
    let delete = async {
        looked.notified().await;
        site.provider.delete(CONNECTOR, NEWEST).await.is(202)
    };
    let both = async { tokio::join!(worker.work_once(), delete) };
    let (worked, deleted) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("it ends");
    assert!(worked.unwrap());
    let status = site.status(&made).await;
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Canceled"), &json!("OperationPreempted")));
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    site.provider.get(CONNECTOR, NEWEST).await.is(404);
}
