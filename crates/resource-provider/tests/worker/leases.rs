//! Workers that write when the operation is another's by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arm::ErrorCode;
use async_trait::async_trait;
use resource_provider::documents::ResourceDocument;
use resource_provider::local::{Gate, Moment};
use resource_provider::ports::{ErrorClass, PortError};
use tokio::sync::{Notify, Semaphore};

use super::bodies::{CONNECTOR, connector};
use super::provider::NEWEST;
use super::site::{DESTINATION, Site};

/// Holds up a call once until it is let go, and then answers so.
#[derive(Debug)]
struct Barrier {
    call: &'static str,
    refusal: Option<ErrorCode>,
    is_armed: AtomicBool,
    reached: Notify,
    open: Semaphore,
}

impl Barrier {
    fn at(call: &'static str, refusal: Option<ErrorCode>) -> Arc<Barrier> {
        let (is_armed, reached, open) = (AtomicBool::new(false), Notify::new(), Semaphore::new(0));
        Arc::new(Barrier { call, refusal, is_armed, reached, open })
    }
}

#[async_trait]
impl Gate for Barrier {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        let is_meant = call.starts_with(self.call) && moment == Moment::Before;
        if !(is_meant && self.is_armed.swap(false, Ordering::SeqCst)) {
            return Ok(());
        }
        self.reached.notify_one();
        drop(self.open.acquire().await);
        let Some(code) = self.refusal else { return Ok(()) };
        Err(PortError { code, class: ErrorClass::Permanent, message: "the test says no".to_owned() })
    }
}

/// Another takes the operation while a worker is at a call. The connector, as it was
/// then.
async fn lose_lease(site: &Site, barrier: &Barrier) -> ResourceDocument {
    barrier.is_armed.store(true, Ordering::SeqCst);
    let worker = site.worker();
    let lose = async {
        barrier.reached.notified().await;
        site.let_leases_lapse().await;
        let document = site.document(CONNECTOR).await.unwrap();
        barrier.open.add_permits(1);
        document
    };
    let (worked, document) = tokio::join!(worker.work_once(), lose);
    assert!(worked.unwrap());
    document
}

#[tokio::test]
async fn an_id_that_was_made_up_is_not_stored_for_another() {
    let barrier = Barrier::at("role EventHubsDataSender", Some(ErrorCode::HashConflictOnDifferentRoleAssignmentIds));
    let site = Site::behind(barrier.clone()).await;
    site.with_workspace().await;
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    let ids = lose_lease(&site, &barrier).await.infrastructure.role_assignments;
    assert_eq!(ids.len(), 3, "they were decided before");
    site.work().await;
    assert_eq!(site.status(&made).await["status"], "Succeeded");
    assert_eq!(site.document(CONNECTOR).await.unwrap().infrastructure.role_assignments, ids);
    let things = site.cloud.things();
    let sender = things.iter().find(|(name, _)| name.starts_with("role EventHubsDataSender")).unwrap();
    assert_eq!(Some(sender.1), ids.get("hubSender"), "the one that was stored first is used");
}

#[tokio::test]
async fn a_child_is_not_removed_for_another() {
    // The last call of what removes a destination.
    let barrier = Barrier::at("no blob ", None);
    let site = Site::behind(barrier.clone()).await;
    site.with_destination().await;
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    lose_lease(&site, &barrier).await;
    assert!(site.document(DESTINATION).await.is_some());
    site.work().await;
    assert_eq!(site.status(&deleted).await["status"], "Succeeded");
    assert!(site.document(DESTINATION).await.is_none());
}
