//! What should have come of the events of a hub: the outcome of an undisturbed
//! run over the same order and the same windows, to be compared with what did.
//!
//! ```text
//! what group-convert wrote (Answer__Fates) --> the windows that were worked on
//! the hub's events, cut into these windows --Converter, over a map--> Observations, fates
//! ```
//!
//! The map stands in for the FHIR server, so nothing of what speaks with one,
//! no process and no retry has a part in what is expected.

use std::collections::BTreeMap;
use std::sync::Mutex;

use delivery::current_mapping::Compiled;
use delivery::{
    Away, Batch, BatchEvent, Converter, DeadLetter, DeadLetters, Destination, Fates, MeasurementFate, Pending, Reason,
    Resolved, SaveOutcome, Source, Turn,
};
use expressions::{Properties, UtcTime};
use hub_client::{Client, ClientError, Event, StartPosition};
use mapping::group::MeasurementGroup;
use mapping::identifier::{ResourceIds, resource_id};
use mapping::{Compatibility, FhirMapping, Observation};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::fhir::{Observations, canonical_observation, difference};
use crate::process::Running;

/// The consumer group in which the hub is looked at.
const GROUP: &str = "$Default";

/// A window that group-convert worked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its sequence numbers, in order.
    pub numbers: Vec<i64>,
    /// For each of its events the fates of its measurements, as they are named:
    /// `created`, `rejected(ObservationDeleted)`.
    pub fates: Vec<Vec<String>>,
}

/// By partition and first sequence number.
pub type Windows = BTreeMap<(String, i64), Window>;

/// What a function wrote of a batch (app setting `Answer__Fates`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) function: String,
    pub(crate) partition: String,
    pub(crate) sequence_numbers: Vec<i64>,
    pub(crate) return_value: Returned,
}

#[derive(Deserialize)]
pub(crate) struct Returned {
    pub(crate) fates: Fates,
}

/// What these processes wrote of their batches, in order.
pub(crate) fn answers<'p>(processes: impl IntoIterator<Item = &'p Running>) -> impl Iterator<Item = Answer> {
    answers_in(processes.into_iter().flat_map(Running::stdout))
}

/// What the lines of a log say of batches, in order.
pub(crate) fn answers_in(lines: impl Iterator<Item = String>) -> impl Iterator<Item = Answer> {
    lines.filter_map(|line| serde_json::from_str(&line).ok())
}

/// The windows that these processes worked through, each once: one that came
/// again has the fates of its first time, so processes are to be given in the
/// order in which they were started.
///
/// # Panics
/// When one that came again was cut differently: two that share some of their
/// events.
#[track_caller]
pub fn windows<'p>(processes: impl IntoIterator<Item = &'p Running>) -> Windows {
    let mut windows = Windows::new();
    for line in answers(processes) {
        let Fates::Measurements(fates) = line.return_value.fates else { continue };
        let first = line.sequence_numbers.first().copied().filter(|_| line.function == "group-convert");
        let Some(first) = first else { continue };
        let fates = fates.iter().map(|fates| fates.iter().map(name).collect()).collect();
        let key = (line.partition, first);
        let window = Window { numbers: line.sequence_numbers, fates };
        let same = windows.get(&key).is_none_or(|before| before.numbers == window.numbers);
        assert!(same, "a window of partition {} that begins with {first} was cut differently", key.0);
        windows.entry(key).or_insert(window);
    }
    let mut last: Option<(&str, i64)> = None;
    for ((partition, first), window) in &windows {
        let shares = last.is_some_and(|(of, number)| of == partition && number >= *first);
        assert!(!shares, "two windows of partition {partition} share the event {first}");
        last = window.numbers.last().map(|number| (partition.as_str(), *number));
    }
    windows
}

/// All events of a hub on loopback, by partition.
///
/// # Panics
/// When the hub does not answer.
#[track_caller]
pub fn events(port: u16, hub: &str) -> BTreeMap<String, Vec<Event>> {
    let read = runtime().block_on(async {
        let mut client = Client::connect(&format!("127.0.0.1:{port}"), hub).await?;
        let mut all = BTreeMap::new();
        for partition in client.hub_properties().await?.partition_ids {
            let last = client.partition_properties(&partition).await?.last_sequence_number;
            let mut events: Vec<Event> = Vec::new();
            if last >= 0 {
                let mut receiver = client.receiver(GROUP, &partition, &StartPosition::Earliest, None).await?;
                while events.last().is_none_or(|event| event.sequence_number < last) {
                    events.push(receiver.next().await?);
                }
                receiver.close().await?;
            }
            all.insert(partition, events);
        }
        client.close().await?;
        Ok::<_, ClientError>(all)
    });
    read.unwrap_or_else(|error| panic!("the hub does not answer: {error}"))
}

/// What is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The Observations, to be compared.
    pub observations: Observations,
    /// The same as JSON, to be written to a server.
    pub json: Vec<String>,
    /// The windows, with the fates of a run in which nothing happens.
    pub windows: Windows,
}

