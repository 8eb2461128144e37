//! A store that is away for a while.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use resource_provider::local::Open;
use sqlx::{Connection, Executor};
use tokio::sync::watch;

use super::bodies::{CONNECTOR, connector, workspace};
use super::places::Postgres;
use super::provider::NEWEST;
use super::site::Site;

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// PostgreSQL is killed and comes back: clients are told to try again, and what was
/// accepted is carried out.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_and_comes_back() {
    let Some(server) = Postgres::start() else { return };
    let site = Site::on(&server.url, Arc::new(Open)).await;
    site.with_workspace().await;
    let (stop, stopped) = watch::channel(false);
    let mut worker = site.worker();
    // What it was at when the store went, it or another goes on with soon.
    worker.settings.lease = SignedDuration::from_secs(3);
    let running = tokio::spawn(worker.run(stopped));
    let mut made = Vec::new();
    for round in 0..3 {
        let path = format!("workspaces/ws1/iotconnectors/iot{round}");
        made.push((site.provider.put(&path, NEWEST, &connector()).await.is(201), path));
        server.stop();
        let refused = site.provider.put("workspaces/ws2", NEWEST, &workspace()).await;
        refused.is_error(503, "ServiceUnavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));
        server.resume();
    }
    let all = async {
        for (answer, path) in &made {
            while site.status(answer).await["status"] != "Succeeded" {
                tokio::task::yield_now().await;
            }
            assert_eq!(site.provider.get(path, NEWEST).await.state(), "Succeeded");
        }
    };
    tokio::time::timeout(LIMIT, all).await.expect("all is carried out");
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(site.cloud.connector_count(), 3);
}

/// Another program holds the write lock of the file: reads are answered, and writes
/// wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_is_waited_for() {
    let site = Site::behind(Arc::new(Open)).await;
    let Some(url) = site.provider.url_of_store().filter(|url| url.starts_with("sqlite")) else { return };
    site.with_workspace().await;
    let mut other = sqlx::AnyConnection::connect(url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let body = connector();
    let write = site.provider.put(CONNECTOR, NEWEST, &body);
    tokio::pin!(write);
    for _ in 0..5 {
        tokio::select! {
            biased;
            answer = &mut write => panic!("{answer:?}"),
            answer = site.provider.get("workspaces/ws1", NEWEST) => assert_eq!(answer.state(), "Succeeded"),
        }
    }
    other.execute("ROLLBACK").await.unwrap();
    let made = write.await.is(201);
    assert_eq!(site.done(made).await["status"], "Succeeded");
}
