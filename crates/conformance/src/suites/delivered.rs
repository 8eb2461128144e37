//! Runs measurements through delivery's converter and the FHIR client, as
//! group-convert does, against a server that knows every device.

use std::collections::BTreeSet;
use std::time::Duration;

use delivery::{
    Away, Batch, BatchEvent, Compiled, Conversion, Converter, DeadLetter, DeadLetters, MeasurementFate, Source, Turn,
};
use expressions::{Properties, UtcTime};
use fhir_client::{FhirDestination, IdentityOptions, Mode, Resolver, SaveOptions, Saver};
use mapping::{Compatibility, FhirMapping, Measurement};
use serde_json::{Value, json};

use super::identity::Ward;
use crate::Outcome;
use crate::scripted_server::{Asked, Reply, Script, ScriptedServer, against};

/// What came of it.
pub(super) struct Delivered {
    /// None when the server was away and the batch is to be given again.
    pub(super) conversion: Result<Conversion, Away>,
    /// Devices that were looked up.
    pub(super) devices: usize,
    /// Observations that were written, or tried to be.
    pub(super) writes: usize,
}

impl Delivered {
    /// Measurements that were rejected, each with its reason.
    pub(super) fn rejected_count(&self) -> usize {
        let fates = self.conversion.iter().flat_map(Conversion::fates);
        fates.filter(|fate| matches!(fate, MeasurementFate::Rejected(_))).count()
    }
}

/// A server that knows every device and answers writes with this status.
struct Hospital {
    ward: Ward,
    refusal: Option<u16>,
}

impl Script for Hospital {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match self.refusal {
            Some(status) if asked.method == "PUT" => Reply::refusal(status),
            _ => self.ward.answer(asked),
        }
    }
}

/// Dead letters are not looked at here.
struct Unread;

impl DeadLetters for Unread {
    async fn record(&self, _: &[DeadLetter<'_>]) -> Result<(), Away> {
        Ok(())
    }
}

/// Converts one batch of measurements, an event each. `refusal` is what the
/// server answers to writes.
pub(super) fn deliver(measurements: &[Measurement], refusal: Option<u16>) -> std::io::Result<Delivered> {
    let hospital = Hospital { ward: Ward::knowing_every_device(), refusal };
    let mapping = fhir_mapping(measurements);
    against(hospital, async move |server: &ScriptedServer<Hospital>| {
        let client = server.client();
        let destination = FhirDestination {
            resolver: Resolver::new(client.clone(), IdentityOptions::new(Mode::Lookup)),
            saver: Saver::new(client, SaveOptions::default()),
            time_limit: Duration::from_secs(30),
        };
        let bodies: Vec<String> = measurements.iter().map(json_of).collect();
        let events = bodies.iter().map(|body| BatchEvent {
            body: body.as_bytes(),
            properties: Properties::NONE,
            system_properties: Properties::NONE,
            sequence_number: None,
            enqueued_time: UtcTime::MIN,
        });
        let batch = Batch { source: &Source::default(), events: events.collect() };
        let converter = Converter::new(destination, Unread, Compatibility::reference());
        let conversion = converter.convert(&mapping, &batch, UtcTime::MIN, Turn::UNFENCED).await;
        let asked = server.asked();
        let searched = |asked: &Asked| asked.search().is_some_and(|search| search.starts_with("Device?"));
        let devices = asked.iter().filter(|asked| searched(asked)).count();
        let writes = asked.iter().filter(|asked| asked.method == "PUT").count();
        Delivered { conversion, devices, writes }
    })
}

fn json_of(measurement: &Measurement) -> String {
    let mut json = Vec::new();
    measurement.write_json(&mut json);
    String::from_utf8_lossy(&json).into_owned()
}

/// A template for each type, one Observation a reading.
fn fhir_mapping(measurements: &[Measurement]) -> Compiled<FhirMapping> {
    let names: BTreeSet<&str> = measurements.iter().map(|measurement| &*measurement.r#type).collect();
    let template =
        |name: &&str| json!({ "templateType": "CodeValueFhir", "template": { "typeName": name, "codes": [] } });
    let templates: Vec<Value> = names.iter().map(template).collect();
    let text = json!({ "templateType": "CollectionFhir", "template": templates }).to_string();
    let mapping = FhirMapping::load(text.as_bytes(), &Compatibility::reference());
    Compiled { version: "case".to_owned(), mapping: mapping.expect("a template for each type is a mapping") }
}

/// Several Observations of one measurement group: the identities are resolved
/// once, and each is saved.
pub(super) fn one_save_a_group(groups: usize, expect: &Value) -> Outcome {
    let measurement = |second: usize| Measurement {
        r#type: "heartrate".into(),
        occurrence_time: UtcTime::MIN
            .saturating_add(i64::try_from(second).unwrap_or_default() * expressions::time::TICKS_PER_SECOND),
        device_id: "device".into(),
        ..Measurement::default()
    };
    let measurements: Vec<Measurement> = (0..groups).map(measurement).collect();
    match deliver(&measurements, None) {
        Ok(delivered) => {
            let got = json!({ "identityResolutions": delivered.devices, "saves": delivered.writes });
            Outcome::compare(expect, &got)
        }
        Err(error) => Outcome::failed("a server", error.to_string()),
    }
}
