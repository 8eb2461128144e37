//! Several workers and clients at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arm::ErrorCode;
use async_trait::async_trait;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use resource_provider::local::{Gate, Moment, Open};
use resource_provider::ports::PortError;
use resource_provider::store::{Claim, Work};
use serde_json::json;
use tokio::sync::{Notify, Semaphore, watch};

use super::bodies::{CONNECTOR, connector, destination};
use super::provider::{Answered, NEWEST};
use super::site::Site;

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Sees whether anything is made or removed by two at once.
#[derive(Debug, Default)]
struct Watch {
    in_flight: Mutex<BTreeMap<String, usize>>,
    overlaps: Mutex<Vec<String>>,
}

#[async_trait]
impl Gate for Watch {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        let name = call.trim_start_matches("no ").to_owned();
        {
            let mut in_flight = self.in_flight.lock().unwrap();
            let count = in_flight.entry(name.clone()).or_default();
            match moment {
                Moment::Before => *count += 1,
                Moment::After => *count -= 1,
            }
            if *count > 1 {
                self.overlaps.lock().unwrap().push(name);
            }
        }
        // Others get their turn meanwhile.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Runs workers while something happens.
async fn with_workers<T>(site: &Site, count: usize, act: impl Future<Output = T>) -> T {
    let (stop, stopped) = watch::channel(false);
    let workers: Vec<_> = (0..count).map(|_| tokio::spawn(site.worker().run(stopped.clone()))).collect();
    let done = tokio::time::timeout(LIMIT, act).await.expect("it ends in time");
    stop.send(true).unwrap();
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    done
}

/// Polls an operation as clients do, and then reads its resource at once: it never
/// lags behind. How the operation ended.
async fn ended(site: &Site, answer: &Answered, path: &str) -> String {
    loop {
        let status = site.status(answer).await["status"].as_str().unwrap().to_owned();
        if !["Requested", "Running"].contains(&status.as_str()) {
            let shown = site.provider.get(path, NEWEST).await;
            let state = if shown.status == 404 { "gone" } else { shown.state() };
            assert!(["Succeeded", "Failed", "gone", "Deleting"].contains(&state), "{status}, and {path} is {state}");
            return status;
        }
        tokio::task::yield_now().await;
    }
}

/// Ten connectors with a destination and a change each, by three workers: all end
/// well, nothing is made by two at once, and no resource lags behind its operation.
#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_work_and_never_the_same() {
    let watch = Arc::new(Watch::default());
    let site = Site::behind(watch.clone()).await;
    site.with_workspace().await;
    let one = async |number: usize| {
        let path = format!("workspaces/ws1/iotconnectors/iot{number}");
        let made = site.provider.put(&path, NEWEST, &connector()).await.is(201);
        assert_eq!(ended(&site, &made, &path).await, "Succeeded");
        let below = format!("{path}/fhirdestinations/dest1");
        let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
        let body = destination();
        let (made, patched) =
            tokio::join!(site.provider.put(&below, NEWEST, &body), site.provider.patch(&path, NEWEST, &patch));
        let patched = patched.is(202);
        // The change may have been accepted first, which a child waits for.
        if made.status == 201 {
            assert_eq!(ended(&site, &made, &below).await, "Succeeded");
        } else {
            made.is_error(409, "AncestorNotProvisioned");
        }
        assert_eq!(ended(&site, &patched, &path).await, "Succeeded");
        if number.is_multiple_of(2) {
            let deleted = site.provider.delete(&path, NEWEST).await.is(202);
            assert_eq!(ended(&site, &deleted, &path).await, "Succeeded");
        }
    };
    with_workers(&site, 3, join_all((0..10).map(one))).await;
    assert_eq!(*watch.overlaps.lock().unwrap(), Vec::<String>::new());
    assert_eq!(site.cloud.connector_count(), 5);
    let things = site.cloud.things();
    assert_eq!(things.keys().filter(|name| name.starts_with("hub ")).count(), 5, "{things:?}");
    assert_eq!(things.keys().filter(|name| name.starts_with("namespace ")).count(), 1, "{things:?}");
}

