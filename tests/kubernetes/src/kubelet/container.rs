//! One container of a pod, from its first start to its last end.
//!
//! ```text
//! image, environment --not yet--> Waiting, again later
//!        | made
//!     Running, probed --liveness failed | told to stop--> SIGTERM, grace, SIGKILL
//!        | ended
//!     Ended --restart policy, back-off--> Running
//! ```

use std::fs::{self, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::model::Ended;
use super::probe::{Next, Target, Verdict};
use super::run::PodRun;
use super::sandbox::Sandbox;

/// How often an obstacle is looked at again.
const RETRY: Duration = Duration::from_millis(500);

/// Told to stop, with the seconds of grace that are left.
pub(crate) type Stop = watch::Receiver<Option<Duration>>;

/// When a container that has ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Restart {
    /// Of the pod's policy.
    pub(crate) fn of(policy: Option<&str>) -> Restart {
        match policy {
            Some("Never") => Restart::Never,
            Some("OnFailure") => Restart::OnFailure,
            _ => Restart::Always,
        }
    }

    /// An init container is through when it has succeeded.
    pub(crate) fn for_init(self) -> Restart {
        if self == Restart::Never { self } else { Restart::OnFailure }
    }
}

/// Runs a container until it is not to be started again.
pub(crate) async fn run(run: Arc<PodRun>, container: Container, restart: Restart, mut stop: Stop) {
    let mut delay = run.context.back_off.first;
    loop {
        let Some(sandbox) = until_made(&run, &container, &mut stop).await else { return };
        let began = Timestamp::now();
        match start(&run, &container, &sandbox).await {
            Ok((child, pid)) => {
                let ended = attend(&run, &container, &sandbox, (child, pid, began), &mut stop).await;
                let failed = ended.code != 0;
                run.ended(&container.name, ended);
                if stop.borrow().is_some() || restart == Restart::Never || restart == Restart::OnFailure && !failed {
                    return;
                }
            }
            Err(error) => {
                run.event("Warning", "Failed", &error);
                run.waiting(&container.name, "CreateContainerError", &error);
            }
        }
        // A run that lasted is no crash loop.
        let lasted = Timestamp::now().duration_since(began).unsigned_abs() > run.context.back_off.reset_after;
        if lasted {
            delay = run.context.back_off.first;
        }
        let message = format!("back-off {delay:?} restarting failed container={}", container.name);
        run.back_off(&container.name, &message);
        tokio::select! {
            () = sleep(delay) => {}
            () = told(&mut stop) => return,
        }
        delay = (delay * 2).min(run.context.back_off.max);
        run.count_restart(&container.name);
    }
}

/// Waits until a value is there.
pub(crate) async fn told(stop: &mut Stop) {
    // Nobody can tell any more when the sender has gone: then it is over too.
    let _ = stop.wait_for(Option::is_some).await;
}

/// Looks at image and configuration until they are there; none when told to
/// stop before that.
async fn until_made(run: &Arc<PodRun>, container: &Container, stop: &mut Stop) -> Option<Sandbox> {
    loop {
        if stop.borrow().is_some() {
            return None;
        }
        let (reason, message) = match run.sandbox(container).await {
            Ok(sandbox) => return Some(sandbox),
            Err(obstacle) => obstacle,
        };
        if run.waiting(&container.name, reason, &message) {
            run.event("Warning", "Failed", &message);
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            () = told(stop) => return None,
        }
    }
}

