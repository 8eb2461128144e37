mod parked;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use std::time::SystemTime;

use super::*;
use crate::batch::Source;
use crate::replay::REPLAY_PROPERTY;
use crate::testing::{Letters, batch, compiled, now};

const MAPPING: &str = r#"{"templateType":"CollectionFhir","template":[
    {"templateType":"CodeValueFhir","template":{"typeName":"heartrate","periodInterval":60,"codes":[],
     "value":{"valueType":"SampledData","valueName":"hr","defaultPeriod":60000,"unit":"/min"}}},
    {"templateType":"CodeValueFhir","template":{"typeName":"weight","codes":[],
     "value":{"valueType":"Quantity","valueName":"kg"}}}]}"#;

/// A server that is a map, and knows every device but `unknown`.
#[derive(Default)]
struct Server {
    observations: Mutex<HashMap<String, Observation>>,
    begun_before: Mutex<Vec<Option<SystemTime>>>,
    /// Forgets to say how the last Observation ended.
    forgets: bool,
    /// `unknown` is known by now.
    appeared: AtomicBool,
}

impl Destination for &Server {
    async fn resolve(
        &self,
        groups: &[&MeasurementGroup<'_>],
        _: Turn<'_>,
    ) -> Result<Vec<Result<Resolved, Reason>>, Away> {
        let resolve = |group: &&MeasurementGroup<'_>| match group.device_id {
            "unknown" if !self.appeared.load(Ordering::Relaxed) => {
                Err(Reason::new("DeviceNotFound", "Device not found"))
            }
            device => {
                let ids = ResourceIds { device: device.to_owned(), patient: "p".to_owned(), encounter: None };
                Ok(Resolved { ids, patient_differs: device == "another's" })
            }
        };
        Ok(groups.iter().map(resolve).collect())
    }

    fn may_appear(&self, reason: &Reason) -> bool {
        reason.code == "DeviceNotFound"
    }

    async fn save(&self, pending: &[Pending<'_>], turn: Turn<'_>) -> Result<Vec<SaveOutcome>, Away> {
        self.begun_before.lock().expect("one thread").push(turn.begun_before);
        let mut observations = self.observations.lock().expect("one thread");
        let mut save = |pending: &Pending<'_>| {
            let existing = observations.get(&pending.identity.id);
            let (outcome, observation) = match existing {
                None => (SaveOutcome::Created, pending.create().map(Some)),
                Some(existing) => (SaveOutcome::Merged, pending.merge(existing)),
            };
            match observation {
                Ok(Some(observation)) => {
                    observations.insert(pending.identity.id.clone(), observation);
                    outcome
                }
                Ok(None) => SaveOutcome::Unchanged,
                Err(reason) => SaveOutcome::Rejected(reason),
            }
        };
        let outcomes = pending.iter().take(pending.len() - usize::from(self.forgets));
        Ok(outcomes.map(&mut save).collect())
    }
}

fn run(server: &Server, letters: &Letters, bodies: &[&str]) -> Vec<String> {
    run_again(server, letters, bodies, None)
}

fn run_again(server: &Server, letters: &Letters, bodies: &[&str], begun_before: Option<SystemTime>) -> Vec<String> {
    let show = |fates: &Vec<MeasurementFate>| fates.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    convert(server, letters, bodies, begun_before).events.iter().map(show).collect()
}

fn convert(server: &Server, letters: &Letters, bodies: &[&str], begun_before: Option<SystemTime>) -> Conversion {
    convert_batch(server, letters, &batch(&Source::default(), bodies), begun_before)
}

fn convert_batch(
    server: &Server,
    letters: &Letters,
    batch: &Batch<'_>,
    begun_before: Option<SystemTime>,
) -> Conversion {
    convert_with(server, letters, batch, begun_before, Compatibility::default()).expect("nothing is away")
}

fn convert_with(
    server: &Server,
    letters: &Letters,
    batch: &Batch<'_>,
    begun_before: Option<SystemTime>,
    compatibility: Compatibility,
) -> Result<Conversion, Away> {
    let mapping = FhirMapping::load(MAPPING.as_bytes(), &compatibility).expect("a good mapping");
    let converter = Converter::new(server, letters, compatibility);
    now(converter.convert(&compiled(mapping), batch, UtcTime::MIN, Turn { begun_before, ..Turn::UNFENCED }))
}

