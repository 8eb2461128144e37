//! A hub, its positions and processes that read it, in one simulated machine.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::{
    Away, Batch, Consumer, ConsumerError, ConsumerOptions, Flush, Observer, Processor, Runtime, Source, Turn,
    WindowRules,
};
use expressions::UtcTime;
use futures::FutureExt;
use futures::channel::oneshot;
use simulator::{Machine, MemoryHub, MemoryPositions, SimulatedRuntime};

pub const SECOND: Duration = Duration::from_secs(1);

/// Everything that processes did, in order.
pub type Log = Arc<Mutex<Vec<String>>>;

pub struct Site {
    pub machine: Machine,
    pub hub: MemoryHub,
    pub positions: MemoryPositions,
    pub log: Log,
    /// What processing gives for a partition as long as it is set.
    pub away: Arc<Mutex<Option<String>>>,
    /// Processing takes so long.
    pub slowness: Arc<Mutex<Duration>>,
    /// Processing ends well although its fence does not hold any more.
    pub heedless: Arc<AtomicBool>,
}

pub struct Process {
    runtime: Arc<SimulatedRuntime>,
    /// How often its loop came round.
    pub rounds: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    pub ended: Arc<Mutex<Option<Result<(), ConsumerError>>>>,
}

impl Process {
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        self.runtime.kill();
    }

    /// It does nothing for so long, as when its machine stands still.
    pub fn freeze(&self, duration: Duration) {
        self.runtime.freeze(duration);
    }

    pub fn end(&self) -> String {
        match &*self.ended.lock().unwrap() {
            None => "runs".to_owned(),
            Some(Ok(())) => "stopped".to_owned(),
            Some(Err(error)) => error.to_string(),
        }
    }
}

pub fn source(hub: &str) -> Source {
    let namespace = "ns1.servicebus.windows.net".to_owned();
    Source { namespace, hub: hub.to_owned(), consumer_group: "$default".to_owned(), partition: String::new() }
}

impl Site {
    pub fn new(partitions: &[&str]) -> Site {
        let machine = Machine::new(UtcTime::from_unix_milliseconds(1_604_232_000_000).unwrap(), 7);
        let positions = MemoryPositions::new(machine.runtime(), source("hub"));
        Site {
            hub: MemoryHub::new(source("hub"), partitions),
            positions,
            machine,
            log: Arc::default(),
            away: Arc::default(),
            slowness: Arc::default(),
            heedless: Arc::default(),
        }
    }

    pub fn now(&self) -> UtcTime {
        self.machine.runtime().now()
    }

    /// Appends so many events now.
    pub fn append(&self, partition: &str, events: usize) {
        for _ in 0..events {
            self.hub.append(partition, "{}", self.now());
        }
    }

    /// Starts a process that reads the hub.
    pub fn start(&mut self, owner: &str, change: impl FnOnce(&mut ConsumerOptions)) -> Process {
        let (hub, positions) = (self.hub.clone(), self.positions.clone());
        self.start_reading(owner, hub, positions, change)
    }

    pub fn start_reading(
        &mut self,
        owner: &str,
        hub: MemoryHub,
        positions: MemoryPositions,
        change: impl FnOnce(&mut ConsumerOptions),
    ) -> Process {
        let mut options = ConsumerOptions {
            rules: WindowRules { max_events: 3, ..WindowRules::default() },
            ..ConsumerOptions::new(owner)
        };
        change(&mut options);
        let runtime = self.machine.process();
        let recorder = Recorder {
            owner: owner.to_owned(),
            log: self.log.clone(),
            away: self.away.clone(),
            slowness: self.slowness.clone(),
            heedless: self.heedless.clone(),
            runtime: runtime.clone(),
        };
        let rounds = Arc::new(AtomicUsize::new(0));
        let observer = Arc::new(Watching { owner: owner.to_owned(), log: self.log.clone(), rounds: rounds.clone() });
        let process = runtime.clone();
        let consumer = Consumer::new((hub, positions, runtime), recorder, observer, options);
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = Arc::new(Mutex::new(None));
        let end = ended.clone();
        let running = async move {
            let ended = consumer
                .run(async move {
                    let _cancelled = stopped.await;
                })
                .await;
            *end.lock().unwrap() = Some(ended);
        };
        process.spawn(running.boxed());
        Process { stop: Some(stop), ended, rounds, runtime: process }
    }

    /// Who owns a partition, without the number of its start.
    pub fn owner(&self, partition: &str) -> Option<String> {
        let owner = self.positions.owner(partition)?;
        Some(owner.split('#').next().unwrap_or_default().to_owned())
    }

    /// What was logged since the last time.
    pub fn logged(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

/// Records the batches that it is given.
struct Recorder {
    owner: String,
    log: Log,
    away: Arc<Mutex<Option<String>>>,
    slowness: Arc<Mutex<Duration>>,
    heedless: Arc<AtomicBool>,
    runtime: Arc<SimulatedRuntime>,
}

impl Processor for Recorder {
    async fn process(&self, batch: &Batch<'_>, turn: Turn<'_>) -> Result<(), Away> {
        let slowness = *self.slowness.lock().unwrap();
        if !slowness.is_zero() {
            self.runtime.sleep(slowness).await;
        }
        let partition = &batch.source.partition;
        let numbers: Vec<_> = batch.events.iter().map(|event| event.sequence_number.unwrap().to_string()).collect();
        let again = if turn.begun_before.is_some() { " again" } else { "" };
        let fenced = if turn.fence.holds() { "" } else { " FENCED" };
        self.log.lock().unwrap().push(format!("{} {partition} [{}]{again}{fenced}", self.owner, numbers.join(" ")));
        if !fenced.is_empty() && !self.heedless.load(Ordering::Relaxed) {
            return Err(Away::new("the partition", "it is another's"));
        }
        match &*self.away.lock().unwrap() {
            Some(away) if away == partition => Err(Away::new("the FHIR server", "it answers nothing")),
            _ => Ok(()),
        }
    }
}

struct Watching {
    owner: String,
    log: Log,
    rounds: Arc<AtomicUsize>,
}

impl Watching {
    fn log(&self, line: String) {
        self.log.lock().unwrap().push(format!("{} {line}", self.owner));
    }
}

impl Observer for Watching {
    fn came_round(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    fn flushed(&self, source: &Source, flush: Flush) {
        let Flush { why, checkpoint, .. } = flush;
        self.log(format!("{} {why:?} -> {checkpoint:?}", source.partition));
    }

    fn expired(&self, source: &Source, events: u64) {
        self.log(format!("{} lost {events}", source.partition));
    }

    fn restarted(&self, source: &Source) {
        self.log(format!("{} restarted", source.partition));
    }

    fn lag(&self, source: &Source, events: u64) {
        self.log(format!("{} lag {events}", source.partition));
    }
}
