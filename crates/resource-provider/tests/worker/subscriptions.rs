//! What the state of a subscription does to what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use reqwest::Method;
use resource_provider::local::{Gate, Moment, Open};
use resource_provider::ports::PortError;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use super::bodies::{CONNECTOR, connector, workspace};
use super::faults::{Fault, Trap};
use super::provider::NEWEST;
use super::site::{GEN1_CONNECTOR, Site};

/// Whether each connector of the cluster stands still.
fn suspended(site: &Site) -> Vec<bool> {
    site.cloud.connectors().iter().map(|spec| spec.is_suspended).collect()
}

#[tokio::test]
async fn a_suspended_subscription_stands_still_until_it_is_registered() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    site.with_gen1().await;
    assert_eq!(suspended(&site), [false, false]);
    for state in ["Warned", "Suspended"] {
        site.provider.subscription_is(state).await.is(200);
        site.work().await;
        assert_eq!(suspended(&site), [true, true], "{state}");
        assert_eq!(site.provider.get(CONNECTOR, NEWEST).await.state(), state);
        site.provider.put(CONNECTOR, NEWEST, &connector()).await.is_error(409, "ReadOnlyDisabledSubscription");
        assert!(site.cloud.things().keys().any(|name| name.starts_with("namespace ")), "nothing is deallocated");
    }
    let etag = site.provider.get(GEN1_CONNECTOR, super::provider::GEN1).await.body["etag"].clone();
    site.provider.subscription_is("Registered").await.is(200);
    site.work().await;
    assert_eq!(suspended(&site), [false, false]);
    let shown = site.provider.get(GEN1_CONNECTOR, super::provider::GEN1).await;
    assert_eq!(shown.state(), "Succeeded");
    assert_ne!(shown.body["etag"], etag, "what was told to the cluster is stored");
    site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(200);
}

/// What comes while a connector waits for its turn is not applied early.
#[tokio::test]
async fn to_stand_still_or_run_applies_what_was_good() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_connector().await;
    site.provider.subscription_is("Suspended").await.is(200);
    site.provider.subscription_is("Registered").await.is(200);
    let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
    let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    let hub = |site: &Site| site.cloud.connectors()[0].endpoint.event_hub_name.clone();
    let worker = site.worker();
    assert!(worker.work_once().await.unwrap());
    assert_eq!((hub(&site).as_str(), suspended(&site)), ("telemetry", vec![false]));
    assert_eq!(site.provider.get(CONNECTOR, NEWEST).await.state(), "Accepted");
    assert_eq!(site.done(patched).await["status"], "Succeeded");
    assert_eq!(hub(&site), "other");
}

/// Holds up a call of the cluster once it is told to, until it is let go.
#[derive(Debug)]
struct Barrier {
    is_armed: AtomicBool,
    reached: Notify,
    open: Semaphore,
}

#[async_trait]
impl Gate for Barrier {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        if call.starts_with("connector ") && moment == Moment::Before && self.is_armed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            drop(self.open.acquire().await);
        }
        Ok(())
    }
}

/// A worker has read that the subscription is suspended, and has not applied it
/// yet, when it is registered again: in the end everything runs.
#[tokio::test]
async fn the_latest_state_wins() {
    let barrier =
        Arc::new(Barrier { is_armed: AtomicBool::new(false), reached: Notify::new(), open: Semaphore::new(0) });
    let site = Site::behind(barrier.clone()).await;
    site.with_connector().await;
    barrier.is_armed.store(true, Ordering::SeqCst);
    site.provider.subscription_is("Suspended").await.is(200);
    let worker = site.worker();
    let change = async {
        barrier.reached.notified().await;
        site.provider.subscription_is("Registered").await.is(200);
        barrier.open.add_permits(1);
    };
    let (worked, ()) = tokio::join!(worker.work_once(), change);
    assert!(worked.unwrap());
    assert_eq!(suspended(&site), [true], "the older one came last");
    site.work().await;
    assert_eq!(suspended(&site), [false]);
}

#[tokio::test]
async fn everything_of_a_deleted_subscription_is_removed() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    site.with_gen1().await;
    site.provider.put("workspaces/ws2", NEWEST, &workspace()).await.is(201);
    // Another's is left alone.
    let other = "1b1f6471-1bf0-4dda-aec3-111122223333";
    let registered = r#"{"state":"Registered"}"#;
    site.provider.send(Method::PUT, &format!("/subscriptions/{other}"), "2.0", registered, &[]).await.is(200);
    let theirs = format!("/subscriptions/{other}/resourceGroups/rg1/providers/Microsoft.HealthcareApis/workspaces/ws3");
    let made = site.provider.put(&theirs, NEWEST, &workspace()).await.is(201);
    assert_eq!(site.done(made).await["status"], "Succeeded");
    site.provider.subscription_is("Deleted").await.is(200);
    site.provider.subscription_is("Deleted").await.is(200);
    site.work().await;
    assert_eq!((site.resource_count().await, site.cloud.connector_count()), (0, 0));
    let things = site.cloud.things();
    assert_eq!(things.keys().filter(|name| name.starts_with("group ")).count(), 1, "{things:?}");
    assert_eq!(things.len(), 5, "a workspace's things: {things:?}");
    site.provider.get(&theirs, NEWEST).await.is(200);
}

/// A create is stopped wherever it is, and nothing is left of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_stops_what_is_being_made() {
    check_killed(
        async |site| {
            site.with_workspace().await;
            site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
        },
        async |site| {
            site.provider.subscription_is("Deleted").await.is(200);
        },
        async |site| {
            assert_eq!(
                (site.resource_count().await, site.cloud.things().len(), site.cloud.connector_count()),
                (0, 0, 0)
            );
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_of_everything_survives_its_worker() {
    check_killed(
        async |site| {
            site.with_connector().await;
            site.provider.subscription_is("Deleted").await.is(200);
        },
        async |_| {},
        async |site| {
            assert_eq!(
                (site.resource_count().await, site.cloud.things().len(), site.cloud.connector_count()),
                (0, 0, 0)
            );
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standing_still_survives_its_worker() {
    check_killed(
        async |site| {
            site.with_destination().await;
            site.provider.subscription_is("Suspended").await.is(200);
        },
        async |_| {},
        async |site| {
            assert_eq!(suspended(site), [true]);
            assert_eq!(site.provider.get(CONNECTOR, NEWEST).await.state(), "Suspended");
        },
    )
    .await;
}

/// A worker is killed at every call that it makes; then something happens, and
/// another worker comes.
async fn check_killed(prepare: impl AsyncFn(&Site), happen: impl AsyncFn(&Site), expected: impl AsyncFn(&Site)) {
    let mut at = 0;
    loop {
        let trap = Trap::new(Fault::Kill);
        let site = Site::behind(trap.clone()).await;
        prepare(&site).await;
        trap.arm(at);
        let was_killed = tokio::select! {
            () = site.work() => false,
            () = trap.sprung.notified() => true,
        };
        trap.disarm();
        happen(&site).await;
        site.let_leases_lapse().await;
        site.work().await;
        expected(&site).await;
        if !was_killed {
            break;
        }
        at += 1;
    }
    assert!(at > 1, "{at} calls");
}
