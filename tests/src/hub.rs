//! The Event Hubs stand-in as a process of its own, and events for it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hub_client::{Client, ClientError, NewEvent};
use tokio::runtime::Runtime;

use crate::poll::until;
use crate::process::{Running, free_port};

const START_LIMIT: Duration = Duration::from_secs(60);
/// How many events go into one send at the most.
const SEND_EVENTS_MAX: usize = 500;

/// A running stand-in with its hubs.
#[derive(Debug)]
pub struct EventHub {
    address: SocketAddr,
    command: Command,
    process: Running,
    runtime: Runtime,
}

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To<'t> {
    /// The partition with this id.
    Partition(&'t str),
    /// Where the hub puts what has this key.
    Key(&'t str),
}

impl EventHub {
    /// Starts one that keeps its state in a folder.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(state: &Path, hubs: &[&str], partitions: usize) -> EventHub {
        EventHub::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), state, (hubs, &[]), partitions)
    }

    /// The same at an address of loopback, with consumer groups besides
    /// `$Default`.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start_at(
        address: SocketAddr,
        state: &Path,
        (hubs, groups): (&[&str], &[&str]),
        partitions: usize,
    ) -> EventHub {
        EventHub::started(address, state, (hubs, groups), &["--partitions", &partitions.to_string()])
    }

    /// The same where hubs are made and removed by HTTP too, on a port of the same
    /// address.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start_administered(
        address: SocketAddr,
        administration_port: u16,
        state: &Path,
        (hubs, groups): (&[&str], &[&str]),
        partitions: usize,
    ) -> EventHub {
        let (partitions, port) = (partitions.to_string(), administration_port.to_string());
        let more = ["--partitions", &partitions, "--administration-port", &port];
        EventHub::started(address, state, (hubs, groups), &more)
    }

    #[track_caller]
    fn started(address: SocketAddr, state: &Path, (hubs, groups): (&[&str], &[&str]), more: &[&str]) -> EventHub {
        let mut command = Command::new(crate::folder("IOTC_TEST_BIN", "native").join("iotc"));
        command.args(["stand-in", "event-hubs"]).args(more);
        command.arg("--address").arg(address.ip().to_string()).arg("--port").arg(address.port().to_string());
        command.arg("--state").arg(state);
        hubs.iter().for_each(|hub| {
            command.args(["--hub", hub]);
        });
        groups.iter().for_each(|group| {
            command.args(["--consumer-group", group]);
        });
        let process = listening(&mut command, address);
        let runtime = Runtime::new().unwrap_or_else(|error| panic!("no runtime: {error}"));
        EventHub { address, command, process, runtime }
    }

    /// Injects a fault: `throttle`, `release` or `detach` (docs/local-stack.md).
    ///
    /// # Panics
    /// When it is gone, or does not do it.
    #[track_caller]
    pub fn inject(&mut self, fault: &str) {
        let said = |process: &Running| {
            let lines = [process.stdout(), process.stderr()].concat();
            lines.iter().filter(|line| line.contains("A fault on command")).count()
        };
        let before = said(&self.process);
        self.process.write_line(fault);
        until("the hub does what it is told", START_LIMIT, || (said(&self.process) > before).then_some(()));
    }

    /// The port on loopback where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Kills it. What it has accepted is on its disk.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on its port and over its state.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = listening(&mut self.command, self.address);
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends events in their order, and returns when all are on its disk.
    ///
    /// # Panics
    /// When it does not take them.
    #[track_caller]
    pub fn send(&self, hub: &str, to: To<'_>, events: &[impl AsRef<[u8]>]) {
        let sent = self.try_send(hub, to, events);
        assert!(sent.is_ok(), "the hub takes no events: {sent:?}");
    }

    /// The same, of a hub that may be away. After an error some of the events
    /// may be there.
    pub fn try_send(&self, hub: &str, to: To<'_>, events: &[impl AsRef<[u8]>]) -> Result<(), ClientError> {
        let events: Vec<NewEvent> = events.iter().map(|event| NewEvent::new(event.as_ref())).collect();
        let (partition, key) = match to {
            To::Partition(id) => (Some(id), None),
            To::Key(key) => (None, Some(key)),
        };
        self.runtime.block_on(async {
            let mut client = Client::connect(&self.address(), hub).await?;
            let mut sender = client.sender(partition).await?;
            for events in events.chunks(SEND_EVENTS_MAX) {
                sender.send(events, key).await?;
            }
            client.close().await
        })
    }

    /// The sequence number of the last event of each partition of a hub, -1 for
    /// none.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn last_sequence_numbers(&self, hub: &str) -> Vec<i64> {
        self.bounds(hub).into_iter().map(|(_, last)| last).collect()
    }

    /// The sequence numbers of the first and the last event of each partition of
    /// a hub; where none is there, the first is the number of the next.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn bounds(&self, hub: &str) -> Vec<(i64, i64)> {
        let asked = self.runtime.block_on(async {
            let mut client = Client::connect(&self.address(), hub).await?;
            let mut bounds = Vec::new();
            for id in client.hub_properties().await?.partition_ids {
                let properties = client.partition_properties(&id).await?;
                bounds.push((properties.first_sequence_number, properties.last_sequence_number));
            }
            Ok::<_, ClientError>(bounds)
        });
        asked.unwrap_or_else(|error| panic!("the hub does not answer: {error}"))
    }

    fn address(&self) -> String {
        self.address.to_string()
    }
}

#[track_caller]
fn listening(command: &mut Command, address: SocketAddr) -> Running {
    let mut process = Running::start("the hub", command);
    until("the hub listens", START_LIMIT, || {
        process.check_running();
        TcpStream::connect(address).ok()
    });
    process
}
