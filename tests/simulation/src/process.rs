//! The functions as processes: the real mapping core, converter and client over
//! the simulated world.

use std::sync::Arc;
use std::time::Duration;

use delivery::{
    Away, Batch, Compiled, Consumer, ConsumerOptions, Converter, Normalizer, Processor, Runtime, Turn, Unobserved,
    WindowRules,
};
use fhir_client::{
    Client, ClientOptions, FhirDestination, IdentityOptions, Mode, Resolver, SaveOptions, Saver, Transport, base_url,
};
use futures::FutureExt;
use futures::channel::oneshot;
use mapping::{Compatibility, DeviceMapping, FhirMapping};
use simulator::{MemoryHub, MemoryPositions, SimulatedRuntime};

use crate::fhir::{FarServer, ProcessClock, Server};
use crate::hubs::{FarHub, FarOutput};
use crate::record::{Record, Side};
use crate::stores::{FarLetters, FarPositions};
use crate::world::World;

/// What all processes of a run share.
#[derive(Clone, Debug)]
pub struct Site {
    /// What is in between.
    pub world: Arc<World>,
    /// What happened.
    pub record: Arc<Record>,
    /// The customer's hub and the internal one.
    pub hubs: [MemoryHub; 2],
    /// Where each is read.
    pub positions: [MemoryPositions; 2],
    /// Where Observations go.
    pub server: Server,
    /// The mappings.
    pub mappings: Mappings,
    /// Partitions of the internal hub.
    pub measurement_partitions: u64,
    /// Whether devices and patients are made.
    pub mode: Mode,
    /// When a window of group-convert closes.
    pub rules: WindowRules,
}

/// Both mappings, as they are used.
#[derive(Clone, Debug)]
pub struct Mappings {
    /// Of normalize.
    pub device: Arc<Compiled<DeviceMapping>>,
    /// Of group-convert.
    pub fhir: Arc<Compiled<FhirMapping>>,
}

/// A process that runs.
#[derive(Debug)]
pub struct Process {
    /// What it calls itself.
    pub name: String,
    /// Its clock and its tasks.
    pub runtime: Arc<SimulatedRuntime>,
    /// Dropped to make it stop.
    stop: Option<oneshot::Sender<()>>,
}

impl Process {
    /// Ends it where it is.
    pub fn kill(&self) {
        self.runtime.kill();
    }

    /// Tells it to stop.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }
}

/// Where Observations go, by a way of somebody's choosing. None when the server
/// has no address.
pub fn destination_over(
    server: &Server,
    process: &Arc<SimulatedRuntime>,
    (transport, mode): (Arc<dyn Transport>, Mode),
) -> Option<FhirDestination> {
    let options = ClientOptions::new(base_url(server.url()).ok()?);
    let clock = Arc::new(ProcessClock::new(process.clone()));
    let client = Arc::new(Client::within((transport, clock), options, None));
    let resolver = Resolver::new(client.clone(), IdentityOptions::new(mode));
    let saver = Saver::new(client, SaveOptions::default());
    Some(FhirDestination { resolver, saver, time_limit: Duration::from_secs(120) })
}

