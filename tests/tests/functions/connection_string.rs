//! Normalize as a native process that reads a hub by connection string, as IoT
//! Hub's built-in endpoint wants it: over TLS with a private CA, from a stand-in
//! that verifies every signature.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use azure::ConnectionString;
use end_to_end::process::Running;
use hub_client::{AnnotationValue, Client, NewEvent, StartPosition};
use local::event_hubs::{Config, EventHubs, HubConfig, SharedAccessKeys};
use local::identity::{PrivateCa, TlsFront};
use serde_json::Value;
use tokio::net::TcpStream;

const KEY: &str = "a2V5IG9mIHRoZSB0ZXN0cw==";
const LIMIT: Duration = Duration::from_secs(60);

const DEVICE_MAPPING: &str = r#"{ "templateType": "CollectionContent", "template": [ {
    "templateType": "IotJsonPathContent", "template": {
        "typeName": "heartrate", "typeMatchExpression": "$..[?(@Body.heartrate)]",
        "values": [ { "required": true, "valueExpression": "$.Body.heartrate", "valueName": "hr" } ] } } ] }"#;

/// A stand-in with one hub of one partition; serves as long as the runtime lives.
async fn event_hubs(state: std::path::PathBuf, hub: &str, keys: SharedAccessKeys) -> std::net::SocketAddr {
    let hubs = vec![HubConfig { name: hub.to_owned(), partitions: Some(1), consumer_groups: Vec::new() }];
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config { listen, state, hubs, default_partitions: 1, latency: Config::LATENCY };
    let event_hubs = EventHubs::start_with_keys(config, keys).await.unwrap();
    let address = event_hubs.address();
    tokio::spawn(event_hubs.run(std::future::pending()));
    address
}

fn connection_string(host: &str, key: &str, more: &str) -> String {
    format!("Endpoint=sb://{host}/;SharedAccessKeyName=service;SharedAccessKey={key};EntityPath=devicedata{more}")
}

struct Surroundings {
    folder: tempfile::TempDir,
    input: std::net::SocketAddr,
    output: std::net::SocketAddr,
    front: TlsFront,
}

impl Surroundings {
    async fn start() -> Surroundings {
        let folder = tempfile::tempdir().unwrap();
        let ca = PrivateCa::new().unwrap();
        fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        fs::write(folder.path().join("devicecontent.json"), DEVICE_MAPPING).unwrap();
        let keys = SharedAccessKeys::new([("service".to_owned(), KEY.to_owned())]);
        let input = event_hubs(folder.path().join("input"), "devicedata", keys).await;
        let output = event_hubs(folder.path().join("output"), "normalizeddata", SharedAccessKeys::default()).await;
        let front = TlsFront::start(&ca, input).await.unwrap();
        Surroundings { folder, input, output, front }
    }

    fn start_normalize(&self, key: &str) -> Running {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let host = format!("localhost:{}", self.front.address().port());
        let settings = [
            ("Template__DeviceContent", file("devicecontent.json")),
            ("DeadLetters__Folder", file("dead-letters")),
            ("CheckpointStorage__Folder", file("positions")),
            ("InputEventHub__ConnectionString", connection_string(&host, key, "")),
            ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost".to_owned()),
            ("NormalizationEventHub__EventHubName", "normalizeddata".to_owned()),
            ("NormalizationEventHub__AuthenticationType", "Development".to_owned()),
            ("NormalizationEventHub__CustomEndpoint", format!("amqp://{}", self.output)),
            ("SSL_CERT_FILE", file("ca.pem")),
        ];
        let mut command = Command::new(end_to_end::folder("IOTC_TEST_BIN", "stack").join("normalize"));
        Running::start("normalize", command.env_clear().envs(settings))
    }

    /// Sends what a device sent, as IoT Hub puts it into the hub.
    async fn send(&self, body: &str) {
        let text = connection_string(&self.input.to_string(), KEY, ";UseDevelopmentEmulator=true");
        let connection: ConnectionString = text.parse().unwrap();
        let audience = connection.audience("devicedata");
        let token = connection.token(&audience, SystemTime::now(), LIMIT).token;
        let stream = TcpStream::connect(self.input).await.unwrap();
        let mut client = Client::over(stream, "localhost", "devicedata", LIMIT).await.unwrap();
        client.put_token("servicebus.windows.net:sastoken", &audience, &token, 0).await.unwrap();
        let annotation = |name: &str, value| (name.to_owned(), value);
        let event = NewEvent {
            annotations: vec![
                annotation("iothub-connection-device-id", AnnotationValue::String("d1".to_owned())),
                annotation("iothub-enqueuedtime", hub_client::message::timestamp(1_604_232_000_000)),
            ],
            ..NewEvent::new(body)
        };
        client.sender(None).await.unwrap().send(&[event], None).await.unwrap();
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn normalize_reads_what_a_connection_string_opens() {
    let around = Surroundings::start().await;
    let handler = around.start_normalize(KEY);
    around.send(r#"{"heartrate":78}"#).await;
    let mut client = Client::connect(&around.output.to_string(), "normalizeddata").await.unwrap();
    let mut receiver = client.receiver("$Default", "0", &StartPosition::Earliest, None).await.unwrap();
    let events = receiver.receive(1, LIMIT).await.unwrap();
    let event = events.first().unwrap_or_else(|| panic!("no measurement\n{}", handler.printed()));
    let measurement: Value = serde_json::from_slice(&event.body).unwrap();
    // Both are in the annotations that IoT Hub adds, and nowhere else.
    assert_eq!(measurement["DeviceId"], "d1");
    assert_eq!(measurement["OccurrenceTimeUtc"], "2020-11-01T12:00:00Z");
    assert_eq!(measurement["Properties"][0]["Value"], "78");
    assert!(!handler.printed().contains(KEY), "{}", handler.printed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wrong_key_is_said_and_not_printed() {
    let around = Surroundings::start().await;
    let wrong = "d3Jvbmcga2V5";
    let mut handler = around.start_normalize(wrong);
    let said = "the key or signature of the connection string does not open the hub";
    let printed = tokio::task::spawn_blocking(move || {
        let find = |out: &[String], err: &[String]| out.iter().chain(err).any(|line| line.contains(said)).then_some(());
        handler.wait_for(said, LIMIT, find);
        handler.printed()
    });
    assert!(!printed.await.unwrap().contains(wrong));
}
