//! Checks the promises of design.md section 2 after a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use delivery::{
    Away, Converter, DeadLetter, DeadLetters, EventFate, Fence, Hub, HubBatch, HubEvent, MeasurementFate,
    MeasurementOutput, Normalizer, OutgoingMeasurements, Runtime, Turn, Unfenced,
};
use fhir_client::{Missing, Mode, NoAnswer, Transport};
use futures::FutureExt;
use futures::future::BoxFuture;
use local::fhir_server::{InProcessFhirServer, Personality};
use mapping::Compatibility;
use serde_json::Value;

use crate::fhir::{Server, owned, short};
use crate::process::{Site, destination_over};
use crate::record::{Happened, Side};
use crate::run::register_all;

/// What is broken, in words; nothing when all promises are kept.
pub async fn check(site: &Site) -> Vec<String> {
    let happened = site.record.happened();
    let mut broken = happened.broken.clone();
    broken.extend(events_have_fates(site, &happened));
    broken.extend(events_have_the_right_fates(site, &happened).await);
    broken.extend(nothing_is_lost_on_the_way(site, &happened));
    broken.extend(windows_are_cut_once(site, &happened));
    let found = site.server.observations().await;
    broken.extend(observations_are_those_of_an_undisturbed_run(site, &happened, &found).await);
    broken.extend(others_lost_nothing(&happened, &found));
    broken
}

/// Promise 2: every event has its fate, and what is rejected has its letter.
fn events_have_fates(site: &Site, happened: &Happened) -> Vec<String> {
    let mut broken = Vec::new();
    for (side, hub) in [(Side::Events, &site.hubs[0]), (Side::Measurements, &site.hubs[1])] {
        for (partition, events) in hub.contents() {
            for event in events {
                let place = (partition.clone(), event.sequence_number);
                let is_rejected = match side {
                    Side::Events => happened.events.get(&place).map(|fate| matches!(fate, EventFate::Rejected { .. })),
                    Side::Measurements => happened.measurements.get(&place).map(|fates| {
                        if fates.is_empty() {
                            broken.push(format!("{side:?} {place:?}: an event without a measurement's fate"));
                        }
                        fates.iter().any(|fate| matches!(fate, MeasurementFate::Rejected(_)))
                    }),
                };
                let has_letter = happened.letters.contains(&(side, place.0.clone(), place.1));
                match is_rejected {
                    None => broken.push(format!("{side:?} {place:?} has no fate")),
                    Some(true) if !has_letter => broken.push(format!("{side:?} {place:?} has no dead letter")),
                    Some(_) => {}
                }
            }
        }
    }
    broken
}

/// Promise 2: an event's fate is what the mapping makes of it, whatever went
/// wrong.
async fn events_have_the_right_fates(site: &Site, happened: &Happened) -> Vec<String> {
    let normalizer = Normalizer::new(Nowhere, Nowhere);
    let mut broken = Vec::new();
    for (partition, events) in site.hubs[0].contents() {
        let source = site.hubs[0].source(&partition);
        let typed = HubBatch::new(&events);
        let batch = typed.batch(&source);
        let fates = match normalizer.normalize(&site.mappings.device, &batch, &Unfenced).await {
            Ok(done) => done.events,
            Err(away) => return vec![away.to_string()],
        };
        for (event, expected) in events.iter().zip(fates) {
            let found = happened.events.get(&(partition.clone(), event.sequence_number));
            if found.is_some_and(|found| *found != expected) {
                let place = event.sequence_number;
                broken.push(format!("event {place} of {partition} ended as {found:?} instead of {expected:?}"));
            }
        }
    }
    broken
}

/// Promise 2: what is rejected of the internal hub is what an undisturbed run
/// rejects, and what a clinician deleted.
fn rejected_is_what_has_to_be(happened: &Happened, expected: &Fates) -> Vec<String> {
    let mut broken = Vec::new();
    for (place, found) in &happened.measurements {
        for (found, expected) in found.iter().zip(expected.get(place).into_iter().flatten()) {
            let is_as_expected = match (found, expected) {
                (MeasurementFate::Rejected(reason), _) if reason.code == "ObservationDeleted" => true,
                (MeasurementFate::Rejected(found), MeasurementFate::Rejected(expected)) => found == expected,
                (MeasurementFate::Rejected(_), _) | (_, MeasurementFate::Rejected(_)) => false,
                _ => true,
            };
            if !is_as_expected {
                broken.push(format!("measurement {place:?} ended as {found:?} instead of {expected:?}"));
            }
        }
    }
    broken
}

