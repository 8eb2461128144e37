//! HTTPS ingest, by way of the Functions host.

use std::io::Cursor;

use end_to_end::poll::until;
use end_to_end::process::signal;
use end_to_end::stack::{ARRIVAL_LIMIT, Setup, Stack};
use reqwest::blocking::{Body, Client, Response};
use serde_json::{Value, json};

/// Posts a body, with a token if given.
fn post(stack: &Stack, token: Option<&str>, body: impl Into<Body>) -> Response {
    let client = Client::builder().no_proxy().timeout(ARRIVAL_LIMIT).build().unwrap();
    let request = client.post(stack.ingest_url()).header("content-type", "application/json").body(body);
    let request = token
        .map(|token| format!("Bearer {token}"))
        .into_iter()
        .fold(request, |request, token| request.header("authorization", token));
    request.send().unwrap()
}

/// Posts a body with the token, and gives the answer.
fn ingest(stack: &Stack, body: impl Into<Body>) -> Value {
    let answer = post(stack, Some(&stack.ingest_token()), body);
    assert_eq!(answer.status(), 200);
    serde_json::from_str(&answer.text().unwrap()).unwrap()
}

fn reading(minute: usize) -> Value {
    json!({ "deviceid": "d1", "measurementdatetime": format!("2020-11-01T12:{minute:02}:00Z"), "heartrate": minute })
}

const NORMALIZED: &str = "normalized";

#[test]
fn only_who_has_the_token_is_let_in() {
    let stack = Setup::samples().start();
    let event = reading(1).to_string();
    for token in [None, Some("wrong"), Some("")] {
        let answer = post(&stack, token, event.clone());
        assert_eq!(answer.status(), 401, "{token:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
    let expected = json!({ "events": 1, "fates": [{ "index": 0, "fate": NORMALIZED, "measurements": 1 }] });
    assert_eq!(ingest(&stack, event), expected);
    assert_eq!(stack.wait_for_an_observation().len(), 1);
}

#[test]
fn each_event_of_an_array_has_its_fate() {
    let stack = Setup::samples().start();
    let no_time = json!({ "deviceid": "d1", "heartrate": 77 });
    let answer =
        ingest(&stack, json!([reading(1), { "deviceid": "d1", "battery": 1 }, no_time, reading(2)]).to_string());
    let fates: Vec<_> =
        answer["fates"].as_array().unwrap().iter().map(|fate| (&fate["index"], &fate["fate"])).collect();
    let expected = [NORMALIZED, "unmatched", "rejected", NORMALIZED];
    let expected: Vec<_> = expected.iter().enumerate().map(|(index, fate)| (json!(index), json!(fate))).collect();
    assert_eq!(fates, expected.iter().map(|(index, fate)| (index, fate)).collect::<Vec<_>>());
    assert_eq!(answer["events"], 4);
    assert_eq!(answer["fates"][2]["reason"], "IncompatibleData");

    let letters = stack.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert_eq!(letters[0]["hub"], "ingest");
    stack.wait_for_readings(&["1", "2"]);
}

#[test]
fn what_is_not_json_is_one_rejected_event() {
    let stack = Setup::samples().start();
    let answer = ingest(&stack, "hello, hub");
    assert_eq!((&answer["events"], &answer["fates"][0]["fate"]), (&json!(1), &json!("rejected")));
    assert_eq!(answer["fates"][0]["reason"], "InvalidDataFormat");
    assert_eq!(stack.dead_letters().len(), 1);
}

/// The host's other way to call a handler loses these
/// (functions-eventhubs-keda.md 1.11).
#[test]
fn a_chunked_body_arrives() {
    let stack = Setup::samples().start();
    let events: Vec<Value> = (0..60).map(reading).collect();
    // A body from a reader has no length, so that it is sent in chunks.
    let answer = ingest(&stack, Body::new(Cursor::new(json!(events).to_string())));
    assert_eq!(answer["events"], 60);
    assert_eq!(stack.wait_for_an_observation().len(), 1);
}

#[test]
fn iot_central_can_export_to_it() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../samples/devices/04-iot-central-cde/");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}{name}")).unwrap();
    let sample: Value = serde_json::from_str(&read("sample.json")).unwrap();
    let stack = Setup::with_mappings(&read("devicecontent.json"), &read("fhirmapping.json")).start();
    let answer = ingest(&stack, sample["body"].to_string());
    let expected = sample["expected"].as_array().unwrap().len();
    let fates = json!([{ "index": 0, "fate": NORMALIZED, "measurements": expected }]);
    assert_eq!(answer, json!({ "events": 1, "fates": fates }));
    let arrived = || stack.fhir().try_observations().filter(|observations| observations.len() == expected);
    until("one Observation for each measurement", ARRIVAL_LIMIT, arrived);
}

/// One that is small in bytes would still need an answer without bounds.
#[test]
fn an_array_of_too_many_events_is_refused_whole() {
    let stack = Setup::samples().start();
    let answer = post(&stack, Some(&stack.ingest_token()), json!(vec![1; 10_001]).to_string());
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.text().unwrap(), "an array of 10001 events is too long; at most 10000 at once");
    assert_eq!(ingest(&stack, json!(vec![1; 10_000]).to_string())["events"], 10_000);
}

/// With the internal hub away nothing is known to be stored, and the sender is
/// told so.
#[test]
fn a_sender_is_told_to_try_again_while_the_hub_is_away() {
    let stack = Setup::samples().start();
    let hub = stack.part("event-hubs");
    // Whoever would start the hub again is held meanwhile.
    stack.signal("STOP");
    signal(hub.pid, "KILL");
    let answer = post(&stack, Some(&stack.ingest_token()), reading(1).to_string());
    assert_eq!(answer.status(), 503);
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().is_ok());
    stack.signal("CONT");
    until("ingest works again", ARRIVAL_LIMIT, || {
        let answer = post(&stack, Some(&stack.ingest_token()), reading(1).to_string());
        (answer.status() == 200).then_some(())
    });
    assert_eq!(stack.wait_for_an_observation().len(), 1);
}
