use std::sync::Mutex;

use mapping::Compatibility;

use super::*;
use crate::batch::Source;
use crate::testing::{Letters, batch, compiled, now};
use crate::turn::Unfenced;

const MAPPING: &str = r#"{"templateType":"CollectionContent","template":[{"templateType":"JsonPathContent","template":{
    "typeName":"heartrate","typeMatchExpression":"$..[?(@hr)]","deviceIdExpression":"$.d","timestampExpression":"$.t",
    "values":[{"required":"true","valueExpression":"$.hr","valueName":"hr"}]}}]}"#;

/// Keeps what is sent by partition key; refuses one index as too large.
#[derive(Default)]
struct Hub {
    sent: Mutex<Vec<(String, Vec<String>)>>,
    too_large: Vec<usize>,
    away: bool,
}

impl MeasurementOutput for &Hub {
    async fn send(&self, measurements: &OutgoingMeasurements, _: &dyn Fence) -> Result<Vec<usize>, Away> {
        if self.away {
            return Err(Away::new("the internal hub", "no route"));
        }
        let text = |index: &usize| String::from_utf8_lossy(measurements.json(*index)).into_owned();
        let sent = measurements.by_partition_key().into_iter().map(|(key, indexes)| {
            let kept = indexes.iter().filter(|index| !self.too_large.contains(index));
            (key.to_string(), kept.map(text).collect())
        });
        self.sent.lock().expect("one thread").extend(sent);
        Ok(self.too_large.clone())
    }
}

fn run(hub: &Hub, letters: &Letters, bodies: &[&str]) -> Result<Vec<EventFate>, Away> {
    let done = normalize(hub, letters, bodies)?;
    assert_eq!(done.check(bodies.len()), Ok(()), "{done:?}");
    Ok(done.events)
}

fn normalize(hub: &Hub, letters: &Letters, bodies: &[&str]) -> Result<Normalization, Away> {
    let mapping = DeviceMapping::load(MAPPING.as_bytes(), &Compatibility::default()).expect("a good mapping");
    let source = Source::default();
    now(Normalizer::new(hub, letters).normalize(&compiled(mapping), &batch(&source, bodies), &Unfenced))
}

fn reading(device: &str) -> String {
    format!("{{\"hr\":71,\"d\":\"{device}\",\"t\":\"2020-11-01T12:00:00Z\"}}")
}

#[test]
fn gives_each_event_its_fate_and_goes_on_behind_bad_ones() {
    let (hub, letters) = (Hub::default(), Letters::default());
    let good = reading("device1");
    let bodies = ["not json", &good, "{\"battery\":3}", "{\"hr\":1,\"d\":\"device1\"}", &good];
    let fates = run(&hub, &letters, &bodies).expect("nothing is away");
    let shown: Vec<_> = fates.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["rejected", "normalized", "unmatched", "rejected", "normalized"]);
    let sent = hub.sent.lock().expect("one thread");
    assert_eq!(sent.iter().map(|(key, all)| (key.as_str(), all.len())).collect::<Vec<_>>(), [("155", 2)]);
    let lines = letters.lines.lock().expect("one thread");
    let expected =
        ["normalize 40 0 InvalidDataFormat not json", "normalize 43 0 IncompatibleData {\"hr\":1,\"d\":\"device1\"}"];
    assert_eq!(*lines, expected);
}

#[test]
fn keeps_the_devices_of_a_batch_apart_and_their_order() {
    let hub = Hub::default();
    let (one, two) = (reading("device1"), reading("device2"));
    run(&hub, &Letters::default(), &[&one, &two, &one]).expect("nothing is away");
    let sent = hub.sent.lock().expect("one thread");
    assert_eq!(sent.iter().map(|(key, all)| (key.as_str(), all.len())).collect::<Vec<_>>(), [("155", 2), ("156", 1)]);
}

#[test]
fn counts_what_was_sent_of_an_event_whose_measurement_is_too_large() {
    let hub = Hub { too_large: vec![1], ..Hub::default() };
    let letters = Letters::default();
    let two = format!("[{},{}]", reading("device1"), reading("device2"));
    let fates = run(&hub, &letters, &[&two]).expect("nothing is away");
    let EventFate::Rejected { reason, measurements } = &fates[0] else { panic!("{fates:?}") };
    assert_eq!((&*reason.code, *measurements), ("MeasurementTooLarge", 1));
    assert_eq!(letters.lines.lock().expect("one thread").len(), 1);
}

