//! The suite `batching`: where windows are cut, and which position is stored
//! then. Run against the delivery loop in a simulated machine.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delivery::window::Why;
use delivery::{
    Away, Batch, Consumer, ConsumerOptions, Flush, Observer, Processor, Source, Turn, WindowRules, WindowState,
};
use expressions::{DateTime, UtcTime};
use serde_json::{Value, json};
use simulator::{Machine, MemoryHub, MemoryPositions};

use super::case;
use crate::Outcome;

/// After how long without an event the reference connector looks at a window
/// again; what the cases call `max-wait`.
const IDLE: Duration = Duration::from_secs(60);

/// What the process calls itself.
const US: &str = "us";

/// Enough for ownership to change hands.
const ROUND: Duration = Duration::from_secs(11);

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let steps = case["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut bench = Bench::new(case, steps);
    let states: Vec<Value> = steps.iter().map(|step| bench.step(step)).collect();
    let got = json!({ "afterEachStep": states });
    let expect = &case["expect"];
    if got == *expect { Outcome::Passed } else { Outcome::failed(expect.to_string(), got.to_string()) }
}

/// One process that reads a hub.
struct Bench {
    machine: Machine,
    hub: MemoryHub,
    positions: MemoryPositions,
    rules: WindowRules,
    seen: Arc<Seen>,
    /// The numbers that the case gives its events, by their places.
    numbers: HashMap<(String, i64), Value>,
    /// Partitions that another process has.
    elsewhere: BTreeSet<String>,
}

/// What the process told.
#[derive(Default)]
struct Seen(Mutex<Told>);

#[derive(Default)]
struct Told {
    flushes: Vec<(String, Flush, Vec<i64>)>,
    /// The events of batches whose flush has not been told yet.
    processed: BTreeMap<String, Vec<i64>>,
    windows: BTreeMap<String, WindowState>,
    owned: usize,
}

impl Seen {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tells(Arc<Seen>);

impl Processor for Tells {
    async fn process(&self, batch: &Batch<'_>, _: Turn<'_>) -> Result<(), Away> {
        let numbers = batch.events.iter().filter_map(|event| event.sequence_number).collect();
        self.0.told().processed.insert(batch.source.partition.clone(), numbers);
        Ok(())
    }
}

impl Observer for Tells {
    fn flushed(&self, source: &Source, flush: Flush) {
        let mut told = self.0.told();
        let events = told.processed.remove(&source.partition).unwrap_or_default();
        told.flushes.push((source.partition.clone(), flush, events));
    }

    fn window(&self, source: &Source, window: WindowState) {
        self.0.told().windows.insert(source.partition.clone(), window);
    }

    fn owned(&self, partitions: usize) {
        self.0.told().owned = partitions;
    }
}

impl Bench {
    fn new(case: &Value, steps: &[Value]) -> Bench {
        let partitions: BTreeSet<&str> = steps.iter().map(|step| case::text(step, "partition")).collect();
        let partitions: Vec<&str> = partitions.into_iter().collect();
        let first = steps.iter().find_map(time);
        let machine = Machine::new(first.unwrap_or(UtcTime::MIN), 1);
        let source = Source {
            namespace: "test.servicebus.windows.net".to_owned(),
            hub: "devicedata".to_owned(),
            consumer_group: "$default".to_owned(),
            partition: String::new(),
        };
        let number = |name: &str| case["options"][name].as_u64();
        let rules = WindowRules {
            max_events: number("maxEvents").unwrap_or_default() as usize,
            max_events_all_partitions: number("maxEventsAllPartitions").map(|events| events as usize),
            span: Duration::from_secs(number("flushTimespanSeconds").unwrap_or_default()),
            ..WindowRules::default()
        };
        let mut bench = Bench {
            hub: MemoryHub::new(source.clone(), &partitions),
            positions: MemoryPositions::new(machine.runtime(), source),
            machine,
            rules,
            seen: Arc::default(),
            numbers: HashMap::new(),
            elsewhere: BTreeSet::new(),
        };
        // What is acquired in the case before it has an event was another's.
        for partition in partitions {
            let begins = steps.iter().find(|step| case::text(step, "partition") == partition);
            if begins.is_some_and(|step| case::text(step, "do") == "partition-acquired") {
                bench.elsewhere.insert(partition.to_owned());
            }
        }
        bench.keep_elsewhere();
        let options = ConsumerOptions { rules, idle_after: IDLE, ..ConsumerOptions::new(US) };
        let consumer = Consumer::new(
            (bench.hub.clone(), bench.positions.clone(), bench.machine.runtime()),
            Tells(bench.seen.clone()),
            Arc::new(Tells(bench.seen.clone())),
            options,
        );
        bench.machine.spawn(async move {
            // It reads until the machine is gone.
            let _never = consumer.run(std::future::pending()).await;
        });
        bench.machine.run();
        bench
    }

