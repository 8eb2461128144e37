use std::collections::HashMap;
use std::sync::Mutex;

use super::*;
use crate::batch::Source;
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
}

impl Destination for &Server {
    async fn resolve(&self, groups: &[MeasurementGroup<'_>]) -> Result<Vec<Result<ResourceIds, Reason>>, Away> {
        let resolve = |group: &MeasurementGroup<'_>| match group.device_id {
            "unknown" => Err(Reason::new("DeviceNotFound", "Device not found")),
            device => Ok(ResourceIds { device: device.to_owned(), patient: "p".to_owned(), encounter: None }),
        };
        Ok(groups.iter().map(resolve).collect())
    }

    async fn save(&self, pending: &[Pending<'_>], begun_before: Option<SystemTime>) -> Result<Vec<SaveOutcome>, Away> {
        self.begun_before.lock().expect("one thread").push(begun_before);
        let mut observations = self.observations.lock().expect("one thread");
        let mut save = |pending: &Pending<'_>| {
            let existing = observations.get(&pending.id);
            let (outcome, observation) = match existing {
                None => (SaveOutcome::Created, pending.create().map(Some)),
                Some(existing) => (SaveOutcome::Merged, pending.merge(existing)),
            };
            match observation {
                Ok(Some(observation)) => {
                    observations.insert(pending.id.clone(), observation);
                    outcome
                }
                Ok(None) => SaveOutcome::Unchanged,
                Err(reason) => SaveOutcome::Rejected(reason),
            }
        };
        Ok(pending.iter().map(&mut save).collect())
    }
}

fn run(server: &Server, letters: &Letters, bodies: &[&str]) -> Vec<String> {
    run_again(server, letters, bodies, None)
}

fn run_again(server: &Server, letters: &Letters, bodies: &[&str], begun_before: Option<SystemTime>) -> Vec<String> {
    let compatibility = Compatibility::default();
    let mapping = FhirMapping::load(MAPPING.as_bytes(), &compatibility).expect("a good mapping");
    let source = Source::default();
    let converter = Converter::new(server, letters, compatibility);
    let conversion = now(converter.convert(&compiled(mapping), &batch(&source, bodies), UtcTime::MIN, begun_before));
    let conversion = conversion.expect("nothing is away");
    let show = |fates: &Vec<MeasurementFate>| fates.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    conversion.events.iter().map(show).collect()
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
    let incoming = incoming::read(&both);
    assert_eq!(incoming.origins, [(0, 0), (1, 0)]);
    let rejected: Vec<_> = incoming.rejected.iter().map(|(origin, reason)| (*origin, &*reason.code)).collect();
    assert_eq!(rejected, [((0, 1), "InvalidMeasurement"), ((1, 1), "InvalidMeasurement")]);
}
