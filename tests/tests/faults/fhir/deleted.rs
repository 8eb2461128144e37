//! Somebody deletes an Observation while the connector writes to it: it stays
//! deleted, and what belongs to it is rejected.

use end_to_end::fhir::Observations;
use end_to_end::proxy::{Fault, Of, Rule};
use end_to_end::site::DEVICES;
use mapping::identifier::resource_id;

use super::case::{Case, LIMIT};
use super::readings::heart_rate;
use super::servers::{Kind, OWN_AZURE, on};
use crate::selection::report;

const DELETED: &str = "rejected(ObservationDeleted)";

/// Ten readings of each of three devices, within one hour, a window each.
fn readings(day: &str, minute: usize) -> Vec<String> {
    let reading = |number: usize| {
        let time = format!("10:{:02}:00", minute + number % 10);
        heart_rate(day, DEVICES[number / 10], &time, (minute + number) as i64)
    };
    (0..30).map(reading).collect()
}

/// The path of the one Observation of a device.
fn path_of(observations: &Observations, device: &str) -> String {
    let reference = format!("Device/{}", resource_id("", device));
    let of: Vec<_> = observations.iter().filter(|(_, text)| text.contains(&reference)).collect();
    assert_eq!(of.len(), 1, "Observations of {device}");
    format!("Observation/{}", of[0].0)
}

fn check(kind: Kind) {
    let case = Case::start(kind);
    // Ten events are a window, and no window waits for others.
    let convert = case.convert_with("c", &[("EventBatching__FlushTimespan", "60")]);
    case.send(0, &readings(&case.day, 0));
    case.done(&[&convert]);
    // That of the first device before the next window reads it, that of the
    // second when the next window has read it.
    let there = case.observations();
    let (before, between) = (path_of(&there, DEVICES[0]), path_of(&there, DEVICES[1]));
    case.fhir().delete(&before);
    let (fhir, path) = (case.fhir().clone(), between.clone());
    let deletion = Rule::new(Fault::Forward, Of::Updates).times(1).after(move |seen| {
        if seen.entries.iter().any(|entry| entry.path == path) {
            fhir.delete(&path);
        }
    });
    // The first write of the next events is refused: d1 is in the memory of the
    // process. So the deletion meets the second.
    let deletion = case.proxy.inject(deletion.skip(1));
    case.send(0, &readings(&case.day, 20));
    case.done(&[&convert]);
    case.send(0, &readings(&case.day, 40));
    let windows = case.done(&[&convert]);
    assert_eq!(deletion.count(), 1);

    let undisturbed = case.expected(&windows, &[]);
    let deleted = [before, between];
    for path in &deleted {
        assert_eq!(case.fhir().read_text(path), None, "{path} is there again");
    }
    let mut expected = undisturbed.clone();
    for path in &deleted {
        let id = path.trim_start_matches("Observation/");
        assert!(expected.observations.remove(id).is_some());
    }
    // Of thirty readings the first ten are of the first device, and so on.
    for window in expected.windows.values_mut() {
        for (number, fates) in window.numbers.iter().zip(&mut window.fates) {
            if *number >= 30 && number % 30 < 20 {
                *fates = vec![DELETED.to_owned()];
            }
        }
    }
    case.check_fates(&expected, &windows);
    let seen = case.check_observations(&expected, &windows, &case.observations());
    report("Observation deleted by a clinician", kind.name(), deleted.len(), format!("both stay deleted; {seen}"));
}

#[test]
fn an_observation_is_deleted_in_between() {
    on(Kind::Sekmet, check);
}

/// The process is killed when it has written, and the Observation is deleted
/// before it is there again: the redelivery does not bring it back.
fn check_redelivered(kind: Kind) {
    let case = Case::start(kind);
    let minutes = |device: &str, from: i64| -> Vec<String> {
        (from..from + 10).map(|minute| heart_rate(&case.day, device, &format!("10:{minute}:00"), minute)).collect()
    };
    case.send(0, &minutes(DEVICES[0], 10));
    let held = case.proxy.inject(Rule::new(Fault::HoldAnswer, Of::Creates).times(1));
    let mut killed = case.convert("c");
    held.wait(1, LIMIT);
    killed.kill();
    let path = path_of(&case.observations(), DEVICES[0]);
    case.fhir().delete(&path);
    case.send(0, &minutes(DEVICES[1], 10));
    case.send(0, &minutes(DEVICES[0], 30));
    let again = case.convert("c");
    let windows = case.done(&[&killed, &again]);

    assert_eq!(case.fhir().read_text(&path), None, "it is there again");
    let mut expected = case.expected(&windows, &[]);
    assert!(expected.observations.remove(path.trim_start_matches("Observation/")).is_some());
    for window in expected.windows.values_mut() {
        for (number, fates) in window.numbers.iter().zip(&mut window.fates) {
            if !(10..20).contains(number) {
                *fates = vec![DELETED.to_owned()];
            }
        }
    }
    case.check_fates(&expected, &windows);
    let seen = case.check_observations(&expected, &windows, &case.observations());
    report("Observation deleted between kill -9 and redelivery", kind.name(), 1, format!("it stays deleted; {seen}"));
}

#[test]
fn an_observation_is_deleted_between_a_kill_and_the_redelivery() {
    on(OWN_AZURE, check_redelivered);
}
