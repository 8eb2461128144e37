//! Everything that the provider finds: a cluster with the platform on it, hubs, a
//! storage and two FHIR servers, one of which can be away.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::MutexGuard;
use std::time::Duration;

use end_to_end::azurite::{ACCOUNT, Azurite, SAS};
use end_to_end::fhir::Fhir;
use end_to_end::gate::Gate;
use end_to_end::hapi::Hapi;
use end_to_end::hub::{EventHub, To};
use end_to_end::process::free_port;
use end_to_end::sekmet::Sekmet;
use end_to_end::site::{by_device, register};
use k8s_openapi::api::apps::v1::Deployment;
use kubernetes_tests::{ControlPlane, Helm, Image, Images, Keda, Kubelet, checkout};
use serde_json::{Value, json};

use crate::GROUP;

/// Of all hubs.
pub const PARTITIONS: usize = 4;
/// The customer's hub, and the group by which it is read.
pub const DEVICE_HUB: &str = "telemetry";
pub const GROUP_OF_HUB: &str = "fhir";
/// The namespace of connectors, and that of the operator.
pub const NAMESPACE: &str = "iot-connectors";
const SYSTEM: &str = "iot-connector-system";
/// The resource id of the cluster.
const CLUSTER: &str = "/subscriptions/p/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks1";

/// Until something has come of what was asked for.
pub const LIMIT: Duration = Duration::from_secs(240);

pub struct Site {
    pub kubelet: Kubelet,
    _keda: Keda,
    pub plane: ControlPlane,
    pub hub: EventHub,
    pub azurite: Azurite,
    hapi: MutexGuard<'static, Option<Hapi>>,
    pub sekmet: Sekmet,
    /// Before sekmet.
    pub gate: Gate,
    administration_port: u16,
    pub folder: tempfile::TempDir,
}

pub fn program(name: &str) -> PathBuf {
    end_to_end::folder("IOTC_TEST_BIN", "whole").join(name)
}