/// What comes of `events` when they are worked on in these windows, one
/// partition after the other, over what was `there` before (JSON of
/// Observations). Devices are those of `register` in [`crate::site`]: each has
/// a patient of its own.
///
/// # Panics
/// When a window names an event that is not there, or the mapping has errors.
#[track_caller]
pub fn expected(
    fhir_mapping: &str,
    events: &BTreeMap<String, Vec<Event>>,
    windows: &Windows,
    there: &[String],
) -> Expected {
    let mapping = FhirMapping::load(fhir_mapping.as_bytes(), &Compatibility::default());
    let mapping = mapping.unwrap_or_else(|findings| panic!("the FHIR mapping: {findings}"));
    let mapping = Compiled { version: String::new(), mapping };
    let server = Server::default();
    for text in there {
        let observation = Observation::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        server.put(observation);
    }
    let converter = Converter::new(&server, Forgotten, Compatibility::default());
    let mut all = Windows::new();
    for ((partition, first), window) in windows {
        let source = Source { partition: partition.clone(), ..Source::default() };
        let event = |number: &i64| {
            let found = events.get(partition).and_then(|events| events.iter().find(|e| e.sequence_number == *number));
            let event = found.unwrap_or_else(|| panic!("partition {partition} has no event {number}"));
            BatchEvent {
                body: &event.body,
                properties: Properties::NONE,
                system_properties: Properties::NONE,
                sequence_number: Some(event.sequence_number),
                enqueued_time: UtcTime::from_unix_milliseconds(event.enqueued_ms).unwrap_or_default(),
            }
        };
        let batch = Batch { source: &source, events: window.numbers.iter().map(event).collect() };
        let converted = runtime().block_on(converter.convert(&mapping, &batch, UtcTime::default(), Turn::UNFENCED));
        let converted = converted.unwrap_or_else(|away| panic!("nothing is away: {away}"));
        let fates = converted.events.iter().map(|fates| fates.iter().map(name).collect());
        let window = Window { numbers: window.numbers.clone(), fates: fates.collect() };
        all.insert((partition.clone(), *first), window);
    }
    let json = server.json();
    let observations = json.iter().map(|text| canonical_observation(text)).collect();
    Expected { observations, json, windows: all }
}

impl Expected {
    /// Compares the account that processes gave with that of the undisturbed
    /// run, and with what the hub holds: each event of each partition is in one
    /// window, each of its measurements has one fate, and those that are in no
    /// Observation are the same. What is in one may have got there by another
    /// way: `created` is `unchanged` when it comes again.
    ///
    /// # Panics
    /// When something differs.
    #[track_caller]
    pub fn check_fates(&self, events: &BTreeMap<String, Vec<Event>>, windows: &Windows) {
        for (partition, events) in events {
            let of = windows.iter().filter(|((of, _), _)| of == partition);
            let numbers: Vec<i64> = of.flat_map(|(_, window)| window.numbers.clone()).collect();
            let all: Vec<i64> = events.iter().map(|event| event.sequence_number).collect();
            assert!(numbers == all, "partition {partition} has the events {all:?}, with fates are {numbers:?}");
        }
        for (key, window) in windows {
            let expected = &self.windows[key];
            for ((number, fates), expected) in window.numbers.iter().zip(&window.fates).zip(&expected.fates) {
                let ends = |fates: &[String]| fates.iter().map(|fate| end_of(fate).to_owned()).collect::<Vec<_>>();
                let (found, expected) = (ends(fates), ends(expected));
                assert!(found == expected, "event {number} of partition {}: {found:?}, not {expected:?}", key.0);
            }
        }
    }

    /// Compares Observations.
    ///
    /// # Panics
    /// When one differs.
    #[track_caller]
    pub fn check_observations(&self, found: &Observations) {
        assert!(*found == self.observations, "Observations differ:\n{}", difference(&self.observations, found));
    }
}

/// A fate with its reason, if it has one.
fn name(fate: &MeasurementFate) -> String {
    fate.reason().map_or_else(|| fate.to_string(), |reason| format!("{fate}({})", reason.code))
}

/// How a measurement ended, as far as redelivery does not change it.
fn end_of(fate: &str) -> &str {
    match fate {
        "created" | "merged" | "unchanged" => "in an Observation",
        other => other,
    }
}

/// A FHIR server that is a map.
#[derive(Debug, Default)]
struct Server(Mutex<BTreeMap<String, Observation>>);

impl Server {
    fn put(&self, observation: Observation) {
        let id = observation.id().unwrap_or_default();
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id, observation);
    }

    fn get(&self, id: &str) -> Option<Observation> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(id).cloned()
    }

    fn json(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.values().map(|observation| String::from_utf8_lossy(&observation.to_json()).into_owned()).collect()
    }

    fn save_one(&self, pending: &Pending<'_>) -> SaveOutcome {
        let (saved, outcome) = match self.get(&pending.identity.id) {
            None => (pending.create().map(Some), SaveOutcome::Created),
            Some(existing) => (pending.merge(&existing), SaveOutcome::Merged),
        };
        match saved {
            Ok(Some(observation)) => {
                self.put(observation);
                outcome
            }
            Ok(None) => SaveOutcome::Unchanged,
            Err(reason) => SaveOutcome::Rejected(reason),
        }
    }
}

impl Destination for &Server {
    async fn resolve(
        &self,
        groups: &[&MeasurementGroup<'_>],
        _: Turn<'_>,
    ) -> Result<Vec<Result<Resolved, Reason>>, Away> {
        let resolved = groups.iter().map(|group| {
            let device = resource_id("", group.device_id);
            let patient = resource_id("", &format!("patient-of-{}", group.device_id));
            Ok(Resolved { ids: ResourceIds { device, patient, encounter: None }, patient_differs: false })
        });
        Ok(resolved.collect())
    }

    async fn save(&self, pending: &[Pending<'_>], _: Turn<'_>) -> Result<Vec<SaveOutcome>, Away> {
        Ok(pending.iter().map(|pending| self.save_one(pending)).collect())
    }
}

/// Dead letters that nobody reads: the fates say what was rejected.
#[derive(Debug)]
pub struct Forgotten;

impl DeadLetters for Forgotten {
    async fn record(&self, _: &[DeadLetter<'_>]) -> Result<(), Away> {
        Ok(())
    }
}

fn runtime() -> Runtime {
    Runtime::new().unwrap_or_else(|error| panic!("no runtime: {error}"))
}