/// The last connector goes while a new one comes, in either order: the namespace is
/// there in the end, and the new connector has its hub.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_goes_while_a_new_one_comes() {
    let watch = Arc::new(Watch::default());
    let site = Site::behind(watch.clone()).await;
    site.with_connector().await;
    let paths = [CONNECTOR.to_owned(), CONNECTOR.replace("iot1", "iot2")];
    let rounds = async {
        for round in 0..12 {
            let (old, new) = (&paths[round % 2], &paths[(round + 1) % 2]);
            let body = connector();
            let (put, delete) = (site.provider.put(new, NEWEST, &body), site.provider.delete(old, NEWEST));
            let (made, deleted) = if round % 4 < 2 {
                tokio::join!(put, delete)
            } else {
                let (deleted, made) = tokio::join!(delete, put);
                (made, deleted)
            };
            let (made, deleted) = (made.is(201), deleted.is(202));
            let both = tokio::join!(ended(&site, &made, new), ended(&site, &deleted, old));
            assert_eq!(both, ("Succeeded".to_owned(), "Succeeded".to_owned()), "round {round}");
            let things = site.cloud.things();
            let count = |kind: &str| things.keys().filter(|name| name.starts_with(kind)).count();
            assert_eq!((count("namespace "), count("hub ")), (1, 1), "round {round}: {things:?}");
        }
    };
    with_workers(&site, 2, rounds).await;
    assert_eq!(*watch.overlaps.lock().unwrap(), Vec::<String>::new());
}

/// Holds up one call until it is let go.
#[derive(Debug)]
struct Pause {
    at: usize,
    seen: AtomicUsize,
    reached: Notify,
    go: Semaphore,
}

#[async_trait]
impl Gate for Pause {
    async fn pass(&self, _: &str, _: Moment) -> Result<(), PortError> {
        if self.seen.fetch_add(1, Ordering::SeqCst) == self.at {
            self.reached.notify_one();
            drop(self.go.acquire().await);
        }
        Ok(())
    }
}

/// A delete comes while one worker is at any call of a create, and another worker
/// looks for work: in the end nothing is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_stops_a_create_that_a_worker_is_at() {
    let calls_before = {
        let counter = Arc::new(Pause {
            at: usize::MAX,
            seen: AtomicUsize::new(0),
            reached: Notify::new(),
            go: Semaphore::new(0),
        });
        let site = Site::behind(counter.clone()).await;
        site.with_workspace().await;
        counter.seen.load(Ordering::SeqCst)
    };
    let mut at = calls_before;
    loop {
        let pause = Arc::new(Pause { at, seen: AtomicUsize::new(0), reached: Notify::new(), go: Semaphore::new(0) });
        let site = Site::behind(pause.clone()).await;
        site.with_workspace().await;
        let created = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
        let act = async {
            let was_reached = tokio::select! {
                () = pause.reached.notified() => true,
                _ = ended(&site, &created, CONNECTOR) => false,
            };
            let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
            pause.go.add_permits(1);
            let both = tokio::join!(ended(&site, &created, CONNECTOR), ended(&site, &deleted, CONNECTOR));
            let expected = if was_reached { ["Canceled", "Succeeded"] } else { ["Succeeded"; 2] };
            // What is at its last call when the delete comes may still succeed.
            assert!(both.0 == expected[0] || was_reached && both.0 == "Succeeded", "call {at}: {both:?}");
            assert_eq!(both.1, expected[1], "call {at}");
            was_reached
        };
        let was_reached = with_workers(&site, 2, act).await;
        let things = site.cloud.things();
        let left = |name: &&String| {
            ["hub ", "namespace ", "role Event", "cert", "blob"].iter().any(|kind| name.starts_with(kind))
        };
        assert_eq!(things.keys().find(left), None, "call {at}: {things:?}");
        assert_eq!(site.cloud.connector_count(), 0);
        if !was_reached {
            break;
        }
        at += 1;
    }
    assert!(at > calls_before + 3);
}

