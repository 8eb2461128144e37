//! Where stores are.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
pub struct Postgres {
    pub url: String,
    programs: PathBuf,
    folder: TempDir,
}

impl Postgres {
    /// Starts one; none when the environment names no programs.
    pub fn start() -> Option<Postgres> {
        let component = PathBuf::from(std::env::var_os("IOTC_TEST_POSTGRES")?);
        // Where the link leads: whoever runs them may not come through its folder.
        let programs = component.join("bin").canonicalize().expect("the component has programs");
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("the folder is given");
        }
        let socket = folder.path().display().to_string();
        let url = format!("postgres://iotc@{}/postgres", socket.replace('/', "%2F"));
        let server = Postgres { url, programs, folder };
        let initdb = ["--auth=trust", "--username=iotc", "--no-sync", "--encoding=UTF8", "--locale=C"];
        server.run("initdb", &initdb);
        let options = format!("-c listen_addresses= -c fsync=off -k {socket}");
        // Waits until it takes connections.
        server.run("pg_ctl", &["start", "--wait", "--silent", "-o", &options, "-l", &format!("{socket}/log")]);
        Some(server)
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
        self.run("pg_ctl", &["stop", "--silent", "--mode=immediate"]);
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
