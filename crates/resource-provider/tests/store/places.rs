//! Where stores are.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use resource_provider::store::Store;
use sqlx::{Connection, Executor};
use tempfile::TempDir;

/// Runs a test on an empty store of each kind.
pub fn each_store<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut places = vec![Place::sqlite()];
    places.extend(Postgres::shared().map(|server| runtime.block_on(Place::on(server))));
    for place in places {
        runtime.block_on(async {
            let store = Store::open(&place.url).await.expect("a store");
            test(store.clone()).await;
            store.close().await;
        });
    }
}

/// A place for a store that goes when it is dropped.
pub struct Place {
    pub url: String,
    _folder: Option<TempDir>,
    _server: Option<Arc<Postgres>>,
}

impl Place {
    /// One in PostgreSQL where the environment names its programs, else in SQLite:
    /// what is not about the store itself is tested on the one, and on the other
    /// when it is run again.
    pub async fn new() -> Place {
        match Postgres::shared() {
            Some(server) => Place::on(server).await,
            None => Place::sqlite(),
        }
    }

    fn sqlite() -> Place {
        // In memory where the machine has such a folder: hundreds of stores are
        // made, and none has to outlive a power cut.
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = memory.expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        Place { url, _folder: Some(folder), _server: None }
    }

    /// A schema of its own.
    async fn on(server: Arc<Postgres>) -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let schema = format!("place{}", COUNT.fetch_add(1, Ordering::Relaxed));
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&server.url).await.expect("a server");
        let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        connection.execute(create).await.expect("a schema");
        connection.close().await.expect("the connection ends");
        let url = format!("{}?options[search_path]={schema}", server.url);
        Place { url, _folder: None, _server: Some(server) }
    }
}

/// A PostgreSQL of its own, which listens on a socket in its folder only.
pub struct Postgres {
    pub url: String,
    programs: PathBuf,
    folder: TempDir,
    options: &'static str,
}

impl Postgres {
    /// The one that all tests of this process have as long as any of them runs.
    fn shared() -> Option<Arc<Postgres>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        // Whoever panicked had it in a whole state.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Postgres::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// Starts one that is fast and forgets what a power cut would take; none when
    /// the environment names no programs.
    pub fn start() -> Option<Postgres> {
        Postgres::start_with("-c fsync=off")
    }

    /// Starts one with options; none when the environment names no programs.
    pub fn start_with(options: &'static str) -> Option<Postgres> {
        let component = PathBuf::from(std::env::var_os("IOTC_TEST_POSTGRES")?);
        // Where the link leads: whoever runs them may not come through its folder.
        let programs = component.join("bin").canonicalize().expect("the component has programs");
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("the folder is given");
        }
        let socket = folder.path().display().to_string();
        let url = format!("postgres://iotc@{}/postgres", socket.replace('/', "%2F"));
        let server = Postgres { url, programs, folder, options };
        let user = ["--auth=trust", "--username=iotc", "--no-sync"];
        // As one that is rented: in the order of a language.
        let order = ["--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US"];
        server.run("initdb", &[&user[..], &order].concat());
        server.resume();
        Some(server)
    }

    /// Where its socket is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has it run; it takes connections then.
    pub fn resume(&self) {
        let socket = self.folder.path().display();
        let own = self.options;
        let options = format!("-c listen_addresses= -c max_connections=1000 {own} -k {socket}");
        self.run("pg_ctl", &["start", "--wait", "--silent", "-o", &options, "-l", &format!("{socket}/log")]);
    }

    /// Has it stop at once, as if it were killed.
    pub fn stop(&self) {
        self.run("pg_ctl", &["stop", "--silent", "--mode=immediate"]);
    }

    /// Runs a program on the server's data.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = as_user(&self.programs.join(program));
        command.args(arguments).arg("-D").arg(self.folder.path().join("data")).stdout(Stdio::null());
        assert!(command.status().expect("it is run").success(), "{program} {arguments:?}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Data of a test: nothing is worth a slow stop.
        self.stop();
    }
}

/// The user that has nothing.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// A server refuses to be root.
fn as_user(program: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