/// Starts the program, and gives its process id once it runs.
async fn start(run: &Arc<PodRun>, container: &Container, sandbox: &Sandbox) -> Result<(Child, u32), String> {
    let log = OpenOptions::new().create(true).append(true).open(run.log(&container.name));
    let log = log.map_err(|error| format!("the log: {error}"))?;
    // A program may open its standard output by name, which only the owner may.
    let owner = u32::try_from(sandbox.rights.user).ok();
    std::os::unix::fs::fchown(&log, owner, None).map_err(|error| format!("the log: {error}"))?;
    let both = log.try_clone().map_err(|error| format!("the log: {error}"))?;
    let mut command = sandbox.start().map_err(|error| format!("the root file system: {error}"))?;
    command.stdin(Stdio::null()).stdout(log).stderr(both).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("unshare: {error}"))?;
    let outer = child.id().ok_or("it ended at once")?;
    loop {
        let inner = first_child(outer);
        if let Some(pid) = inner.filter(|_| sandbox.started().exists()) {
            return Ok((child, pid));
        }
        if child.try_wait().map_err(|error| error.to_string())?.is_some() {
            if sandbox.started().exists() {
                // It ran, and was faster than we are. There is nothing to signal or probe.
                return Ok((child, 0));
            }
            return Err(fs::read_to_string(sandbox.setup_log()).unwrap_or_default().trim().to_owned());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// The process that `parent` has started.
fn first_child(parent: u32) -> Option<u32> {
    end_to_end::process::descendants(parent).first().map(|process| process.pid)
}

/// Stays with a running program until it has ended.
async fn attend(
    run: &Arc<PodRun>,
    container: &Container,
    sandbox: &Sandbox,
    (mut child, pid, since): (Child, u32, Timestamp),
    stop: &mut Stop,
) -> Ended {
    run.running(container, sandbox, pid, since);
    let target = Target {
        http: run.context.http.clone(),
        pod_ip: run.place.pod_ip.clone(),
        container: container.clone(),
        sandbox: sandbox.clone(),
        pid,
    };
    let (failed, mut failures) = mpsc::unbounded_channel();
    let mut probes = JoinSet::new();
    probes.spawn(probe(run.clone(), target.clone(), failed));
    let grace = run.grace();
    let status = tokio::select! {
        status = child.wait() => status,
        Some((message, own_grace)) = failures.recv() => {
            run.event("Warning", "Killing", &message);
            terminate(&target, &mut child, own_grace.unwrap_or(grace)).await
        }
        () = told(stop) => {
            let grace = stop.borrow().unwrap_or(grace);
            // A second word may shorten the grace.
            let mut again = stop.clone();
            again.borrow_and_update();
            let kill = async {
                while again.changed().await.is_ok() {
                    if again.borrow().is_some_and(|grace| grace.is_zero()) {
                        return;
                    }
                }
                std::future::pending().await
            };
            let ended = tokio::select! {
                status = terminate(&target, &mut child, grace) => Some(status),
                () = kill => None,
            };
            match ended {
                Some(status) => status,
                None => terminate(&target, &mut child, Duration::ZERO).await,
            }
        }
    };
    probes.shutdown().await;
    ended(run, container, sandbox, status, since)
}

/// The pre-stop hook, SIGTERM, and SIGKILL after the grace; without grace
/// SIGKILL alone.
async fn terminate(target: &Target, child: &mut Child, grace: Duration) -> std::io::Result<ExitStatus> {
    if !grace.is_zero()
        && let Ok(status) = timeout(grace, end_gently(target, child)).await
    {
        return status;
    }
    signal(target.pid, "KILL").await;
    child.wait().await
}

async fn end_gently(target: &Target, child: &mut Child) -> std::io::Result<ExitStatus> {
    if let Some(hook) = target.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref()) {
        // A hook that fails does not keep a container from being stopped.
        let _ = target.hook(hook).await;
    }
    signal(target.pid, "TERM").await;
    child.wait().await
}

/// Sends a signal; a process that has gone needs none.
pub(crate) async fn signal(pid: u32, name: &str) {
    // 0 would be all of ours.
    if pid > 0 {
        let _ = tokio::process::Command::new("kill")
            .args(["-s", name, &pid.to_string()])
            .stderr(Stdio::null())
            .status()
            .await;
    }
}

fn ended(
    run: &PodRun,
    container: &Container,
    sandbox: &Sandbox,
    status: std::io::Result<ExitStatus>,
    since: Timestamp,
) -> Ended {
    // A signal to the program itself is in the code already.
    let code = status.ok().and_then(|status| status.code().or(status.signal().map(|signal| 128 + signal)));
    let code = code.unwrap_or(255);
    let mut message = fs::read_to_string(sandbox.termination_message()).unwrap_or_default();
    let falls_back = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if message.is_empty() && code != 0 && falls_back {
        message = last_lines(&run.log(&container.name));
    }
    let reason = if code == 0 { "Completed" } else { "Error" };
    Ended { code, reason: reason.to_owned(), message, since, at: Timestamp::now() }
}

/// As much of a log's end as a status may hold.
fn last_lines(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2048)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(80)..].join("\n")
}

/// Asks as the container says: the start-up probe first, then the two others.
async fn probe(run: Arc<PodRun>, target: Target, failed: mpsc::UnboundedSender<(String, Option<Duration>)>) {
    let container = target.container.clone();
    let name = &container.name;
    let own_grace = |probe: &k8s_openapi::api::core::v1::Probe| {
        let seconds = probe.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        seconds.map(Duration::from_secs)
    };
    let fail = |kind: &str, error: &str, grace: Option<Duration>| {
        run.event("Warning", "Unhealthy", &format!("{kind} probe failed: {error}"));
        // The container has ended when nobody listens.
        let _ = failed.send((format!("Container {name} failed {kind} probe, will be restarted"), grace));
        Next::Stop
    };
    if let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref())
        && let Err(error) = target.hook(hook).await
    {
        let _ = failed.send((format!("PostStartHook failed: {error}"), None));
        return;
    }
    if let Some(startup) = &container.startup_probe {
        let mut passed = false;
        let verdict = |verdict| match verdict {
            Verdict::Passed => {
                passed = true;
                Next::Stop
            }
            Verdict::Failed(error) => fail("startup", &error, own_grace(startup)),
        };
        target.watch(startup, verdict).await;
        if !passed {
            return;
        }
    }
    run.started(name, container.readiness_probe.is_none());
    let liveness = async {
        if let Some(liveness) = &container.liveness_probe {
            let verdict = |verdict| match verdict {
                Verdict::Passed => Next::Ask,
                Verdict::Failed(error) => fail("liveness", &error, own_grace(liveness)),
            };
            target.watch(liveness, verdict).await;
        }
    };
    let readiness = async {
        if let Some(readiness) = &container.readiness_probe {
            let verdict = |verdict| {
                if run.ready(name, verdict == Verdict::Passed)
                    && let Verdict::Failed(error) = verdict
                {
                    run.event("Warning", "Unhealthy", &format!("Readiness probe failed: {error}"));
                }
                Next::Ask
            };
            target.watch(readiness, verdict).await;
        }
    };
    tokio::join!(liveness, readiness);
}
