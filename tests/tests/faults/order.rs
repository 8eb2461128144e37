//! A producer that sends events twice and in another order (docs/reliability.md,
//! "What reordered and late readings do").

use end_to_end::hub::To;
use end_to_end::oracle;
use end_to_end::site::INTERNAL_HUB;

use crate::chance::Chance;
use crate::course::Course;
use crate::fhir::servers::{Kind, OWN_UUID, on_those};
use crate::selection::{is_full, report};

/// How many readings, and how many are sent at once: several windows of each
/// partition.
fn sizes() -> (usize, usize) {
    if is_full() { (360, 60) } else { (120, 40) }
}

/// Readings of which each has an instant of its own: neither order nor repeats
/// make a difference.
#[test]
fn readings_of_different_instants_come_twice_and_in_any_order() {
    on_those(&[OWN_UUID, Kind::Hapi], OWN_UUID, |kind: Kind| {
        let server = kind.start();
        let mut chance = Chance::new();
        println!("seed {}", chance.seed);
        let mut course = Course::with_functions(server.fhir());
        let (count, at_once) = sizes();
        let mut events = course.readings(0..count);
        let repeated: Vec<String> = events.iter().step_by(3).cloned().collect();
        events.extend(repeated.iter().cloned());
        chance.shuffle(&mut events);
        for part in events.chunks(at_once) {
            let before = course.done("group-convert");
            course.send(part);
            course.until("some of it is on the server", || (course.done("group-convert") > before).then_some(()));
        }
        let outcome = course.check();
        assert!(outcome.measurements >= events.len());
        let seen = format!("{} events as one undisturbed run of {count} in order", events.len());
        report("duplicated and reordered, instants differ", kind.name(), repeated.len(), seen);
    });
}

/// Two readings of one instant: within a window the one that the customer's hub
/// received later counts, wherever it stands; across windows the one whose window
/// comes later, also when the hub received it earlier or it was there before.
#[test]
fn readings_of_one_instant_follow_the_windows_in_which_they_come() {
    on_those(&[OWN_UUID, Kind::Hapi], OWN_UUID, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::start(server.fhir());
        course.add("group-convert", "c-a", &[]);
        let at = format!("{}-05-01T12:00:00Z", course.year());
        let reading = |(value, received): &(u32, u32)| {
            let received = format!("{}-05-01T12:00:{received:02}Z", course.year());
            let times = format!(r#""OccurrenceTimeUtc":"{at}","IngestionTimeUtc":"{received}""#);
            let values = format!(r#""Properties":[{{"Name":"hr","Value":"{value}"}}]"#);
            format!(r#"{{"Type":"heartrate",{times},"DeviceId":"d1",{values}}}"#)
        };
        // Values, and when each was received; a window each.
        let windows: [&[(u32, u32)]; 3] = [&[(62, 9), (61, 5)], &[(63, 1)], &[(61, 5)]];
        let mut found = Vec::new();
        for window in windows {
            let events: Vec<String> = window.iter().map(reading).collect();
            course.site.hub.send(INTERNAL_HUB, To::Partition("0"), &events);
            course.until("it is done", || course.site.is_done("group-convert").then_some(()));
            let observations = course.observations();
            // What the windows that were really cut give.
            let internal = oracle::events(course.site.hub.port(), INTERNAL_HUB);
            let cut = oracle::windows(&course.convert);
            let expected = oracle::expected(&course.mappings().1, &internal, &cut, &[]);
            expected.check_observations(&observations);
            assert_eq!((observations.len(), cut.len()), (1, found.len() + 1), "{observations:?}");
            found.extend(observations.values().map(|text| value(text)));
        }
        assert_eq!(found, ["62", "63", "61"]);
        report(
            "readings of one instant, reordered and repeated",
            kind.name(),
            3,
            "62, then 63, then 61: the last window",
        );
    });
}

/// The first value of sampled data.
fn value(observation: &str) -> String {
    let data = observation.split(r#""data":""#).nth(1).unwrap_or_default();
    data.split([' ', '"']).find(|word| word.parse::<u32>().is_ok()).unwrap_or_default().to_owned()
}
