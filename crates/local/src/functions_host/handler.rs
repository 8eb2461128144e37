//! The handler's process: start, readiness, restarts
//! (functions-eventhubs-keda.md 1.2 to 1.6).
//!
//! The handler must not outlive the host, also when the host is killed; see
//! [`Watchdog`]. Each start takes a new free port, unless host.json names one.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::functions_host::settings::CustomHandler;
use crate::functions_host::watchdog::Watchdog;

/// How often the host asks whether the handler answers yet.
const READY_POLL: Duration = Duration::from_millis(25);
/// How long one such question may take.
const READY_WAIT: Duration = Duration::from_secs(5);
/// An exit code that asks for a restart.
const RESTART_CODE: i32 = 200;
/// Errors without a quiet time between them after which the host gives up.
const ERRORS_MAX: usize = 3;
/// The quiet time that makes earlier errors forgotten.
const ERROR_MEMORY: Duration = Duration::from_secs(30 * 60);
/// How long the host waits for a killed handler.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// What there is to start.
#[derive(Clone, Debug)]
pub(super) struct HandlerPlan {
    pub(super) handler: CustomHandler,
    pub(super) app_root: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
}

/// Where the handler is in its life, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandlerState {
    /// Starting, for the first time or again.
    Starting,
    /// Answers on this port. Also after an exit with code 0: the host keeps
    /// calling, in vain.
    Ready { port: u16, start: u64 },
    /// The host has given up.
    Ended,
}

/// Why the host stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostStopped {
    /// Three errors of the handler within half an hour of each other.
    #[error("exceeded the handler's restart retry count: {last_error}")]
    HandlerFails {
        /// The third error.
        last_error: String,
    },
    /// An invocation waited two minutes for the handler.
    #[error("the handler was not ready in time for an invocation")]
    HandlerNotReady,
}

/// Asks the supervisor to kill the handler and start it anew.
#[derive(Clone, Debug)]
pub(super) struct Restarter(mpsc::UnboundedSender<u64>);

impl Restarter {
    /// Kills the start with this number, if it still runs.
    pub(super) fn restart(&self, start: u64) {
        // No supervisor: the host is stopping and has killed it already.
        let _ = self.0.send(start);
    }
}

/// Keeps one handler running.
#[derive(Debug)]
pub(super) struct Supervisor {
    plan: HandlerPlan,
    state: watch::Sender<HandlerState>,
    restarts: mpsc::UnboundedReceiver<u64>,
    errors: Vec<Instant>,
    starts: u64,
    process: Option<Process>,
}

/// How one life of the handler ended.
enum End {
    /// Exit code 0.
    Orderly,
    /// Exit code 200, or killed for a function's timeout.
    Restart,
    Error(String),
}

#[derive(Debug)]
struct Process {
    child: Child,
    port: u16,
    _watchdog: Watchdog,
}

impl Supervisor {
    pub(super) fn new(plan: HandlerPlan) -> (Self, watch::Receiver<HandlerState>, Restarter) {
        let (state, states) = watch::channel(HandlerState::Starting);
        let (ask, restarts) = mpsc::unbounded_channel();
        (Self { plan, state, restarts, errors: Vec::new(), starts: 0, process: None }, states, Restarter(ask))
    }

    /// Runs the handler until it has failed too often, which it says, or until
    /// `end`; then the handler has ended too. Dropping the future kills it, and
    /// does not see that.
    pub(super) async fn run(mut self, end: impl Future<Output = ()>) -> Option<HostStopped> {
        tokio::select! {
            reason = self.keep() => return Some(reason),
            () = end => {}
        }
        if let Some(process) = &mut self.process {
            process.kill().await;
        }
        None
    }

    async fn keep(&mut self) -> HostStopped {
        loop {
            self.starts += 1;
            self.state.send_replace(HandlerState::Starting);
            let end = self.live().await;
            // With it goes its watch: its process id may become another's.
            self.process = None;
            match end {
                End::Orderly => {
                    tracing::warn!("The handler has ended with code 0 and is not started again");
                    return std::future::pending().await;
                }
                End::Restart => tracing::info!("The handler is started again"),
                End::Error(error) => {
                    tracing::error!(error, "The handler has failed");
                    if self.is_one_too_many() {
                        self.state.send_replace(HandlerState::Ended);
                        return HostStopped::HandlerFails { last_error: error };
                    }
                }
            }
        }
    }

    fn is_one_too_many(&mut self) -> bool {
        let now = Instant::now();
        if self.errors.last().is_some_and(|last| now.duration_since(*last) > ERROR_MEMORY) {
            self.errors.clear();
        }
        self.errors.push(now);
        self.errors.len() >= ERRORS_MAX
    }

