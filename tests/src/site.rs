//! A hub, a storage and a FHIR server, and functions as processes that read
//! their hubs themselves and work between these.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use delivery::Fates;
use mapping::identifier::resource_id;
use serde_json::json;

use crate::azurite::Azurite;
use crate::fhir::Fhir;
use crate::hub::{EventHub, To};
use crate::oracle::answers_in;
use crate::process::{Running, signal};

/// Until a process has finished what it began.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Enough that some are in each partition.
pub const DEVICES: [&str; 12] = ["d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11", "d12"];

/// The hub of device events.
pub const DEVICE_HUB: &str = "devicedata";
/// The hub between the functions.
pub const INTERNAL_HUB: &str = "normalizeddata";
/// Of each of the hubs.
pub const PARTITIONS: usize = 4;

/// Everything but the functions.
#[derive(Debug)]
pub struct Site {
    /// The hubs.
    pub hub: EventHub,
    /// Where positions are.
    pub azurite: Azurite,
    /// What functions that are started from now on are told.
    pub reach: Reach,
    folder: tempfile::TempDir,
}

/// Where functions find what they need; a proxy may stand in front of each.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The base URL of the FHIR server.
    pub fhir: String,
    /// The port of the hubs on loopback.
    pub hub_port: u16,
    /// The port of the storage on loopback.
    pub storage_port: u16,
}

/// The fate of each event, or of each measurement of it, by partition and
/// sequence number; what came again has its first.
pub type FatesOf = BTreeMap<(String, i64), Vec<String>>;

