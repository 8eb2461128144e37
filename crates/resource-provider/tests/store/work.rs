use arm::operation::{OperationKind, OperationStatus};
use jiff::{SignedDuration, Timestamp};
use resource_provider::documents::{OperationDocument, ResourceDocument};
use resource_provider::store::{Claim, Enqueued, PendingCount, Store, Work};

use super::each_store;
use super::samples::{operation, resource};

fn second(number: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_700_000_000 + number)
}

/// A claim at a second, for ten.
pub fn claim(worker: &str, now: i64) -> Claim<'_> {
    Claim { worker, now: second(now), until: second(now + 10) }
}

pub async fn enqueue(store: &Store, resource: &ResourceDocument, queue: &str, at: i64) -> OperationDocument {
    let document = operation(resource, second(at));
    let mut transaction = store.begin().await.unwrap();
    transaction.insert_operation(&document, Enqueued { queue, at: second(at) }).await.unwrap();
    transaction.commit().await.unwrap();
    document
}

/// The operation that a worker gets, by its document's id.
pub async fn claimed(store: &Store, claim: Claim<'_>) -> Option<arm::DocumentId> {
    store.claim(claim, Work::All).await.unwrap().map(|claimed| claimed.document.id)
}

async fn end(store: &Store, mut document: OperationDocument, expires: i64) {
    document.provisioning_status = OperationStatus::Succeeded;
    let mut transaction = store.begin().await.unwrap();
    transaction.end_operation(&document, second(expires)).await.unwrap();
    transaction.commit().await.unwrap();
}

#[test]
fn one_operation_of_a_queue_runs_at_a_time_oldest_first() {
    each_store(|store| async move {
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        let second_one = enqueue(&store, &connector, "a", 2).await;
        let first = enqueue(&store, &connector, "a", 1).await;
        let other = enqueue(&store, &connector, "b", 3).await;
        assert_eq!(claimed(&store, claim("w1", 5)).await, Some(first.id.clone()));
        assert_eq!(claimed(&store, claim("w2", 5)).await, Some(other.id));
        assert_eq!(claimed(&store, claim("w3", 5)).await, None);
        end(&store, first, 100).await;
        assert_eq!(claimed(&store, claim("w3", 6)).await, Some(second_one.id));
    });
}

/// Work of our own is done last, and not at all where there is no room for it.
#[test]
fn what_clients_wait_for_goes_before_work_of_our_own() {
    each_store(|store| async move {
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        let mut ours = operation(&connector, second(1));
        ours.provisioning_operation = OperationKind::Reapply;
        let mut transaction = store.begin().await.unwrap();
        transaction.insert_operation(&ours, Enqueued { queue: "a", at: second(1) }).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(store.claim(claim("w1", 5), Work::OfClients).await.unwrap(), None);
        let theirs = enqueue(&store, &connector, "b", 2).await;
        assert_eq!(claimed(&store, claim("w1", 5)).await, Some(theirs.id));
        // A client's waits behind it: then it is the client's, too.
        let behind = enqueue(&store, &connector, "a", 3).await;
        let first = store.claim(claim("w2", 5), Work::OfClients).await.unwrap().unwrap();
        assert_eq!(first.document.id, ours.id);
        end(&store, first.document, 100).await;
        assert_eq!(claimed(&store, claim("w2", 6)).await, Some(behind.id));
        let mut ours = operation(&connector, second(7));
        ours.provisioning_operation = OperationKind::Renew;
        let mut transaction = store.begin().await.unwrap();
        transaction.insert_operation(&ours, Enqueued { queue: "c", at: second(7) }).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(store.claim(claim("w3", 8), Work::OfClients).await.unwrap(), None);
        assert_eq!(claimed(&store, claim("w3", 8)).await, Some(ours.id));
    });
}

#[test]
fn an_older_one_that_comes_to_light_later_waits_for_what_runs() {
    each_store(|store| async move {
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        let younger = enqueue(&store, &connector, "a", 2).await;
        assert_eq!(claimed(&store, claim("w1", 5)).await, Some(younger.id.clone()));
        let older = enqueue(&store, &connector, "a", 1).await;
        assert_eq!(claimed(&store, claim("w2", 6)).await, None);
        end(&store, younger, 100).await;
        assert_eq!(claimed(&store, claim("w2", 7)).await, Some(older.id));
    });
}

#[test]
fn a_lock_is_kept_by_whoever_has_it() {
    each_store(|store| async move {
        let take = |owner: &'static str, now: i64| {
            let store = store.clone();
            async move { store.take_lock("ws", owner, second(now), second(now + 10)).await.unwrap() }
        };
        assert!(take("w1", 1).await);
        assert!(!take("w2", 5).await);
        assert!(take("w1", 9).await, "kept until 19");
        assert!(!take("w2", 12).await);
        assert!(take("w2", 19).await);
        store.release_lock("ws", "w1").await.unwrap();
        assert!(!take("w3", 20).await, "only its holder lets it go");
        store.release_lock("ws", "w2").await.unwrap();
        assert!(take("w3", 20).await);
    });
}

