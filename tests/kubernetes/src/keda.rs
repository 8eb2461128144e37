//! KEDA: operator, metrics adapter and webhooks, on a control plane.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use end_to_end::process::{Running, free_port};

use crate::control_plane::ControlPlane;

/// It takes seven seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(180);

/// How long it may take until all has ended.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running KEDA.
#[derive(Debug)]
pub struct Keda {
    process: Running,
    state: PathBuf,
    _folder: tempfile::TempDir,
}

impl Keda {
    /// Installs its CRDs and rights, starts it, and waits until it serves
    /// metrics. One for each control plane.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(plane: &ControlPlane) -> Keda {
        Keda::start_with(plane, &[])
    }

    /// The same with more flags of its operator, such as `--ca-dir=DIR`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(plane: &ControlPlane, operator_flags: &[&str]) -> Keda {
        let component = end_to_end::folder("IOTC_TEST_KEDA", "kubernetes");
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for KEDA: {error}"));
        let state = folder.path().join("state");
        // It finds Services by the names that pods find.
        let mut start = Command::new("unshare");
        start.args(["--mount", "sh", "-ec", "mount --bind \"$0\" /etc/hosts; exec bash \"$@\""]).arg(plane.hosts());
        start.arg(crate::components().join("keda/start.sh")).arg(component).arg(plane.kubectl_program());
        start.arg(plane.kubeconfig()).arg(&state).env("HOME", folder.path());
        start.env("KEDA_OPERATOR_FLAGS", operator_flags.join(" "));
        let ports = [
            "GRPC",
            "OPERATOR_METRICS",
            "OPERATOR_HEALTH",
            "ADAPTER",
            "ADAPTER_METRICS",
            "WEBHOOKS",
            "WEBHOOKS_HEALTH",
        ];
        for name in ports {
            start.env(format!("{name}_PORT"), free_port().to_string());
        }
        let mut process = Running::start("KEDA", &mut start);
        process.wait_for("serves metrics", START_LIMIT, |printed, _| {
            printed.iter().any(|line| line == "READY").then_some(())
        });
        Keda { process, state, _folder: folder }
    }

    /// Where its logs are: `operator.log`, `adapter.log`, `webhooks.log`.
    pub fn folder(&self) -> &Path {
        &self.state
    }
}

impl Drop for Keda {
    fn drop(&mut self) {
        // As the control plane's.
        drop(self.process.take_stdin());
        let _ = end_to_end::poll::try_until(STOP_LIMIT, || {
            end_to_end::process::descendants(self.process.pid()).is_empty().then_some(())
        });
    }
}
