//! An app root with the test's handler, events and checkpoints in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use local::functions_host::{
    Checkpoint, Checkpoints, EventSource, From, FunctionsHost, FunctionsHostConfig, HostEvent, PartitionKey,
    PartitionReceiver, SourceError,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

use crate::control::Control;

/// host.json with the test's handler.
pub fn host_json() -> Value {
    json!({
        "version": "2.0",
        "customHandler": { "description": { "defaultExecutablePath": env!("CARGO_BIN_EXE_test-handler") } },
    })
}

/// A trigger on many events as text, with `retry`.
pub fn function_json(retry: Value) -> Value {
    json!({
        "bindings": [{
            "type": "eventHubTrigger", "name": "events", "eventHubName": "%HUB%", "connection": "Input",
            "cardinality": "many", "dataType": "string",
        }],
        "retry": retry,
    })
}

pub struct App {
    pub control: Control,
    pub root: TempDir,
    pub environment: BTreeMap<String, String>,
    pub source: MemorySource,
    pub checkpoints: Arc<MemoryCheckpoints>,
    pub written: mpsc::UnboundedReceiver<(String, i64)>,
}

impl App {
    /// An app with a function `work` of this function.json.
    pub async fn new(function: Value) -> Self {
        let control = Control::new().await;
        let root = TempDir::new().expect("a folder");
        let (write, written) = mpsc::unbounded_channel();
        let environment = [
            ("HUB", "devicedata"),
            ("Input", "Endpoint=sb://127.0.0.1:1/;UseDevelopmentEmulator=true"),
            ("TEST_CONTROL", &control.url),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let checkpoints = Arc::new(MemoryCheckpoints { stored: Mutex::default(), write });
        let source = MemorySource::default();
        let app = Self { control, root, environment, source, checkpoints, written };
        app.write("host.json", &host_json());
        app.write("work/function.json", &function);
        app
    }

    pub fn write(&self, name: &str, json: &Value) {
        let path = self.root.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, json.to_string()).expect("a file");
    }

    /// An override of host.json.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(format!("AzureFunctionsJobHost__{name}"), value.to_owned());
    }

    pub fn config(&self) -> FunctionsHostConfig {
        FunctionsHostConfig {
            app_root: self.root.path().to_owned(),
            environment: self.environment.clone(),
            checkpoints: self.checkpoints.clone(),
            http_listen: "127.0.0.1:0".parse().expect("an address"),
            sharing: None,
            answered: None,
        }
    }

    pub async fn host(&self) -> FunctionsHost {
        FunctionsHost::start_with_source(self.config(), Arc::new(self.source.clone())).await.expect("the host starts")
    }

    /// The next checkpoint: partition and sequence number.
    pub async fn checkpoint(&mut self) -> (String, i64) {
        let next = tokio::time::timeout(Duration::from_secs(60), self.written.recv()).await;
        next.ok().flatten().expect("a checkpoint is written")
    }

    pub fn has_checkpoint(&self) -> bool {
        !self.written.is_empty()
    }
}

/// A hub with two partitions, in memory.
#[derive(Clone, Debug, Default)]
pub struct MemorySource(Arc<Hub>);

#[derive(Debug, Default)]
struct Hub {
    events: [Mutex<Vec<HostEvent>>; 2],
    added: Notify,
}

impl MemorySource {
    pub fn add(&self, partition: usize, bodies: &[&str]) {
        let mut events = self.0.events[partition].lock().expect("no panic");
        for body in bodies {
            let sequence_number = events.len() as i64;
            events.push(HostEvent {
                sequence_number,
                offset: (sequence_number * 100).to_string(),
                enqueued_ms: 1_795_176_000_123,
                partition_key: None,
                body: body.as_bytes().to_vec(),
                properties: Vec::new(),
                system_properties: Vec::new(),
            });
        }
        self.0.added.notify_waiters();
    }
}

impl EventSource for MemorySource {
    fn partitions(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        async { Ok(vec!["0".to_owned(), "1".to_owned()]) }.boxed()
    }

    fn open(&self, partition: &str, from: From) -> BoxFuture<'_, Result<Box<dyn PartitionReceiver>, SourceError>> {
        let next = match from {
            From::After(checkpoint) => checkpoint.sequence_number as usize + 1,
            From::Initial(_) => 0,
        };
        let partition = partition.parse().expect("a number");
        let receiver = MemoryReceiver { hub: self.0.clone(), partition, next };
        async move { Ok(Box::new(receiver) as Box<dyn PartitionReceiver>) }.boxed()
    }
}

struct MemoryReceiver {
    hub: Arc<Hub>,
    partition: usize,
    next: usize,
}

impl MemoryReceiver {
    fn take(&mut self, events_max: usize) -> Vec<HostEvent> {
        let events = self.hub.events[self.partition].lock().expect("no panic");
        let taken: Vec<HostEvent> = events.iter().skip(self.next).take(events_max).cloned().collect();
        self.next += taken.len();
        taken
    }
}

impl PartitionReceiver for MemoryReceiver {
    fn receive(&mut self, events_max: usize, wait: Duration) -> BoxFuture<'_, Result<Vec<HostEvent>, SourceError>> {
        let receiving = async move {
            let deadline = tokio::time::Instant::now() + wait;
            loop {
                let hub = self.hub.clone();
                let added = hub.added.notified();
                let taken = self.take(events_max);
                if !taken.is_empty() || tokio::time::timeout_at(deadline, added).await.is_err() {
                    return Ok(taken);
                }
            }
        };
        receiving.boxed()
    }
}

/// Checkpoints in memory that tell the test about each.
#[derive(Debug)]
pub struct MemoryCheckpoints {
    stored: Mutex<HashMap<PartitionKey, Checkpoint>>,
    write: mpsc::UnboundedSender<(String, i64)>,
}

impl MemoryCheckpoints {
    pub fn is_empty(&self) -> bool {
        self.stored.lock().expect("no panic").is_empty()
    }
}

impl Checkpoints for MemoryCheckpoints {
    fn read(&self, key: &PartitionKey) -> io::Result<Option<Checkpoint>> {
        Ok(self.stored.lock().expect("no panic").get(key).cloned())
    }

    fn write(&self, key: &PartitionKey, checkpoint: &Checkpoint) -> io::Result<()> {
        self.stored.lock().expect("no panic").insert(key.clone(), checkpoint.clone());
        let _ = self.write.send((key.partition.clone(), checkpoint.sequence_number));
        Ok(())
    }
}