#[test]
fn what_waits_is_counted() {
    each_store(|store| async move {
        assert_eq!(store.pending_count().await.unwrap(), PendingCount::default());
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        for (queue, at) in [("a", 3), ("b", 2), ("c", 4)] {
            enqueue(&store, &connector, queue, at).await;
        }
        assert!(store.claim(claim("w1", 5), Work::All).await.unwrap().is_some());
        let expected = PendingCount { requested: 2, running: 1, oldest: Some(second(2)) };
        assert_eq!(store.pending_count().await.unwrap(), expected);
    });
}

#[test]
fn many_workers_never_have_the_same_operation() {
    each_store(|store| async move {
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        for number in 0..8 {
            enqueue(&store, &connector, &format!("queue {number}"), number).await;
        }
        let tasks: Vec<_> = (0..16)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { claimed(&store, claim(&format!("w{number}"), 20)).await })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.extend(task.await.unwrap());
        }
        // Workers that lost a race may have come away with nothing.
        while let Some(id) = claimed(&store, claim("last", 20)).await {
            ids.push(id);
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((count, ids.len()), (8, 8));
    });
}

#[test]
fn a_lease_that_lapsed_is_anothers() {
    each_store(|store| async move {
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        let document = enqueue(&store, &connector, "a", 1).await;
        let first = store.claim(claim("w1", 5), Work::All).await.unwrap().unwrap();
        assert_eq!((first.attempts, first.is_preempted), (1, false));
        assert_eq!(store.renew(&document.id, claim("w1", 10)).await.unwrap(), Some(false));
        assert_eq!(claimed(&store, claim("w2", 19)).await, None, "renewed until 20");
        let second = store.claim(claim("w2", 20), Work::All).await.unwrap().unwrap();
        assert_eq!(second.attempts, 2);
        assert_eq!(store.renew(&document.id, claim("w1", 21)).await.unwrap(), None);
        let mut transaction = store.begin().await.unwrap();
        assert!(!transaction.journal(&first.document, claim("w1", 21)).await.unwrap());
        assert!(transaction.journal(&second.document, claim("w2", 21)).await.unwrap());
        assert!(!transaction.journal(&second.document, claim("w2", 31)).await.unwrap(), "its own lease lapsed");
    });
}

#[test]
fn a_delete_stops_what_runs_and_ends_what_nobody_has() {
    each_store(|store| async move {
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        let running = enqueue(&store, &connector, "a", 1).await;
        let waiting = enqueue(&store, &connector, "a", 2).await;
        assert!(store.claim(claim("w1", 5), Work::All).await.unwrap().is_some());
        let mut transaction = store.begin().await.unwrap();
        let pending = transaction.pending(&connector.id).await.unwrap();
        assert_eq!(pending.iter().map(|it| &it.id).collect::<Vec<_>>(), [&running.id, &waiting.id]);
        assert!(!transaction.preempt(&running.id).await.unwrap());
        assert!(transaction.preempt(&waiting.id).await.unwrap());
        transaction.commit().await.unwrap();
        assert_eq!(store.renew(&running.id, claim("w1", 6)).await.unwrap(), Some(true));
    });
}

#[test]
fn an_operation_is_forgotten_when_it_has_expired() {
    each_store(|store| async move {
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        let document = enqueue(&store, &connector, "a", 1).await;
        end(&store, document.clone(), 100).await;
        for number in 2..5 {
            let others = enqueue(&store, &connector, "a", number).await;
            end(&store, others, 200).await;
        }
        let forget = |at| {
            let store = store.clone();
            async move {
                let mut transaction = store.begin().await.unwrap();
                let count = transaction.forget_expired(second(at), 2).await.unwrap();
                transaction.commit().await.unwrap();
                count
            }
        };
        assert_eq!(forget(99).await, 0);
        let kept = store.operation(&document.id).await.unwrap().unwrap();
        assert_eq!(kept.provisioning_status, OperationStatus::Succeeded);
        assert_eq!(forget(100).await, 1);
        assert_eq!(store.operation(&document.id).await.unwrap(), None);
        // No more at once than is said.
        assert_eq!((forget(200).await, forget(200).await, forget(200).await), (2, 1, 0));
    });
}

#[test]
fn a_url_of_something_else_is_named_without_its_rest() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Store::open("mysql://user:secret@host/db")).unwrap_err();
    assert_eq!(error.to_string(), "`mysql` is not a store; expected sqlite://… or postgres://…");
}

#[test]
fn what_a_worker_gives_back_is_another_s_at_once_and_counts_as_not_claimed() {
    each_store(|store| async move {
        let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
        let ours = enqueue(&store, &connector, "a", 1).await;
        let theirs = enqueue(&store, &connector, "b", 2).await;
        assert_eq!(claimed(&store, claim("w1", 5)).await, Some(ours.id.clone()));
        assert_eq!(claimed(&store, claim("w2", 5)).await, Some(theirs.id));
        let lock = |name: &'static str, owner: &'static str| {
            let store = store.clone();
            async move { store.take_lock(name, owner, second(5), second(15)).await.unwrap() }
        };
        assert!(lock("ws1", "w1 use").await && lock("ws2", "w2 use").await);
        store.give_back("w1").await.unwrap();
        let again = store.claim(claim("w3", 6), Work::All).await.unwrap().unwrap();
        assert_eq!((again.document.id, again.attempts), (ours.id, 1));
        assert_eq!(claimed(&store, claim("w3", 6)).await, None, "what is another's stays so");
        assert!(lock("ws1", "w3 use").await);
        assert!(!lock("ws2", "w3 use").await, "and so does its lock");
    });
}
