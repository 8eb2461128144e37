//! `iotc dead-letters` over hubs, run as a user runs it.

#![allow(clippy::unwrap_used)] // A test may fail by it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;

use azure::credentials::CredentialSettings;
use azure::{DeadLetterHub, HubConfig, HubProducer, SdkHub};
use delivery::replay::REPLAY_PROPERTY;
use delivery::{
    DeadLetter, DeadLetters, Hub, HubEvent, KeptProperties, Position, Property, Reader, Reason, Source, Stage, Start,
};
use expressions::UtcTime;
use local::event_hubs::{Config, EventHubs, HubConfig as StandInHub};
use tokio::sync::oneshot;

/// In all that the events hold, and in nothing else.
const MARK: &str = "canary-9d21";

const DEVICE_MAPPING: &str = r#"{ "templateType": "CollectionContent", "template": [
    { "templateType": "JsonPathContent", "template": {
        "typeName": "heartrate", "typeMatchExpression": "$..[?(@heartrate)]",
        "deviceIdExpression": "$.device", "timestampExpression": "$.at",
        "values": [ { "required": true, "valueExpression": "$.heartrate", "valueName": "hr" } ] } } ] }"#;

/// The Event Hubs stand-in with a hub of letters and the internal hub, on a
/// runtime of its own.
struct StandIn {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    fn start(state: &Path) -> StandIn {
        let hub = |name: &str| StandInHub { name: name.to_owned(), partitions: Some(2), consumer_groups: Vec::new() };
        let hubs = vec![hub("letters"), hub("internal")];
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { listen, state: state.to_owned(), hubs, default_partitions: 1, latency: Config::LATENCY };
        let (started, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let event_hubs = EventHubs::start(config).await.unwrap();
                started.send(event_hubs.address()).unwrap();
                event_hubs.run(async { stopped.await.unwrap_or_default() }).await;
            });
        });
        StandIn { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    fn config(&self, hub: &str) -> HubConfig {
        HubConfig { custom_endpoint: Some(self.endpoint().parse().unwrap()), ..HubConfig::new("localhost", hub) }
    }

    fn endpoint(&self) -> String {
        format!("amqp://{}", self.address)
    }

    /// All events of the internal hub.
    async fn internal(&self) -> Vec<HubEvent> {
        let config = self.config("internal");
        let hub = SdkHub::new(config, "$Default", &CredentialSettings::Development).unwrap();
        let mut events = Vec::new();
        for partition in hub.partitions().await.unwrap() {
            let bounds = hub.bounds(&partition).await.unwrap();
            let mut reader = hub.open(&partition, Start::Beginning, 8).await.unwrap();
            for _ in bounds.first..=bounds.last {
                events.push(reader.next().await.unwrap());
            }
        }
        events
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed.
            let _ = thread.join();
        }
    }
}

/// Whether it succeeded, and standard output.
fn iotc(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iotc"));
    let output = command.arg("dead-letters").args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!err.contains(MARK), "{err}");
    eprintln!("{err}");
    (output.status.success(), out.into_owned())
}

