//! What is known of a pod while it runs, and how its status says it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use serde_json::{Value, json};

use super::fields::Place;

/// A pod as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) since: Timestamp,
    pub(crate) init_containers: Vec<ContainerModel>,
    pub(crate) containers: Vec<ContainerModel>,
    /// The init containers are through.
    pub(crate) initialized: bool,
    /// It is not run at all: a reason and a message.
    pub(crate) refused: Option<(String, String)>,
}

/// A container as it is now.
#[derive(Clone, Debug)]
pub(crate) struct ContainerModel {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) state: State,
    pub(crate) last: Option<Ended>,
    pub(crate) restarts: i32,
    pub(crate) started: bool,
    pub(crate) ready: bool,
    /// The process id of its program on this machine.
    pub(crate) pid: Option<u32>,
    /// An init container that runs beside the others.
    pub(crate) sidecar: bool,
}

/// What a container does.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Waiting { reason: String, message: String },
    Running { since: Timestamp },
    Ended(Ended),
}

/// How a run of a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) since: Timestamp,
    pub(crate) at: Timestamp,
}

impl Model {
    pub(crate) fn new(pod: &Pod) -> Model {
        let spec = pod.spec.as_ref();
        let of = |containers: &[Container]| containers.iter().map(ContainerModel::new).collect();
        Model {
            since: Timestamp::now(),
            init_containers: spec.and_then(|spec| spec.init_containers.as_deref()).map(of).unwrap_or_default(),
            containers: spec.map(|spec| of(&spec.containers)).unwrap_or_default(),
            initialized: spec.is_none_or(|spec| spec.init_containers.as_ref().is_none_or(Vec::is_empty)),
            refused: None,
        }
    }

    /// The container of this name, of either kind.
    pub(crate) fn container(&mut self, name: &str) -> Option<&mut ContainerModel> {
        self.init_containers.iter_mut().chain(&mut self.containers).find(|container| container.name == name)
    }

    fn phase(&self, restart_policy: &str) -> &'static str {
        if self.refused.is_some() {
            return "Failed";
        }
        let ended = |container: &ContainerModel| match &container.state {
            State::Ended(ended) => Some(ended.code),
            _ => None,
        };
        // An init container that failed and is not tried again.
        let init_failed = self.init_containers.iter().any(|c| !c.sidecar && ended(c).is_some_and(|code| code != 0));
        if !self.initialized {
            return if init_failed && restart_policy == "Never" { "Failed" } else { "Pending" };
        }
        let codes: Option<Vec<i32>> = self.containers.iter().map(ended).collect();
        match codes {
            Some(codes) if restart_policy != "Always" || self.containers.is_empty() => {
                if codes.iter().all(|code| *code == 0) { "Succeeded" } else { "Failed" }
            }
            Some(_) => "Running",
            None => {
                let began = |c: &ContainerModel| c.last.is_some() || !matches!(c.state, State::Waiting { .. });
                if self.containers.iter().all(began) { "Running" } else { "Pending" }
            }
        }
    }

    /// A patch of the pod's status.
    pub(crate) fn status(&self, pod: &Pod, place: &Place) -> Value {
        let restart_policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
        let all_ready = !self.containers.is_empty() && self.initialized && self.containers.iter().all(|c| c.ready);
        let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_ref());
        let gates_open = gates.into_iter().flatten().all(|gate| has(pod.status.as_ref(), &gate.condition_type));
        let not_ready = ("ContainersNotReady", "containers with unready status");
        let conditions = [
            ("PodReadyToStartContainers", self.refused.is_none(), ("", "")),
            ("Initialized", self.initialized, ("ContainersNotInitialized", "containers with incomplete status")),
            ("ContainersReady", all_ready, not_ready),
            ("Ready", all_ready && gates_open, not_ready),
        ];
        let before = |kind: &str| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.into_iter().flatten().find(|condition| condition.type_ == kind)
        };
        let conditions: Vec<Value> = conditions
            .into_iter()
            .map(|(kind, is, (reason, message))| {
                let status = if is { "True" } else { "False" };
                let since = before(kind).filter(|before| before.status == status);
                let since = since.and_then(|before| before.last_transition_time.as_ref()).map(|time| time.0);
                let (reason, message) = if is { (None, None) } else { (Some(reason), Some(message)) };
                json!({
                    "type": kind, "status": status, "reason": reason, "message": message,
                    "observedGeneration": pod.metadata.generation,
                    "lastTransitionTime": time(since.unwrap_or_else(Timestamp::now)),
                })
            })
            .collect();
        let of = |containers: &[ContainerModel]| containers.iter().map(ContainerModel::status).collect::<Vec<_>>();
        json!({"status": {
            "phase": self.phase(restart_policy),
            "reason": self.refused.as_ref().map(|(reason, _)| reason),
            "message": self.refused.as_ref().map(|(_, message)| message),
            "observedGeneration": pod.metadata.generation,
            "startTime": time(self.since),
            "podIP": place.pod_ip, "podIPs": [{"ip": place.pod_ip}],
            "hostIP": place.host_ip, "hostIPs": [{"ip": place.host_ip}],
            "conditions": conditions,
            "initContainerStatuses": of(&self.init_containers),
            "containerStatuses": of(&self.containers),
        }})
    }
}

impl ContainerModel {
    fn new(container: &Container) -> ContainerModel {
        ContainerModel {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            state: State::Waiting { reason: "ContainerCreating".to_owned(), message: String::new() },
            last: None,
            restarts: 0,
            started: false,
            ready: false,
            pid: None,
            sidecar: container.restart_policy.as_deref() == Some("Always"),
        }
    }

    fn status(&self) -> Value {
        let id = format!("test://{}-{}", self.name, self.restarts);
        json!({
            "name": self.name, "image": self.image, "imageID": format!("test://{}", self.image),
            "containerID": id, "ready": self.ready, "started": self.started, "restartCount": self.restarts,
            "state": self.state.status(),
            "lastState": self.last.as_ref().map(|ended| json!({"terminated": ended.status()})).unwrap_or(json!({})),
        })
    }
}

impl State {
    fn status(&self) -> Value {
        match self {
            State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            State::Running { since } => json!({"running": {"startedAt": time(*since)}}),
            State::Ended(ended) => json!({"terminated": ended.status()}),
        }
    }
}

impl Ended {
    fn status(&self) -> Value {
        json!({
            "exitCode": self.code, "reason": self.reason, "message": self.message,
            "startedAt": time(self.since), "finishedAt": time(self.at),
        })
    }
}

/// As Kubernetes writes it: whole seconds.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn has(status: Option<&PodStatus>, kind: &str) -> bool {
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
}
