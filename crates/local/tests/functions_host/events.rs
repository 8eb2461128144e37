//! Events from the Event Hubs stand-in, and checkpoints in a folder.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use local::event_hubs::client::{AnnotationValue, Client, NewEvent, SimpleValue};
use local::functions_host::{FolderCheckpoints, FunctionsHost, FunctionsHostConfig};
use serde_json::{Value, json};

use crate::app::{App, function_json};

/// The stand-in as a process; ends with the test.
struct EventHubs {
    process: Child,
    address: String,
}

impl EventHubs {
    fn start(state: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_event-hubs"))
            .arg("127.0.0.1:0")
            .arg(state)
            .arg("devicedata:2")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stand-in starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("standard output is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the stand-in says where it listens");
        let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
        Self { process, address }
    }

    async fn send(&self, partition: &str, event: NewEvent) {
        let mut client = Client::connect(&self.address, "devicedata").await.expect("a connection");
        let mut sender = client.sender(Some(partition)).await.expect("a sender");
        sender.send(&[event], None).await.expect("the event is taken");
    }
}

impl Drop for EventHubs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn events_of_the_stand_in_reach_the_handler_once_each_across_restarts() {
    let mut app = App::new(function_json(Value::Null)).await;
    let hubs = EventHubs::start(&app.root.path().join("state"));
    app.environment.insert(
        "Input".to_owned(),
        format!("Endpoint=sb://{};SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true", hubs.address),
    );
    let folder = app.root.path().join("checkpoints");
    let config = FunctionsHostConfig { checkpoints: Arc::new(FolderCheckpoints::new(&folder)), ..app.config() };
    let event = NewEvent {
        body: br#"{"heartRate":78}"#.to_vec(),
        content_type: Some("application/json".to_owned()),
        application_properties: vec![("source".to_owned(), SimpleValue::String("sim".to_owned()))],
        annotations: vec![("iothub-connection-device-id".to_owned(), AnnotationValue::String("d1".to_owned()))],
    };
    hubs.send("1", event).await;

    let host = FunctionsHost::start(config.clone()).await.unwrap();
    app.control.started().await;
    let call = app.control.call().await;
    assert_eq!(call.events(), [r#"{"heartRate":78}"#]);
    assert_eq!(call.json()["Metadata"]["PartitionContext"]["PartitionId"], "1");
    assert_eq!(call.metadata("SequenceNumberArray"), json!([0]));
    assert_eq!(call.metadata("PropertiesArray"), json!([{ "source": "sim" }]));
    let system = call.metadata("SystemPropertiesArray")[0].clone();
    assert_eq!(system["content-type"], "application/json");
    assert_eq!(system["iothub-connection-device-id"], "d1");
    assert_eq!(system["SequenceNumber"], 0);
    call.succeed();
    // The next event is handed over after the checkpoint of the one before.
    hubs.send("1", NewEvent::new("b")).await;
    let second = app.control.call().await;
    assert_eq!(second.events(), ["b"]);
    let path = folder.join("azure-webjobs-eventhub/127.0.0.1/devicedata/$default/checkpoint/1");
    let stored: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(stored["sequencenumber"], "0");
    drop(second);
    drop(host);
    app.control.death().await;

    let host = FunctionsHost::start(config).await.unwrap();
    app.control.started().await;
    let again = app.control.call().await;
    assert_eq!(again.events(), ["b"]);
    again.succeed();
    host.stop().await;
}
