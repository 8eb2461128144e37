//! Event Hubs clients that we did not write, each in a program of a few lines
//! in `tests/clients`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::process::Running;

/// How long a program may take; the Python client starts slowly.
const LIMIT: Duration = Duration::from_secs(120);

/// An event as the programs read and print it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The body, as text.
    pub body: String,
    /// The application properties.
    pub properties: BTreeMap<String, String>,
    /// What decides on the partition.
    pub partition_key: Option<String>,
}

/// A client of one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// `azure-eventhub` from PyPI.
    Python,
    /// `@azure/event-hubs` from npm.
    Node,
    /// `azure-messaging-eventhubs` from Maven Central.
    Java,
}

impl Client {
    /// Sends events, and returns when the hub has them.
    ///
    /// # Panics
    /// When the program fails.
    #[track_caller]
    pub fn send(self, connection_string: &str, events: &[Event]) {
        let mut process = self.start(connection_string, &["send"]);
        let lines: String = events.iter().map(|event| line(event) + "\n").collect();
        let written = process.take_stdin().map(|mut input| input.write_all(lines.as_bytes()));
        assert!(matches!(written, Some(Ok(()))), "{self:?} takes no events: {}", process.printed());
        let status = process.wait(LIMIT);
        assert!(status.success(), "{self:?} ended with {status}: {}", process.printed());
    }

    /// Receives `count` events from the beginning of all partitions, and gives
    /// them sorted.
    ///
    /// # Panics
    /// When the program fails, or not as many come.
    #[track_caller]
    pub fn receive(self, connection_string: &str, count: usize) -> Vec<Event> {
        let mut process = self.start(connection_string, &["receive", &count.to_string()]);
        let lines = process.wait_for(&format!("receives {count} events"), LIMIT, |lines, _| {
            (lines.len() >= count).then(|| lines.to_vec())
        });
        let event = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{self:?}: {error}"));
        let mut events: Vec<Event> = lines.iter().map(event).collect();
        events.sort();
        events
    }

    fn start(self, connection_string: &str, arguments: &[&str]) -> Running {
        let mut command = match self {
            Client::Python => {
                let mut python = Command::new(crate::folder("IOTC_TEST_PYTHON", "clients").join("venv/bin/python"));
                python.arg(program("python/client.py"));
                python
            }
            Client::Node => {
                let mut node = Command::new("node");
                let modules = crate::folder("IOTC_TEST_NODE", "clients").join("node_modules");
                node.arg(program("node/client.cjs")).env("NODE_PATH", modules);
                node
            }
            Client::Java => {
                let component = crate::folder("IOTC_TEST_JAVA", "clients");
                let mut java = Command::new("java");
                java.arg("-cp").arg(format!("{0}/classes:{0}/lib/*", component.display())).arg("EventHubsClient");
                java
            }
        };
        Running::start(&format!("{self:?}"), command.arg(connection_string).args(arguments))
    }
}

fn program(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(path)
}

fn line(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_else(|error| panic!("an event: {error}"))
}
