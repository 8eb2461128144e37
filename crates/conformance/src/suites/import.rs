//! The suite `import`: events of the internal hub to measurement groups.
//!
//! `stream` is the HTTP input of the oldest form of the reference connector,
//! whose groups come ready-made. What it fixes holds for ours too: each group is
//! worked on once, and a failure of one is not that of another. What the
//! reference does in a worker for each device, is here looking the device up.

use std::io::Write;

use delivery::incoming::{self, Incoming};
use delivery::{Batch, BatchEvent, Source};
use expressions::{Properties, UtcTime};
use flate2::Compression;
use flate2::write::GzEncoder;
use mapping::group::{self, MeasurementGroup, Reading};
use mapping::{Compatibility, Measurement, Property};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ordered::Ordered;
use super::{case, delivered};
use crate::Outcome;

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    match case::text(case, "operation") {
        "serialize" => serialize(case),
        "" if case.get("stream").is_some() => stream(case),
        "" => import(case),
        other => Outcome::Skipped(format!("the operation `{other}` is not known")),
    }
}

/// An event as a front hands it on.
struct Event {
    body: Vec<u8>,
    properties: &'static str,
    system_properties: &'static str,
}

/// The events of measurements in one of the three forms.
fn events(form: &str, measurements: &[Box<RawValue>]) -> Result<Vec<Event>, String> {
    let list = || serde_json::to_vec(measurements).map_err(|error| error.to_string());
    let (group, gzip) = (r#"{"IsMeasurementGroup":true}"#, r#"{"content-type":"application/gzip"}"#);
    match form {
        "" | "single" => {
            let one = |text: &RawValue| Event {
                body: text.get().as_bytes().to_vec(),
                properties: "{}",
                system_properties: "{}",
            };
            Ok(measurements.iter().map(|text| one(text)).collect())
        }
        "group" => Ok(vec![Event { body: list()?, properties: group, system_properties: "{}" }]),
        "group-gzip" => {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(&list()?).map_err(|error| error.to_string())?;
            let body = packed.finish().map_err(|error| error.to_string())?;
            Ok(vec![Event { body, properties: group, system_properties: gzip }])
        }
        other => Err(format!("the form `{other}` is not known")),
    }
}

/// All events of a case, in order.
fn all_events(case: &Value) -> Result<Vec<Event>, String> {
    let read = |text: &str| serde_json::from_str::<Vec<Box<RawValue>>>(text).map_err(|error| error.to_string());
    let Some(parts) = case::json(case, "mixed") else {
        return events(case::text(case, "form"), &read(&case::json(case, "events").unwrap_or_default())?);
    };
    let mut all = Vec::new();
    for part in read(&parts)? {
        let members = case::members(part.get());
        let form: String = members.get("form").and_then(|form| serde_json::from_str(form).ok()).unwrap_or_default();
        all.extend(events(&form, &read(members.get("events").map_or("[]", String::as_str))?)?);
    }
    Ok(all)
}

fn import(case: &Value) -> Outcome {
    if case["expect"]["error"]["kind"] == "compression-not-supported" {
        return Outcome::Skipped("every reader of ours takes compressed lists".to_owned());
    }
    let events = match all_events(case) {
        Ok(events) => events,
        Err(error) => return Outcome::Skipped(error),
    };
    let source = Source::default();
    let batch = Batch { source: &source, events: events.iter().map(batch_event).collect() };
    let bodies = incoming::unpack(&batch);
    let Incoming { measurements, rejected, .. } =
        incoming::read(&bodies, mapping::Compatibility::reference().lenient_measurements);
    let expect = &case["expect"];
    if let Some(((event, _), reason)) = rejected.first() {
        return match expect.get("error") {
            Some(_) => Outcome::Passed,
            None => Outcome::failed(expect.to_string(), format!("event {event}: {}", reason.message)),
        };
    }
    let groups = group::group(&measurements, &Compatibility::reference()).groups;
    if let Some(count) = expect.get("groupCount") {
        return Outcome::compare(count, &json!(groups.len()));
    }
    let got: Value = groups.iter().map(|group| facts(group, &measurements)).collect();
    let expected = with_plain_times(&expect["groups"]);
    match case::difference(&expected, &got, "") {
        None => Outcome::Passed,
        Some(place) => Outcome::failed(format!("{place} {expected}"), got.to_string()),
    }
}

fn batch_event(event: &Event) -> BatchEvent<'_> {
    BatchEvent {
        body: &event.body,
        properties: Properties::Json { text: event.properties, dates: &[] },
        system_properties: Properties::Json { text: event.system_properties, dates: &[] },
        sequence_number: None,
        enqueued_time: UtcTime::MIN,
    }
}

