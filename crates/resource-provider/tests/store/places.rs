//! Where stores are.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use resource_provider::store::Store;
use tempfile::TempDir;

/// Runs a test on an empty store of each kind.
pub fn each_store<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("store.db").display());
    runtime.block_on(async {
        let store = Store::open(&url).await.expect("a store");
        test(store.clone()).await;
        store.close().await;
    });
    if let Some(server) = Postgres::start() {
        runtime.block_on(async {
            let store = Store::open(&server.url).await.expect("a store");
            test(store.clone()).await;
            store.close().await;
        });
    }
}

/// A PostgreSQL of its own, which listens on a socket in its folder only.
struct Postgres {
    url: String,
    process: Child,
    _folder: TempDir,
}

impl Postgres {
    /// Starts one; none when the environment names no programs.
    fn start() -> Option<Postgres> {
        let programs = PathBuf::from(std::env::var_os("IOTC_TEST_POSTGRES")?);
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let own =
            |path: &Path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("the folder is given");
        if is_root() {
            own(folder.path());
        }
        let status = as_user(&programs.join("initdb"))
            .args(["--auth=trust", "--username=iotc", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("initdb").success());
        let process = as_user(&programs.join("postgres"))
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres");
        let ready = || {
            let mut check = Command::new(programs.join("pg_isready"));
            check.arg("-q").arg("-h").arg(folder.path()).status().is_ok_and(|status| status.success())
        };
        // pg_isready waits three seconds by itself for a server that starts.
        assert!((0..20).any(|_| ready() || std::thread::yield_now() != ()), "postgres is not ready");
        let socket = folder.path().display().to_string().replace('/', "%2F");
        Some(Postgres { url: format!("postgres://iotc@{socket}/postgres"), process, _folder: folder })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Data of a test: nothing is worth a slow stop.
        let (killed, reaped) = (self.process.kill(), self.process.wait());
        assert!(std::thread::panicking() || (killed.is_ok() && reaped.is_ok()));
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
