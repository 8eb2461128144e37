//! Processes of a function that come, go, stand still for longer than their
//! ownership lasts, and come back.

use std::collections::BTreeMap;

use end_to_end::process::signal;
use end_to_end::site::{PARTITIONS, hub_of, positions_of, stop};
use serde_json::Value;

use crate::course::{Course, FUNCTIONS};
use crate::fhir::servers::{Kind, OWN_HAPI, on_those};
use crate::selection::{is_full, report};

const ROUND_EVENTS: usize = 240;
/// The most Observations of a bundle.
const BUNDLE: usize = 100;

/// How many partitions a process owns, by what it says.
fn owned(course: &Course, function: &str, index: usize) -> usize {
    let lines = course.processes(function)[index].printed();
    let said = |what: &str| lines.matches(what).count();
    said("Owns a partition").saturating_sub(said("Does not own a partition any more"))
}

/// How many terms of ownership of a process are over: it does not own the
/// partition any more, or has begun another term of it.
fn ended_terms(course: &Course, function: &str, index: usize) -> usize {
    let lines = course.processes(function)[index].printed();
    let begun_again = lines.matches("Owns a partition").count().saturating_sub(PARTITIONS);
    lines.matches("Does not own a partition any more").count() + begun_again
}

/// The version of each Observation on a server.
fn versions(course: &Course) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let mut next = Some(format!("{}/Observation?_count=200", course.fhir.url));
    while let Some(url) = next.take() {
        let page = reqwest::blocking::get(url).and_then(|answer| answer.error_for_status()?.text());
        let page: Value = serde_json::from_str(&page.expect("the server answers")).expect("a page");
        for entry in page["entry"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            versions.insert(text(&entry["resource"]["id"]), text(&entry["resource"]["meta"]["versionId"]));
        }
        let link = page["link"].as_array().into_iter().flatten().find(|link| link["relation"] == "next");
        next = link.and_then(|link| link["url"].as_str().map(str::to_owned));
    }
    versions
}

/// A process of each function stands still (SIGSTOP) while it works. Another one
/// takes its partitions over and does everything. When the first goes on
/// (SIGCONT), it begins no write, and its terms of ownership end; it may take its
/// share then.
#[test]
fn a_process_stands_still_for_longer_than_its_ownership_lasts() {
    on_those(&[OWN_HAPI, Kind::Sekmet], OWN_HAPI, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::with_functions(server.fhir());
        let events = course.readings(0..ROUND_EVENTS);
        course.send(&events);
        for function in FUNCTIONS {
            course.until("it is at work", || (course.done(function) > 0).then_some(()));
            signal(course.processes(function)[0].pid(), "STOP");
        }
        let more = course.readings(ROUND_EVENTS..2 * ROUND_EVENTS);
        course.send(&more);
        for (function, name) in FUNCTIONS.into_iter().zip(["n-b", "c-b"]) {
            course.add(function, name, &[]);
            if !is_full() {
                expire(&course, function);
            }
        }
        course.wait();
        let before = (course.site.hub.last_sequence_numbers(hub_of("group-convert")), versions(&course));
        for function in FUNCTIONS {
            assert_eq!(owned(&course, function, 1), PARTITIONS, "{function}");
            signal(course.processes(function)[0].pid(), "CONT");
        }
        for function in FUNCTIONS {
            course.until("the first lets go", || (ended_terms(&course, function, 0) >= PARTITIONS).then_some(()));
        }
        let measurements = course.site.hub.last_sequence_numbers(hub_of("group-convert"));
        let late: i64 = measurements.iter().zip(&before.0).map(|(now, before)| now - before).sum();
        course.wait();
        let after = versions(&course);
        let written = after.iter().filter(|(id, version)| before.1.get(*id) != Some(version)).count();
        // But for one bundle that was on its way when it stood still, which nobody can call
        // back: what that replaced is put back, as the check below sees.
        assert!(written <= BUNDLE, "{written} Observations written by what stood still\n{}", course.printed());
        let outcome = course.check();
        let again = outcome.measurements - 2 * ROUND_EVENTS;
        let seen =
            format!("{written} Observations and {late} measurements written by it; {again} measurements came again");
        report("process stands still, another takes over", kind.name(), FUNCTIONS.len(), seen);
    });
}

/// Takes the time away that an ownership lasts: the blobs say no owner, as after
/// two minutes nobody heeds the one that they name.
fn expire(course: &Course, function: &str) {
    let container = course.site.azurite.container(positions_of(function));
    for partition in 0..PARTITIONS {
        let name = format!("localhost/{}/$default/ownership/{partition}", hub_of(function));
        course.site.azurite.upload(&container, &name, "");
    }
}

/// Replicas come and take their share, others go, in good order or not, while
/// events flow.
#[test]
fn replicas_take_partitions_from_each_other() {
    on_those(&[OWN_HAPI, Kind::Hapi], OWN_HAPI, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::with_functions(server.fhir());
        let rounds = if is_full() { 4 } else { 1 };
        let mut taken = 0;
        for round in 0..rounds {
            let numbers = round * ROUND_EVENTS..(round + 1) * ROUND_EVENTS;
            let events = course.readings(numbers);
            let (first, rest) = events.split_at(ROUND_EVENTS / 2);
            course.send(first);
            for function in FUNCTIONS {
                course.add(function, &format!("{function}-{round}"), &[]);
            }
            for function in FUNCTIONS {
                let newest = course.processes(function).len() - 1;
                course.until("the newcomer has its share", || {
                    (owned(&course, function, newest) == PARTITIONS / 2).then_some(())
                });
                taken += PARTITIONS / 2;
            }
            course.send(rest);
            for function in FUNCTIONS {
                course.until("more is done", || (course.done(function) > round * ROUND_EVENTS).then_some(()));
                let oldest = course.processes(function).len() - 2;
                let process = &mut course.processes_mut(function)[oldest];
                // One that is killed keeps its partitions for two minutes.
                if round % 4 == 3 { process.kill() } else { stop(process) }
            }
        }
        let outcome = course.check();
        let again = outcome.measurements - rounds * ROUND_EVENTS;
        let seen = format!("{rounds} came and went of each function; {again} measurements came again");
        report("partitions taken from a live process", kind.name(), taken, seen);
    });
}
