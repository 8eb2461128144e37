//! A create overwrites what another writer has just created, and the process is
//! killed before that is merged back. Only on servers that let a create
//! overwrite; on the others there is nothing to be merged back.

use end_to_end::oracle::{Window, Windows};
use end_to_end::proxy::{Fault, Of, Rule};
use hub_client::Event;

use super::case::{Case, LIMIT};
use super::readings::heart_rate;
use super::servers::{ALL, Kind, on_those};
use crate::selection::report;

/// Before what the process is killed.
#[derive(Clone, Copy, Debug)]
enum Killed {
    /// The server has done the overwriting create; the answer is on its way.
    Answer,
    /// The answer shows an overwrite; the overwritten version is asked for.
    History,
    /// The overwritten version was read; what is merged is on its way.
    MergeBack,
    /// The answer, as the first; and somebody writes once more before the
    /// process is there again.
    AnswerAndAnotherWrite,
}

/// What the other writer has measured.
const OTHER: i64 = 4711;

const ALL_POINTS: [Killed; 4] = [Killed::Answer, Killed::History, Killed::MergeBack, Killed::AnswerAndAnotherWrite];

/// What another writer makes of a reading, over what is there.
fn observation_of(case: &Case, reading: &str, there: &[String]) -> String {
    let event = Event {
        sequence_number: 0,
        offset: String::new(),
        enqueued_ms: 0,
        partition_key: None,
        body: reading.as_bytes().to_vec(),
        is_body_unusable: false,
        application_properties: Vec::new(),
        properties: None,
        annotations: Vec::new(),
    };
    let key = ("0".to_owned(), 0);
    let windows = Windows::from([(key, Window { numbers: vec![0], fates: Vec::new() })]);
    let mut made = case.expected_of(&[("0".to_owned(), vec![event])].into(), &windows, there).json;
    assert_eq!(made.len(), 1);
    made.remove(0)
}

fn check(kind: Kind, killed: Killed) {
    let case = Case::start(kind);
    let minutes = (0..10).map(|minute| heart_rate(&case.day, "d1", &format!("10:{minute:02}:00"), 60 + minute));
    case.send(0, &minutes.collect::<Vec<_>>());
    let other = observation_of(&case, &heart_rate(&case.day, "d1", "10:59:00", OTHER), &[]);
    let id = serde_json::from_str::<serde_json::Value>(&other).expect("JSON")["id"].as_str().expect("an id").to_owned();
    let path = format!("Observation/{id}");

    let (fhir, text, at) = (case.fhir().clone(), other.clone(), path.clone());
    let create = |fault| Rule::new(fault, Of::Creates).times(1).after(move |_| fhir.put_text(&at, &text));
    let hold = |of| Rule::new(Fault::HoldRequest, of).times(1);
    let held = match killed {
        Killed::Answer | Killed::AnswerAndAnotherWrite => case.proxy.inject(create(Fault::HoldAnswer)),
        Killed::History | Killed::MergeBack => {
            case.proxy.inject(create(Fault::Forward));
            let is_history = matches!(killed, Killed::History);
            case.proxy.inject(hold(if is_history { Of::History } else { Of::Updates }))
        }
    };
    let mut first = case.convert("c");
    held.wait(1, LIMIT);
    first.kill();
    let overwritten = case.fhir().read_text(&path).expect("it is there");
    assert!(!overwritten.contains(&format!(" {OTHER}")), "the create overwrites nothing on {}", kind.name());
    let mut others = other;
    if matches!(killed, Killed::AnswerAndAnotherWrite) {
        let third = heart_rate(&case.day, "d1", "10:30:00", 42);
        case.fhir().put_text(&path, &observation_of(&case, &third, &[overwritten]));
        others = observation_of(&case, &third, &[others]);
    }
    let second = case.convert("c");
    let windows = case.done(&[&first, &second]);
    let expected = case.expected(&windows, &[others]);
    case.check_fates(&expected, &windows);
    let seen = case.check_observations(&expected, &windows, &case.observations());
    report(
        "kill -9 between an overwriting create and its merge-back",
        kind.name(),
        1,
        format!("killed before {killed:?}; {seen}"),
    );
}

#[test]
fn killed_between_an_overwriting_create_and_its_merge_back() {
    let overwriting: Vec<Kind> = ALL.into_iter().filter(|kind| kind.overwrites()).collect();
    on_those(&overwriting, Kind::Sekmet, |kind| ALL_POINTS.into_iter().for_each(|killed| check(kind, killed)));
}
