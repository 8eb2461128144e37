//! A node: its object, and the pods that come and go on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Context;
use super::fields::Place;
use super::model::Model;
use super::pod::{make_folder, run as run_pod};
use super::run::{PodRun, lock};

/// The node's own address among those of pods.
pub(crate) const HOST_IP: &str = "10.244.0.1";

/// More than any test asks for.
pub(crate) fn allocatable() -> BTreeMap<String, Quantity> {
    let all = [("cpu", "64"), ("memory", "256Gi"), ("ephemeral-storage", "1Ti"), ("pods", "500")];
    all.into_iter().map(|(name, value)| (name.to_owned(), Quantity(value.to_owned()))).collect()
}

/// Makes the Node object, ready.
pub(crate) async fn register(context: &Context, labels: BTreeMap<String, String>) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(context.client.clone());
    let parameters = PatchParams::apply("test-kubelet").force();
    let mut all = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), context.node.clone()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), "amd64".to_owned()),
    ]);
    all.extend(labels);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": context.node, "labels": all}});
    nodes.patch(&context.node, &parameters, &Patch::Apply(node)).await?;
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status = json!({"apiVersion": "v1", "kind": "Node", "status": {
        "capacity": context.allocatable, "allocatable": context.allocatable,
        "addresses": [{"type": "InternalIP", "address": HOST_IP}],
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": "v1.36.3", "containerRuntimeVersion": "test://1",
            "bootID": "", "machineID": "", "systemUUID": "", "kernelVersion": "", "osImage": "", "kubeProxyVersion": "",
        },
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    }});
    nodes.patch_status(&context.node, &parameters, &Patch::Apply(status)).await.map(drop)
}

/// Follows the pods of the node and runs each. Never ends by itself.
pub(crate) async fn run(context: Arc<Context>) {
    let pods: Api<Pod> = Api::all(context.client.clone());
    let of_node = watcher::Config::default().fields(&format!("spec.nodeName={}", context.node));
    let events = watcher(pods, of_node).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut running: BTreeMap<String, Arc<PodRun>> = BTreeMap::new();
    let mut listed: Vec<String> = Vec::new();
    // Dropped with this task, and all processes with them.
    let mut tasks = JoinSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.extend(pod.uid());
                seen(&context, &mut running, &mut tasks, pod);
            }
            Ok(watcher::Event::InitDone) => {
                let gone: Vec<String> = running.keys().filter(|uid| !listed.contains(uid)).cloned().collect();
                gone.iter().for_each(|uid| forget(&mut running, uid));
            }
            Ok(watcher::Event::Apply(pod)) => seen(&context, &mut running, &mut tasks, pod),
            Ok(watcher::Event::Delete(pod)) => forget(&mut running, &pod.uid().unwrap_or_default()),
            // It tries again by itself.
            Err(_) => {}
        }
    }
}

fn seen(context: &Arc<Context>, running: &mut BTreeMap<String, Arc<PodRun>>, tasks: &mut JoinSet<()>, pod: Pod) {
    let Some(uid) = pod.uid() else { return };
    if let Some(run) = running.get(&uid) {
        run.pod.send_if_modified(|seen| {
            *seen = pod;
            true
        });
        return;
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    if ["Succeeded", "Failed"].contains(&phase) && pod.metadata.deletion_timestamp.is_none() {
        // It ended on an earlier life of this node.
        return;
    }
    let own_ip = pod.spec.as_ref().is_some_and(|spec| spec.host_network != Some(true));
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let run = Arc::new(PodRun {
        folder: context.folder.join(format!("{namespace}_{name}_{uid}")),
        context: context.clone(),
        place: Place {
            pod_ip: if own_ip { next_ip() } else { HOST_IP.to_owned() },
            host_ip: HOST_IP.to_owned(),
            allocatable: context.allocatable.clone(),
        },
        model: watch::Sender::new(Model::new(&pod)),
        pod: watch::Sender::new(pod),
        environments: Default::default(),
        objects: Default::default(),
        namespace,
        name,
        uid: uid.clone(),
    });
    if let Err(error) = make_folder(&run) {
        run.model.send_modify(|model| model.refused = Some(("NoFolder".to_owned(), error.to_string())));
    }
    lock(&context.pods).push(run.clone());
    running.insert(uid, run.clone());
    tasks.spawn(run_pod(run));
}

/// The object is away, without having asked us: what runs is killed.
fn forget(running: &mut BTreeMap<String, Arc<PodRun>>, uid: &str) {
    if let Some(run) = running.remove(uid) {
        run.pod.send_modify(|pod| {
            pod.metadata
                .deletion_timestamp
                .get_or_insert_with(|| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::now()));
            pod.metadata.deletion_grace_period_seconds = Some(0);
        });
    }
}

/// Addresses are given once, to all nodes of this process.
fn next_ip() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("10.244.{}.{}", 1 + number / 250 % 250, 2 + number % 250)
}
