//! Starts, kills and restarts the stand-in's process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use local::event_hubs::client::{Client, Event, EventReceiver};
use local::event_hubs::{DEFAULT_GROUP, StartPosition};
use std::time::Duration;

/// How long a test waits for what must come.
pub const SOON: Duration = Duration::from_secs(20);

/// A running stand-in with the hub `devicedata` (two partitions, consumer group
/// `normalize`) and the hub `one` (one partition).
pub struct StandIn {
    process: Child,
    /// `host:port`.
    pub address: String,
}

impl StandIn {
    pub fn start(state: &Path) -> Self {
        Self::listening_on("127.0.0.1:0", state)
    }

    fn listening_on(address: &str, state: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_event-hubs"))
            .args([address, state.to_str().unwrap(), "DeviceData:2:normalize", "one:1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("said `{line}`")).to_owned();
        Self { process, address }
    }

    /// `kill -9`, and the same again on the same port.
    pub fn kill_and_restart(&mut self, state: &Path) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        *self = Self::listening_on(&self.address.clone(), state);
    }

    pub async fn client(&self, hub: &str) -> Client {
        Client::connect(&self.address, hub).await.unwrap()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Already gone when a test killed it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The next `count` events of a receiver.
pub async fn receive(receiver: &mut EventReceiver, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let more = receiver.receive(count - events.len(), SOON).await.unwrap();
        assert!(!more.is_empty(), "{} of {count} events came", events.len());
        events.extend(more);
    }
    events
}

/// The first `count` events of a partition.
pub async fn receive_from_start(client: &mut Client, partition: &str, count: usize) -> Vec<Event> {
    let position = StartPosition::Earliest;
    let mut receiver = client.receiver(DEFAULT_GROUP, partition, &position, None).await.unwrap();
    let events = receive(&mut receiver, count).await;
    receiver.close().await.unwrap();
    events
}

pub fn text(event: &Event) -> String {
    String::from_utf8(event.body.clone()).unwrap()
}