    /// The others, each with one partition, are still there.
    fn keep_elsewhere(&self) {
        for partition in &self.elsewhere {
            self.positions.steal(partition, &format!("another with {partition}"));
        }
    }

    fn step(&mut self, step: &Value) -> Value {
        let partition = case::text(step, "partition").to_owned();
        self.keep_elsewhere();
        match case::text(step, "do") {
            "event" => {
                let at = time(step).unwrap_or(UtcTime::MIN);
                self.machine.set_clock(at);
                let place = self.hub.append(&partition, "{}", at);
                self.numbers.insert((partition.clone(), place), step["event"].clone());
                self.machine.run();
            }
            "max-wait" => {
                let now = time(step).unwrap_or(UtcTime::MIN);
                let before = now.ticks() - (IDLE.as_nanos() / 100) as i64;
                self.machine.set_clock(UtcTime::from_ticks(before).unwrap_or(UtcTime::MIN));
                self.machine.advance(IDLE);
            }
            "partition-acquired" => {
                if !self.elsewhere.remove(&partition) {
                    self.lose(&partition);
                    self.elsewhere.remove(&partition);
                    // The case does not deliver again what was taken before.
                    let delivered = self.numbers.keys().filter(|place| place.0 == partition).count();
                    self.hub.expire(&partition, delivered);
                }
                // Under our name, or we would leave it to the others when we have our share.
                self.positions.steal(&partition, US);
                self.machine.advance(ROUND);
            }
            "partition-lost" => self.lose(&partition),
            _ => {}
        }
        self.state(&partition)
    }

    fn lose(&mut self, partition: &str) {
        self.elsewhere.insert(partition.to_owned());
        self.keep_elsewhere();
        self.machine.advance(ROUND);
    }

    fn state(&self, partition: &str) -> Value {
        let mut told = self.seen.told();
        let flushes: Vec<Value> = std::mem::take(&mut told.flushes).iter().map(|flush| self.flush(flush)).collect();
        let window = told.windows.get(partition);
        let end = window.and_then(|window| window.end).map(|end| {
            let mut text = String::new();
            end.write_iso(&mut text);
            text
        });
        json!({
            "flushes": flushes,
            "exists": end.is_some(),
            "windowEnd": end,
            "queued": window.map_or(0, |window| window.events),
            "limit": self.rules.limit(told.owned),
        })
    }

    fn flush(&self, (partition, flush, events): &(String, Flush, Vec<i64>)) -> Value {
        let number = |place: i64| self.numbers.get(&(partition.clone(), place)).cloned().unwrap_or_default();
        let reason = match flush.why {
            Why::Time => "time",
            Why::Count => "count",
            Why::Wait => "wait",
            other => other.as_str(),
        };
        json!({
            "reason": reason,
            "partition": partition,
            "events": events.iter().map(|place| number(*place)).collect::<Vec<_>>(),
            "checkpoint": flush.checkpoint.map(number),
        })
    }
}

fn time(step: &Value) -> Option<UtcTime> {
    let text = step.get("enqueuedTime").or(step.get("now"))?.as_str()?;
    DateTime::parse_token(text).map(|time| time.instant)
}
