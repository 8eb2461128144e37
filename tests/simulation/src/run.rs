//! Runs what a seed means, and says which promises were kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use delivery::current_mapping::version_of;
use delivery::{Compiled, Runtime, Source, WindowRules};
use expressions::UtcTime;
use fhir_client::Mode;
use futures::FutureExt;
use local::fhir_server::InProcessFhirServer;
use mapping::{Compatibility, DeviceMapping, FhirMapping};
use serde_json::json;
use simulator::{Chance, Machine, MemoryHub, MemoryPositions};

use crate::fhir::{self, Server};
use crate::oracle;
use crate::process::{Mappings, Process, Site};
use crate::record::Side;
use crate::scenario::{DEVICES, Scenario, Step};
use crate::stores::MemoryParking;
use crate::world::{Fault, World};

const DEVICE_MAPPING: &str = include_str!("../mappings/devicecontent.json");
const FHIR_MAPPING: &str = include_str!("../mappings/fhirmapping.json");

/// What came of a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The promises that were broken; none when it passed.
    pub broken: Vec<String>,
    /// What went wrong on purpose, and how often.
    pub faults: BTreeMap<Fault, u64>,
    /// What happened, when it was asked for.
    pub trace: Vec<String>,
    /// How many events were sent by devices, and how many measurements arrived.
    pub events: usize,
    /// How many measurements arrived in the internal hub.
    pub measurements: usize,
}

/// Reads the mappings of all runs.
///
/// # Errors
/// What is wrong with them, which nothing is.
pub fn mappings() -> Result<Mappings, String> {
    let compatibility = Compatibility::default();
    let device = DeviceMapping::load(DEVICE_MAPPING.as_bytes(), &compatibility).map_err(|error| error.to_string())?;
    let fhir = FhirMapping::load(FHIR_MAPPING.as_bytes(), &compatibility).map_err(|error| error.to_string())?;
    Ok(Mappings {
        device: Arc::new(Compiled { version: version_of(DEVICE_MAPPING.as_bytes()), mapping: device }),
        fhir: Arc::new(Compiled { version: version_of(FHIR_MAPPING.as_bytes()), mapping: fhir }),
    })
}

/// Runs a seed.
pub fn run(seed: u64, mappings: &Mappings, traced: bool) -> Outcome {
    Run::new(seed, mappings, traced).run()
}

struct Run {
    machine: Machine,
    site: Site,
    scenario: Scenario,
    /// Of each side.
    processes: [Vec<Process>; 2],
    /// Who starts when.
    starts: Vec<(Duration, Side, String)>,
    started: u64,
}