fn reading(r#type: &str, device: &str, second: u32, value: &str) -> String {
    let name = if r#type == "weight" { "kg" } else { "hr" };
    format!(
        r#"{{"Type":"{}","OccurrenceTimeUtc":"2020-11-01T12:00:{second:02}Z","IngestionTimeUtc":"2020-11-01T12:01:00Z","DeviceId":"{device}","Properties":[{{"Name":"{name}","Value":"{value}"}}]}}"#,
        r#type
    )
}

#[test]
fn gives_each_measurement_one_fate_and_keeps_the_rest_going() {
    let (server, letters) = (Server::default(), Letters::default());
    let bodies = [
        reading("heartrate", "d1", 0, "71"),
        "{".to_owned(),
        reading("steps", "d1", 0, "1"),
        reading("heartrate", "unknown", 0, "71"),
        reading("weight", "d1", 5, "eighty"),
        reading("heartrate", "d1", 0, "72"),
        reading("heartrate", "d1", 30, "73"),
        reading("heartrate", "", 30, "73"),
    ];
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let expected = ["created", "rejected", "rejected", "rejected", "rejected", "superseded", "created", "rejected"];
    assert_eq!(run(&server, &letters, &bodies), expected);
    let lines = letters.lines.lock().expect("one thread");
    let codes: Vec<_> = lines.iter().map(|line| line.split(' ').nth(3).unwrap_or_default()).collect();
    let expected =
        ["InvalidMeasurement", "TemplateNotFound", "DeviceNotFound", "InvalidQuantity", "DeviceIdNotDefined"];
    assert_eq!(codes, expected);
    assert_eq!(server.observations.lock().expect("one thread").len(), 1);
}

#[test]
fn counts_measurements_by_template_and_fate() {
    let (server, letters) = (Server::default(), Letters::default());
    let bodies = [
        reading("HeartRate", "one", 0, "70"),
        reading("heartrate", "one", 1, "71"),
        reading("weight", "two", 0, "80"),
        reading("weight", "unknown", 0, "80"),
        reading("steps", "two", 0, "9"),
        "no measurement".to_owned(),
    ];
    let conversion = convert(&server, &letters, &bodies.each_ref().map(String::as_str), None);
    let show = |count: &TemplateCount| {
        let (template, reason) = (count.template.as_deref().unwrap_or("-"), count.reason.as_deref().unwrap_or("-"));
        format!("{template} {} {reason} {}", count.fate, count.measurements)
    };
    let expected = [
        "- rejected InvalidMeasurement 1",
        "- rejected TemplateNotFound 1",
        "heartrate created - 2",
        "weight created - 1",
        "weight rejected DeviceNotFound 1",
    ];
    assert_eq!(conversion.templates.iter().map(show).collect::<Vec<_>>(), expected);
    assert_eq!(conversion.saved, Saved { created: 3, merged: 0, unchanged: 0 });
    assert_eq!((conversion.received, conversion.check()), (6, Ok(())));
}

/// design.md 2.2: a measurement that was given no fate is recorded, and said.
#[test]
fn says_when_a_measurement_got_no_fate() {
    let (server, letters) = (Server { forgets: true, ..Server::default() }, Letters::default());
    let bodies = [reading("weight", "one", 0, "70"), reading("weight", "two", 0, "70")];
    let conversion = convert(&server, &letters, &bodies.each_ref().map(String::as_str), None);
    let text = conversion.check().map_err(|imbalance| imbalance.to_string());
    assert_eq!(text, Err("2 measurements came in and 1 are accounted for".to_owned()));
    assert_eq!(letters.lines.lock().expect("one thread").len(), 1);
}

#[test]
fn a_batch_that_is_given_again_changes_nothing() {
    let server = Server::default();
    let bodies = [reading("heartrate", "d1", 0, "71"), reading("weight", "d1", 5, "80.50")];
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    assert_eq!(run(&server, &Letters::default(), &bodies), ["created", "created"]);
    assert_eq!(run(&server, &Letters::default(), &bodies), ["unchanged", "unchanged"]);
    let later = reading("heartrate", "d1", 0, "90");
    assert_eq!(run(&server, &Letters::default(), &[&later]), ["merged"]);
}

