//! A cluster with a hub, a storage and a FHIR server beside it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::MutexGuard;
use std::time::Duration;

use end_to_end::azurite::{ACCOUNT, Azurite, SAS};
use end_to_end::fhir::Fhir;
use end_to_end::hapi::Hapi;
use end_to_end::hub::{EventHub, To};
use end_to_end::poll::until;
use end_to_end::proxy::Proxy;
use end_to_end::site::{FatesOf, by_device, fates_in, register};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kubernetes_tests::{ControlPlane, Helm, Image, Images, Keda, Kubelet, checkout};
use serde_json::{Value, json};

/// Of both hubs.
pub const PARTITIONS: usize = 4;
/// The hub of device events, as the seed documents write it.
pub const DEVICE_HUB: &str = "EventHub";
/// Whoever reads it.
pub const GROUP: &str = "consumerGroupA";
pub const INTERNAL_HUB: &str = "normalizeddata";
pub const NAMESPACE: &str = "ward";
/// The chart's release, and the name of the connector.
pub const RELEASE: &str = "ward7";

/// Until something has come of an event, or of nothing coming.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Everything that a connector on a cluster needs.
pub struct Site {
    pub kubelet: Kubelet,
    _keda: Keda,
    pub plane: ControlPlane,
    pub hub: EventHub,
    pub azurite: Azurite,
    hapi: MutexGuard<'static, Option<Hapi>>,
    /// What pods take for HAPI FHIR.
    pub proxy: Proxy,
    /// Where the hubs listen: KEDA takes no port in an endpoint.
    address: Ipv4Addr,
    _folder: tempfile::TempDir,
}

/// What is read of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    Normalize,
    Convert,
}

impl Workload {
    pub const ALL: [Workload; 2] = [Workload::Normalize, Workload::Convert];

    pub fn name(self) -> String {
        match self {
            Workload::Normalize => format!("{RELEASE}-normalize"),
            Workload::Convert => format!("{RELEASE}-convert-hapi"),
        }
    }

    fn function(self) -> &'static str {
        match self {
            Workload::Normalize => "normalize",
            Workload::Convert => "group-convert",
        }
    }
}

/// Whose positions are meant.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'t> {
    pub hub: &'t str,
    pub group: &'t str,
    /// Where the positions are.
    pub container: &'t str,
}

fn program(name: &str) -> std::path::PathBuf {
    end_to_end::folder("IOTC_TEST_BIN", "kubernetes").join(name)
}

fn operator_image() -> Image {
    let image = Image::of(program("operator")).file("/usr/local/bin/helm", Helm::without_cluster().program());
    image.file("/charts", checkout().join("helm"))
}

/// The functions below a Functions host, which is the stand-in here: app roots as
/// in the real image. What has to be written for them goes into `folder`.
fn functions_image(folder: &Path) -> Image {
    let mut image = Image::of(env!("CARGO_BIN_EXE_functions-host"));
    let json = fs::read_to_string(checkout().join("host.json")).expect("host.json");
    for function in ["normalize", "group-convert"] {
        let root = Path::new("/home/site").join(function);
        let host = folder.join(format!("{function}.json"));
        fs::write(&host, json.replace("handlers/normalize", &format!("handlers/{function}"))).expect("host.json");
        image = image.file(root.join("host.json"), host).file(root.join("handlers").join(function), program(function));
        let app = checkout().join("functions").join(function).join("app");
        for entry in fs::read_dir(app).expect("the app's functions").map(|entry| entry.expect("a function")) {
            image = image.file(root.join(entry.file_name()), entry.path());
        }
    }
    image
}

fn native_image() -> Image {
    let image = Image::of(program("normalize")).file("/usr/local/bin/group-convert", program("group-convert"));
    image.entrypoint(Vec::<String>::new())
}

impl Site {
    /// Starts everything but the connector, with its hubs at an address of
    /// loopback that no other test has.
    pub fn start(address: Ipv4Addr) -> Site {
        Site::start_with(address, &[])
    }

