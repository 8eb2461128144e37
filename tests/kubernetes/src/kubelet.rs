//! A kubelet for tests: runs the containers of pods as processes of this
//! machine, without images.
//!
//! ```text
//! scheduler --binds--> Pod --> volumes, sandbox, processes, probes --> Pod status
//! test      --> logs, environments, a kill
//! ```
//!
//! Services work too: their cluster IPs lead to ready pods, and their names are
//! in `/etc/hosts` of pods and of KEDA.
//!
//! What a kubelet does with the parts of a pod that our charts use is done as it
//! does it, with real periods and grace times; only back-offs are shorter. What
//! is not supported is refused with a reason in the pod's status, never passed
//! over: other volumes, privileged containers, gRPC probes. Memory limits and
//! seccomp profiles are taken note of by the scheduler and the API server only, and
//! network policies by nobody.

mod container;
mod environment;
mod expansion;
mod fields;
pub(crate) mod image;
mod model;
mod node;
mod objects;
mod pod;
mod probe;
mod rights;
mod run;
mod sandbox;
mod services;
mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::CSIVolumeSource;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;
use image::Images;
use model::{Model, State};
use run::{PodRun, lock};
use volumes::Driver;

/// Why a container's surroundings can't be made, in a kubelet's words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("configmap \"{0}\" not found")]
    ConfigMap(String),
    #[error("secret \"{0}\" not found")]
    Secret(String),
    #[error("couldn't find key {0} in {1}")]
    Key(String, String),
    #[error("there is no field `{0}`")]
    Field(String),
    #[error("container has runAsNonRoot and image will run as root")]
    Root,
    #[error("{0}")]
    Driver(String),
    #[error("the test kubelet does not know {0}")]
    Unsupported(String),
}

/// How long it waits before it starts a container again that has ended.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    /// The first time; it doubles each time.
    pub first: Duration,
    /// At the most.
    pub max: Duration,
    /// After a run of this length it is as short as the first time.
    pub reset_after: Duration,
}

/// What a kubelet is started with.
#[derive(Clone)]
pub struct KubeletOptions {
    images: Images,
    nodes: Vec<(String, BTreeMap<String, String>)>,
    back_off: BackOff,
    drivers: BTreeMap<String, Driver>,
    hosts: Vec<(String, String)>,
}

/// Kubelets of one or several nodes. All processes end when it is dropped.
pub struct Kubelet {
    plane_runtime: Arc<tokio::runtime::Runtime>,
    tasks: Vec<JoinHandle<()>>,
    pods: Pods,
    _folder: tempfile::TempDir,
}

/// Every pod that has been on these nodes, in the order of their coming.
type Pods = Arc<Mutex<Vec<Arc<PodRun>>>>;

/// What all pods of a node share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) node: String,
    pub(crate) api_server: (String, String),
    pub(crate) images: Images,
    pub(crate) back_off: BackOff,
    pub(crate) drivers: BTreeMap<String, Driver>,
    pub(crate) hosts: Vec<(String, String)>,
    /// Lines of `/etc/hosts` with the Services.
    pub(crate) names: watch::Receiver<String>,
    pub(crate) http: reqwest::Client,
    pub(crate) allocatable: BTreeMap<String, Quantity>,
    pub(crate) folder: PathBuf,
    pub(crate) pods: Pods,
}

/// A run of a container, as a test looks at it; also of a pod that has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRun {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's unique id.
    pub uid: String,
    /// The container's name.
    pub container: String,
    /// The process id of its program, while it runs.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: i32,
    /// The exit code of its last run that has ended.
    pub exit_code: Option<i32>,
    /// All that its runs have printed.
    pub log: String,
    /// What its program was started with.
    pub environment: BTreeMap<String, String>,
}

impl KubeletOptions {
    /// One node, `node-1`, that has these images.
    pub fn new(images: Images) -> KubeletOptions {
        let back_off = BackOff {
            first: Duration::from_millis(500),
            max: Duration::from_secs(5),
            reset_after: Duration::from_secs(30),
        };
        KubeletOptions { images, nodes: Vec::new(), back_off, drivers: BTreeMap::new(), hosts: Vec::new() }
    }

    /// Adds a node with labels of its own, in the place of `node-1`.
    #[must_use]
    pub fn node(mut self, name: &str, labels: &[(&str, &str)]) -> KubeletOptions {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.nodes.push((name.to_owned(), labels));
        self
    }

    /// Waits otherwise before it starts a container again.
    #[must_use]
    pub fn back_off(mut self, back_off: BackOff) -> KubeletOptions {
        self.back_off = back_off;
        self
    }

    /// Stands in for a CSI driver such as `secrets-store.csi.k8s.io`: gives the
    /// files of a volume, or why there are none.
    #[must_use]
    pub fn driver(
        mut self,
        name: &str,
        files: impl Fn(&CSIVolumeSource) -> Result<BTreeMap<String, Vec<u8>>, String> + Send + Sync + 'static,
    ) -> KubeletOptions {
        self.drivers.insert(name.to_owned(), Arc::new(files));
        self
    }

    /// Lets pods find an address under a name: there is no DNS.
    #[must_use]
    pub fn host(mut self, name: &str, address: &str) -> KubeletOptions {
        self.hosts.push((address.to_owned(), name.to_owned()));
        self
    }
}