#[test]
fn tells_the_destination_since_when_a_batch_may_have_been_begun() {
    let (server, letters) = (Server::default(), Letters::default());
    let body = reading("weight", "d1", 5, "80");
    run(&server, &letters, &[&body]);
    run_again(&server, &letters, &[&body], Some(SystemTime::UNIX_EPOCH));
    let begun_before = server.begun_before.lock().expect("one thread");
    assert_eq!(*begun_before, [None, Some(SystemTime::UNIX_EPOCH)]);
}

#[test]
fn counts_groups_of_another_patient_s_device() {
    let (server, letters) = (Server::default(), Letters::default());
    let bodies = [reading("weight", "d1", 5, "80"), reading("weight", "another's", 5, "80")];
    let conversion = convert(&server, &letters, &[&bodies[0], &bodies[1]], None);
    assert_eq!(conversion.patients_differing, 1);
}

/// fhir-conversion.md quirk 21, the other way of its switch.
#[test]
fn a_type_that_the_mapping_does_not_know_holds_the_batch_when_told_to() {
    let compatibility = Compatibility { on_unmapped_type: OnFailure::Retry, ..Compatibility::default() };
    let (server, letters, source) = (Server::default(), Letters::default(), Source::default());
    let (known, unknown) = (reading("weight", "d1", 5, "80"), reading("steps", "d1", 5, "80"));
    let convert = |bodies: &[&str]| {
        let converted = convert_with(&server, &letters, &batch(&source, bodies), None, compatibility);
        converted.map(|conversion| conversion.events.len()).map_err(|away| crate::away::error_chain(&away))
    };
    let waits = "a template of the FHIR mapping is away: the FHIR mapping has no template for type `steps`";
    assert_eq!(convert(&[&known, &unknown]), Err(waits.to_owned()));
    assert!(server.observations.lock().expect("one thread").is_empty());
    assert_eq!(convert(&[&known]), Ok(1));
    assert!(letters.lines.lock().expect("one thread").is_empty());
}

/// fhir-conversion.md quirk 49.
#[test]
fn counts_observations_that_get_no_value() {
    let (server, letters) = (Server::default(), Letters::default());
    let misspelt = reading("weight", "d1", 5, "80").replace("kg", "KG");
    let conversion = convert(&server, &letters, &[&misspelt, &reading("weight", "d1", 6, "80")], None);
    assert_eq!((conversion.without_value, server.observations.lock().expect("one thread").len()), (1, 2));
}

/// fhir-conversion.md quirk 56, both ways of its switch.
#[test]
fn a_replayed_reading_overwrites_a_newer_one_unless_told_not_to() {
    let (old, new) = (reading("weight", "d1", 5, "80"), reading("weight", "d1", 5, "81"));
    let after_replay = |stored_values_win| {
        let compatibility = Compatibility { stored_values_win, ..Compatibility::default() };
        let (server, letters, source) = (Server::default(), Letters::default(), Source::default());
        for body in [&new, &old] {
            convert_with(&server, &letters, &batch(&source, &[body]), None, compatibility).expect("nothing is away");
        }
        let observations = server.observations.lock().expect("one thread");
        let json = observations.values().map(Observation::to_json).next().expect("there is one");
        let json: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
        json.pointer("/valueQuantity/value").map(ToString::to_string)
    };
    assert_eq!(after_replay(false).as_deref(), Some("80"));
    assert_eq!(after_replay(true).as_deref(), Some("81"));
}

/// fhir-conversion.md 1.4, both ways of its switch.
#[test]
fn takes_the_looser_forms_of_a_measurement_when_told_to() {
    let loose = reading("weight", "d1", 5, "80").replace('"', "'");
    for (lenient_measurements, expected) in [(false, "rejected"), (true, "created")] {
        let compatibility = Compatibility { lenient_measurements, ..Compatibility::default() };
        let (server, letters, source) = (Server::default(), Letters::default(), Source::default());
        let converted = convert_with(&server, &letters, &batch(&source, &[&loose]), None, compatibility);
        let fates: Vec<_> = converted.expect("nothing is away").fates().map(ToString::to_string).collect();
        assert_eq!(fates, [expected]);
    }
}

