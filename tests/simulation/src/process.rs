//! The functions as processes: the real mapping core, converter and client over
//! the simulated world.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use delivery::{
    Away, Batch, Compiled, Consumer, ConsumerOptions, Converter, Normalizer, Processor, Runtime, Turn, Unobserved,
    Unparked, WindowRules,
};
use fhir_client::{
    Client, ClientOptions, FhirDestination, IdentityOptions, Mode, Resolver, SaveOptions, Saver, Transport, base_url,
};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use mapping::{Compatibility, DeviceMapping, FhirMapping};
use simulator::{MemoryHub, MemoryPositions, SimulatedRuntime};

use crate::fhir::{FarServer, ProcessClock, Server};
use crate::hubs::{FarHub, FarOutput};
use crate::record::{Record, Side};
use crate::stores::{FarLetters, FarParking, FarPositions, MemoryParking};
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
    /// Where measurements of unknown devices wait.
    pub parking: Option<MemoryParking>,
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
    // What is remembered is forgotten by the machine's clock, which hardly moves
    // here: nothing would ever be looked for again.
    let identities = IdentityOptions { keep_unresolved: Duration::ZERO, ..IdentityOptions::new(mode) };
    let resolver = Resolver::new(client.clone(), identities);
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
                let far = FarServer {
                    server: self.server.clone(),
                    process: process.clone(),
                    world: world.clone(),
                    record: record.clone(),
                };
                let Some(destination) = destination_over(&self.server, &process, (Arc::new(far), self.mode)) else {
                    record.broken("the server has no address".to_owned());
                    return Process { name: name.to_owned(), runtime: process, stop: Some(stop) };
                };
                let parking = self.parking.clone();
                let parking =
                    parking.map(|parking| FarParking { parking, process: process.clone(), world: world.clone() });
                let converter = Converter::new(destination, letters, Compatibility::default()).with_parking(parking);
                let (mapping, runtime) = (self.mappings.fhir.clone(), process.clone());
                let processor =
                    Arc::new(Converts { converter, mapping, runtime, record, world, name: name.to_owned() });
                let consumer = Consumer::new(parts, processor.clone(), Arc::new(Unobserved), options);
                let looks = self.parking.is_some();
                async move {
                    let (reads, looks_again) = (consumer.run(stopped), processor.look_again_for_parked(looks));
                    match select(reads.boxed(), looks_again.boxed()).await {
                        Either::Left((ended, _)) => ended,
                        Either::Right((never, _)) => match never {},
                    }
                }
                .boxed()
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
    converter: Converter<FhirDestination, FarLetters, Option<FarParking>>,
    mapping: Arc<Compiled<FhirMapping>>,
    runtime: Arc<SimulatedRuntime>,
    record: Arc<Record>,
    world: Arc<World>,
    name: String,
}

/// How long what is unknown may wait: longer than things go wrong.
const KEEP_PARKED: Duration = Duration::from_secs(1200);

impl Converts {
    /// As group-convert does beside its partitions.
    async fn look_again_for_parked(&self, looks: bool) -> Infallible {
        loop {
            if !looks {
                return futures::future::pending().await;
            }
            self.runtime.sleep(self.world.chance(|chance| chance.milliseconds(10_000..60_000))).await;
            let unparked = self.converter.replay_parked(&self.mapping, self.runtime.now(), KEEP_PARKED).await;
            self.world.trace(|| match &unparked {
                Ok(Unparked { ended, waiting, unreadable }) => {
                    let ended = ended.measurements;
                    format!("{} unparked {ended}, {waiting} wait, {unreadable} unreadable", self.name)
                }
                Err(away) => format!("{} could not look for what is parked: {away}", self.name),
            });
        }
    }
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
