//! One workload as a process: started, started again when it ends, and stopped.
//!
//! Its standard input is held open and never written to. It ends when we end,
//! however that happens, and the process takes that for its sign to stop, so that
//! none outlives us for long. Its log is a file that it holds a lock on, as long
//! as it lives: whoever can lock the file knows that no process of the workload is
//! left, also of one that an earlier provider started.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::environment::Workload;
use super::files;
use super::hubs::{Hubs, LISTEN_RULE};
use crate::ports::PortError;

/// How long a process may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether a process is gone.
pub const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// Before a process that ended is started again: doubled each time, unless it
/// lived long.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
const LONG_LIFE: Duration = Duration::from_secs(60);
/// What a process has of our environment; the rest is settings and secrets of
/// ours.
const INHERITED: [&str; 8] =
    ["HOME", "PATH", "TMPDIR", "RUST_LOG", "LOG_FORMAT", "RUST_BACKTRACE", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What is needed to run workloads.
#[derive(Debug)]
pub struct Programs {
    /// The folder of our programs.
    pub programs: PathBuf,
    /// The folder of logs and process ids.
    pub logs: PathBuf,
    /// Who knows the keys of device hubs.
    pub hubs: Arc<Hubs>,
}

/// A workload that is kept running until this is dropped.
#[derive(Debug)]
pub struct Supervised {
    /// What runs.
    pub workload: Workload,
    /// Where it answers by HTTP; 0 while it does not run.
    port: Arc<AtomicU16>,
    /// Dropping it is the sign to stop.
    _stop: watch::Sender<()>,
}

impl Supervised {
    /// Keeps a workload running from now on. Needs a runtime.
    pub fn start(programs: Arc<Programs>, workload: Workload) -> Supervised {
        let (stop, stopped) = watch::channel(());
        let port = Arc::new(AtomicU16::new(0));
        tokio::spawn(supervise(programs, workload.clone(), port.clone(), stopped));
        Supervised { workload, port, _stop: stop }
    }

    /// Where it answers, while it runs.
    pub fn health_url(&self) -> Option<String> {
        let port = self.port.load(Ordering::Relaxed);
        (port != 0).then(|| format!("http://{}:{port}/healthz", Ipv4Addr::LOCALHOST))
    }
}

impl Programs {
    /// The log of a workload.
    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn pid(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.pid"))
    }

    /// Whether no process of a workload is left.
    pub fn is_gone(&self, name: &str) -> Result<bool, PortError> {
        let path = self.log(name);
        if !path.exists() {
            return Ok(true);
        }
        let locked = lock(&path).map_err(|error| files::failed(&path, &error))?;
        Ok(locked.is_some())
    }

    /// Removes what a workload that is gone has left here.
    pub fn forget(&self, name: &str) -> Result<(), PortError> {
        for path in [self.log(name), self.pid(name)] {
            files::remove(&path).map_err(|error| files::failed(&path, &error))?;
        }
        Ok(())
    }

    /// Waits until no process of a workload is left. One that takes too long is
    /// killed: its lock says that the process of that id is still the same.
    async fn log_of_its_own(&self, name: &str) -> io::Result<File> {
        let (path, begin) = (self.log(name), Instant::now());
        loop {
            if let Some(file) = lock(&path)? {
                return Ok(file);
            }
            if begin.elapsed() > STOP_PATIENCE
                && let Some(pid) = files::read(&self.pid(name))?.and_then(Pid::from_raw)
            {
                tracing::warn!(workload = name, "A process that does not stop is killed");
                match kill_process(pid, Signal::KILL) {
                    // It has ended meanwhile.
                    Err(rustix::io::Errno::SRCH) | Ok(()) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    async fn start(&self, workload: &Workload, log: File) -> io::Result<(Child, u16)> {
        // Free now; when somebody takes it meanwhile, the process ends and is started with another.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut environment = workload.environment.clone();
        environment.insert("Http__Listen".to_owned(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string());
        if let Some(hub) = &workload.device_hub {
            let keys = self.hubs.keys(hub, LISTEN_RULE).await.map_err(io::Error::other)?;
            environment.insert("InputEventHub__ConnectionString".to_owned(), keys.primary_connection_string);
        }
        let mut command = Command::new(self.programs.join(workload.function.program()));
        command.env_clear().envs(inherited()).envs(environment);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C in a terminal goes to a whole group; only we are to get it.
        command.process_group(0);
        let child = command.spawn()?;
        if let Some(pid) = child.id() {
            files::write(&self.pid(&workload.name), &pid)?;
        }
        Ok((child, port))
    }
}

fn inherited() -> BTreeMap<&'static str, String> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?))).collect()
}

/// Opens a log and locks it; none while a process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).append(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

async fn supervise(
    programs: Arc<Programs>,
    workload: Workload,
    port: Arc<AtomicU16>,
    mut stopped: watch::Receiver<()>,
) {
    let name = workload.name.as_str();
    let mut pause = RESTART_PAUSE.0;
    loop {
        let begin = Instant::now();
        let log = tokio::select! {
            // First: nothing may start once it is to stop.
            biased;
            _ = stopped.changed() => return,
            log = programs.log_of_its_own(name) => log,
        };
        let started = match log {
            Ok(log) => programs.start(&workload, log).await,
            Err(error) => Err(error),
        };
        let ended = match started {
            Ok((child, at)) => {
                port.store(at, Ordering::Relaxed);
                let ended = until_end(child, &mut stopped).await;
                port.store(0, Ordering::Relaxed);
                ended
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(None) => return,
            Ok(Some(status)) => tracing::warn!(workload = name, %status, "A workload ended; it is started again"),
            Err(error) => tracing::warn!(workload = name, %error, "A workload cannot be run; it is tried again"),
        }
        if begin.elapsed() > LONG_LIFE {
            pause = RESTART_PAUSE.0;
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(RESTART_PAUSE.1);
    }
}

/// Waits until a process ends by itself, or stops it; none when it was stopped.
async fn until_end(mut child: Child, stopped: &mut watch::Receiver<()>) -> io::Result<Option<ExitStatus>> {
    // Kept out of the child's hands: waiting for it would close its input.
    let input = child.stdin.take();
    tokio::select! {
        status = child.wait() => status.map(Some),
        // Nobody holds the other end any more.
        _ = stopped.changed() => {
            drop(input);
            if tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_err() {
                child.kill().await?;
            }
            Ok(None)
        }
    }
}