fn sample(name: &str) -> String {
    format!("{}/../samples/demo/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl Site {
    /// Starts what functions need, and registers the devices of the events on
    /// the server.
    ///
    /// # Panics
    /// When something does not start.
    #[track_caller]
    pub fn start(fhir: &Fhir) -> Site {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for the site: {error}"));
        let hub = EventHub::start(&folder.path().join("hub"), &[DEVICE_HUB, INTERNAL_HUB], PARTITIONS);
        let azurite = Azurite::start();
        for function in ["normalize", "group-convert"] {
            azurite.make(positions_of(function));
        }
        register(fhir);
        let reach = Reach { fhir: fhir.url.clone(), hub_port: hub.port(), storage_port: azurite.port() };
        Site { hub, azurite, reach, folder }
    }

    /// A folder for what a test needs besides.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a function that calls itself `name`.
    pub fn function(&self, function: &str, name: &str) -> Running {
        self.function_with(function, name, &[])
    }

    /// The same with more app settings, or with others than the site's own.
    /// Normalize reads its hub with a connection string, group-convert with
    /// tokens; windows last a second.
    ///
    /// # Panics
    /// When the program is not there.
    #[track_caller]
    pub fn function_with(&self, function: &str, name: &str, settings: &[(&str, &str)]) -> Running {
        let mut command = Command::new(crate::folder("IOTC_TEST_BIN", "native").join(function));
        command.env_clear();
        self.set(&mut command, function, name);
        Running::start(name, command.envs(settings.iter().copied()))
    }

    /// The same with signals of these names ignored, `XFSZ` for one.
    ///
    /// # Panics
    /// When the program is not there.
    #[track_caller]
    pub fn function_ignoring(&self, function: &str, name: &str, signals: &str) -> Running {
        let mut command = Command::new("sh");
        command.env_clear().args(["-c", &format!("trap '' {signals}; exec \"$0\"")]);
        command.arg(crate::folder("IOTC_TEST_BIN", "native").join(function));
        self.set(&mut command, function, name);
        Running::start(name, &mut command)
    }

    fn set(&self, command: &mut Command, function: &str, name: &str) {
        let Reach { fhir, hub_port, storage_port } = &self.reach;
        command.envs([
            // Half of what threads have: a debug build needs more of it than what is shipped.
            ("RUST_MIN_STACK", "1048576"),
            ("Process__Name", name),
            ("Answer__Fates", "true"),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost"),
            ("NormalizationEventHub__EventHubName", INTERNAL_HUB),
            ("NormalizationEventHub__AuthenticationType", "Development"),
            ("NormalizationEventHub__CustomEndpoint", &format!("amqp://127.0.0.1:{hub_port}")),
            ("DeadLetters__Folder", &self.folder.path().join("dead-letters").display().to_string()),
        ]);
        let positions = self.azurite.container_at(*storage_port, positions_of(function));
        command.env("CheckpointStorage__BlobStorageContainerUri", positions.as_str());
        match function {
            "normalize" => {
                let access = "SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true";
                let connection = format!("Endpoint=sb://localhost:{hub_port};{access}");
                command.envs([
                    ("Template__DeviceContent", sample("devicecontent.json")),
                    ("InputEventHub__ConnectionString", connection),
                    ("InputEventHub__EventHubName", DEVICE_HUB.to_owned()),
                ]);
            }
            _ => {
                command.envs([
                    ("Template__FhirMapping", sample("fhirmapping.json")),
                    ("FhirService__Url", fhir.clone()),
                    ("ResourceIdentity__ResourceIdentityServiceType", "Create".to_owned()),
                    ("EventBatching__FlushTimespan", "1".to_owned()),
                ]);
            }
        }
    }

    /// Sends events to the device hub, each to a partition by its device: the
    /// first value of its text.
    ///
    /// # Panics
    /// When the hub does not take them.
    #[track_caller]
    pub fn send(&self, events: &[String]) {
        for (device, events) in by_device(events) {
            self.hub.send(DEVICE_HUB, To::Key(device), &events);
        }
    }

    /// What KEDA would read: for each partition of the hub that the function
    /// reads the sequence number of its checkpoint; none where none was stored.
    pub fn checkpoints(&self, function: &str) -> Vec<Option<i64>> {
        let container = self.azurite.container(positions_of(function));
        let number = |partition: usize| {
            let name = format!("localhost/{}/$default/checkpoint/{partition}", hub_of(function));
            let blob = self.azurite.find(&container, &name)?;
            blob.headers().get("x-ms-meta-sequencenumber")?.to_str().ok()?.parse().ok()
        };
        (0..PARTITIONS).map(number).collect()
    }

    /// Whether the function has worked through everything that is in its hub.
    ///
    /// # Panics
    /// When the hub does not answer.
    pub fn is_done(&self, function: &str) -> bool {
        let last = self.hub.last_sequence_numbers(hub_of(function));
        self.checkpoints(function) == last.into_iter().map(Some).collect::<Vec<_>>()
    }
}

/// The hub that a function reads.
pub fn hub_of(function: &str) -> &'static str {
    if function == "normalize" { DEVICE_HUB } else { INTERNAL_HUB }
}

/// The container where a function keeps its positions.
pub fn positions_of(function: &str) -> &'static str {
    if function == "normalize" { "positions-normalize" } else { "positions-convert" }
}

/// Events by their device, which is the first value of their text; what is no
/// event of a device is together.
pub fn by_device(events: &[String]) -> BTreeMap<&str, Vec<&str>> {
    let mut by_device: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in events {
        by_device.entry(event.split('"').nth(3).unwrap_or_default()).or_default().push(event);
    }
    by_device
}

/// The devices of the events and their patients, as `iotc up` registers them.
pub fn register(fhir: &Fhir) {
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
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn stop(process: &mut Running) {
    signal(process.pid(), "TERM");
    let ended = process.wait(STOP_LIMIT);
    assert!(ended.success(), "{ended}:\n{}", process.printed());
}

/// The fates that these processes wrote for a function.
pub fn fates<'p>(function: &str, processes: impl IntoIterator<Item = &'p Running>) -> FatesOf {
    fates_in(function, processes.into_iter().flat_map(Running::stdout))
}

/// The same of the lines of a log.
pub fn fates_in(function: &str, lines: impl Iterator<Item = String>) -> FatesOf {
    let mut all = FatesOf::new();
    for line in answers_in(lines).filter(|line| line.function == function) {
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
