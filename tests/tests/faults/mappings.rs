//! A mapping is swapped while events flow.

use std::path::PathBuf;

use end_to_end::fhir::Observations;
use end_to_end::oracle;
use end_to_end::site::{FatesOf, INTERNAL_HUB, fates};

use crate::course::Course;
use crate::fhir::servers::{Kind, OWN_AZURE, on_those};
use crate::selection::report;
use crate::undisturbed::undisturbed;

const EVENTS: usize = 240;

/// A mapping file of the course's own.
fn put(course: &Course, name: &str, text: &str) -> PathBuf {
    // As an editor does it: there is never half a file.
    let (path, new) = (course.site.folder().join(name), course.site.folder().join(format!("{name}.new")));
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)).expect("written");
    path
}

/// Without the template of a type.
fn without(mapping: &str, type_name: &str) -> String {
    let mut mapping: serde_json::Value = serde_json::from_str(mapping).expect("JSON");
    let templates = mapping["template"].as_array_mut().expect("templates");
    templates.retain(|template| template["template"]["typeName"] != type_name);
    mapping.to_string()
}

/// Whether, in each partition, what is `old` comes before what is `new`, and
/// both are there.
fn swapped_once(fates: &FatesOf, old: &str, new: &str) -> Result<(usize, usize), String> {
    let (mut olds, mut news) = (0, 0);
    let mut swapped: Option<&str> = None;
    for ((partition, number), fates) in fates {
        let fate = fates.first().map(String::as_str).unwrap_or_default();
        if fate == old {
            olds += 1;
            if swapped == Some(partition) {
                return Err(format!("event {number} of partition {partition} is {old} behind one that is {new}"));
            }
        } else {
            news += 1;
            swapped = Some(partition);
        }
    }
    if olds > 0 && news > 0 { Ok((olds, news)) } else { Err(format!("{olds} {old}, {news} {new}")) }
}

/// Good for good, then good for bad, which keeps the last good one; of both
/// functions.
#[test]
fn mappings_are_swapped_in_mid_stream() {
    on_those(&[OWN_AZURE, Kind::Sekmet], OWN_AZURE, check);
}

#[track_caller]
fn check(kind: Kind) {
    let server = kind.start();
    let mut course = Course::start(server.fhir());
    let (device, fhir) = course.mappings();
    let device_path = put(&course, "device.json", &without(&device, "heartrate")).display().to_string();
    let fhir_path = put(&course, "fhir.json", &without(&fhir, "heartrate")).display().to_string();
    course.add("normalize", "n-a", &[("Template__DeviceContent", &device_path)]);
    course.add("group-convert", "c-a", &[("Template__FhirMapping", &fhir_path)]);
    // Heart rates only: first no template is there for them, then one is.
    let events: Vec<String> = course.readings(0..EVENTS).into_iter().filter(|e| e.contains("heartrate")).collect();
    let (first, rest) = events.split_at(events.len() / 4);
    let (second, rest) = rest.split_at(rest.len() / 3);
    let (third, fourth) = rest.split_at(rest.len() / 2);

    course.send(first);
    course.until("some events are done", || (course.done("normalize") > 0).then_some(()));
    put(&course, "device.json", &device);
    course.send(second);
    course.until("measurements are done", || (course.done("group-convert") > 0).then_some(()));
    put(&course, "fhir.json", &fhir);
    course.send(third);
    course.until("the third part is done", || (course.done("normalize") == events.len() - fourth.len()).then_some(()));
    // A window keeps the mapping that it began with: before the first is saved the good one may not have been read.
    course.until("some are saved", || {
        let of_measurements = fates("group-convert", &course.convert);
        of_measurements.values().flatten().any(|fate| fate != "rejected").then_some(())
    });
    put(&course, "device.json", "{ \"templateType\": \"CollectionContent\", \"template\": [ {");
    put(&course, "fhir.json", &fhir.replace("SampledData", "NoSuchType"));
    course.send(fourth);
    course.wait();

    let of_events = fates("normalize", &course.normalize);
    assert_eq!(of_events.len(), events.len(), "{}", course.printed());
    let (unmatched, normalized) = swapped_once(&of_events, "unmatched", "normalized").expect("one swap");
    let of_measurements = fates("group-convert", &course.convert);
    assert_eq!(of_measurements.len(), normalized, "{}", course.printed());
    let (rejected, saved) = swapped_once(&of_measurements, "rejected", "saved").expect("one swap");
    assert_eq!(course.dead_letters("group-convert"), rejected);
    for function in ["normalize", "group-convert"] {
        let printed = course.processes(function)[0].printed();
        assert!(printed.contains("the last good one stays"), "{function}: {printed}");
    }

    // What the mapping had a template for when it came is on the server.
    let internal = oracle::events(course.site.hub.port(), INTERNAL_HUB);
    let found = course.observations();
    let all = undisturbed(&device, &fhir, &events).observations;
    assert!(!found.is_empty() && found.len() <= all.len());
    let expected: Observations = {
        let windows = oracle::windows(&course.convert);
        let of_saved = windows
            .into_iter()
            .filter(|(_, window)| window.fates.iter().flatten().all(|fate| !fate.starts_with("rejected")));
        oracle::expected(&fhir, &internal, &of_saved.collect(), &[]).observations
    };
    assert!(found == expected, "{}", end_to_end::fhir::difference(&expected, &found));
    let seen = format!(
        "{unmatched} unmatched then {normalized} normalized, {rejected} rejected then {saved} saved; the last good ones stayed in use"
    );
    report("mappings swapped in mid-stream", kind.name(), 4, seen);
}
