//! Operations that took too long: they are undone all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::SignedDuration;
use resource_provider::local::{Gate, Moment};
use resource_provider::ports::PortError;
use serde_json::json;
use tokio::sync::Notify;

use super::bodies::{CONNECTOR, connector};
use super::provider::{Answered, NEWEST};
use super::site::Site;

/// Hangs when the cluster has been told of a connector.
#[derive(Debug, Default)]
struct Hang {
    is_armed: AtomicBool,
    reached: Notify,
}

#[async_trait]
impl Gate for Hang {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        let is_meant = call.starts_with("connector ") && moment == Moment::After;
        if is_meant && self.is_armed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// A worker is killed when nearly all is done, and the next one comes too late.
async fn time_out(site: &Site, hang: &Hang, answer: &Answered) {
    hang.is_armed.store(true, Ordering::SeqCst);
    let worker = site.worker();
    tokio::select! {
        worked = worker.work_once() => panic!("it ended: {worked:?}"),
        () = hang.reached.notified() => {}
    }
    site.let_leases_lapse().await;
    let mut late = site.worker();
    late.settings.operation_limit = SignedDuration::ZERO;
    assert!(late.work_once().await.unwrap());
    let status = site.status(answer).await;
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!("OperationTimedOut")));
    assert_eq!(site.provider.get(CONNECTOR, NEWEST).await.state(), "Failed");
}

#[tokio::test]
async fn a_create_that_took_too_long_is_undone() {
    let hang = Arc::new(Hang::default());
    let site = Site::behind(hang.clone()).await;
    site.with_workspace().await;
    let before = site.cloud.things();
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    time_out(&site, &hang, &made).await;
    assert_eq!((site.cloud.things(), site.cloud.connector_count()), (before, 0));
}

#[tokio::test]
async fn a_change_that_took_too_long_is_brought_back() {
    let hang = Arc::new(Hang::default());
    let site = Site::behind(hang.clone()).await;
    site.with_connector().await;
    let before = site.cloud.connectors();
    let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
    let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    time_out(&site, &hang, &patched).await;
    assert_eq!(site.cloud.connectors(), before);
}