impl Run {
    fn new(seed: u64, mappings: &Mappings, traced: bool) -> Run {
        let scenario = Scenario::new(seed);
        let start = UtcTime::from_unix_milliseconds(1_604_232_000_000).unwrap_or(UtcTime::MIN);
        let machine = Machine::new(start, seed);
        let runtime = machine.runtime();
        let world = World::new(runtime.clone(), Chance::new(!seed), scenario.rates.clone(), traced);
        let hub = |name: &str, group: &str, partitions: u64| {
            let source = Source {
                namespace: "ns1.servicebus.windows.net".to_owned(),
                hub: name.to_owned(),
                consumer_group: group.to_owned(),
                partition: String::new(),
            };
            let names: Vec<String> = (0..partitions).map(|partition| partition.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            (MemoryHub::new(source.clone(), &names), MemoryPositions::new(runtime.clone(), source))
        };
        let (events, events_at) = hub("devicedata", "$default", scenario.event_partitions);
        let (measurements, measurements_at) = hub("normalizeddata", "$default", scenario.measurement_partitions);
        let server = InProcessFhirServer::new(scenario.personality, "fhir.test");
        let site = Site {
            world: Arc::new(world),
            record: Arc::default(),
            hubs: [events, measurements],
            positions: [events_at, measurements_at],
            server: Server::new(server, runtime),
            mappings: mappings.clone(),
            measurement_partitions: scenario.measurement_partitions,
            mode: if scenario.creates { Mode::Create } else { Mode::Lookup },
            parking: scenario.parks.then(MemoryParking::default),
            rules: WindowRules { max_events: scenario.max_events, span: scenario.span, ..WindowRules::default() },
        };
        Run { machine, site, scenario, processes: [Vec::new(), Vec::new()], starts: Vec::new(), started: 0 }
    }

    fn run(mut self) -> Outcome {
        let world = self.site.world.clone();
        let scenario = self.scenario.clone();
        world.trace(|| {
            let Scenario { personality, creates, parks, max_events, span, replicas, rates, .. } = &scenario;
            let mode = match (creates, parks) {
                (true, _) => "create",
                (_, true) => "lookup with parking",
                _ => "lookup",
            };
            format!("{personality:?}, {mode}, windows of {max_events} or {span:?}, replicas {replicas:?}, {rates:?}")
        });
        if !scenario.creates && !scenario.parks {
            futures::executor::block_on(register_all(&self.site.server));
        }
        for (side, count) in [(Side::Events, scenario.replicas[0]), (Side::Measurements, scenario.replicas[1])] {
            (0..count).for_each(|_| self.join(side));
        }
        for (at, step) in scenario.steps {
            self.advance_to(at);
            self.step(step);
        }
        self.advance_to(scenario.calm);
        world.trace(|| "all is well again".to_owned());
        world.calm();
        // Whoever was about to start does, and nobody is missing.
        for (_, side, name) in std::mem::take(&mut self.starts) {
            self.start(side, &name);
        }
        for side in [Side::Events, Side::Measurements] {
            if self.of(side).is_empty() {
                self.join(side);
            }
        }
        let end = scenario.calm + oracle::PATIENCE;
        loop {
            self.machine.advance(Duration::from_secs(60));
            let unfinished = oracle::unfinished(&self.site);
            if unfinished.is_empty() {
                break;
            }
            if self.machine.runtime().elapsed() > end {
                unfinished.into_iter().for_each(|what| self.site.record.broken(what));
                break;
            }
        }
        // What is still on its way arrives.
        self.machine.advance(Duration::from_secs(300));
        let broken = futures::executor::block_on(oracle::check(&self.site));
        let count = |hub: &MemoryHub| hub.contents().values().map(Vec::len).sum();
        Outcome {
            broken,
            faults: world.counts(),
            trace: world.traced(),
            events: count(&self.site.hubs[0]),
            measurements: count(&self.site.hubs[1]),
        }
    }

    fn of(&mut self, side: Side) -> &mut Vec<Process> {
        &mut self.processes[usize::from(side == Side::Measurements)]
    }

    /// Lets time pass, and starts whoever is due on the way.
    fn advance_to(&mut self, at: Duration) {
        loop {
            let due =
                self.starts.iter().enumerate().filter(|(_, start)| start.0 <= at).min_by_key(|(_, start)| start.0);
            let Some(index) = due.map(|(index, _)| index) else { break };
            let (due, side, name) = self.starts.remove(index);
            self.machine.advance(due.saturating_sub(self.machine.runtime().elapsed()));
            self.start(side, &name);
        }
        self.machine.advance(at.saturating_sub(self.machine.runtime().elapsed()));
    }

    fn join(&mut self, side: Side) {
        self.started += 1;
        let name = format!("{}-{}", if side == Side::Events { "normalize" } else { "convert" }, self.started);
        self.start(side, &name);
    }

    fn start(&mut self, side: Side, name: &str) {
        let process = self.site.start(side, name, self.machine.process());
        self.of(side).push(process);
    }

    fn step(&mut self, step: Step) {
        let Site { world, record, server, hubs, positions, .. } = self.site.clone();
        let runtime = self.machine.runtime();
        let index = |side: Side| usize::from(side == Side::Measurements);
        match step {
            Step::Event { partition, body } => {
                let number = hubs[0].append(&partition.to_string(), body.as_bytes(), runtime.now());
                world.trace(|| format!("event {partition}/{number} {body}"));
            }
            Step::Kill { side, pick, after, same_name } => {
                let Some(process) = take(self.of(side), pick) else { return };
                world.count(Fault::Kill);
                world.trace(|| format!("{} is killed", process.name));
                process.kill();
                self.started += 1;
                let name = if same_name { process.name } else { format!("{}'", process.name) };
                self.starts.push((runtime.elapsed() + after, side, name));
            }
            Step::Freeze { side, pick, duration } => {
                let processes = self.of(side);
                let count = processes.len().max(1);
                let Some(process) = processes.get(pick as usize % count) else { return };
                world.count(Fault::Freeze);
                world.trace(|| format!("{} stands still for {duration:?}", process.name));
                process.runtime.freeze(duration);
            }
            Step::Join(side) => {
                world.count(Fault::Join);
                self.join(side);
            }
            Step::Leave { side, pick } => {
                if self.of(side).len() < 2 {
                    return;
                }
                let Some(mut process) = take(self.of(side), pick) else { return };
                world.count(Fault::Leave);
                world.trace(|| format!("{} is told to stop", process.name));
                process.stop();
            }
            Step::Steal { side, partition, by_somebody } => {
                world.trace(|| format!("{side:?} {partition} is taken away"));
                let (positions, partition) = (&positions[index(side)], partition.to_string());
                if by_somebody {
                    world.count(Fault::OwnershipStolen);
                    positions.steal(&partition, "somebody");
                } else {
                    world.count(Fault::OwnershipLost);
                    positions.lose(&partition);
                }
            }
            Step::Down { duration, status } => {
                world.trace(|| format!("the server is down for {duration:?}: {status:?}"));
                world.bring_down(duration, status);
            }
            Step::Appear(device) => {
                world.count(Fault::DeviceAppears);
                runtime.spawn(async move { register(&server, device).await }.boxed());
            }
            Step::Note(pick) => runtime.spawn(fhir::write_note(server, record, world, pick).boxed()),
            Step::Delete(pick) => runtime.spawn(fhir::delete(server, record, world, pick).boxed()),
        }
    }
}

fn take(processes: &mut Vec<Process>, pick: u64) -> Option<Process> {
    if processes.is_empty() {
        return None;
    }
    let index = pick as usize % processes.len();
    Some(processes.remove(index))
}

/// Makes all devices known to a server.
pub async fn register_all(server: &Server) {
    for device in 0..DEVICES {
        register(server, device).await;
    }
}

/// Makes a device known to a server, and whose it is.
async fn register(server: &Server, device: u64) {
    let patient = json!({ "resourceType": "Patient", "id": "p" });
    server.ask("PUT", "Patient/p", Some(&patient), &[]).await;
    let resource = json!({
        "resourceType": "Device", "id": format!("d{device}"),
        "identifier": [{ "value": format!("d{device}") }], "patient": { "reference": "Patient/p" },
    });
    server.ask("PUT", &format!("Device/d{device}"), Some(&resource), &[]).await;
}
