//! Rows that somebody has and does not let go of, in PostgreSQL.

use arm::state::SubscriptionState;
use resource_provider::documents::SubscriptionDocument;
use resource_provider::store::{Store, StoreError};
use sqlx::{AnyConnection, Connection, Executor};

use super::places::Postgres;
use super::samples::{SUBSCRIPTION, resource};
use super::work::{claim, claimed, enqueue};

/// A store, and somebody else in its database.
async fn site(server: &Postgres) -> (Store, AnyConnection) {
    let store = Store::open(&server.url).await.unwrap();
    let mut other = AnyConnection::connect(&server.url).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    (store, other)
}

/// Whoever wants the row is told that it is busy, after a while and before a request
/// has no time left.
#[tokio::test]
async fn a_row_that_stays_locked_is_a_conflict() {
    let Some(server) = Postgres::start() else { return };
    let (store, mut other) = site(&server).await;
    let mut transaction = store.begin().await.unwrap();
    let document: SubscriptionDocument = serde_json::from_str(r#"{"state":"Warned"}"#).unwrap();
    transaction.put_subscription(SUBSCRIPTION, &document).await.unwrap();
    transaction.commit().await.unwrap();
    other.execute("SELECT 1 FROM subscriptions FOR UPDATE").await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    let locked = transaction.share_subscription(SUBSCRIPTION).await;
    assert!(matches!(locked, Err(StoreError::Conflict)), "{locked:?}");
    other.execute("ROLLBACK").await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    assert_eq!(transaction.share_subscription(SUBSCRIPTION).await.unwrap(), SubscriptionState::Warned);
}

/// A worker that is at a queue and does not go on holds up no other queue.
#[tokio::test]
async fn a_queue_that_stays_entered_is_passed_over() {
    let Some(server) = Postgres::start() else { return };
    let (store, mut other) = site(&server).await;
    let connector = resource("workspaces/ws1/iotconnectors/iot1", None);
    enqueue(&store, &connector, "a", 1).await;
    let free = enqueue(&store, &connector, "b", 2).await;
    other.execute("INSERT INTO locks (name, owner, held_until) VALUES ('queue a', '', 0)").await.unwrap();
    assert_eq!(claimed(&store, claim("w1", 5)).await, Some(free.id));
    other.execute("ROLLBACK").await.unwrap();
}

/// One that was used by a newer program is one of an older.
#[tokio::test]
async fn a_newer_programs_tables_are_taken() {
    let Some(server) = Postgres::start() else { return };
    let (store, mut other) = site(&server).await;
    store.close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'newer', TRUE, '\\x00', 0)";
    other.execute(newer).await.unwrap();
    other.execute("COMMIT").await.unwrap();
    assert!(Store::open(&server.url).await.is_ok());
}