/// Promise 3: what was normalized is in the internal hub.
fn nothing_is_lost_on_the_way(site: &Site, happened: &Happened) -> Vec<String> {
    let tag = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let arrived: std::collections::BTreeSet<String> = site.hubs[1]
        .contents()
        .into_values()
        .flatten()
        .filter_map(|event| {
            let measurement: Value = serde_json::from_slice(&event.body).ok()?;
            let properties = measurement["Properties"].as_array()?;
            properties.iter().find(|property| property["Name"] == "tag").map(|property| tag(&property["Value"]))
        })
        .collect();
    let mut broken = Vec::new();
    for (partition, events) in site.hubs[0].contents() {
        for event in events {
            let number = event.sequence_number;
            let is_normalized =
                matches!(happened.events.get(&(partition.clone(), number)), Some(EventFate::Normalized { .. }));
            let body: Value = serde_json::from_slice(&event.body).unwrap_or_default();
            if is_normalized && !arrived.contains(&tag(&body["tag"])) {
                broken.push(format!("event {number} of {partition} was normalized and is not in the internal hub"));
            }
        }
    }
    broken
}

/// Decision D4: a window that comes again is cut where it was cut.
fn windows_are_cut_once(site: &Site, happened: &Happened) -> Vec<String> {
    let mut broken = Vec::new();
    for (partition, events) in site.hubs[1].contents() {
        let mut next = 0;
        for (first, last) in happened.windows.get(&partition).into_iter().flatten() {
            if *first != next {
                broken.push(format!("a window of partition {partition} begins with {first} instead of {next}"));
            }
            next = last + 1;
        }
        if next != events.len() as i64 {
            broken.push(format!("the windows of partition {partition} end before {next}, the hub at {}", events.len()));
        }
    }
    broken
}

/// Promise 3: the Observations are those of an undisturbed run over the same
/// order and the same windows.
async fn observations_are_those_of_an_undisturbed_run(
    site: &Site,
    happened: &Happened,
    found: &BTreeMap<String, Value>,
) -> Vec<String> {
    let (expected, fates) = match undisturbed(site, happened).await {
        Ok(expected) => expected,
        Err(error) => return vec![format!("the undisturbed run failed: {error}")],
    };
    // What was parked is not yet decided where it is first seen.
    let mut broken = match site.parking {
        Some(_) => Vec::new(),
        None => rejected_is_what_has_to_be(happened, &fates),
    };
    for (id, expected) in &expected {
        match found.get(id) {
            _ if happened.deleted.contains(id) => {}
            None => broken.push(format!("Observation {id} is not there: {}", brief(expected))),
            Some(found) if !is_as_expected(found, expected, site) => {
                broken.push(format!("Observation {id} is {} instead of {}", brief(found), brief(expected)));
            }
            Some(_) => {}
        }
    }
    for (id, found) in found {
        if happened.deleted.contains(id) {
            broken.push(format!("Observation {id} was deleted and is there again: {}", brief(found)));
        } else if !expected.contains_key(id) && site.parking.is_none() {
            broken.push(format!("Observation {id} should not be there: {}", brief(found)));
        }
    }
    broken
}

/// What others wrote is still there.
fn others_lost_nothing(happened: &Happened, found: &BTreeMap<String, Value>) -> Vec<String> {
    let has = |id: &str, text: &str| {
        let notes = found.get(id).and_then(|observation| observation["note"].as_array());
        notes.is_some_and(|notes| notes.iter().any(|note| note["text"] == text))
    };
    let lost = happened.notes.iter().filter(|(id, text)| !happened.deleted.contains(id) && !has(id, text));
    lost.map(|(id, text)| format!("the note `{text}` on Observation {id} is lost")).collect()
}

/// Converts the windows that were begun one after the other, on a server of
/// their own and without any trouble.
async fn undisturbed(site: &Site, happened: &Happened) -> Result<(BTreeMap<String, Value>, Fates), String> {
    let process = site.world.runtime().clone();
    let server = Server::new(InProcessFhirServer::new(Personality::Azure, "undisturbed.test"), process.clone());
    if site.mode == Mode::Lookup {
        register_all(&server).await;
    }
    let near = NearServer { server: server.clone() };
    let destination =
        destination_over(&server, &process, (Arc::new(near), site.mode)).ok_or("the server has no address")?;
    let converter = Converter::new(destination, Nowhere, Compatibility::default());
    let mut fates = Fates::new();
    for (partition, events) in site.hubs[1].contents() {
        let source = site.hubs[1].source(&partition);
        for (first, last) in happened.windows.get(&partition).into_iter().flatten() {
            let is_in = |event: &&HubEvent| (*first..=*last).contains(&event.sequence_number);
            let window: Vec<HubEvent> = events.iter().filter(is_in).cloned().collect();
            let typed = HubBatch::new(&window);
            let batch = typed.batch(&source);
            let turn = Turn { term: 1, ..Turn::UNFENCED };
            let done = converter.convert(&site.mappings.fhir, &batch, process.now(), turn).await;
            let done = done.map_err(|away| away.to_string())?;
            let places = window.iter().map(|event| (partition.clone(), event.sequence_number));
            fates.extend(places.zip(done.events));
        }
    }
    Ok((server.observations().await, fates))
}

