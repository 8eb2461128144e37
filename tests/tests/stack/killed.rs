//! Parts of the stack are killed while events flow: all arrive.

use end_to_end::fhir::Observations;
use end_to_end::stack::{Counts, Setup};

/// Enough that some are on their way when something is killed.
const EVENTS: usize = 1200;

/// Readings of several devices and hours, of each kind of grouping.
pub fn events() -> Vec<String> {
    let mut events = Vec::new();
    for number in 0..EVENTS {
        let (device, hour, minute) = (["d1", "d2", "d9"][number % 3], number / 60, number % 60);
        let time = format!("2020-11-01T{hour:02}:{minute:02}:00Z");
        events.push(format!(r#"{{"deviceid":"{device}","measurementdatetime":"{time}","heartrate":{number}}}"#));
        if number % 10 == 0 {
            events.push(format!(r#"{{"thermometer":"th-1","at":"{time}","fahrenheit":{}}}"#, 90 + number / 10));
        }
        if number % 40 == 0 {
            events.push(format!("no event {number}"));
        }
    }
    events
}

/// What comes of events when nothing happens to the stack.
pub fn undisturbed(events: &[String]) -> Observations {
    let mut stack = Setup::samples().start();
    stack.send(events);
    stack.wait_for_fates(events.len());
    stack.fhir().observations()
}

/// Sends events for each part that is to be killed, and kills it while they are
/// on their way.
#[track_caller]
fn check(setup: Setup, parts: &[&str]) {
    let events = events();
    let expected = undisturbed(&events);
    let mut stack = setup.start();
    let mut sent = 1;
    stack.send(&events[..sent]);
    for (index, part) in parts.iter().enumerate() {
        // All are at work again, so that the next to be killed is.
        stack.wait_for_fates(sent);
        let end = events.len() * (index + 1) / parts.len();
        stack.send(&events[sent..end]);
        stack.kill(part);
        sent = end;
    }
    assert!(expected.len() > 100, "{}", expected.len());
    stack.wait_for_observations(&expected);
    let (of_events, of_measurements) = stack.wait_for_fates(events.len());
    assert_adds_up(&of_events);
    assert_adds_up(&of_measurements);
    assert_eq!(stack.dead_letters().len(), rejected(&of_events) + rejected(&of_measurements), "{}", stack.printed());
}

#[track_caller]
fn assert_adds_up(counts: &Counts) {
    let (total, fates) = counts.split_first().unwrap();
    assert_eq!(total.1, fates.iter().map(|(_, count)| count).sum::<usize>(), "{counts:?}");
}

fn rejected(counts: &Counts) -> usize {
    counts.iter().find(|(name, _)| name == "rejected").unwrap().1
}

#[test]
fn handlers_may_be_killed() {
    check(Setup::samples(), &["normalize", "group-convert", "normalize", "group-convert"]);
}

#[test]
fn hosts_may_be_killed() {
    check(Setup::samples(), &["normalize host", "group-convert host", "normalize host", "group-convert host"]);
}

#[test]
fn hub_and_server_may_be_killed() {
    check(Setup::samples(), &["event-hubs", "fhir-server", "event-hubs", "fhir-server"]);
}

/// The next process of the same name goes on at once with what was its own.
#[test]
fn functions_that_read_their_hubs_themselves_may_be_killed() {
    let native = Setup::samples().argument("--front", "native");
    check(native, &["normalize", "group-convert", "normalize", "group-convert"]);
}
