//! `iotc up` in both fronts, with every way of ending an event, killed parts, and
//! the commands that look at what is left.

use std::time::Duration;

use end_to_end::collector::Collector;
use end_to_end::poll::until;
use end_to_end::stack::{Setup, Stack};
use reqwest::blocking::Client;

use crate::LOUD;
use crate::events::{bad, device_mapping, encounter, fhir_mapping, good, patient};
use crate::evidence::{Evidence, check_that_marks_arrived};

const LIMIT: Duration = Duration::from_secs(90);

/// Where payload may be.
const HOLDING: [&str; 3] = ["state/event-hubs", "state/fhir-server", "state/dead-letters"];

/// Everything by HTTP: an array, each event by itself, what is no JSON and what
/// is no text, with the token and without.
fn ingest(stack: &Stack, evidence: &mut Evidence) {
    let http = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    let mut post = |token: Option<&str>, body: Vec<u8>| {
        let request = http.post(stack.ingest_url()).body(body);
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let answer = request.send().unwrap();
        evidence.text("an answer of ingest", format!("{} {:?}", answer.status(), answer.headers()));
        evidence.text("an answer of ingest", answer.text().unwrap());
    };
    // Natively the function that has just been killed serves it.
    until("ingest listens", LIMIT, || Client::new().get(stack.ingest_url()).send().ok());
    let token = stack.ingest_token();
    post(None, good(30).concat().into_bytes());
    post(Some("another"), good(30).concat().into_bytes());
    post(Some(&token), format!("[{}]", good(30).join(",")).into_bytes());
    for body in bad().into_iter().chain(good(32)) {
        post(Some(&token), body.into_bytes());
    }
    post(Some(&token), [good(34)[0].as_bytes(), b"\xff\xfe qzpoison7k"].concat());
    post(Some(&token), format!("[{}", vec!["\"qzpoison7k\""; 10_001].join(",") + "]").into_bytes());
}

/// What people look with, and what they mistype.
fn commands(stack: &Stack, evidence: &mut Evidence) {
    let letters = ["dead-letters", "list", "--folder", "state/dead-letters"];
    evidence.iotc(stack.folder(), &letters);
    let listed = evidence.iotc(stack.folder(), &[&letters[..], &["--json"]].concat());
    let keys: Vec<String> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["key"].as_str().unwrap().to_owned())
        .collect();
    assert!(keys.len() > 20, "{listed}");
    for key in &keys {
        evidence.iotc(stack.folder(), &["dead-letters", "show", key, "--folder", "state/dead-letters"]);
        evidence.iotc(stack.folder(), &["dead-letters", "show", key, "--folder", "state/dead-letters", "--json"]);
    }
    for number in ["0", "9", "20", "4711"] {
        for stage in ["normalize", "group-convert"] {
            let fate = ["fate", "--state", "state", "--partition", "0", "--sequence", number, "--stage", stage];
            evidence.iotc(stack.folder(), &fate);
            evidence.iotc(stack.folder(), &[&fate[..], &["--json"]].concat());
        }
    }
    let address = stack.event_hubs_address();
    let replay = [
        "dead-letters",
        "replay",
        "--folder",
        "state/dead-letters",
        "--device-mapping",
        "devicecontent.json",
        "--internal-hub",
        "normalizeddata",
        "--internal-namespace",
        "localhost",
        "--internal-authentication",
        "Development",
        "--internal-endpoint",
        &address,
    ];
    evidence.iotc(stack.folder(), &[&replay[..], &["--dry-run"]].concat());
    evidence.iotc(stack.folder(), &[&replay[..], &["--json"]].concat());
    evidence.iotc(stack.folder(), &replay);
    let nowhere = ["--internal-endpoint", "amqp://127.0.0.1:1"];
    evidence.iotc(stack.folder(), &[&replay[..replay.len() - 2], &nowhere].concat());
    // What a mapping makes of samples is asked for; what is said of failures is not to quote.
    std::fs::write(stack.folder().join("bad.jsonl"), bad().join("\n")).unwrap();
    let validate = [
        "validate",
        "--device-mapping",
        "devicecontent.json",
        "--fhir-mapping",
        "fhirmapping.json",
        "--sample",
        "bad.jsonl",
        "--wrap",
        "--aggregate",
    ];
    evidence.iotc(stack.folder(), &validate);
    evidence.iotc(stack.folder(), &[&validate[..], &["--json", "--reference"]].concat());
    std::fs::remove_file(stack.folder().join("bad.jsonl")).unwrap();
}

#[track_caller]
fn check(front: &str) {
    let collector = Collector::start();
    let mut stack = Setup::with_mappings(&device_mapping(), &fhir_mapping())
        .argument("--front", front)
        .environment("RUST_LOG", LOUD)
        .environment("RUST_BACKTRACE", "full")
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .environment("OTEL_METRIC_EXPORT_INTERVAL", "500")
        .environment("OTEL_BSP_SCHEDULE_DELAY", "100")
        .environment("OTEL_BLRP_SCHEDULE_DELAY", "100")
        .start();
    stack.fhir().put_all(&[patient(), encounter()]);
    let mut evidence = Evidence::default();
    let mut sent = [good(10), bad(), good(12)].concat();
    // Too large for the hub: said to whoever sends, and no more.
    let too_large = format!("qzpoison7k {}", "y".repeat(1_100_000));
    stack.send(&[too_large]);
    stack.send(&sent);
    stack.wait_for_fates(sent.len());
    for (minute, part) in [(14, "group-convert"), (16, "event-hubs"), (18, "fhir-server"), (20, "normalize")] {
        let more = good(minute);
        stack.send(&more);
        stack.kill(part);
        sent.extend(more);
        stack.wait_for_fates(sent.len());
    }
    ingest(&stack, &mut evidence);
    commands(&stack, &mut evidence);
    until("the collector has the logs", LIMIT, || {
        let has = |service, line| collector.logs(service).iter().any(|said| said.starts_with(line));
        (has("normalize", "Normalized a batch") && has("group-convert", "Converted a window")).then_some(())
    });
    stack.end("INT");

    evidence.text("iotc up and its logs", stack.printed());
    evidence.collector(&collector);
    evidence.folder(stack.folder(), &HOLDING);
    evidence.check();

    // Everything of it came through, and where it belongs.
    let state = stack.folder().join("state");
    let ids = ["device id", "patient id", "free text", "measured value", "name"];
    check_that_marks_arrived(&state.join("event-hubs"), &[&ids[..], &["member name", "property"]].concat());
    check_that_marks_arrived(&state.join("fhir-server"), &[&ids[..], &["measured fraction"]].concat());
    check_that_marks_arrived(&state.join("dead-letters"), &[&ids[..], &["poison body", "property"]].concat());
    evidence.check_that_it_says(&[
        "InvalidDataFormat",
        "IncompatibleData",
        "TemplateExpression",
        "FunctionError",
        "DivideByZero",
        "ArgumentOutOfRange",
        "MeasurementTooLarge",
        "TemplateNotFound",
        "InvalidQuantity",
        "InvalidSample",
        "No template of the device mapping matches",
        "not sent",
    ]);
}

#[test]
fn nothing_of_an_event_shows_in_the_functions_host_front() {
    check("host");
}

#[test]
fn nothing_of_an_event_shows_in_the_native_front() {
    check("native");
}
