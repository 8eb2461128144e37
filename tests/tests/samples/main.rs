//! The samples in `samples/devices`: each is normalized with its device mapping
//! and converted with its FHIR mapping, and what comes is compared with what
//! should, or with what the sample's `deviations.json` says comes instead.
//!
//! Nothing here starts a process: these are the functions that the two
//! binaries call.

#![allow(clippy::unwrap_used, reason = "a test stops where a sample is not what it should be")]

mod outcome;
mod privacy;
mod sample;

use std::fs;

use mapping::normalize::Scratch;
use mapping::{Measurement, MeasurementRef};
use serde_json::Value;

use outcome::{expected_after_deviations, measurement_json, observation};
use sample::{Mapped, Mappings, Sample, SampleEvent, folder, sample, samples};

/// What came of an event: measurements, or why not.
fn fate(mappings: &Mappings, event: &SampleEvent, measurements: &mut Vec<Measurement>) -> String {
    let mut sink = |measurement: &MeasurementRef<'_>| measurements.push(measurement.to_measurement());
    match mappings.device.normalize(&mut Scratch::new(), &event.event(), &mut sink) {
        Ok(0) => "unmatched".to_owned(),
        Ok(count) => format!("normalized {count}"),
        Err(error) => {
            let template = error.template.map_or("-".to_owned(), |template| template.to_string());
            format!("rejected {} template {template} [{}]", error.code(), error.name)
        }
    }
}

/// Normalizes the events of a sample; gives the measurements and the fates.
fn run(sample: &Sample, mappings: &Mappings) -> (Vec<Measurement<'static>>, Vec<String>) {
    let mut measurements = Vec::new();
    let fates = sample.events().iter().map(|event| fate(mappings, event, &mut measurements)).collect();
    (measurements, fates)
}

/// Runs a sample and compares.
fn check(sample: &Sample) {
    let name = &sample.name;
    let Some(mappings) = &sample.mappings else {
        let deviations = sample.deviations.as_ref().unwrap_or_else(|| panic!("{name} has neither mapping nor reason"));
        assert!(deviations.deviations.is_empty(), "{name} has deviations, but no mapping");
        return;
    };
    let has_deviations = |sample: &Sample| sample.deviations.as_ref().is_none_or(|all| !all.deviations.is_empty());
    assert!(has_deviations(sample), "{name}: deviations.json has none");
    let (measurements, fates) = run(sample, mappings);
    let actual: Vec<Value> =
        measurements.iter().map(|measurement| measurement_json(measurement, &mappings.fhir)).collect();
    assert_eq!(actual, expected_after_deviations(sample), "{name}: {fates:?}");
    if !sample.name.starts_with("44-") {
        assert!(fates.iter().all(|fate| fate.starts_with("normalized")), "{name}: {fates:?}");
    }
    outcome::check_fhir_mapping(sample, mappings);
    outcome::check_events(sample, mappings);
}

#[test]
fn samples_give_what_they_should() {
    let samples = samples();
    samples.iter().for_each(check);
    let count = |mapped| samples.iter().filter(|sample| sample.mapped() == mapped).count();
    let counts =
        format!("{} mapped fully, {} partly, {} not", count(Mapped::Fully), count(Mapped::Partly), count(Mapped::Not));
    println!("samples: {counts}");
    assert_eq!(samples.len(), 44);
    check_readme(&samples, &counts);
}

/// The README's table has a row for each sample, which says how far it is
/// mapped and, when not fully, the reason; a sentence has the counts.
fn check_readme(samples: &[Sample], counts: &str) {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    assert!(readme.contains(counts), "README.md does not say: {counts}");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(rows.len(), samples.len());
    for (row, sample) in rows.iter().zip(samples) {
        let name = &sample.name;
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells[0], format!("[{name}]({name})"));
        assert_eq!(cells[2], sample.mapped().word(), "{name}");
        if let Some(deviations) = &sample.deviations {
            assert!(cells[3].starts_with(&deviations.reason), "{name}: README.md does not say: {}", deviations.reason);
        }
    }
}

#[test]
fn noise_on_a_hub_has_a_fate_for_each_event() {
    let noise = sample("44-");
    let mappings = noise.mappings.as_ref().unwrap();
    let (measurements, fates) = run(&noise, mappings);
    assert_eq!(measurements, []);
    let no_number = "rejected IncompatibleData template 0 [hr]";
    assert_eq!(
        fates,
        [
            "unmatched",
            "unmatched",
            "unmatched",
            no_number,
            no_number,
            no_number,
            "rejected IncompatibleData template 0 [TimestampExpression]",
        ]
    );
}

#[test]
fn a_body_that_is_not_json_does_not_stop_the_others() {
    let noise = sample("44-");
    let mappings = noise.mappings.as_ref().unwrap();
    let good = r#"{"deviceId":"n-1","heartRate":72,"time":"2026-03-06T12:00:03Z"}"#;
    let mut measurements = Vec::new();
    let fates =
        ["hello", "", good].map(|body| fate(mappings, &SampleEvent::of_body(body.to_owned()), &mut measurements));
    assert_eq!(fates, ["rejected InvalidDataFormat template - []", "unmatched", "normalized 1"]);
    assert_eq!(measurements.len(), 1);
}

#[test]
fn the_samples_of_an_ecg_become_one_series() {
    let ecg = sample("20-");
    let mappings = ecg.mappings.as_ref().unwrap();
    let (measurements, _) = run(&ecg, mappings);
    let samples: Vec<Measurement> =
        measurements.into_iter().filter(|measurement| measurement.r#type == "ecg").collect();
    let observation = observation(&samples, &mappings.fhir).unwrap();
    let series = &observation["valueSampledData"];
    assert_eq!(series["data"], ecg.expected()[0]["properties"][0]["value"]);
    assert_eq!(series["period"], 8);
}
