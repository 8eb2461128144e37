//! A store that is away for a while.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use resource_provider::local::Open;
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

/// Between a store and its database: passes on what comes, until it is told to say nothing
/// more, as a machine that lost its power does.
struct Wire {
    url: String,
    is_dead: watch::Sender<bool>,
    _folder: TempDir,
}

impl Wire {
    fn before(server: &Postgres) -> Wire {
        let folder = tempfile::tempdir().unwrap();
        let socket = |folder: &Path| folder.join(".s.PGSQL.5432");
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let (is_dead, seen) = watch::channel(false);
        let target = socket(server.folder());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), seen.clone()));
            }
        });
        let url = format!("postgres://iotc@{}/postgres", folder.path().display().to_string().replace('/', "%2F"));
        Wire { url, is_dead, _folder: folder }
    }
}

async fn pass(mut client: UnixStream, target: PathBuf, mut is_dead: watch::Receiver<bool>) {
    let mut server = UnixStream::connect(target).await.unwrap();
    tokio::select! {
        // How a connection ends is the business of its two ends.
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        _ = is_dead.wait_for(|is_dead| *is_dead) => {}
    }
    // It stays open, and nobody answers.
    std::future::pending::<()>().await;
}

/// A database that dies without a word: the worker does not count as coming round, which
/// has it started anew, and can be stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_more_is_seen() {
    let Some(server) = Postgres::start() else { return };
    let wire = Wire::before(&server);
    let site = Site::on(&wire.url, Arc::new(Open)).await;
    let (stop, stopped) = watch::channel(false);
    let mut worker = site.worker();
    worker.settings.store_limit = Duration::from_millis(200);
    let pulse = worker.pulse.clone();
    let running = tokio::spawn(worker.run(stopped));
    let long = Duration::from_secs(3);
    let begun = Instant::now();
    while begun.elapsed() < long {
        assert!(pulse.since() < long, "it comes round");
        tokio::task::yield_now().await;
    }
    wire.is_dead.send_replace(true);
    let silence = async {
        while pulse.since() < long {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, silence).await.expect("it does not come round");
    stop.send(true).unwrap();
    tokio::time::timeout(LIMIT, running).await.expect("it stops").unwrap().unwrap();
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