/// An operation that kills every worker that takes it is given up.
#[tokio::test]
async fn what_kills_its_workers_is_given_up() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_workspace().await;
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    let worker = site.worker();
    for _ in 0..worker.settings.claims_max {
        let (now, until) = (Timestamp::now() + SignedDuration::from_hours(1), Timestamp::now());
        let claimed = site.provider.store.claim(Claim { worker: "it dies", now, until }, Work::All).await.unwrap();
        assert!(claimed.is_some());
    }
    assert!(worker.work_once().await.unwrap());
    let status = site.status(&made).await;
    let code = ErrorCode::InternalServerError.as_str();
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!(code)));
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
}

/// Subscriptions are deleted while their clients write: what is accepted is removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_comes_with_the_end_of_its_subscription_leaves_nothing() {
    let site = Site::behind(Arc::new(Open)).await;
    for round in 0..8 {
        site.provider.subscription_is("Registered").await.is(200);
        let body = super::bodies::workspace();
        let paths: Vec<String> = (0..6).map(|number| format!("workspaces/ws{round}{number}")).collect();
        let writes = paths.iter().map(|path| site.provider.put(path, NEWEST, &body));
        let (answers, deleted) = tokio::join!(join_all(writes), site.provider.subscription_is("Deleted"));
        deleted.is(200);
        for answer in answers {
            if answer.status != 201 {
                answer.is_error(409, "MissingSubscriptionRegistration");
            }
        }
        site.work().await;
        let left = site.resource_count().await;
        assert_eq!((left, site.cloud.things().len()), (0, 0), "round {round}");
    }
}

/// The SKU says which cluster a workspace's connectors go to: it changes, or the first
/// connector comes, and never both.
#[tokio::test(flavor = "multi_thread")]
async fn a_sku_does_not_change_under_the_first_connector() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_workspace().await;
    let dedicated = json!({ "location": "westus2", "sku": { "name": "Dedicated" } });
    let shared = json!({ "location": "westus2", "sku": { "name": "Consumption" } });
    for round in 0..20 {
        let body = connector();
        let (sku, first) = tokio::join!(
            site.provider.put("workspaces/ws1", NEWEST, &dedicated),
            site.provider.put(CONNECTOR, NEWEST, &body),
        );
        let taken = (sku.status.is_success(), first.status.is_success());
        assert_ne!(taken, (true, true), "round {round}: {sku:?} {first:?}");
        site.work().await;
        if first.status.is_success() {
            let removed = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
            assert_eq!(site.done(removed).await["status"], "Succeeded");
        }
        let back = site.provider.put("workspaces/ws1", NEWEST, &shared).await.is(200);
        if back.header("azure-asyncoperation").is_some() {
            assert_eq!(site.done(back).await["status"], "Succeeded");
        }
    }
}

/// Of two connectors that go at once the second one takes the namespace along, though the
/// document of the first is still there: its worker may have been killed on the way.
#[tokio::test]
async fn the_namespace_goes_with_the_last_of_several_that_go_at_once() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_connector().await;
    let other = "workspaces/ws1/iotconnectors/iot2";
    let made = site.provider.put(other, NEWEST, &connector()).await.is(201);
    assert_eq!(site.done(made).await["status"], "Succeeded");
    let has_namespace = || site.cloud.things().keys().any(|name| name.starts_with("namespace "));
    let mut first = site.document(other).await.unwrap();
    first.infrastructure.has_left_namespace = true;
    let mut transaction = site.provider.store.begin().await.unwrap();
    transaction.update_resource(&mut first).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(has_namespace());
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    assert!(!has_namespace());
    // One that is made again brings it again.
    let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
    let patched = site.provider.patch(other, NEWEST, &patch).await.is(202);
    assert_eq!(site.done(patched).await["status"], "Succeeded");
    assert!(has_namespace() && !site.document(other).await.unwrap().infrastructure.has_left_namespace);
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    assert_eq!(site.done(made).await["status"], "Succeeded");
    let deleted = site.provider.delete(other, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    assert!(has_namespace(), "another has it");
}
