//! The hub throttles, closes links, and is cut off.

use std::time::Duration;

use end_to_end::gate::Gate;
use end_to_end::poll::try_until;

use crate::chance::Chance;
use crate::course::{Course, FUNCTIONS};
use crate::fhir::servers::{Kind, OWN_HAPI, on_those};
use crate::selection::{is_full, report};

/// Events that are on their way when the hub does something.
const ROUND_EVENTS: usize = 120;

/// How long a fault lasts that nobody notices.
const UNNOTICED: Duration = Duration::from_secs(20);

/// What stands behind group-convert matters little to its hub.
const SERVERS: [Kind; 2] = [OWN_HAPI, Kind::Sekmet];

fn rounds() -> usize {
    if is_full() { 6 } else { 2 }
}

/// Sends events, waits for a moment of chance, and does something to the hub; so
/// often as there are rounds.
#[track_caller]
fn disturb(course: &mut Course, mut fault: impl FnMut(&mut Course)) {
    let mut chance = Chance::new();
    println!("seed {}", chance.seed);
    for round in 0..rounds() {
        let before = course.done("normalize");
        let events = course.readings(round * ROUND_EVENTS..(round + 1) * ROUND_EVENTS);
        course.send(&events);
        let behind = before + chance.below(ROUND_EVENTS);
        course.until("some events of the round are done", || (course.done("normalize") >= behind).then_some(()));
        fault(course);
    }
}

/// How often each function has said something of its hub.
fn said(course: &Course, words: &str) -> Vec<usize> {
    FUNCTIONS.into_iter().map(|function| course.said(function, words)).collect()
}

#[test]
fn the_hub_throttles() {
    on_those(&SERVERS, OWN_HAPI, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::with_functions(server.fhir());
        let busy = "server-busy";
        disturb(&mut course, |course| {
            let before = said(course, busy);
            course.site.hub.inject("throttle");
            course.until("both functions are throttled", || {
                said(course, busy).iter().zip(&before).all(|(now, before)| now > before).then_some(())
            });
            course.site.hub.inject("release");
        });
        let times: usize = said(&course, busy).iter().sum();
        course.check();
        report("hub throttles (server-busy)", kind.name(), rounds(), format!("told of {times} times, all arrived"));
    });
}

#[test]
fn the_hub_closes_links() {
    on_those(&SERVERS, OWN_HAPI, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::with_functions(server.fhir());
        disturb(&mut course, |course| course.site.hub.inject("detach"));
        let outcome = course.check();
        let again = outcome.measurements - rounds() * ROUND_EVENTS;
        let seen = format!("all arrived, {again} measurements came again");
        report("hub closes all links (detach-forced)", kind.name(), rounds(), seen);
    });
}

#[test]
fn connections_to_the_hub_are_cut() {
    on_those(&SERVERS, OWN_HAPI, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::start(server.fhir());
        let gate = Gate::before(course.site.hub.port());
        course.site.reach.hub_port = gate.port();
        course.add("normalize", "n-a", &[]);
        course.add("group-convert", "c-a", &[]);
        let mut is_long = false;
        disturb(&mut course, |course| {
            let before = said(course, "Cannot read a partition");
            gate.shut();
            if is_long {
                // Until both know; a function that was in the midst of a window may
                // not look.
                try_until(UNNOTICED, || {
                    said(course, "Cannot read a partition").iter().zip(&before).all(|(n, b)| n > b).then_some(())
                });
            }
            is_long = !is_long;
            gate.open();
        });
        let outcome = course.check();
        assert!(gate.cut() >= rounds(), "{} connections were cut", gate.cut());
        let again = outcome.measurements - rounds() * ROUND_EVENTS;
        let seen = format!("{} connections cut; all arrived, {again} measurements came again", gate.cut());
        report("connections to the hub are cut", kind.name(), rounds(), seen);
    });
}