/// The later of two readings of one instant counts, and neither vanishes.
#[test]
fn a_reading_that_gave_way_to_a_rejected_one_is_recorded_with_it() {
    let (server, letters) = (Server::default(), Letters::default());
    let later = |r#type, value| reading(r#type, "d1", 5, value).replace("12:01:00", "12:02:00");
    let bodies = [
        reading("weight", "d1", 5, "80"),
        later("weight", "eighty"),
        reading("heartrate", "d1", 5, "71"),
        later("heartrate", "fast"),
        reading("heartrate", "d1", 6, "72"),
        reading("heartrate", "d1", 7, "73"),
        later("heartrate", "74").replace("00:05Z", "00:07Z"),
        reading("weight", "unknown", 5, "80"),
        reading("weight", "unknown", 5, "81"),
    ];
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let expected =
        ["rejected", "rejected", "rejected", "rejected", "created", "superseded", "created", "rejected", "rejected"];
    assert_eq!(run(&server, &letters, &bodies), expected);
    let lines = letters.lines.lock().expect("one thread");
    let letters: Vec<_> = lines.iter().map(|line| line.splitn(5, ' ').collect::<Vec<_>>()[1..4].join(" ")).collect();
    let expected = [
        "40 0 InvalidQuantity",
        "41 0 InvalidQuantity",
        "42 0 InvalidSample",
        "43 0 InvalidSample",
        "47 0 DeviceNotFound",
        "48 0 DeviceNotFound",
    ];
    assert_eq!(letters, expected);
}

