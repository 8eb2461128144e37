//! Ownership of partitions gets lost, and the storage is away.

use end_to_end::gate::Gate;
use end_to_end::site::{PARTITIONS, hub_of, positions_of};

use crate::course::{Course, FUNCTIONS};
use crate::fhir::servers::{Kind, OWN_AZURE, on_those};
use crate::selection::{is_full, report};

const ROUND_EVENTS: usize = 120;

/// The blobs that say whose the partitions are vanish or are written over while
/// events flow: the owner gives the partitions up, and takes them again.
#[test]
fn ownership_is_lost() {
    on_those(&[OWN_AZURE, Kind::Hapi], OWN_AZURE, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::with_functions(server.fhir());
        let rounds = if is_full() { 6 } else { 2 };
        let gone = "Does not own a partition any more";
        for round in 0..rounds {
            let events = course.readings(round * ROUND_EVENTS..(round + 1) * ROUND_EVENTS);
            let before = FUNCTIONS.map(|function| course.said(function, gone));
            course.send(&events);
            for function in FUNCTIONS {
                course.until("something of the round is done", || {
                    (course.done(function) > round * ROUND_EVENTS).then_some(())
                });
                lose_ownership(&course, function, round % 2 == 0);
            }
            for (function, before) in FUNCTIONS.into_iter().zip(before) {
                course.until("the partitions are given up", || {
                    (course.said(function, gone) >= before + PARTITIONS).then_some(())
                });
            }
        }
        course.check();
        let lost = rounds * FUNCTIONS.len() * PARTITIONS;
        report("ownership blob lost or written over", kind.name(), lost, "given up, taken again, all arrived");
    });
}

fn lose_ownership(course: &Course, function: &str, vanishes: bool) {
    let azurite = &course.site.azurite;
    let container = azurite.container(positions_of(function));
    for partition in 0..PARTITIONS {
        let name = format!("localhost/{}/$default/ownership/{partition}", hub_of(function));
        if vanishes { azurite.delete(&container, &name) } else { azurite.upload(&container, &name, "") }
    }
}

/// The storage is away until a partition of normalize is given up because its
/// ownership has run out.
#[test]
fn the_storage_is_away() {
    on_those(&[OWN_AZURE], OWN_AZURE, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::start(server.fhir());
        let gate = Gate::before(course.site.azurite.port());
        course.site.reach.storage_port = gate.port();
        course.add("normalize", "n-a", &[]);
        course.add("group-convert", "c-a", &[]);
        let rounds = if is_full() { 3 } else { 1 };
        for round in 0..rounds {
            let events = course.readings(round * ROUND_EVENTS..(round + 1) * ROUND_EVENTS);
            let (first, rest) = events.split_at(ROUND_EVENTS / 2);
            course.send(first);
            course.until("the first half is done", || {
                (course.done("group-convert") >= round * ROUND_EVENTS + ROUND_EVENTS / 2).then_some(())
            });
            let before = FUNCTIONS.map(|function| course.said(function, "Does not own a partition any more"));
            gate.shut();
            course.send(rest);
            for (function, before) in FUNCTIONS.into_iter().zip(before).take(1) {
                course.until("a partition is given up", || {
                    (course.said(function, "Does not own a partition any more") > before).then_some(())
                });
            }
            gate.open();
        }
        let outcome = course.check();
        let again = outcome.measurements - rounds * ROUND_EVENTS;
        let seen = format!("partitions given up, then all arrived; {again} measurements came again");
        report("storage away for longer than ownership counts", kind.name(), rounds, seen);
    });
}