fn letter<'b>(stage: Stage, sequence_number: i64, measurement: usize, body: &'b [u8]) -> DeadLetter<'b> {
    let hub = match stage {
        Stage::Normalize => "origin",
        Stage::GroupConvert => "internal",
    };
    let source = Source { hub: hub.to_owned(), partition: "0".to_owned(), ..Source::default() };
    let enqueued_time = UtcTime::from_unix_milliseconds(1_604_232_000_000).unwrap();
    let of_list = stage == Stage::GroupConvert;
    let kept =
        |text: &str| KeptProperties { text: if of_list { text.to_owned() } else { String::new() }, dates: Vec::new() };
    DeadLetter {
        stage,
        reason: Reason::new("IncompatibleData", "a value is missing"),
        mapping_version: "v1".to_owned(),
        position: Position { source, sequence_number: Some(sequence_number), index: 0, enqueued_time },
        measurement,
        body,
        properties: kept(r#"{"IsMeasurementGroup":true,"count":2}"#),
        system_properties: kept(r#"{"x-opt-partition-key":"17","content-type":"application/x-json"}"#),
    }
}

fn text(properties: &[(String, Property)], name: &str) -> Option<String> {
    properties.iter().find(|(known, _)| known == name).map(|(_, value)| match value {
        Property::String(text) => text.clone(),
        Property::Bool(flag) => flag.to_string(),
        Property::Integer(number) => number.to_string(),
        _ => "another type".to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_a_hub_are_listed_once_shown_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path());
    let event = format!(r#"{{"device":"{MARK}","at":"2020-11-01T12:00:00Z","heartrate":78}}"#);
    let bad = format!(r#"{{"device":"{MARK}"}}"#);
    let list = format!(r#"[{{"DeviceId":"{MARK}"}},{{"DeviceId":"{MARK}"}}]"#);
    let letters = [
        letter(Stage::Normalize, 7, 0, event.as_bytes()),
        letter(Stage::Normalize, 8, 0, bad.as_bytes()),
        // Two measurements of one event.
        letter(Stage::GroupConvert, 3, 0, list.as_bytes()),
        letter(Stage::GroupConvert, 3, 1, list.as_bytes()),
    ];
    let producer = HubProducer::new(stand_in.config("letters"), &CredentialSettings::Development).unwrap();
    let hub = DeadLetterHub::new(producer);
    for _ in 0..2 {
        hub.record(&letters).await.unwrap();
    }

    let endpoint = stand_in.endpoint();
    let place =
        ["--hub", "letters", "--namespace", "localhost", "--endpoint", &endpoint, "--authentication", "Development"];
    let (done, listed) = iotc(&[&["list"], &place[..]].concat());
    assert!(done && !listed.contains(MARK), "{listed}");
    let mut keys: Vec<String> = letters.iter().map(DeadLetter::key).collect();
    keys.sort();
    let shown: Vec<&str> = listed.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(shown, keys, "each once");
    let identity = letters[0].key().rsplit('-').next().unwrap().to_owned();
    let (done, shown) = iotc(&[&["show", &identity, "--body"], &place[..]].concat());
    assert!(done && shown.contains(&event) && shown.contains("sequence number 7"), "{shown}");

    let mapping = folder.path().join("devicecontent.json");
    std::fs::write(&mapping, DEVICE_MAPPING).unwrap();
    let target = ["--internal-hub", "internal", "--internal-namespace", "localhost"];
    let access = ["--internal-authentication", "Development", "--internal-endpoint", &endpoint];
    let replay = [&["replay", "--device-mapping", mapping.to_str().unwrap()], &place[..], &target, &access].concat();
    let (done, printed) = iotc(&[&replay[..], &["--dry-run"]].concat());
    assert!(!done && !printed.contains(MARK), "{printed}");
    assert_eq!(stand_in.internal().await, [], "a dry run sends nothing");
    for (wrong, stage) in [("origin", "normalize"), ("another", "group-convert")] {
        let target = ["--internal-hub", wrong, "--internal-namespace", "localhost"];
        let replay = [
            &["replay", "--device-mapping", mapping.to_str().unwrap()],
            &place[..],
            &target,
            &access,
            &["--stage", stage],
        ]
        .concat();
        let (done, printed) = iotc(&replay);
        assert!(!done && printed.contains("events 0 = 0 replayed"), "{wrong}: {printed}");
    }
    let (done, printed) = iotc(&replay);
    // What no template matches is left, so it is no success.
    assert!(!done && !printed.contains(MARK), "{printed}");
    let counts = "events 3 = 2 replayed + 0 rejected again + 1 unmatched + 0 without their event\nsent   2 to the internal hub\n";
    assert!(printed.ends_with(counts) && printed.contains(&letters[1].key()), "{printed}");

    let events = stand_in.internal().await;
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| text(&event.properties, REPLAY_PROPERTY).as_deref() == Some("true")));
    let again = events.iter().find(|event| event.body == list.as_bytes()).expect("the list, as it was");
    assert_eq!(text(&again.properties, "IsMeasurementGroup").as_deref(), Some("true"));
    assert_eq!(text(&again.properties, "count").as_deref(), Some("2"));
    assert_eq!(text(&again.system_properties, "x-opt-partition-key").as_deref(), Some("17"));
    assert_eq!(text(&again.system_properties, "content-type").as_deref(), Some("application/x-json"));
    let measurement = events.iter().find(|event| event.body != list.as_bytes()).expect("a measurement");
    let measurement: serde_json::Value = serde_json::from_slice(&measurement.body).unwrap();
    // The hub received it then, whenever it is replayed.
    assert_eq!(measurement["IngestionTimeUtc"], "2020-11-01T12:00:00Z");

    // A hub keeps its letters.
    assert_eq!(iotc(&[&["list"], &place[..]].concat()).1, listed);
}

#[test]
fn a_place_has_to_be_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_iotc")).args(["dead-letters", "list"]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("--folder") && err.contains("DeadLetters__"), "{err}");
}