/// The fates of the measurements of each event of the internal hub.
type Fates = BTreeMap<(String, i64), Vec<MeasurementFate>>;

/// An Observation without what may differ: who saved it when, what others wrote
/// into it, and whether something was written twice.
fn essence(observation: &Value) -> Value {
    let mut essence = observation.clone();
    if let Some(members) = essence.as_object_mut() {
        for name in ["issued", "meta", "note", "status"] {
            members.remove(name);
        }
    }
    essence
}

/// What was parked fills gaps only, and alone where several would not have been
/// taken together, so what is there depends on when its device appeared: then
/// only that nothing is missing is compared.
fn is_as_expected(found: &Value, expected: &Value, site: &Site) -> bool {
    if site.parking.is_none() {
        return essence(found) == essence(expected);
    }
    let of_code = |component: &&Value, code: &Value| component["code"] == *code;
    holds(found, expected)
        && components(expected).all(|component| {
            let same = components(found).find(|found| of_code(found, &component["code"]));
            same.is_some_and(|found| holds(found, component))
        })
}

fn components(observation: &Value) -> impl Iterator<Item = &Value> {
    observation["component"].as_array().into_iter().flatten()
}

/// Whether there is a value wherever one is expected.
fn holds(found: &Value, expected: &Value) -> bool {
    let data = |holder: &Value| holder["valueSampledData"]["data"].as_str().map(str::to_owned);
    let has_samples = match (data(found), data(expected)) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(found), Some(expected)) => {
            // Where the grid has its own beginning, places say nothing.
            let is_fixed = found.split(' ').count() == expected.split(' ').count();
            !is_fixed
                || found.split(' ').zip(expected.split(' ')).all(|(found, expected)| found != "E" || expected == "E")
        }
    };
    has_samples && (expected["valueQuantity"].is_null() || !found["valueQuantity"].is_null())
}

fn brief(observation: &Value) -> String {
    let data = |holder: &Value| holder["valueSampledData"]["data"].as_str().map(short);
    let quantity = |holder: &Value| holder["valueQuantity"]["value"].as_f64().map(|value| value.to_string());
    let holders = std::iter::once(observation).chain(observation["component"].as_array().into_iter().flatten());
    let values: Vec<String> = holders.filter_map(|holder| data(holder).or_else(|| quantity(holder))).collect();
    format!("{} {} {}", observation["identifier"][0]["value"], observation["effectivePeriod"], values.join("; "))
}

/// The server without any way in between.
struct NearServer {
    server: Server,
}

impl Transport for NearServer {
    fn send(&self, request: reqwest::Request) -> BoxFuture<'_, Result<reqwest::Response, NoAnswer>> {
        async move {
            let Some(request) = owned(request) else { return Err(Missing::Connection.into()) };
            Ok(reqwest::Response::from(self.server.answer(request).await))
        }
        .boxed()
    }
}

/// What an undisturbed run sends or records is not looked at.
struct Nowhere;

impl MeasurementOutput for Nowhere {
    async fn send(&self, _: &OutgoingMeasurements, _: &dyn Fence) -> Result<Vec<usize>, Away> {
        Ok(Vec::new())
    }
}

impl DeadLetters for Nowhere {
    async fn record(&self, _: &[DeadLetter<'_>]) -> Result<(), Away> {
        Ok(())
    }
}

/// Promise 4: no partition stands still. Gives those that do.
pub fn unfinished(site: &Site) -> Vec<String> {
    let mut unfinished = Vec::new();
    for (index, side) in [Side::Events, Side::Measurements].into_iter().enumerate() {
        for (partition, events) in site.hubs[index].contents() {
            let position = site.positions[index].sequence_number(&partition);
            let last = events.last().map_or(-1, |event| event.sequence_number);
            if position != Some(last) && last >= 0 {
                unfinished.push(format!("{side:?} {partition} stands at {position:?} and ends with {last}"));
            }
        }
    }
    if let Some(waiting) = site.parking.as_ref().filter(|parking| !parking.is_empty()) {
        unfinished.push(format!("{} measurements are parked for ever", waiting.len()));
    }
    unfinished
}

/// How long everything may take after the storm.
pub const PATIENCE: Duration = Duration::from_secs(3600);
