//! Hubs and a FHIR server on loopback, and the settings of functions in
//! containers that work between them.

use std::path::Path;
use std::time::Duration;

use end_to_end::container::Plan;
use end_to_end::hub::{EventHub, To};
use end_to_end::own_server::OwnServer;
use end_to_end::poll::until;
use end_to_end::process::Running;
use end_to_end::site::{DEVICE_HUB, INTERNAL_HUB, register};
use tempfile::TempDir;

const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

/// Everything but the functions.
pub struct Site {
    hub: EventHub,
    fhir: OwnServer,
    folder: TempDir,
}

impl Site {
    pub fn start() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let hub = EventHub::start(&folder.path().join("hub"), &[DEVICE_HUB, INTERNAL_HUB], 2);
        let fhir = OwnServer::start("hapi");
        register(&fhir.fhir);
        Site { hub, fhir, folder }
    }

    /// The settings of a function: mappings below /mappings, what it writes
    /// below /state.
    pub fn plan(&self, function: &str) -> Plan {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/demo").canonicalize().unwrap();
        let connection = format!(
            "Endpoint=sb://localhost:{};SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true",
            self.hub.port()
        );
        let plan = Plan::default()
            .reads(&samples, "/mappings")
            .writes(&self.folder.path().join(function), "/state")
            .env("NormalizationEventHub__EventHubNamespaceFQDN", "localhost")
            .env("NormalizationEventHub__EventHubName", INTERNAL_HUB)
            .env("NormalizationEventHub__AuthenticationType", "Development")
            .env("NormalizationEventHub__CustomEndpoint", format!("amqp://127.0.0.1:{}", self.hub.port()))
            .env("CheckpointStorage__Folder", "/state/positions")
            .env("DeadLetters__Folder", "/state/dead-letters");
        match function {
            "normalize" => plan
                .env("Template__DeviceContent", "/mappings/devicecontent.json")
                // The first is the Functions host's, the second ours.
                .env("InputEventHub", connection.as_str())
                .env("InputEventHub__ConnectionString", connection.as_str())
                .env("InputEventHub__EventHubName", DEVICE_HUB)
                .env("InputEventHub__EventHubConsumerGroup", "$Default"),
            _ => plan
                .env("Template__FhirMapping", "/mappings/fhirmapping.json")
                .env("NormalizationEventHub", connection.as_str())
                .env("NormalizationEventHub__EventHubConsumerGroup", "$Default")
                .env("FhirService__Url", self.fhir.fhir.url.as_str())
                .env("ResourceIdentity__ResourceIdentityServiceType", "Create")
                .env("EventBatching__FlushTimespan", "1"),
        }
    }

    /// Sends an event and waits until it is an Observation.
    pub fn sees_an_event_through<'p>(&self, processes: impl IntoIterator<Item = &'p mut Running>) {
        let event = r#"{"deviceid":"d1","measurementdatetime":"2020-11-01T12:00:00Z","heartrate":"78"}"#;
        self.hub.send(DEVICE_HUB, To::Key("d1"), &[event]);
        let mut processes: Vec<_> = processes.into_iter().collect();
        until("the event is an Observation", ARRIVAL_LIMIT, || {
            processes.iter_mut().for_each(|process| process.check_running());
            self.fhir.fhir.try_observations().filter(|observations| !observations.is_empty())
        });
    }
}
