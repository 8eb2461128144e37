//! Workers that are killed while they undo what failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arm::ErrorCode;
use async_trait::async_trait;
use resource_provider::local::{Gate, Moment};
use resource_provider::ports::{ErrorClass, PortError};
use serde_json::json;
use tokio::sync::Notify;

use super::bodies::{CONNECTOR, connector};
use super::provider::{Answered, NEWEST};
use super::site::Site;

/// Refuses the first workload for good, and hangs at a call after that.
#[derive(Debug)]
struct Refusal {
    is_armed: AtomicBool,
    has_refused: AtomicBool,
    hang_at: usize,
    after: AtomicUsize,
    sprung: Notify,
}

impl Refusal {
    fn hanging_at(hang_at: usize) -> Arc<Refusal> {
        let (is_armed, has_refused) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Refusal { is_armed, has_refused, hang_at, after: AtomicUsize::new(0), sprung: Notify::new() })
    }
}

#[async_trait]
impl Gate for Refusal {
    async fn pass(&self, call: &str, _: Moment) -> Result<(), PortError> {
        if !self.is_armed.load(Ordering::SeqCst) {
            return Ok(());
        }
        if self.has_refused.load(Ordering::SeqCst) {
            if self.after.fetch_add(1, Ordering::SeqCst) == self.hang_at {
                self.sprung.notify_one();
                std::future::pending::<()>().await;
            }
            return Ok(());
        }
        if !call.starts_with("connector ") {
            return Ok(());
        }
        self.has_refused.store(true, Ordering::SeqCst);
        let message = "the test says no".to_owned();
        Err(PortError { code: ErrorCode::ClusterUnavailable, class: ErrorClass::Permanent, message })
    }
}

/// Whatever the killed worker has undone is not taken for done by the next one:
/// the operation fails, and all is as before.
async fn check(prepare: impl AsyncFn(&Site) -> Answered, expected: impl AsyncFn(&Site)) {
    let mut hang_at = 0;
    loop {
        let refusal = Refusal::hanging_at(hang_at);
        let site = Site::behind(refusal.clone()).await;
        let answer = prepare(&site).await;
        refusal.is_armed.store(true, Ordering::SeqCst);
        let worker = site.worker();
        let was_killed = tokio::select! {
            done = worker.work_once() => !done.unwrap(),
            () = refusal.sprung.notified() => true,
        };
        refusal.is_armed.store(false, Ordering::SeqCst);
        let running = site.status(&answer).await;
        if was_killed {
            assert_eq!((&running["status"], &running["error"]), (&json!("Running"), &json!(null)));
        }
        let status = site.done_by_another(&answer).await;
        let outcome = (&status["status"], &status["error"]["code"]);
        assert_eq!(outcome, (&json!("Failed"), &json!("ClusterUnavailable")), "call {hang_at}");
        expected(&site).await;
        if !was_killed {
            break;
        }
        hang_at += 1;
    }
    assert!(hang_at > 3, "{hang_at} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_goes_on_being_undone() {
    let prepare = async |site: &Site| {
        site.with_workspace().await;
        site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201)
    };
    check(prepare, async |site| {
        let things = site.cloud.things();
        let left = |name: &&String| {
            ["hub ", "namespace ", "role Event", "certificate "].iter().any(|kind| name.starts_with(kind))
        };
        assert_eq!(things.keys().find(left), None, "{things:?}");
        assert_eq!(site.cloud.connector_count(), 0);
        assert_eq!(site.provider.get(CONNECTOR, NEWEST).await.state(), "Failed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_on_being_brought_back() {
    let prepare = async |site: &Site| {
        site.with_connector().await;
        let mapping = json!({ "templateType": "CollectionContent", "template": [] });
        let patch = json!({ "properties": { "deviceMapping": { "content": mapping } } });
        site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202)
    };
    check(prepare, async |site| {
        let things = site.cloud.things();
        let (_, mapping) = things.iter().find(|(name, _)| name.starts_with("blob ")).unwrap();
        assert!(mapping.contains("heartrate"), "{mapping}");
        let shown = site.provider.get(CONNECTOR, NEWEST).await;
        assert_eq!(shown.body["properties"]["deviceMapping"]["content"], super::bodies::device_mapping());
    })
    .await;
}