impl Site {
    /// Starts all of it, with an operator that runs.
    pub fn start() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let hapi = Hapi::shared();
        let sekmet = Sekmet::start();
        for fhir in [&hapi.as_ref().unwrap().fhir, &sekmet.fhir] {
            register(fhir);
        }
        let port = reqwest::Url::parse(&sekmet.fhir.url).unwrap().port().unwrap();
        let gate = Gate::before(port);
        // KEDA takes no port in an endpoint.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5672));
        let administration_port = free_port();
        let hubs = (&[DEVICE_HUB][..], &[GROUP_OF_HUB][..]);
        let hub =
            EventHub::start_administered(address, administration_port, &folder.path().join("hub"), hubs, PARTITIONS);
        let azurite = Azurite::start();
        let plane = ControlPlane::start();
        let keda = Keda::start(&plane);
        let native = Image::of(program("normalize")).file("/usr/local/bin/group-convert", program("group-convert"));
        let images = Images::new().with("*iot-connector-for-fhir/native:*", native.entrypoint(Vec::<String>::new()));
        let operator = Image::of(program("operator")).file("/usr/local/bin/helm", Helm::without_cluster().program());
        let images =
            images.with("*iot-connector-for-fhir/operator:*", operator.file("/charts", checkout().join("helm")));
        let kubelet = Kubelet::start(&plane, images);
        let site = Site { kubelet, _keda: keda, plane, hub, azurite, hapi, sekmet, gate, administration_port, folder };
        for namespace in [NAMESPACE, SYSTEM] {
            site.plane.make_namespace(namespace, &[("pod-security.kubernetes.io/enforce", "restricted")]);
        }
        site.make_secret();
        site.install_platform();
        site
    }

    pub fn hapi(&self) -> &Fhir {
        &self.hapi.as_ref().unwrap().fhir
    }

    /// Waits until two operators are ready.
    fn install_platform(&self) {
        // All pods share the addresses of this machine.
        let http = json!({ "listenAddress": "$(POD_IP)" });
        let values = json!({ "http": http, "connectorValues": { "http": http }, "watchNamespaces": [NAMESPACE] });
        let chart = checkout().join("helm/platform").display().to_string();
        Helm::new(&self.plane, SYSTEM).install("platform", &chart, &values.to_string()).unwrap();
        let name = "iot-connector-operator";
        self.plane.wait::<Deployment>(SYSTEM, name, "has two ready replicas", LIMIT, |deployment| {
            deployment.status.as_ref().and_then(|status| status.ready_replicas) == Some(2)
        });
    }

    /// What connectors open hubs and storage with, where nobody has an identity.
    fn make_secret(&self) {
        let hub = "Endpoint=sb://127.0.0.1;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true";
        let storage = format!("DefaultEndpointsProtocol=http;{ACCOUNT};BlobEndpoint={};", self.blobs());
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "site" },
            "stringData": { "hub": hub, "sas": SAS, "storage": storage },
        });
        self.plane.apply(NAMESPACE, &secret.to_string()).unwrap();
    }

    /// The address of the storage account.
    pub fn blobs(&self) -> String {
        format!("http://127.0.0.1:{}/devstoreaccount1", self.azurite.port())
    }

    /// The platform's file.
    pub fn platform(&self) -> Value {
        let sas = self.folder.path().join("sas");
        fs::write(&sas, SAS).unwrap();
        let service = |url: &str| json!({ "location": "westus2", "url": url });
        let secret = |key: &str| json!({ "secretName": "site", "secretKey": key });
        json!({
            "regions": ["westus2"],
            "fhirServices": {
                format!("{GROUP}/services/hapi"): service(&self.hapi().url),
                format!("{GROUP}/services/sekmet"): service(&format!("http://127.0.0.1:{}/fhir", self.gate.port())),
            },
            "machine": {
                "state": self.folder.path().join("machine"),
                "programs": program("."),
                "eventHubsPort": self.hub.port(),
                "administrationPort": self.administration_port,
                "administrationToken": self.folder.path().join("hub/.administration-token"),
                "blobs": { "service": self.blobs(), "sas": sas },
            },
            "pools": { "regions": { "westus2": [{
                "subscriptionId": "p", "aksClusterResourceId": CLUSTER.to_uppercase(), "keyVaultResourceId": "/vaults/v",
            }] } },
            "clusters": [{ "resourceId": CLUSTER, "kubeconfig": self.plane.kubeconfig() }],
            "connectors": {
                "namespace": NAMESPACE, "identity": "None", "lagSource": "keda",
                "internalPartitions": PARTITIONS, "sourcePartitions": PARTITIONS,
                "connector": {
                    "source": { "authentication": { "type": "ConnectionString", "connectionString": secret("hub") } },
                    "internalHub": {
                        "eventHub": { "fullyQualifiedNamespace": "127.0.0.1" },
                        "authentication": { "type": "Development", "connectionString": secret("hub") },
                        "customEndpoint": "amqp://127.0.0.1:5672",
                    },
                    "storage": {
                        "accountName": "devstoreaccount1",
                        "blobServiceUri": self.blobs(),
                        "authentication": { "type": "Sas", "sas": secret("sas"), "connectionString": secret("storage") },
                    },
                    "scaling": {
                        "pollingInterval": 1, "cooldownPeriod": 5, "initialCooldownPeriod": 5,
                        "scaleDownStabilizationSeconds": 0,
                    },
                },
                "destination": {
                    "fhir": { "authentication": { "type": "None" } },
                    "window": { "maxEvents": 100, "seconds": 2 },
                },
            },
        })
    }

    /// Sends events to the customer's hub, each to a partition by its device.
    pub fn send(&self, events: &[String]) {
        for (device, events) in by_device(events) {
            self.hub.send(DEVICE_HUB, To::Key(device), &events);
        }
    }

    /// The hubs that there are.
    pub fn hubs(&self) -> Vec<String> {
        let token = fs::read_to_string(self.folder.path().join("hub/.administration-token")).unwrap();
        let url = format!("http://127.0.0.1:{}/hubs", self.administration_port);
        let answer = reqwest::blocking::Client::new().get(url).bearer_auth(token.trim()).send().unwrap();
        let hubs: Value = answer.error_for_status().unwrap().json().unwrap();
        let list = hubs.as_array().or(hubs["hubs"].as_array()).unwrap().iter();
        list.map(|hub| hub.as_str().or(hub["name"].as_str()).unwrap().to_owned()).collect()
    }
}

/// A test that fails shows what its pods said last.
impl Drop for Site {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for run in self.kubelet.containers() {
            let lines: Vec<&str> = run.log.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].iter().map(|line| line.get(..400).unwrap_or(line));
            let last = last.collect::<Vec<_>>().join("\n");
            eprintln!("== {} {} pid {:?} exit {:?}\n{last}", run.pod, run.container, run.pid, run.exit_code);
        }
    }
}