#[test]
fn counts_what_the_hub_took_by_template() {
    let hub = Hub { too_large: vec![1], ..Hub::default() };
    let (one, two) = (reading("device1"), reading("device2"));
    let done = normalize(&hub, &Letters::default(), &[&one, &two, &one, "{}"]).expect("nothing is away");
    let template = Some("heartrate".to_owned());
    assert_eq!(done.templates, [TemplateCount { template, fate: "sent", reason: None, measurements: 2 }]);
    assert_eq!(done.check(4), Ok(()));
}

/// design.md 2.2: in = sum of fates, and made = sent.
#[test]
fn says_when_the_fates_do_not_add_up() {
    let good = reading("device1");
    let done = || normalize(&Hub::default(), &Letters::default(), &[&good, "{}"]).expect("nothing is away");
    let text = |done: Normalization, received| done.check(received).map_err(|imbalance| imbalance.to_string());
    assert_eq!(text(done(), 2), Ok(()));
    assert_eq!(text(done(), 3), Err("3 events came in and 2 are accounted for".to_owned()));
    let mut lost = done();
    lost.templates[0].measurements = 0;
    assert_eq!(text(lost, 2), Err("1 measurements came in and 0 are accounted for".to_owned()));
}

#[test]
fn keeps_the_memory_of_ordinary_batches_only() {
    let (hub, letters) = (Hub::default(), Letters::default());
    let normalizer = Normalizer::new(&hub, &letters);
    let mapping = DeviceMapping::load(MAPPING.as_bytes(), &Compatibility::default()).expect("a good mapping");
    let (mapping, source) = (compiled(mapping), Source::default());
    let run = |bodies: &[&str]| {
        now(normalizer.normalize(&mapping, &batch(&source, bodies), &Unfenced)).expect("nothing is away");
        normalizer.spare().iter().map(Memory::capacity).collect::<Vec<usize>>()
    };
    let ordinary_event = reading("device1");
    let ordinary = run(&[&ordinary_event]);
    assert!(matches!(ordinary[..], [1..=SPARE_BYTES_MAX]), "{ordinary:?}");
    let many_nodes = format!("[{}0]", "0,".repeat(1_000_000));
    assert_eq!(run(&[&many_nodes]), [0; 0]);
    assert_eq!(run(&vec![&*ordinary_event; 60_000]), [0; 0]);
    assert_eq!(run(&[&ordinary_event]).len(), 1);
}

/// device-mapping.md quirk 61, the other way of its switch.
#[test]
fn an_event_that_the_mapping_fails_on_holds_the_batch_when_told_to() {
    let compatibility = Compatibility { on_mapping_failure: OnFailure::Retry, ..Compatibility::default() };
    let mapping = DeviceMapping::load(MAPPING.as_bytes(), &compatibility).expect("a good mapping");
    let (mapping, source) = (compiled(mapping), Source::default());
    let (hub, letters, good) = (Hub::default(), Letters::default(), reading("device1"));
    let run = |bodies: &[&str]| {
        let fates = now(Normalizer::new(&hub, &letters).normalize(&mapping, &batch(&source, bodies), &Unfenced));
        fates.map(|done| done.events.len()).map_err(|away| away.to_string())
    };
    let waits = Err("a device mapping that fits the event is away".to_owned());
    assert_eq!(run(&[&good, "{\"hr\":1,\"d\":\"device1\"}"]), waits);
    assert!(hub.sent.lock().expect("one thread").is_empty());
    assert_eq!(run(&[&good, "not json"]), Ok(2));
    assert_eq!(letters.lines.lock().expect("one thread").len(), 1);
}

#[test]
fn fails_as_a_whole_when_a_dependency_is_away() {
    let good = reading("device1");
    let away = Hub { away: true, ..Hub::default() };
    let failed = run(&away, &Letters::default(), &[&good, "not json"]);
    assert_eq!(failed.map_err(|away| away.to_string()), Err("the internal hub is away".to_owned()));
    let full = Letters { away: true, ..Letters::default() };
    let failed = run(&Hub::default(), &full, &[&good, "not json"]);
    assert_eq!(failed.map_err(|away| away.to_string()), Err("the dead letters is away".to_owned()));
}

#[test]
fn sends_before_the_measurements_of_a_batch_pile_up() {
    let hub = Hub::default();
    let large = reading(&"d".repeat(1_000_000));
    let fates = run(&hub, &Letters::default(), &[large.as_str(); 40]).expect("nothing is away");
    assert!(fates.iter().all(|fate| matches!(fate, EventFate::Normalized { measurements: 1 })), "{fates:?}");
    let sent = hub.sent.lock().expect("one thread");
    assert_eq!(sent.iter().map(|(_, all)| all.len()).collect::<Vec<_>>(), [SEND_BYTES_MAX / 1_000_250 + 1, 6]);
}
