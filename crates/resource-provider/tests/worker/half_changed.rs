//! Changes that failed, where what was good could not be brought back at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arm::ErrorCode;
use async_trait::async_trait;
use resource_provider::local::{Gate, Moment};
use resource_provider::ports::{ErrorClass, PortError};
use resource_provider::worker::Swept;
use serde_json::json;

use super::bodies::{CONNECTOR, device_mapping};
use super::provider::NEWEST;
use super::site::Site;

/// From the first call of the cluster on nothing can be done, while it lasts.
#[derive(Debug, Default)]
struct Outage {
    is_armed: AtomicBool,
    has_begun: AtomicBool,
}

#[async_trait]
impl Gate for Outage {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        if !self.is_armed.load(Ordering::SeqCst) || moment == Moment::After {
            return Ok(());
        }
        if !call.starts_with("connector ") && !self.has_begun.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.has_begun.store(true, Ordering::SeqCst);
        let message = "the test says no".to_owned();
        Err(PortError { code: ErrorCode::ClusterUnavailable, class: ErrorClass::Permanent, message })
    }
}

/// Changes the mapping while there is an outage, so that it fails half way.
async fn change_half(site: &Site, outage: &Outage) {
    let other = json!({ "templateType": "CollectionContent", "template": [] });
    let patch = json!({ "properties": { "deviceMapping": { "content": other } } });
    let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    outage.is_armed.store(true, Ordering::SeqCst);
    assert_eq!(site.done(patched).await["status"], "Failed");
}

fn mapping(site: &Site) -> String {
    let things = site.cloud.things();
    things.into_iter().find_map(|(name, text)| name.starts_with("blob ").then_some(text)).unwrap()
}

/// What was good and could not be brought back is brought back by the sweeper, as
/// often as that takes.
#[tokio::test]
async fn what_could_not_be_brought_back_is_tried_again() {
    let outage = Arc::new(Outage::default());
    let site = Site::behind(outage.clone()).await;
    site.with_connector().await;
    let good = mapping(&site);
    change_half(&site, &outage).await;
    assert_ne!(mapping(&site), good, "it is half done");
    let operation = site.document(CONNECTOR).await.unwrap().current_operation_id.unwrap();
    let operation = site.provider.store.operation(&operation).await.unwrap().unwrap();
    let failed = operation.steps.last().map(|step| format!("{} {:?}", step.name, step.outcome));
    assert_eq!(failed.as_deref(), Some("Namespace CompensationFailed"));
    // The outage goes on.
    assert_eq!(site.sweep().await, Swept { restored: 1, ..Swept::default() });
    assert_eq!(site.sweep().await, Swept::default(), "it waits already");
    site.work().await;
    assert_ne!(mapping(&site), good);
    outage.is_armed.store(false, Ordering::SeqCst);
    assert_eq!(site.sweep().await, Swept { restored: 1, ..Swept::default() });
    site.work().await;
    assert_eq!(mapping(&site), good);
    assert_eq!(site.sweep().await, Swept::default());
    let shown = site.provider.get(CONNECTOR, NEWEST).await;
    assert_eq!((shown.state(), &shown.body["properties"]["deviceMapping"]["content"]), ("Failed", &device_mapping()));
}

/// What is half changed and then half removed is not made again.
#[tokio::test]
async fn what_could_not_be_removed_is_not_brought_back() {
    let outage = Arc::new(Outage::default());
    let site = Site::behind(outage.clone()).await;
    site.with_connector().await;
    change_half(&site, &outage).await;
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Failed");
    assert_eq!(site.sweep().await, Swept::default());
    outage.is_armed.store(false, Ordering::SeqCst);
    let again = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(again).await["status"], "Succeeded");
    assert_eq!(site.cloud.connector_count(), 0);
}
