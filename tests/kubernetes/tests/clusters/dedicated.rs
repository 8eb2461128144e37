//! A workspace of the SKU Dedicated beside one of a shared cluster, by requests: each
//! connector is on its own control plane, and is deleted from that only.

use std::sync::Arc;
use std::time::Duration;

use custom_resources::IotConnector;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kubernetes_tests::ControlPlane;
use reqwest::Method;
use resource_provider::api::{Api, ApiSettings};
use resource_provider::kubernetes::Clusters;
use resource_provider::local::{LocalCloud, LocalIdentities, LocalKeys, NamedFhirServices, Open};
use resource_provider::pools::Pools;
use resource_provider::ports::Platform;
use resource_provider::store::Store;
use resource_provider::worker::{Pulse, Worker, WorkerSettings};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::planes::{OTHER, names, two_planes};
use crate::site::{LIMIT, WARD};
use crate::specs::CLUSTER;

const GROUP: &str =
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/Microsoft.HealthcareApis";

/// The API, over loopback.
struct Front {
    url: String,
    client: reqwest::Client,
}

impl Front {
    async fn send(&self, method: Method, path: &str, body: &Value) -> reqwest::Response {
        let url = format!("{}{GROUP}/{path}?api-version=2024-03-31", self.url);
        self.client.request(method, url).json(body).send().await.unwrap()
    }

    /// Sends a request and waits until its operation has ended well.
    async fn done(&self, method: Method, path: &str, body: &Value) {
        let answer = self.send(method, path, body).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        let url = answer.headers()["azure-asyncoperation"].to_str().unwrap().to_owned();
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        let ended = async {
            loop {
                looks.tick().await;
                let status: Value = self.client.get(&url).send().await.unwrap().json().await.unwrap();
                match status["status"].as_str() {
                    Some("Succeeded") => break,
                    Some("Failed" | "Canceled") => panic!("{path}: {status}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(LIMIT, ended).await.unwrap_or_else(|_| panic!("{path} goes on"));
    }
}

/// An API and a worker over two clusters, one of which is the second workspace's.
async fn start(clusters: Clusters, folder: &std::path::Path, stop: watch::Receiver<bool>) -> Front {
    let store = Store::open(&format!("sqlite://{}", folder.join("store.db").display())).await.unwrap();
    let pool =
        |cluster: &str| json!({ "subscriptionId": "s", "aksClusterResourceId": cluster, "keyVaultResourceId": "/v" });
    let pools = json!({
        "regions": { "westus2": [pool(CLUSTER)] },
        "dedicated": { format!("{GROUP}/workspaces/own"): pool(OTHER) },
    });
    let cloud = LocalCloud::behind(Arc::new(Open));
    let fhir_services = Arc::new(NamedFhirServices::default());
    let platform = Platform {
        allocation: Arc::new(Pools::new(store.clone(), serde_json::from_value(pools).unwrap()).unwrap()),
        cluster: Arc::new(clusters),
        ..cloud.platform(fhir_services.clone())
    };
    let settings = WorkerSettings { poll: Duration::from_millis(200), ..WorkerSettings::default() };
    let pulse = Pulse::default();
    let worker = Worker { store: store.clone(), platform, settings, name: "worker".into(), pulse };
    tokio::spawn(worker.run(stop));
    let api = Api {
        store,
        settings: Arc::new(ApiSettings { registers_on_first_use: true, ..ApiSettings::default() }),
        fhir_services,
        identities: Some(Arc::new(LocalIdentities)),
        keys: Arc::new(LocalKeys::of_host("devices.example")),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, api.router()).await });
    Front { url, client: reqwest::Client::new() }
}

/// Says what an operator would of the connector that comes: its workload is there, at
/// zero, and ready. Its name.
fn play_operator(plane: &ControlPlane) -> String {
    let name =
        plane.wait_list(WARD, "", "a connector", LIMIT, |all: &[IotConnector]| all.first()?.metadata.name.clone());
    let labels = json!({ "app": name });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
        },
    });
    plane.apply(WARD, &deployment.to_string()).unwrap();
    let deployment = plane.wait(WARD, &name, "is looked at", LIMIT, |deployment: &Deployment| {
        deployment.status.as_ref().is_some_and(|status| status.observed_generation == deployment.metadata.generation)
    });
    let is = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let connectors = plane.api::<IotConnector>(WARD);
    let generation = plane.block_on(connectors.get(&name)).unwrap().metadata.generation;
    let status = json!({ "status": {
        "observedGeneration": generation,
        "conditions": [is("Rendered"), is("Applied")],
        "workloads": [{ "kind": "normalize", "name": name, "uid": deployment.metadata.uid, "ready": true }],
    } });
    plane.block_on(connectors.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))).unwrap();
    name
}

#[test]
fn each_workspace_is_on_its_cluster_and_leaves_the_others_alone() {
    let (site, second, clusters) = two_planes(json!({ "namespace": WARD, "lagSource": "keda" }));
    let folder = tempfile::tempdir().unwrap();
    let (stop, stopped) = watch::channel(false);
    let front = site.plane.block_on(start(clusters, folder.path(), stopped));

    let connector = json!({
        "location": "westus2", "identity": { "type": "SystemAssigned" },
        "properties": {
            "ingestionEndpointConfiguration": {
                "eventHubName": "telemetry", "fullyQualifiedEventHubNamespace": "contoso.servicebus.windows.net",
            },
            "deviceMapping": { "content": { "templateType": "CollectionContent", "template": [] } },
        },
    });
    for (workspace, sku, plane) in [("own", "Dedicated", &second), ("shared", "Consumption", &site.plane)] {
        let (path, body) =
            (format!("workspaces/{workspace}"), json!({ "location": "westus2", "sku": { "name": sku } }));
        site.plane.block_on(front.done(Method::PUT, &path, &body));
        let path = format!("{path}/iotconnectors/iot1");
        std::thread::scope(|scope| {
            let made = scope.spawn(|| site.plane.block_on(front.done(Method::PUT, &path, &connector)));
            play_operator(plane);
            made.join().unwrap();
        });
    }
    let (of_shared, of_own) = (names(&site.plane), names(&second));
    assert_eq!((of_shared.len(), of_own.len()), (1, 1));

    site.plane.block_on(front.done(Method::DELETE, "workspaces/own/iotconnectors/iot1", &Value::Null));
    assert_eq!((names(&site.plane), names(&second)), (of_shared, vec![]));
    // Its cluster is the workspace's own, and nothing else was made on it.
    site.plane.block_on(front.done(Method::DELETE, "workspaces/own", &Value::Null));
    site.plane.block_on(front.done(Method::DELETE, "workspaces/shared/iotconnectors/iot1", &Value::Null));
    assert_eq!(names(&site.plane), Vec::<String>::new());
    stop.send(true).unwrap();
}
