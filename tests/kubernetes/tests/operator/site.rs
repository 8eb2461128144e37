//! A control plane with `helm/platform` installed, and operators as processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use custom_resources::{Fhir, IotConnector, Status};
use end_to_end::process::{Running, free_port};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kubernetes_tests::{ControlPlane, Helm, checkout};
use serde_json::{Value, json};

/// The namespace of the operator.
pub const SYSTEM: &str = "iot-connector-system";
/// The namespace of the resources.
pub const WARD: &str = "ward";
/// Until the operator has done what it should.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A control plane takes half a gigabyte, so there is one at a time.
static ONE: Mutex<()> = Mutex::new(());

pub struct Site {
    pub plane: ControlPlane,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
    /// What the platform looks at, as its chart says it to the operator.
    watched: Option<String>,
    _one: MutexGuard<'static, ()>,
}

impl Site {
    /// With KEDA's custom resources, but nobody who acts on them.
    pub fn start(api_server_flags: &[&str], platform: &Value) -> Site {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let plane = ControlPlane::start_with(api_server_flags);
        let keda = end_to_end::folder("IOTC_TEST_KEDA", "kubernetes").join("config/crd");
        plane.kubectl(&["apply", "--server-side", "-k", path(&keda)]).unwrap();
        plane.make_namespace(SYSTEM, &[("pod-security.kubernetes.io/enforce", "restricted")]);
        plane.make_namespace(WARD, &[("pod-security.kubernetes.io/enforce", "restricted")]);
        Helm::new(&plane, SYSTEM).install("platform", "helm/platform", &platform.to_string()).unwrap();
        plane.wait_served::<IotConnector>(WARD);
        plane.wait_served::<Fhir>(WARD);
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("operator.json");
        let token =
            plane.kubectl(&["-n", SYSTEM, "create", "token", "iot-connector-operator", "--duration", "8h"]).unwrap();
        let text = plane.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"]).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["users"][0]["user"] = json!({ "token": token.trim() });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let names: Vec<&str> =
            platform["watchNamespaces"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let watched = (!names.is_empty()).then(|| names.join(","));
        Site { plane, kubeconfig, folder, watched, _one: one }
    }

    /// An operator that is told nothing but what the platform would tell it.
    pub fn operator(&self, name: &str, more: &[(&str, &str)]) -> Running {
        let mut command = Command::new(end_to_end::folder("IOTC_TEST_BIN", "kubernetes").join("operator"));
        command.env("KUBECONFIG", &self.kubeconfig).env("OPERATOR_IDENTITY", name).env("OPERATOR_NAMESPACE", SYSTEM);
        command.env("HELM_PATH", Helm::without_cluster().program());
        command.env("CHARTS_PATH", checkout().join("helm"));
        command.env("LISTEN_ADDRESS", format!("127.0.0.1:{}", free_port()));
        command.envs(self.watched.iter().map(|names| ("WATCH_NAMESPACES", names)));
        command.envs(more.iter().copied());
        Running::start(name, &mut command)
    }

    /// Waits until an operator leads.
    #[track_caller]
    pub fn wait_leads(&self, operator: &mut Running, limit: Duration) {
        operator
            .wait_for("it leads", limit, |printed, _| printed.iter().any(|line| line.contains("Leads")).then_some(()));
    }

    /// Applies a resource as a user.
    #[track_caller]
    pub fn apply(&self, resource: &Value) {
        self.plane.apply(WARD, &resource.to_string()).unwrap();
    }

    /// Applies a resource that the API server refuses, and gives why.
    #[track_caller]
    pub fn refused(&self, resource: &Value) -> String {
        self.plane.apply(WARD, &resource.to_string()).unwrap_err().to_string()
    }

    /// Waits until a condition of a connector says so, of its newest generation.
    #[track_caller]
    pub fn wait_condition(&self, name: &str, kind: &str, reason: &str) -> IotConnector {
        self.plane.wait(WARD, name, &format!("{kind} is {reason}"), LIMIT, |connector: &IotConnector| {
            let Some(status) = &connector.status else { return false };
            status.observed_generation == connector.metadata.generation && reason_of(status, kind) == Some(reason)
        })
    }

    /// Writes what a kubelet and KEDA would: pods are ready, ScaledObjects too.
    pub fn make_ready(&self, deployment: &str) {
        let pods = self.plane.api::<Pod>(WARD);
        let selector = format!("iot-connector/workload={deployment}");
        self.plane.wait_list(WARD, &selector, "a pod", LIMIT, |pods: &[Pod]| (!pods.is_empty()).then_some(()));
        let ready = json!({"status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }});
        for pod in self.plane.block_on(pods.list(&ListParams::default().labels(&selector))).unwrap() {
            let name = pod.metadata.name.unwrap();
            match self.plane.block_on(pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&ready))) {
                // It was replaced meanwhile.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                patched => drop(patched.unwrap()),
            }
        }
        self.make_scaler_ready(deployment, "True");
    }

    pub fn make_scaler_ready(&self, name: &str, status: &str) {
        let patch = json!({"status": {"conditions": [
            {"type": "Ready", "status": status, "reason": "Test", "message": "of the test"},
        ]}});
        let arguments = [
            "-n",
            WARD,
            "patch",
            "scaledobject",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch.to_string(),
        ];
        self.plane.kubectl(&arguments).unwrap();
    }

    /// Status and text of a probe; none while nobody listens.
    pub fn probe(&self, port: u16, path: &str) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{port}{path}");
        self.plane.block_on(async {
            let answer = reqwest::get(url).await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.unwrap_or_default()))
        })
    }

    /// Names of objects of a kind that the operator made, as `kubectl` prints them.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let selector = "app.kubernetes.io/managed-by=iot-connector-operator";
        let printed = self.plane.kubectl(&["-n", WARD, "get", kind, "-l", selector, "-o", "name"]).unwrap();
        printed.lines().filter_map(|line| line.split_once('/')).map(|(_, name)| name.to_owned()).collect()
    }

    /// The uid of a Deployment.
    #[track_caller]
    pub fn uid(&self, deployment: &str) -> String {
        self.plane.wait(WARD, deployment, "is there", LIMIT, |_: &Deployment| true).metadata.uid.unwrap()
    }

    /// A file of this test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

fn reason_of<'s>(status: &'s Status, kind: &str) -> Option<&'s str> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == kind)?;
    Some(&condition.reason)
}

/// A connector as a user writes it.
pub fn connector(name: &str) -> Value {
    json!({
        "apiVersion": "iotconnector.health/v1alpha1",
        "kind": "IotConnector",
        "metadata": {"name": name, "namespace": WARD},
        "spec": {
            "source": {"eventHub": {
                "fullyQualifiedNamespace": "hospital.servicebus.windows.net", "name": "devicedata", "partitionCount": 4,
            }},
            "internalHub": {"eventHub": {
                "fullyQualifiedNamespace": "internal.servicebus.windows.net", "name": "nd-1", "partitionCount": 4,
            }},
            "storage": {"accountName": "iocward7"},
            "mappings": {"device": {"content": "{\"templateType\": \"CollectionContent\", \"template\": []}"}},
            "destinations": [{
                "name": "fhir",
                "mapping": {"blob": "fhirmapping.json"},
                "fhir": {"url": "https://hospital.fhir.azurehealthcareapis.com"},
            }],
            "identity": {"internal": {
                "clientId": "00000000-0000-0000-0000-000000000001", "tenantId": "00000000-0000-0000-0000-000000000002",
            }},
        },
    })
}
