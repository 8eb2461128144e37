//! The cluster that the tests share, and pods of our own program in it.

use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kubernetes_tests::{ControlPlane, Image, Images, Kubelet};
use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_secs(180);

/// One for all tests, each with a namespace of its own. It ends with the
/// process: its scripts read standard input, which ends then.
pub struct Cluster {
    pub plane: ControlPlane,
    pub kubelet: Kubelet,
}

pub static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let plane = ControlPlane::start();
    let images = Images::new().with("*/probed:*", Image::of(env!("CARGO_BIN_EXE_probed")));
    let kubelet = Kubelet::start(&plane, images);
    Cluster { plane, kubelet }
});

/// A namespace that enforces the strictest Pod Security Standard.
pub fn restricted(name: &str) -> &'static Cluster {
    CLUSTER.plane.make_namespace(name, &[("pod-security.kubernetes.io/enforce", "restricted")]);
    &CLUSTER
}

/// A pod of our program that the strictest standard takes.
pub fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "main", "image": "example.test/probed:1",
            "env": [
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "LISTEN", "value": "$(POD_IP):8080"},
            ],
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
        }],
    });
    change(&mut spec);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The status of the only container, as it is written.
pub fn container_status(pod: &Pod) -> Value {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.and_then(|statuses| serde_json::to_value(statuses.first()?).ok()).unwrap_or_default()
}

pub fn ask(pod: &Pod, method: &str, path: &str) -> (u16, String) {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("it has an address");
    let url = format!("http://{ip}:8080{path}");
    let method = method.parse().expect("a method");
    CLUSTER.plane.block_on(async {
        let answer = reqwest::Client::new().request(method, &url).send().await.expect("it answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    })
}

pub fn start(cluster: &Cluster, namespace: &str, pod: &Value) -> Pod {
    cluster.plane.apply(namespace, &pod.to_string()).expect("the API server takes it");
    let name = pod["metadata"]["name"].as_str().expect("a name");
    cluster.plane.wait(namespace, name, "is ready", LIMIT, is_ready)
}