#[test]
fn records_many_dead_letters_of_one_event() {
    let (server, letters) = (Server::default(), Letters::default());
    let source = Source::default();
    let list = format!("[{}{{}}]", "{},".repeat(3 * LETTERS_AT_ONCE));
    let bodies = [list.as_str()];
    let mut batch = batch(&source, &bodies);
    batch.events[0].properties = expressions::Properties::Json { text: r#"{"IsMeasurementGroup":true}"#, dates: &[] };
    let conversion = convert_batch(&server, &letters, &batch, None);
    assert_eq!(conversion.events[0].len(), 3 * LETTERS_AT_ONCE + 1);
    let lines = letters.lines.lock().expect("one thread");
    let places: Vec<usize> = lines
        .iter()
        .map(|line| line.split(' ').nth(2).and_then(|place| place.parse().ok()).expect("a place"))
        .collect();
    assert_eq!(places, (0..=3 * LETTERS_AT_ONCE).collect::<Vec<_>>());
}

/// Two lists of 33 MiB each: the second is one too many.
#[test]
fn unpacks_no_more_than_a_batch_may_hold() {
    use std::io::Write;

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"[").expect("memory takes all");
    let mebibyte = vec![b' '; 1 << 20];
    for _ in 0..33 {
        packed.write_all(&mebibyte).expect("memory takes all");
    }
    packed.write_all(b"{}]").expect("memory takes all");
    let packed = packed.finish().expect("memory takes all");
    let source = Source::default();
    let mut batch = batch(&source, &["", ""]);
    for event in &mut batch.events {
        event.body = &packed;
        event.properties = expressions::Properties::Json { text: r#"{"IsMeasurementGroup":true}"#, dates: &[] };
        event.system_properties =
            expressions::Properties::Json { text: r#"{"content-type":"application/gzip"}"#, dates: &[] };
    }
    let bodies = incoming::unpack(&batch);
    let rejected: Vec<_> =
        incoming::read(&bodies, false).rejected.into_iter().map(|(_, reason)| reason.message).collect();
    assert_eq!(rejected.len(), 2);
    assert!(!rejected[0].contains("64 MiB") && rejected[1].contains("64 MiB"), "{rejected:?}");
}

/// fhir-conversion.md quirk 55: the reference connector takes all single
/// measurements before all lists, so that an older one can win.
#[test]
fn takes_lists_and_single_measurements_in_their_order() {
    let list = format!("[{}]", reading("weight", "d1", 1, "80"));
    let single = reading("weight", "d1", 1, "81");
    let source = Source::default();
    let bodies = [&*list, &*single, &*list];
    let mut mixed = batch(&source, &bodies);
    for at in [0, 2] {
        mixed.events[at].properties =
            expressions::Properties::Json { text: r#"{"IsMeasurementGroup":true}"#, dates: &[] };
    }
    assert_eq!(incoming::read(&incoming::unpack(&mixed), false).origins, [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn takes_lists_of_measurements_packed_or_not() {
    use std::io::Write;

    let list = format!("[{},{{}}]", reading("weight", "d1", 1, "80"));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(list.as_bytes()).expect("memory takes all");
    let packed = packed.finish().expect("memory takes all");
    let source = Source::default();
    let mut both = batch(&source, &["", ""]);
    both.events[0].body = list.as_bytes();
    both.events[1].body = &packed;
    both.events[1].system_properties =
        expressions::Properties::Json { text: r#"{"content-type":"application/gzip"}"#, dates: &[] };
    for (event, marker) in
        both.events.iter_mut().zip([r#"{"IsMeasurementGroup":true}"#, r#"{"IsMeasurementGroup":"True"}"#])
    {
        event.properties = expressions::Properties::Json { text: marker, dates: &[] };
    }
    let bodies = incoming::unpack(&both);
    let incoming = incoming::read(&bodies, false);
    assert_eq!(incoming.origins, [(0, 0), (1, 0)]);
    let rejected: Vec<_> = incoming.rejected.iter().map(|(origin, reason)| (*origin, &*reason.code)).collect();
    assert_eq!(rejected, [((0, 1), "InvalidMeasurement"), ((1, 1), "InvalidMeasurement")]);
}

/// Converts a batch of bodies, of which some are replayed; gives the fates.
fn run_replay(server: &Server, bodies: &[(&str, bool)]) -> Vec<String> {
    let source = Source::default();
    let texts: Vec<&str> = bodies.iter().map(|(body, _)| *body).collect();
    let mut batch = batch(&source, &texts);
    let mark = format!(r#"{{"{REPLAY_PROPERTY}":true}}"#);
    for (event, (_, replayed)) in batch.events.iter_mut().zip(bodies) {
        if *replayed {
            event.properties = expressions::Properties::Json { text: &mark, dates: &[] };
        }
    }
    let conversion = convert_batch(server, &Letters::default(), &batch, None);
    conversion.fates().map(ToString::to_string).collect()
}

/// The sampled values of the one Observation there is.
fn samples(server: &Server) -> String {
    let observations = server.observations.lock().expect("one thread");
    let json = observations.values().map(Observation::to_json).next().expect("there is one");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    let data = json.pointer("/valueSampledData/data").and_then(|data| data.as_str()).unwrap_or_default();
    data.trim_end_matches(" E").to_owned()
}

/// design.md D7.
#[test]
fn a_replayed_reading_fills_gaps_and_overwrites_nothing() {
    let server = Server::default();
    let at = |second, value| reading("heartrate", "d1", second, value);
    assert_eq!(run_replay(&server, &[(&at(0, "71"), false)]), ["created"]);
    assert_eq!(run_replay(&server, &[(&at(0, "60"), true)]), ["superseded"]);
    assert_eq!(samples(&server), "71");
    let server = Server::default();
    let by_minute = |minute: u32, value| at(0, value).replace("12:00:00Z", &format!("12:{minute:02}:00Z"));
    run_replay(&server, &[(&by_minute(0, "71"), false), (&by_minute(2, "73"), false)]);
    assert_eq!(samples(&server), "71 E 73");
    let filling = by_minute(1, "72");
    assert_eq!(run_replay(&server, &[(&filling, true), (&by_minute(2, "99"), true)]), ["merged", "merged"]);
    assert_eq!(samples(&server), "71 72 73");
    assert_eq!(run_replay(&server, &[(&filling, true)]), ["superseded"], "replayed again");
}

/// design.md D7: within one batch, whichever comes first.
#[test]
fn a_live_reading_wins_over_a_replayed_one_of_its_batch() {
    let live = reading("heartrate", "d1", 0, "71");
    let replayed = reading("heartrate", "d1", 0, "60").replace("12:01:00", "12:09:00");
    for order in [[(&*replayed, true), (&*live, false)], [(&*live, false), (&*replayed, true)]] {
        let server = Server::default();
        let fates = run_replay(&server, &order);
        let expected = order.map(|(_, replayed)| if replayed { "superseded" } else { "created" });
        assert_eq!(fates, expected);
        assert_eq!(samples(&server), "71");
    }
}
