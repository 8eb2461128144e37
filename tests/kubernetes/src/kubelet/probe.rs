//! Probes and hooks: asks a container by HTTP, TCP or a command.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::sandbox::Sandbox;

/// A running container, as probes see it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) http: reqwest::Client,
    pub(crate) pod_ip: String,
    pub(crate) container: Container,
    pub(crate) sandbox: Sandbox,
    pub(crate) pid: u32,
}

/// One way to ask.
enum Ask<'p> {
    Http(&'p HTTPGetAction),
    Tcp(&'p TCPSocketAction),
    Exec(&'p ExecAction),
}

/// What repeated asking has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As often in a row as it takes.
    Passed,
    /// As often in a row as it takes, and how it failed last.
    Failed(String),
}

impl Target {
    /// Asks again and again, and gives each verdict as soon as it stands.
    /// Ends when `verdict` says so.
    pub(crate) async fn watch(&self, probe: &Probe, mut verdict: impl FnMut(Verdict) -> Next) {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(
                value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default),
            )
        };
        let delay = Duration::from_secs(probe.initial_delay_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0));
        let limit = seconds(probe.timeout_seconds, 1);
        let mut ticks = interval_at(tokio::time::Instant::now() + delay, seconds(probe.period_seconds, 10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut passed, mut failed) = (0, 0);
        loop {
            ticks.tick().await;
            let now = match self.once(probe, limit).await {
                Ok(()) => {
                    (passed, failed) = (passed + 1, 0);
                    (passed >= probe.success_threshold.unwrap_or(1)).then_some(Verdict::Passed)
                }
                Err(error) => {
                    (passed, failed) = (0, failed + 1);
                    (failed >= probe.failure_threshold.unwrap_or(3)).then_some(Verdict::Failed(error))
                }
            };
            if now.is_some_and(|now| verdict(now) == Next::Stop) {
                return;
            }
        }
    }

    async fn once(&self, probe: &Probe, limit: Duration) -> Result<(), String> {
        let ask = match (&probe.http_get, &probe.tcp_socket, &probe.exec) {
            (Some(http), ..) => Ask::Http(http),
            (_, Some(tcp), _) => Ask::Tcp(tcp),
            (.., Some(exec)) => Ask::Exec(exec),
            _ => return Err("this kind of probe is not supported here".to_owned()),
        };
        timeout(limit, self.ask(ask)).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }

    /// Runs a hook of the container's life.
    pub(crate) async fn hook(&self, hook: &LifecycleHandler) -> Result<(), String> {
        if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
            return Ok(());
        }
        match (&hook.http_get, &hook.exec) {
            (Some(http), _) => self.ask(Ask::Http(http)).await,
            (None, Some(exec)) => self.ask(Ask::Exec(exec)).await,
            (None, None) => Err("this kind of hook is not supported here".to_owned()),
        }
    }

    async fn ask(&self, ask: Ask<'_>) -> Result<(), String> {
        match ask {
            Ask::Http(http) => self.ask_http(http).await,
            Ask::Tcp(tcp) => {
                let port = self.port(&tcp.port)?;
                let host = tcp.host.as_deref().unwrap_or(&self.pod_ip);
                TcpStream::connect((host, port)).await.map(drop).map_err(|error| error.to_string())
            }
            Ask::Exec(exec) => {
                let command = exec.command.clone().unwrap_or_default();
                let mut command = self.sandbox.beside(self.pid, &command);
                let output = command.stdin(std::process::Stdio::null()).kill_on_drop(true).output().await;
                let output = output.map_err(|error| error.to_string())?;
                let printed = [output.stdout, output.stderr].concat();
                let printed = String::from_utf8_lossy(&printed);
                if output.status.success() { Ok(()) } else { Err(format!("{}: {}", output.status, printed.trim())) }
            }
        }
    }

    async fn ask_http(&self, http: &HTTPGetAction) -> Result<(), String> {
        let scheme = http.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let host = http.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(&self.pod_ip);
        let path = http.path.as_deref().unwrap_or("/");
        let url = format!("{scheme}://{host}:{}/{}", self.port(&http.port)?, path.trim_start_matches('/'));
        let mut request = self.http.get(&url).header("user-agent", "kube-probe/1.36");
        for header in http.http_headers.iter().flatten() {
            request = request.header(&header.name, &header.value);
        }
        let answer = request.send().await.map_err(|error| format!("{url}: {error:?}"))?;
        let status = answer.status();
        let good = status.is_success() || status.is_redirection();
        if good { Ok(()) } else { Err(format!("{url}: HTTP status {status}")) }
    }

    fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => {
                let ports = self.container.ports.iter().flatten();
                let named =
                    ports.filter(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port).next();
                named.or_else(|| name.parse().ok())
            }
        };
        number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| format!("there is no port {port:?}"))
    }
}

/// Whether to go on asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ask,
    Stop,
}