fn facts(group: &MeasurementGroup<'_>, measurements: &[Measurement]) -> Value {
    let data = |reading: &Reading<'_>| {
        let property = |property: &Property| json!({ "name": property.name, "value": property.value });
        json!({
            "occurrenceTimeUtc": iso(reading.time),
            "ingestionTimeUtc": measurements[reading.measurement].ingestion_time.map(iso),
            "properties": reading.properties.iter().map(property).collect::<Vec<_>>(),
        })
    };
    json!({
        "measureType": group.r#type,
        "deviceId": group.device_id,
        "patientId": group.patient_id,
        "encounterId": group.encounter_id,
        "correlationId": group.correlation_id,
        "data": group.readings.iter().map(data).collect::<Vec<_>>(),
    })
}

fn iso(time: UtcTime) -> String {
    let mut text = String::new();
    time.write_iso(&mut text);
    text
}

/// The same with times as we write them, and empty ids as none: both are equal
/// by the corpus' conventions.
fn with_plain_times(expected: &Value) -> Value {
    match expected {
        Value::Array(list) => list.iter().map(with_plain_times).collect(),
        Value::Object(members) => {
            let plain = |(name, value): (&String, &Value)| {
                let value = match (name.as_str(), value.as_str()) {
                    ("occurrenceTimeUtc" | "ingestionTimeUtc", Some(text)) => {
                        super::group::time(text).map_or(value.clone(), |time| json!(iso(time)))
                    }
                    ("patientId" | "encounterId" | "correlationId", Some("")) => Value::Null,
                    _ => with_plain_times(value),
                };
                (name.clone(), value)
            };
            Value::Object(members.iter().map(plain).collect())
        }
        other => other.clone(),
    }
}

/// The JSON of a measurement: members, values and order.
fn serialize(case: &Value) -> Outcome {
    let given = &case["measurement"];
    let text = |name: &str| given[name].as_str().map(str::to_owned);
    let time = |name: &str| given[name].as_str().and_then(super::group::time);
    let property = |property: &Value| Property {
        name: case::text(property, "name").to_owned().into(),
        value: property["value"].as_str().map(|value| value.to_owned().into()),
    };
    let measurement = Measurement {
        r#type: text("type").unwrap_or_default().into(),
        occurrence_time: time("occurrenceTimeUtc").unwrap_or_default(),
        ingestion_time: time("ingestionTimeUtc"),
        device_id: text("deviceId").unwrap_or_default().into(),
        patient_id: text("patientId").map(Into::into),
        encounter_id: text("encounterId").map(Into::into),
        correlation_id: text("correlationId").map(Into::into),
        properties: given["properties"].as_array().into_iter().flatten().map(property).collect(),
    };
    let mut got = Vec::new();
    measurement.write_json(&mut got);
    let expected = case::members(&case::json(case, "expect").unwrap_or_default()).remove("json").unwrap_or_default();
    let members = |text: &str| serde_json::from_str::<Ordered>(text).unwrap_or_default();
    Outcome::compare(&members(&expected), &members(&String::from_utf8_lossy(&got)))
}

/// Each group of a stream is worked on once.
fn stream(case: &Value) -> Outcome {
    let groups = case["stream"].as_array().map(Vec::as_slice).unwrap_or_default();
    // Types tell the groups of one device apart. One without a device id, which
    // the original's tests left out, is of any.
    let measurement = |(at, group): (usize, &Value)| Measurement {
        r#type: format!("type{at}").into(),
        device_id: group["deviceId"].as_str().unwrap_or("any").to_owned().into(),
        ..Measurement::default()
    };
    let measurements: Vec<Measurement> = groups.iter().enumerate().map(measurement).collect();
    // A failure that is about the data, or one of the server.
    let refusal = case.get("failEvery").map(|failure| if failure["handled"] == true { 422 } else { 503 });
    let delivered = match delivered::deliver(&measurements, refusal) {
        Ok(delivered) => delivered,
        Err(error) => return Outcome::failed("a server", error.to_string()),
    };
    let expect = &case["expect"];
    let got = json!({
        "processed": delivered.writes,
        "workers": delivered.devices,
        "handledErrors": delivered.rejected_count(),
        "error": delivered.conversion.as_ref().err().map(|_| json!({ "kind": "fhir-client" })),
    });
    let members = expect.as_object().into_iter().flatten();
    let is_met = members.into_iter().all(|(name, expected)| got[name] == *expected)
        && expect.get("error").is_some() == delivered.conversion.is_err();
    if is_met { Outcome::Passed } else { Outcome::failed(expect.to_string(), got.to_string()) }
}
