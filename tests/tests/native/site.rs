//! A hub, a storage and a FHIR server, and functions that work between them.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use azure::{CredentialSettings, HubConfig, HubProducer};
use delivery::{Fates, Unfenced};
use end_to_end::azurite::Azurite;
use end_to_end::fhir::Fhir;
use end_to_end::poll::until;
use end_to_end::process::{Running, free_port, signal};
use mapping::identifier::resource_id;
use serde::Deserialize;
use serde_json::json;

const START_LIMIT: Duration = Duration::from_secs(60);
/// Until a process has finished what it began.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Enough that some are in each partition.
pub const DEVICES: [&str; 12] = ["d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11", "d12"];

/// Everything but the functions.
pub struct Site {
    hub_port: u16,
    _hub: Running,
    azurite: Azurite,
    fhir: Fhir,
    folder: tempfile::TempDir,
}

/// What a function wrote of a batch (app setting `Answer__Fates`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    function: String,
    partition: String,
    sequence_numbers: Vec<i64>,
    return_value: Returned,
}

#[derive(Deserialize)]
struct Returned {
    fates: Fates,
}

/// The fate of each event, or of each measurement of it, by partition and
/// sequence number; what came again has its first.
pub type FatesOf = BTreeMap<(String, i64), Vec<String>>;

fn bin(name: &str) -> PathBuf {
    end_to_end::folder("IOTC_TEST_BIN", "native").join(name)
}

fn sample(name: &str) -> String {
    format!("{}/../samples/demo/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl Site {
    /// Starts what functions need.
    pub fn start(fhir: &Fhir) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let hub_port = free_port();
        let mut hub = Command::new(bin("iotc"));
        hub.args(["stand-in", "event-hubs", "--hub", "devicedata", "--hub", "normalizeddata", "--partitions", "4"]);
        hub.arg("--port").arg(hub_port.to_string()).arg("--state").arg(folder.path().join("hub"));
        let mut hub = Running::start("the hub", &mut hub);
        until("the hub listens", START_LIMIT, || {
            hub.check_running();
            TcpStream::connect(("127.0.0.1", hub_port)).ok()
        });
        let azurite = Azurite::start();
        for container in ["positions-normalize", "positions-convert"] {
            azurite.make(container);
        }
        register(fhir);
        Site { hub_port, _hub: hub, azurite, fhir: fhir.clone(), folder }
    }

    fn endpoint(&self) -> String {
        format!("amqp://127.0.0.1:{}", self.hub_port)
    }

    fn connection_string(&self) -> String {
        format!(
            "Endpoint=sb://localhost:{};SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true",
            self.hub_port
        )
    }

    /// Starts a function that calls itself `name`. Normalize reads its hub with
    /// a connection string, group-convert with tokens.
    pub fn function(&self, function: &str, name: &str) -> Running {
        let mut command = Command::new(bin(function));
        command.env_clear().envs([
            // Half of what threads have: a debug build needs more of it than what is shipped.
            ("RUST_MIN_STACK", "1048576"),
            ("Process__Name", name),
            ("Answer__Fates", "true"),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost"),
            ("NormalizationEventHub__EventHubName", "normalizeddata"),
            ("NormalizationEventHub__AuthenticationType", "Development"),
            ("NormalizationEventHub__CustomEndpoint", &self.endpoint()),
            ("DeadLetters__Folder", &self.folder.path().join("dead-letters").display().to_string()),
        ]);
        let positions = self.azurite.container(match function {
            "normalize" => "positions-normalize",
            _ => "positions-convert",
        });
        command.env("CheckpointStorage__BlobStorageContainerUri", positions.as_str());
        match function {
            "normalize" => command.envs([
                ("Template__DeviceContent", sample("devicecontent.json")),
                ("InputEventHub__ConnectionString", self.connection_string()),
                ("InputEventHub__EventHubName", "devicedata".to_owned()),
            ]),
            _ => command.envs([
                ("Template__FhirMapping", sample("fhirmapping.json")),
                ("FhirService__Url", self.fhir.url.clone()),
                ("ResourceIdentity__ResourceIdentityServiceType", "Create".to_owned()),
                ("EventBatching__FlushTimespan", "1".to_owned()),
            ]),
        };
        Running::start(name, &mut command)
    }

    /// Sends events to the device hub, each to a partition by its device.
    pub fn send(&self, events: &[String]) {
        let config =
            HubConfig { custom_endpoint: self.endpoint().parse().ok(), ..HubConfig::new("localhost", "devicedata") };
        let producer = HubProducer::new(config, &CredentialSettings::Development).expect("a hub");
        let mut by_device: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for event in events {
            let device = event.split('"').nth(3).unwrap_or_default();
            by_device.entry(device).or_default().push(event);
        }
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        for (device, events) in by_device {
            let sent = runtime.block_on(producer.send(device, &events, &Unfenced)).expect("the hub takes them");
            assert_eq!(sent.too_large, [0; 0]);
        }
    }

    /// What KEDA would read: for each partition of the internal hub the
    /// sequence number of its checkpoint.
    pub fn checkpoints(&self) -> Vec<i64> {
        let container = self.azurite.container("positions-convert");
        let number = |partition: usize| {
            let name = format!("localhost/normalizeddata/$default/checkpoint/{partition}");
            let blob = self.azurite.head(&container, &name);
            let number = blob.headers().get("x-ms-meta-sequencenumber").and_then(|number| number.to_str().ok());
            number.and_then(|number| number.parse().ok()).expect("a number")
        };
        (0..4).map(number).collect()
    }
}

/// The devices of the events and their patients, as `iotc up` registers them.
fn register(fhir: &Fhir) {
    let mut resources = Vec::new();
    for device in DEVICES.into_iter().chain(["th-1"]) {
        let identifier = format!("patient-of-{device}");
        let patient = resource_id("", &identifier);
        let reference = json!({ "reference": format!("Patient/{patient}") });
        resources.push(json!({ "resourceType": "Patient", "id": patient, "identifier": [{ "value": identifier }] }));
        resources.push(json!({
            "resourceType": "Device",
            "id": resource_id("", device),
            "identifier": [{ "value": device }],
            "patient": reference,
        }));
    }
    // Patients first: some servers look whether a reference is there.
    let (patients, devices): (Vec<_>, Vec<_>) =
        resources.into_iter().partition(|resource| resource["resourceType"] == "Patient");
    fhir.put_all(&patients);
    fhir.put_all(&devices);
}

/// Tells a process to stop, and sees that it does so in good order.
pub fn stop(process: &mut Running) {
    signal(process.pid(), "TERM");
    let ended = process.wait(STOP_LIMIT);
    assert!(ended.success(), "{ended}:\n{}", process.printed());
}

/// The fates that these processes wrote for a function.
pub fn fates(function: &str, processes: &[Running]) -> FatesOf {
    let mut all = FatesOf::new();
    let lines = processes.iter().flat_map(Running::stdout);
    for line in lines.filter_map(|line| serde_json::from_str::<Line>(&line).ok()) {
        if line.function != function {
            continue;
        }
        let fates: Vec<Vec<String>> = match line.return_value.fates {
            Fates::Events(fates) => fates.iter().map(|fate| vec![fate.to_string()]).collect(),
            Fates::Measurements(events) => {
                events.iter().map(|fates| fates.iter().map(ToString::to_string).collect()).collect()
            }
        };
        for (number, fates) in line.sequence_numbers.into_iter().zip(fates) {
            all.entry((line.partition.clone(), number)).or_insert(fates);
        }
    }
    all
}
