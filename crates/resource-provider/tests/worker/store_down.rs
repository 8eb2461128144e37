//! A store that is away for a while.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use resource_provider::local::Open;
use resource_provider::store::Store;
use sqlx::{Connection, Executor};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
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

/// Between a store and its database: passes on what comes, until nobody answers any more on
/// the connections that there are, as when a machine loses its power and another takes over.
struct Wire {
    url: String,
    cuts: watch::Sender<u64>,
    _folder: TempDir,
}

impl Wire {
    fn before(server: &Postgres) -> Wire {
        let folder = tempfile::tempdir().unwrap();
        let socket = |folder: &Path| folder.join(".s.PGSQL.5432");
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let (cuts, seen) = watch::channel(0);
        let target = socket(server.folder());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), seen.clone()));
            }
        });
        let url = format!("postgres://iotc@{}/postgres", folder.path().display().to_string().replace('/', "%2F"));
        Wire { url, cuts, _folder: folder }
    }
}

async fn pass(mut client: UnixStream, target: PathBuf, mut cuts: watch::Receiver<u64>) {
    let made_after = *cuts.borrow_and_update();
    let mut server = UnixStream::connect(target).await.unwrap();
    tokio::select! {
        // How a connection ends is the business of its two ends.
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        _ = cuts.wait_for(|cuts| *cuts != made_after) => {}
    }
    // It stays open, and nobody answers.
    std::future::pending::<()>().await;
}

/// A database that dies without a word holds a worker up for a moment: it leaves the
/// connections that are dead, and goes on with others.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_without_a_word_is_left_for_the_one_that_takes_over() {
    let Some(server) = Postgres::start() else { return };
    // Requests come by a way of their own.
    let site = Site::on(&server.url, Arc::new(Open)).await;
    site.with_workspace().await;
    let wire = Wire::before(&server);
    let (stop, stopped) = watch::channel(false);
    let mut worker = site.worker();
    worker.store = Store::open(&wire.url).await.unwrap();
    worker.settings.lease = SignedDuration::from_secs(3);
    worker.settings.store_limit = Duration::from_secs(2);
    let pulse = worker.pulse.clone();
    let running = tokio::spawn(worker.run(stopped));
    for round in 0..3 {
        let path = format!("workspaces/ws1/iotconnectors/iot{round}");
        let made = site.provider.put(&path, NEWEST, &connector()).await.is(201);
        wire.cuts.send_modify(|cuts| *cuts += 1);
        let carried_out = async {
            while site.status(&made).await["status"] != "Succeeded" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, carried_out).await.expect("it is carried out");
    }
    assert!(pulse.is_good());
    stop.send(true).unwrap();
    tokio::time::timeout(LIMIT, running).await.expect("it stops").unwrap().unwrap();
}

/// Whether connections can be made is told from whether those at hand answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_takes_no_connections() {
    let Some(server) = Postgres::start() else { return };
    let store = Store::open(&server.url).await.unwrap();
    assert!(store.takes_connections().await);
    server.stop();
    assert!(!store.takes_connections().await);
    server.resume();
    // It has to recover first.
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let takes_again = async {
        while !store.takes_connections().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, takes_again).await.expect("it takes connections again");
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
