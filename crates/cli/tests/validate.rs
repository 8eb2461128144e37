//! `iotc validate`, run as a user runs it.

#![allow(clippy::unwrap_used)] // A test may fail by it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/demo");

/// Exit code, standard output and standard error.
fn iotc(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_iotc")).arg("validate").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn demo(name: &str) -> String {
    Path::new(DEMO).join(name).to_str().unwrap().to_owned()
}

#[test]
fn tries_the_demo() {
    let (device, fhir, events) = (demo("devicecontent.json"), demo("fhirmapping.json"), demo("events.jsonl"));
    let arguments = ["--device-mapping", &device, "--fhir-mapping", &fhir, "--sample", &events, "--wrap"];
    let (code, out, err) = iotc(&arguments);
    assert!(out.contains("\n  measurement {\"Type\":") && out.contains("\n  Observation {"), "{out}{err}");
    assert!(out.ends_with("The mappings are valid, but there are errors with samples.\n"), "{out}");
    // The demo has an event with a mistake, so that there is a dead letter.
    let has_error = out.lines().any(|line| line.trim_start().starts_with("ERROR "));
    assert_eq!(code, Some(i32::from(has_error)), "{out}{err}");

    let (_, out, _) = iotc(&[&arguments[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["valid"], true);
    let samples = json["samples"].as_array().unwrap();
    let lines = fs::read_to_string(demo("events.jsonl")).unwrap();
    assert_eq!(samples.len(), lines.lines().filter(|line| !line.trim().is_empty()).count());
}

#[test]
fn fails_on_an_error_and_names_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("device.json");
    let text = "{ \"templateType\": \"CollectionContent\",\n \"template\": [ { \"templateType\": \"Mystery\", \"template\": {} } ] }";
    fs::write(&file, text).unwrap();
    let (code, out, _) = iotc(&["--device-mapping", file.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.starts_with("ERROR NORMALIZATION Line Number: 2, "), "{out}");
    assert!(out.ends_with("The mappings are not valid.\n"), "{out}");
}

#[test]
fn counts_what_goes_wrong() {
    let device = demo("devicecontent.json");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.json");
    fs::write(&other, "{\"Body\":{\"nothing\":1}}").unwrap();
    let other = other.to_str().unwrap();
    let arguments = ["--device-mapping", &device, "--sample", other, other, "--aggregate"];
    let (code, out, err) = iotc(&arguments);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.starts_with("2 samples, the first is 1\n  WARN NORMALIZATION No measurements"), "{out}");
}

#[test]
fn an_empty_file_is_an_empty_mapping() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.json");
    fs::write(&empty, "").unwrap();
    let arguments = ["--device-mapping", empty.to_str().unwrap(), "--fhir-mapping", &demo("fhirmapping.json")];
    let (code, out, _) = iotc(&arguments);
    assert_eq!(code, Some(1), "{out}");
    assert_eq!(out, "ERROR NORMALIZATION The mapping is empty.\nThe mappings are not valid.\n");
}

#[test]
fn says_at_the_end_that_a_sample_failed() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.json");
    fs::write(&broken, "{").unwrap();
    let arguments = ["--device-mapping", &demo("devicecontent.json"), "--sample", broken.to_str().unwrap()];
    let (code, out, _) = iotc(&arguments);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.ends_with("The mappings are valid, but there are errors with samples.\n"), "{out}");
}

#[test]
fn says_what_it_needs() {
    let (code, _, err) = iotc(&[]);
    assert_eq!(code, Some(2));
    assert!(err.contains("--device-mapping"), "{err}");
    let (code, _, err) = iotc(&["--fhir-mapping", "nowhere.json"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("cannot read `nowhere.json`"), "{err}");
}
