//! A control plane of its own for a test, or for all tests of a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use end_to_end::poll::until;
use end_to_end::process::{Running, free_port};
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::command::{ToolError, run};

/// It takes ten seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(180);

/// How long it may take until all that was started has ended.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running etcd, API server, controller manager and scheduler.
pub struct ControlPlane {
    component: PathBuf,
    runtime: Arc<Runtime>,
    client: Client,
    kubeconfig: PathBuf,
    hosts: PathBuf,
    port: u16,
    process: Running,
    folder: tempfile::TempDir,
}

/// What of a control plane can be stopped and started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Keeps what is there.
    Etcd,
    /// The API.
    ApiServer,
    /// Deployments, garbage collection, autoscalers.
    ControllerManager,
    /// Places pods on nodes.
    Scheduler,
}

impl ControlPlane {
    /// Starts one with nothing in it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> ControlPlane {
        ControlPlane::start_with(&[])
    }

    /// Starts one with more flags of the API server, such as an audit log's.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(api_server_flags: &[&str]) -> ControlPlane {
        crate::check_network();
        let component = end_to_end::folder("IOTC_TEST_KUBERNETES", "kubernetes");
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for the control plane: {error}"));
        let port = free_port();
        let mut start = Command::new("bash");
        start.arg(crate::components().join("kubernetes/start.sh")).arg(&component).arg(folder.path().join("state"));
        start.env("API_PORT", port.to_string()).env("APISERVER_FLAGS", api_server_flags.join(" "));
        for name in ["ETCD_PORT", "PEER_PORT", "CONTROLLER_MANAGER_PORT", "SCHEDULER_PORT"] {
            start.env(name, free_port().to_string());
        }
        start.env("SERVICE_RANGE", format!("10.96.{}.0/24", next_range()));
        let mut process = Running::start("the control plane", &mut start);
        let kubeconfig = process.wait_for("is ready", START_LIMIT, |printed, _| {
            printed.iter().find_map(|line| line.strip_prefix("READY ").map(PathBuf::from))
        });
        let hosts = folder.path().join("hosts");
        std::fs::write(&hosts, "127.0.0.1\tlocalhost\n").unwrap_or_else(|error| panic!("hosts: {error}"));
        let runtime = Runtime::new().unwrap_or_else(|error| panic!("no runtime: {error}"));
        let client = runtime.block_on(connect(&kubeconfig));
        ControlPlane { component, runtime: Arc::new(runtime), client, kubeconfig, hosts, port, process, folder }
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Objects of one kind in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + DeserializeOwned,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// The file by which kubectl, helm and others find it, with all rights.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Host and port of the API server.
    pub fn api_server(&self) -> (String, String) {
        ("127.0.0.1".to_owned(), self.port.to_string())
    }

    /// Where everything runs that is asynchronous.
    pub fn runtime(&self) -> Arc<Runtime> {
        self.runtime.clone()
    }

    /// Waits for something asynchronous.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A hosts file with the names of Services, as long as a kubelet runs.
    pub fn hosts(&self) -> &Path {
        &self.hosts
    }

    /// Its folder, with a log of each part (`state/apiserver.log`).
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs kubectl with all rights, and gives what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, ToolError> {
        self.kubectl_with(arguments, "")
    }

    /// Applies manifests, server-side.
    pub fn apply(&self, namespace: &str, manifests: &str) -> Result<String, ToolError> {
        self.kubectl_with(&["-n", namespace, "apply", "--server-side", "--force-conflicts", "-f", "-"], manifests)
    }

    fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, ToolError> {
        let mut command = Command::new(self.kubectl_program());
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        // Its discovery cache.
        command.env("HOME", self.folder.path()).env_remove("KUBECONFIG");
        run(&mut command, input)
    }

    pub(crate) fn kubectl_program(&self) -> PathBuf {
        self.component.join("bin/kubectl")
    }

    /// Makes a namespace, and waits until pods can be made in it.
    ///
    /// # Panics
    /// When it can't be made.
    #[track_caller]
    pub fn make_namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let namespace = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        self.apply(name, &namespace.to_string()).unwrap_or_else(|error| panic!("namespace {name}: {error}"));
        self.wait::<k8s_openapi::api::core::v1::ServiceAccount>(name, "default", "is made", START_LIMIT, |_| true);
    }

    /// Waits until a kind is served whose definition was just made.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn wait_served<K>(&self, namespace: &str)
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
        K::DynamicType: Default,
    {
        until("a new kind is served", START_LIMIT, || {
            self.block_on(self.api::<K>(namespace).list(&ListParams::default())).ok()
        });
    }

    /// Stops a part at once, as when its machine goes.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn stop(&mut self, part: Part) {
        self.tell("stop", part);
    }

    /// Starts a part again; it is ready a moment later.
    ///
    /// # Panics
    /// When it can't be told.
    #[track_caller]
    pub fn start_again(&mut self, part: Part) {
        self.tell("start", part);
    }

    #[track_caller]
    fn tell(&mut self, word: &str, part: Part) {
        let name = match part {
            Part::Etcd => "etcd",
            Part::ApiServer => "apiserver",
            Part::ControllerManager => "controller-manager",
            Part::Scheduler => "scheduler",
        };
        let done = format!("DONE {word} {name}");
        let count = |lines: &[String]| lines.iter().filter(|line| **line == done).count();
        let before = count(&self.process.stdout());
        self.process.write_line(&format!("{word} {name}"));
        self.process.wait_for(&done, STOP_LIMIT, |printed, _| (count(printed) > before).then_some(()));
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // The script ends what it has started when its input ends. When it
        // takes too long it is killed, and that kills them too.
        drop(self.process.take_stdin());
        let _ = end_to_end::poll::try_until(STOP_LIMIT, || {
            end_to_end::process::descendants(self.process.pid()).is_empty().then_some(())
        });
    }
}

/// Several control planes of one process have cluster IPs of their own: all are
/// in one network.
fn next_range() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn connect(kubeconfig: &Path) -> Client {
    let connected = async {
        let config = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok::<_, Box<dyn std::error::Error>>(Client::try_from(config)?)
    };
    connected.await.unwrap_or_else(|error| panic!("no client for the control plane: {error}"))
}