impl Site {
    /// Starts a process of a side that calls itself `name`.
    pub fn start(&self, side: Side, name: &str, process: Arc<SimulatedRuntime>) -> Process {
        self.world.trace(|| format!("{name} starts"));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = stopped.map(|_| ());
        let index = usize::from(side == Side::Measurements);
        let hub = self.far(self.hubs[index].clone(), &process);
        let positions = FarPositions {
            positions: self.positions[index].clone(),
            process: process.clone(),
            world: self.world.clone(),
            record: self.record.clone(),
            side,
        };
        let (world, record) = (self.world.clone(), self.record.clone());
        let letters = FarLetters { process: process.clone(), world: world.clone(), record: record.clone() };
        let parts = (hub, positions, process.clone());
        let (ended, who) = (record.clone(), name.to_owned());
        let mut options = ConsumerOptions { rules: self.rules, ..ConsumerOptions::new(name) };
        let task = match side {
            Side::Events => {
                options.windowed = false;
                let output =
                    FarOutput { to: self.far(self.hubs[1].clone(), &process), partitions: self.measurement_partitions };
                let normalizer = Normalizer::new(output, letters);
                let processor = Normalizes { normalizer, mapping: self.mappings.device.clone(), record };
                let consumer = Consumer::new(parts, processor, Arc::new(Unobserved), options);
                async move { consumer.run(stopped).await }.boxed()
            }
            Side::Measurements => {
                let far = FarServer { server: self.server.clone(), process: process.clone(), world: world.clone() };
                let Some(destination) = destination_over(&self.server, &process, (Arc::new(far), self.mode)) else {
                    record.broken("the server has no address".to_owned());
                    return Process { name: name.to_owned(), runtime: process, stop: Some(stop) };
                };
                let converter = Converter::new(destination, letters, Compatibility::default());
                let (mapping, runtime) = (self.mappings.fhir.clone(), process.clone());
                let processor = Converts { converter, mapping, runtime, record, world, name: name.to_owned() };
                let consumer = Consumer::new(parts, processor, Arc::new(Unobserved), options);
                async move { consumer.run(stopped).await }.boxed()
            }
        };
        let task = async move {
            if let Err(error) = task.await {
                ended.broken(format!("{who} gave up: {error}"));
            }
        };
        process.spawn(task.boxed());
        Process { name: name.to_owned(), runtime: process, stop: Some(stop) }
    }

    fn far(&self, hub: MemoryHub, process: &Arc<SimulatedRuntime>) -> FarHub {
        FarHub { hub, process: process.clone(), world: self.world.clone() }
    }
}

struct Normalizes {
    normalizer: Normalizer<FarOutput, FarLetters>,
    mapping: Arc<Compiled<DeviceMapping>>,
    record: Arc<Record>,
}

impl Processor for Normalizes {
    async fn process(&self, batch: &Batch<'_>, turn: Turn<'_>) -> Result<(), Away> {
        let done = self.normalizer.normalize(&self.mapping, batch, turn.fence).await?;
        if let Err(imbalance) = done.check(batch.events.len()) {
            self.record.broken(imbalance.to_string());
        }
        let numbers = batch.events.iter().map(|event| event.sequence_number.unwrap_or(-1));
        self.record.worked_events(&batch.source.partition, numbers.zip(done.events));
        Ok(())
    }
}

struct Converts {
    converter: Converter<FhirDestination, FarLetters>,
    mapping: Arc<Compiled<FhirMapping>>,
    runtime: Arc<SimulatedRuntime>,
    record: Arc<Record>,
    world: Arc<World>,
    name: String,
}

impl Processor for Converts {
    async fn process(&self, batch: &Batch<'_>, turn: Turn<'_>) -> Result<(), Away> {
        let number = |event: Option<&delivery::BatchEvent<'_>>| event.and_then(|event| event.sequence_number);
        let (first, last) = (number(batch.events.first()), number(batch.events.last()));
        let tell = |what: &str| {
            let partition = &batch.source.partition;
            let (first, last) = (first.unwrap_or(-1), last.unwrap_or(-1));
            self.world.trace(|| format!("{} {what} {partition} [{first}..={last}] term {}", self.name, turn.term));
        };
        tell("works on");
        let done = self.converter.convert(&self.mapping, batch, self.runtime.now(), turn).await;
        tell(if done.is_ok() { "is done with" } else { "could not finish" });
        let done = done?;
        if let Err(imbalance) = done.check() {
            self.record.broken(imbalance.to_string());
        }
        let numbers = batch.events.iter().map(|event| event.sequence_number.unwrap_or(-1));
        self.record.worked_measurements(&batch.source.partition, numbers.zip(done.events));
        Ok(())
    }
}
