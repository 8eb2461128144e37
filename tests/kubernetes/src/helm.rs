//! helm, against a control plane.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{ToolError, run};
use crate::control_plane::ControlPlane;

/// helm in one namespace.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    namespace: String,
    folder: tempfile::TempDir,
}

impl Helm {
    /// For releases in a namespace of the control plane.
    ///
    /// # Panics
    /// When helm is not installed.
    pub fn new(plane: &ControlPlane, namespace: &str) -> Helm {
        Helm {
            kubeconfig: Some(plane.kubeconfig().to_owned()),
            namespace: namespace.to_owned(),
            ..Helm::without_cluster()
        }
    }

    /// For what needs no cluster: lint and template.
    ///
    /// # Panics
    /// When helm is not installed.
    pub fn without_cluster() -> Helm {
        let program = end_to_end::folder("IOTC_TEST_HELM", "kubernetes").join("bin/helm");
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for helm: {error}"));
        Helm { program, kubeconfig: None, namespace: "default".to_owned(), folder }
    }

    /// The program itself.
    pub fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Runs helm with these arguments, and gives what it prints.
    pub fn run(&self, arguments: &[&str]) -> Result<String, ToolError> {
        self.run_with(arguments, "")
    }

    /// The same with something on standard input: values, for `--values -`.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Result<String, ToolError> {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--namespace", &self.namespace]);
        if let Some(kubeconfig) = &self.kubeconfig {
            command.arg("--kubeconfig").arg(kubeconfig);
        }
        // Nothing of whoever runs the test.
        command.env("HOME", self.folder.path()).env_remove("KUBECONFIG");
        command.current_dir(crate::checkout());
        run(&mut command, input)
    }

    /// Installs a chart (a path in the checkout) with values as YAML or JSON.
    pub fn install(&self, release: &str, chart: &str, values: &str) -> Result<String, ToolError> {
        self.run_with(&["install", release, chart, "--values", "-"], values)
    }

    /// Upgrades a release.
    pub fn upgrade(&self, release: &str, chart: &str, values: &str) -> Result<String, ToolError> {
        self.run_with(&["upgrade", release, chart, "--values", "-"], values)
    }

    /// Goes back to a revision.
    pub fn roll_back(&self, release: &str, revision: u32) -> Result<String, ToolError> {
        self.run(&["rollback", release, &revision.to_string()])
    }

    /// Takes a release away.
    pub fn uninstall(&self, release: &str) -> Result<String, ToolError> {
        self.run(&["uninstall", release])
    }

    /// What a chart becomes, without a cluster's help.
    pub fn template(&self, release: &str, chart: &str, values: &str) -> Result<String, ToolError> {
        self.run_with(&["template", release, chart, "--values", "-"], values)
    }

    /// What helm thinks of a chart.
    pub fn lint(&self, chart: &str, values: &str) -> Result<String, ToolError> {
        self.run_with(&["lint", "--strict", chart, "--values", "-"], values)
    }
}
