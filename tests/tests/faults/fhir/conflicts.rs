//! Another writer is faster, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use end_to_end::fhir::{Fhir, Observations};
use end_to_end::proxy::{Fault, Of, Rule, Seen};
use serde_json::value::RawValue;

use super::case::{Case, READINGS};
use super::readings::mixed;
use super::servers::{Kind, OWN_AZURE, on};
use crate::selection::report;

/// Rounds of one Observation at the most, when all of the storm is about it:
/// fewer than those after which it is given up.
const STORM: usize = 8;

/// How the note begins that a clinician adds to an Observation.
const NOTE: &str = r#""note":[{"text":"seen by a clinician, look "#;

/// Adds a note to each Observation that the request would write and that is
/// there, in place of an earlier one; adds their ids to `noted`.
fn annotate(fhir: &Fhir, seen: &Seen, noted: &Mutex<Vec<String>>) {
    for entry in seen.entries.iter().filter(|entry| entry.writes_observation()) {
        let Some(text) = fhir.read_text(&entry.path) else { continue };
        let mut noted = noted.lock().expect("nobody panicked");
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).expect("an Observation");
        // Another text each time: some servers make no version of what is there.
        let note = format!("[{{\"text\":\"seen by a clinician, look {}\"}}]", noted.len());
        members.insert("note".to_owned(), RawValue::from_string(note).expect("JSON"));
        fhir.put_text(&entry.path, &serde_json::to_string(&members).expect("JSON"));
        noted.push(entry.path.trim_start_matches("Observation/").to_owned());
    }
}

/// The Observations without their notes, and the ids of those that had one.
fn without_notes(observations: &Observations) -> (Observations, BTreeSet<String>) {
    let mut noted = BTreeSet::new();
    let without = |(id, text): (&String, &String)| {
        let text = match text.split_once(NOTE) {
            Some((before, after)) => {
                noted.insert(id.clone());
                let (_, after) = after.split_once("}],").expect("the end of a note");
                format!("{before}{after}")
            }
            None => text.clone(),
        };
        (id.clone(), text)
    };
    (observations.iter().map(without).collect(), noted)
}

fn check(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let noted = Arc::new(Mutex::new(Vec::new()));
    let (fhir, by) = (case.fhir().clone(), noted.clone());
    let storm = Rule::new(Fault::Forward, Of::Updates).times(STORM).after(move |seen| annotate(&fhir, seen, &by));
    let storm = case.proxy.inject(storm);
    let convert = case.convert("c");
    let windows = case.done(&[&convert]);
    assert_eq!(storm.count(), STORM);

    let expected = case.expected(&windows, &[]);
    case.check_fates(&expected, &windows);
    let (found, kept) = without_notes(&case.observations());
    let noted: BTreeSet<String> = noted.lock().expect("nobody panicked").iter().cloned().collect();
    assert!(!noted.is_empty());
    assert_eq!(kept, noted, "the notes that were there when it was written are there");
    let seen = case.check_observations(&expected, &windows, &found);
    let seen = format!("all {} notes of the other writer are there; {seen}", noted.len());
    report("409 and 412 storm: another writer is faster", kind.name(), storm.count(), seen);
}

#[test]
fn another_writer_is_faster_again_and_again() {
    on(Kind::Hapi, check);
}

/// Refusals of the same write in a row, with nothing behind them. Of 412 one
/// more would be taken for a refusal of what the Observation holds
/// (docs/fates.md), of 409 three more for writers that are always faster.
const BASELESS: [(u16, usize); 2] = [(412, 2), (409, 6)];

fn check_baseless(kind: Kind) {
    let case = Case::start(kind);
    // One partition, so that it is the same write each time.
    case.send(0, &mixed(&case.day, 0, READINGS));
    let rule = |(status, times)| Rule::new(Fault::AnswerEntries(status), Of::Writes).times(times);
    let first = case.proxy.inject(rule(BASELESS[0]));
    let then = case.proxy.inject(rule(BASELESS[1]).skip(1));
    let convert = case.convert("c");
    let seen = case.check(&[&convert]);
    assert_eq!([first.count(), then.count()], BASELESS.map(|(_, times)| times));
    report("409 and 412 storm: nothing behind it", kind.name(), first.count() + then.count(), seen);
}

#[test]
fn the_server_speaks_of_another_writer_and_there_is_none() {
    on(OWN_AZURE, check_baseless);
}