impl From<Images> for KubeletOptions {
    fn from(images: Images) -> KubeletOptions {
        KubeletOptions::new(images)
    }
}

impl Kubelet {
    /// Makes the nodes and runs what is scheduled onto them.
    ///
    /// # Panics
    /// When the nodes can't be made.
    pub fn start(plane: &ControlPlane, options: impl Into<KubeletOptions>) -> Kubelet {
        let mut options = options.into();
        if options.nodes.is_empty() {
            options = options.node("node-1", &[]);
        }
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for the kubelet: {error}"));
        // Only ways through mounts lead into it for whoever is not root.
        let pods = Pods::default();
        let names = watch::Sender::new(String::new());
        let mut tasks = vec![plane.runtime().spawn(write_names(plane.hosts().to_owned(), names.subscribe()))];
        let (host, port) = plane.api_server();
        let api_server = format!("{host}:{port}").parse().unwrap_or_else(|error| panic!("{host}:{port}: {error}"));
        tasks.push(plane.runtime().spawn(services::run(plane.client(), api_server, names.clone())));
        for (name, labels) in options.nodes.clone() {
            let context = Arc::new(Context {
                client: plane.client(),
                node: name.clone(),
                api_server: plane.api_server(),
                images: options.images.clone(),
                back_off: options.back_off,
                drivers: options.drivers.clone(),
                hosts: options.hosts.clone(),
                names: names.subscribe(),
                http: http_client(),
                allocatable: node::allocatable(),
                folder: folder.path().join(&name),
                pods: pods.clone(),
            });
            plane.block_on(node::register(&context, labels)).unwrap_or_else(|error| panic!("node {name}: {error}"));
            tasks.push(plane.runtime().spawn(node::run(context)));
        }
        Kubelet { plane_runtime: plane.runtime(), tasks, pods, _folder: folder }
    }

    /// Every container that has been started on these nodes, also those of pods
    /// that have gone.
    pub fn containers(&self) -> Vec<ContainerRun> {
        let pods = lock(&self.pods).clone();
        pods.iter().flat_map(|run| containers_of(run)).collect()
    }

    /// One container of the newest pod of this name.
    pub fn container(&self, namespace: &str, pod: &str, container: &str) -> Option<ContainerRun> {
        let mut all = self.containers().into_iter();
        all.rfind(|run| run.namespace == namespace && run.pod == pod && run.container == container)
    }

    /// All that a container of a pod has printed, in all its runs; nothing for
    /// one that has not been started.
    pub fn log(&self, namespace: &str, pod: &str, container: &str) -> String {
        self.container(namespace, pod, container).map(|run| run.log).unwrap_or_default()
    }

    /// The environment that a container's program was started with.
    ///
    /// # Panics
    /// When it has not been started.
    #[track_caller]
    pub fn environment(&self, namespace: &str, pod: &str, container: &str) -> BTreeMap<String, String> {
        let found = self.container(namespace, pod, container);
        found.unwrap_or_else(|| panic!("{namespace}/{pod}: {container} has not been started")).environment
    }

    /// Kills a container's program, as a node does that has no memory left. It
    /// is started again by the pod's restart policy.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn kill(&self, namespace: &str, pod: &str, container: &str) {
        let pid = self.container(namespace, pod, container).and_then(|run| run.pid);
        let pid = pid.unwrap_or_else(|| panic!("{namespace}/{pod}: {container} does not run"));
        end_to_end::process::signal(pid, "KILL");
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // The processes are gone when their tasks are: those kill them.
        for task in self.tasks.drain(..) {
            let _ = self.plane_runtime.block_on(task);
        }
    }
}

/// Keeps the file by which programs outside of pods find Services.
async fn write_names(file: PathBuf, mut names: watch::Receiver<String>) {
    while names.changed().await.is_ok() {
        let hosts = format!("127.0.0.1\tlocalhost\n{}", names.borrow_and_update().as_str());
        // Written in place: it is mounted. Its folder goes with the control plane.
        if fs::write(&file, hosts).is_err() {
            return;
        }
    }
}

fn containers_of(run: &PodRun) -> Vec<ContainerRun> {
    let model: Model = run.model.borrow().clone();
    let environments = lock(&run.environments).clone();
    let all = model.init_containers.iter().chain(&model.containers);
    let started = all.filter_map(|container| Some((container, environments.get(&container.name)?)));
    let runs = started.map(|(container, environment)| ContainerRun {
        namespace: run.namespace.clone(),
        pod: run.name.clone(),
        uid: run.uid.clone(),
        container: container.name.clone(),
        pid: container.pid,
        restarts: container.restarts,
        exit_code: match &container.state {
            State::Ended(ended) => Some(ended.code),
            _ => container.last.as_ref().map(|ended| ended.code),
        },
        log: String::from_utf8_lossy(&fs::read(run.log(&container.name)).unwrap_or_default()).into_owned(),
        environment: environment.clone(),
    });
    runs.collect()
}

/// For probes: a certificate is not checked, a redirect is an answer, and a
/// connection is made anew each time.
fn http_client() -> reqwest::Client {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .tls_danger_accept_invalid_certs(true)
        .build();
    client.unwrap_or_else(|error| panic!("no HTTP client: {error}"))
}