    /// The same with more hubs.
    pub fn start_with(address: Ipv4Addr, more_hubs: &[&str]) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let hapi = Hapi::shared();
        let server = &hapi.as_ref().expect("it was started").fhir;
        register(server);
        let proxy = Proxy::start(&server.url);
        let hubs = [&[DEVICE_HUB, INTERNAL_HUB], more_hubs].concat();
        let (address_and_port, state) = (SocketAddr::from((address, 5672)), folder.path().join("hub"));
        let hub = EventHub::start_at(address_and_port, &state, (&hubs, &[GROUP, "dst-hapi"]), PARTITIONS);
        let azurite = Azurite::start();
        let plane = ControlPlane::start();
        let keda = Keda::start(&plane);
        let images = Images::new().with("*iot-connector-for-fhir/native:*", native_image());
        let functions = functions_image(folder.path());
        let images = images.with("*iot-connector-for-fhir/functions:*", functions);
        let images = images.with("*iot-connector-for-fhir/operator:*", operator_image());
        let kubelet = Kubelet::start(&plane, images);
        plane.make_namespace(NAMESPACE, &[("pod-security.kubernetes.io/enforce", "restricted")]);
        let site = Site { kubelet, _keda: keda, plane, hub, azurite, hapi, proxy, address, _folder: folder };
        site.make_secret();
        site
    }

    pub fn fhir(&self) -> &Fhir {
        &self.hapi.as_ref().expect("it was started").fhir
    }

    pub fn helm(&self) -> Helm {
        Helm::new(&self.plane, NAMESPACE)
    }

    /// The chart of a connector.
    pub fn chart() -> String {
        checkout().join("helm/iot-connector").display().to_string()
    }

    /// The connection strings and the signature that the values refer to.
    fn make_secret(&self) {
        let hub = format!(
            "Endpoint=sb://{};SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true",
            self.address
        );
        let blobs = format!("BlobEndpoint={}", self.blobs());
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "site" },
            "stringData": {
                "hub": hub, "sas": SAS, "storage": format!("DefaultEndpointsProtocol=http;{ACCOUNT};{blobs};"),
            },
        });
        self.plane.apply(NAMESPACE, &secret.to_string()).expect("a Secret");
    }

    fn blobs(&self) -> String {
        format!("http://127.0.0.1:{}/devstoreaccount1", self.azurite.port())
    }

    /// Values of a connector that reads this site's hub; windows hold 100 events
    /// or last two seconds.
    pub fn values(&self) -> Value {
        let sample = |name: &str| fs::read_to_string(checkout().join("samples/demo").join(name)).expect("a sample");
        let secret = |key: &str| json!({ "secretName": "site", "secretKey": key });
        json!({
            "source": {
                "eventHub": {
                    "fullyQualifiedNamespace": self.address.to_string(), "name": DEVICE_HUB, "consumerGroup": GROUP,
                    "partitionCount": PARTITIONS,
                },
                "authentication": { "type": "ConnectionString", "connectionString": secret("hub") },
            },
            "internalHub": {
                "eventHub": {
                    "fullyQualifiedNamespace": self.address.to_string(), "name": INTERNAL_HUB,
                    "partitionCount": PARTITIONS,
                },
                "authentication": { "type": "Development", "connectionString": secret("hub") },
                "customEndpoint": format!("amqp://{}:5672", self.address),
            },
            "storage": {
                "accountName": "devstoreaccount1",
                "blobServiceUri": self.blobs(),
                "authentication": { "type": "Sas", "sas": secret("sas"), "connectionString": secret("storage") },
            },
            "identity": { "type": "None" },
            "mappings": { "device": { "content": sample("devicecontent.json") } },
            "destinations": [{
                "name": "hapi",
                "mapping": { "content": sample("fhirmapping.json") },
                "fhir": { "url": self.proxy.url, "authentication": { "type": "None" } },
                "window": { "maxEvents": 100, "seconds": 2 },
            }],
            "settings": { "Answer__Fates": "true" },
            "http": { "listenAddress": "$(POD_IP)" },
            "scaling": {
                "pollingInterval": 1, "cooldownPeriod": 5, "initialCooldownPeriod": 10,
                "scaleDownStabilizationSeconds": 0,
                "normalize": { "unprocessedEventThreshold": 100 },
            },
        })
    }

    /// Sends events to the device hub, each to a partition by its device.
    pub fn send(&self, events: &[String]) {
        for (device, events) in by_device(events) {
            self.hub.send(DEVICE_HUB, To::Key(device), &events);
        }
    }

    pub fn replicas(&self, workload: Workload) -> i32 {
        let deployments = self.plane.api::<Deployment>(NAMESPACE);
        let deployment = self.plane.block_on(deployments.get(&workload.name())).expect("the Deployment");
        deployment.spec.replicas.expect("a number of replicas")
    }

    pub fn wait_for_replicas(&self, workload: Workload, replicas: i32) {
        let name = workload.name();
        self.plane.wait::<Deployment>(NAMESPACE, &name, &format!("has {replicas} replicas"), LIMIT, |deployment| {
            deployment.spec.replicas == Some(replicas)
        });
    }

    /// Lets no new pod be placed, or lets them.
    pub fn hold_pods(&self, hold: bool) {
        let action = if hold { "cordon" } else { "uncordon" };
        self.plane.kubectl(&[action, "node-1"]).expect("the node");
    }

    /// Waits until no pod is left, also none that is ending.
    pub fn wait_for_no_pods(&self) {
        let pods = self.plane.api::<Pod>(NAMESPACE);
        until("no pod is left", LIMIT, || {
            let list = self.plane.block_on(pods.list(&ListParams::default())).expect("pods");
            list.items.is_empty().then_some(())
        });
    }

    /// What pods of a workload wrote of their batches, in the order of their start.
    pub fn fates(&self, workload: Workload) -> FatesOf {
        let logs = self.kubelet.containers().into_iter().filter(|run| run.pod.starts_with(&workload.name()));
        let lines: Vec<String> = logs.flat_map(|run| run.log.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        fates_in(workload.function(), lines.into_iter())
    }

    /// How many pods of a workload there have been.
    pub fn pods_seen(&self, workload: Workload) -> usize {
        let runs = self.kubelet.containers().into_iter().filter(|run| run.pod.starts_with(&workload.name()));
        runs.map(|run| run.uid).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// What KEDA says of the lag of a workload.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let scaled = self.plane.kubectl(&["-n", NAMESPACE, "get", "scaledobject", name, "-o", "json"]).ok()?;
        let scaled: Value = serde_json::from_str(&scaled).ok()?;
        let metric = scaled["status"]["externalMetricNames"][0].as_str()?.replace('$', "%24");
        let selector = format!("labelSelector=scaledobject.keda.sh%2Fname%3D{name}");
        let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/{metric}?{selector}");
        let answer: Value = serde_json::from_str(&self.plane.kubectl(&["get", "--raw", &path]).ok()?).ok()?;
        quantity(answer["items"][0]["value"].as_str()?)
    }

    /// The true lag of whoever reads a hub: by its own numbers and the stored
    /// positions; what is there where there is no position.
    pub fn lag(&self, reading: Reading<'_>) -> i64 {
        let waiting = |((first, last), done): ((i64, i64), Option<i64>)| last - done.unwrap_or(first - 1);
        self.hub.bounds(reading.hub).into_iter().zip(self.positions(reading)).map(waiting).sum()
    }

    /// The stored position of each partition.
    pub fn positions(&self, reading: Reading<'_>) -> Vec<Option<i64>> {
        let container = self.azurite.container(reading.container);
        let prefix = format!("{}/{}/{}", self.address, reading.hub, reading.group).to_lowercase();
        let position = |partition: usize| {
            let blob = self.azurite.find(&container, &format!("{prefix}/checkpoint/{partition}"))?;
            blob.headers().get("x-ms-meta-sequencenumber")?.to_str().ok()?.parse().ok()
        };
        (0..PARTITIONS).map(position).collect()
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

/// A Kubernetes quantity as a number.
fn quantity(text: &str) -> Option<f64> {
    let factors = BTreeMap::from([("m", 0.001), ("k", 1000.0), ("M", 1_000_000.0)]);
    let suffix = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let number: f64 = text.strip_suffix(suffix)?.parse().ok()?;
    Some(number * if suffix.is_empty() { 1.0 } else { *factors.get(suffix)? })
}