    async fn live(&mut self) -> End {
        let process = match Process::start(&self.plan) {
            Ok(process) => self.process.insert(process),
            Err(error) => return End::Error(format!("cannot start the handler: {error}")),
        };
        let ready = tokio::select! {
            exit = process.child.wait() => return end_of(exit),
            ready = tokio::time::timeout(self.plan.handler.initialization_timeout, until_ready(process.port)) => ready,
        };
        if ready.is_err() {
            process.kill().await;
            return End::Error("the handler did not answer within `initializationTimeout`".to_owned());
        }
        tracing::info!(port = process.port, "The handler is ready");
        self.state.send_replace(HandlerState::Ready { port: process.port, start: self.starts });
        loop {
            tokio::select! {
                exit = process.child.wait() => return end_of(exit),
                Some(start) = self.restarts.recv() => {
                    // Several invocations may ask for the same restart.
                    if start == self.starts {
                        self.state.send_replace(HandlerState::Starting);
                        process.kill().await;
                        return End::Restart;
                    }
                }
            }
        }
    }
}

impl Process {
    fn start(plan: &HandlerPlan) -> io::Result<Self> {
        let port = plan.handler.port.map_or_else(free_port, Ok)?;
        let mut command = Command::new(program(plan));
        command
            .args(&plan.handler.arguments)
            .env_clear()
            .envs(&plan.environment)
            .envs(variables(&plan.app_root, port))
            .current_dir(working_directory(plan))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Not in the terminal's group: Ctrl-C is for the host, which drains.
        #[cfg(unix)]
        command.process_group(0);
        // Before the handler, so that as little as possible lies between the
        // handler's start and its watch.
        let mut watchdog = Watchdog::start()?;
        let mut child = command.spawn()?;
        watchdog.watch(&child)?;
        pass_on(child.stdout.take(), |line| tracing::info!("handler: {line}"));
        pass_on(child.stderr.take(), |line| match line.to_lowercase().contains("warn") {
            true => tracing::warn!("handler: {line}"),
            false => tracing::error!("handler: {line}"),
        });
        Ok(Self { child, port, _watchdog: watchdog })
    }

    /// SIGKILL, as the host does: the handler never gets another signal.
    async fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            tracing::debug!(error = %error, "The handler was gone before it was killed");
        }
        if tokio::time::timeout(KILL_WAIT, self.child.wait()).await.is_err() {
            tracing::warn!("The killed handler is still there");
        }
    }
}

fn end_of(exit: io::Result<ExitStatus>) -> End {
    match exit.map(|status| (status.code(), status)) {
        Ok((Some(0), _)) => End::Orderly,
        Ok((Some(RESTART_CODE), _)) => End::Restart,
        Ok((_, status)) => End::Error(format!("the handler ended with {status}")),
        Err(error) => End::Error(format!("the handler cannot be waited for: {error}")),
    }
}

/// Asks `GET /` until anything answers that is no socket error.
async fn until_ready(port: u16) {
    let client = match reqwest::Client::builder().no_proxy().timeout(READY_WAIT).build() {
        Ok(client) => client,
        Err(_) => return std::future::pending().await,
    };
    let url = format!("http://127.0.0.1:{port}/");
    let mut poll = tokio::time::interval(READY_POLL);
    loop {
        poll.tick().await;
        match client.get(&url).send().await {
            Err(error) if error.is_connect() => {}
            _ => return,
        }
    }
}

/// Where ports of handlers are looked for: below those that Linux gives by default to
/// whoever connects, so that a handler which takes a while to start finds its own free.
/// Tests look for theirs below (`free_port` in `tests/src/process.rs`).
const PORTS: Range<u16> = 28_000..32_768;

/// A port that nothing listens on now.
fn free_port() -> io::Result<u16> {
    let count = usize::from(PORTS.end - PORTS.start);
    // Other hosts look for ports too, and begin elsewhere.
    let (_, start, _, _) = Uuid::new_v4().as_fields();
    let mut ports = PORTS.cycle().skip(usize::from(start) % count).take(count);
    let free = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))
}

/// What the host adds to its own environment (functions-eventhubs-keda.md 1.2).
fn variables(app_root: &Path, port: u16) -> Vec<(&'static str, String)> {
    let worker = Uuid::new_v4().to_string();
    vec![
        ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
        ("FUNCTIONS_HTTPWORKER_PORT", port.to_string()),
        ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", worker.clone()),
        ("FUNCTIONS_HTTPWORKER_ID", worker),
        ("FUNCTIONS_APP_ROOT_PATH", app_root.to_string_lossy().into_owned()),
    ]
}

/// Below the app root when it is there, else as it is, which may mean `PATH`.
fn program(plan: &HandlerPlan) -> PathBuf {
    let inside = plan.app_root.join(&plan.handler.executable);
    if inside.is_file() { inside } else { PathBuf::from(&plan.handler.executable) }
}

fn working_directory(plan: &HandlerPlan) -> PathBuf {
    plan.app_root.join(plan.handler.working_directory.as_deref().unwrap_or_default())
}

/// Hands each line of a stream to the host's log.
fn pass_on(stream: Option<impl AsyncRead + Unpin + Send + 'static>, log: impl Fn(&str) + Send + 'static) {
    let Some(stream) = stream else { return };
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            log(String::from_utf8_lossy(&line).trim_end_matches('\r'));
        }
    });
}
