//! Windows of measurements for the benchmarks of conversion, made by a seeded
//! generator, and the FHIR mapping that fits them.

use expressions::UtcTime;
use expressions::time::TICKS_PER_SECOND;
use mapping::{Measurement, Property};

use crate::corpus::Random;

/// What a group-convert function finds in one window of the internal hub.
#[derive(Clone, Debug)]
pub struct Window {
    /// Its name.
    pub name: &'static str,
    /// How many measurements make one Observation.
    pub readings: usize,
    /// The measurements as `normalize` sends them, one JSON body each.
    pub bodies: Vec<Vec<u8>>,
    /// Measurements of the same Observations from the window before: what the
    /// server holds already.
    pub before: Vec<Vec<u8>>,
}

/// The FHIR mapping of all windows.
pub const FHIR_MAPPING: &str = r#"{"templateType":"CollectionFhir","template":[
  {"templateType":"CodeValueFhir","template":{"typeName":"heartrate","periodInterval":60,
    "category":[{"text":"Vital Signs","codes":[{"code":"vital-signs",
      "system":"http://terminology.hl7.org/CodeSystem/observation-category","display":"Vital Signs"}]}],
    "codes":[{"code":"8867-4","system":"http://loinc.org","display":"Heart rate"}],
    "value":{"valueType":"SampledData","valueName":"heartrate","defaultPeriod":5000,"unit":"count/min"}}},
  {"templateType":"CodeValueFhir","template":{"typeName":"pulse","periodInterval":60,
    "category":[{"text":"Vital Signs","codes":[{"code":"vital-signs",
      "system":"http://terminology.hl7.org/CodeSystem/observation-category","display":"Vital Signs"}]}],
    "codes":[{"code":"8867-4","system":"http://loinc.org","display":"Heart rate"}],
    "value":{"valueType":"SampledData","valueName":"pulse","defaultPeriod":1000,"unit":"count/min"}}},
  {"templateType":"CodeValueFhir","template":{"typeName":"temperature","periodInterval":0,
    "category":[{"text":"Vital Signs","codes":[{"code":"vital-signs",
      "system":"http://terminology.hl7.org/CodeSystem/observation-category","display":"Vital Signs"}]}],
    "codes":[{"code":"8310-5","system":"http://loinc.org","display":"Body temperature"}],
    "value":{"valueType":"Quantity","valueName":"temperature","unit":"C",
      "system":"http://unitsofmeasure.org","code":"Cel"}}},
  {"templateType":"CodeValueFhir","template":{"typeName":"bloodpressure","periodInterval":0,
    "category":[{"text":"Vital Signs","codes":[{"code":"vital-signs",
      "system":"http://terminology.hl7.org/CodeSystem/observation-category","display":"Vital Signs"}]}],
    "codes":[{"code":"85354-9","system":"http://loinc.org","display":"Blood pressure panel"}],
    "components":[
      {"codes":[{"code":"8480-6","system":"http://loinc.org","display":"Systolic blood pressure"}],
       "value":{"valueType":"Quantity","valueName":"systolic","unit":"mmHg",
         "system":"http://unitsofmeasure.org","code":"mm[Hg]"}},
      {"codes":[{"code":"8462-4","system":"http://loinc.org","display":"Diastolic blood pressure"}],
       "value":{"valueType":"Quantity","valueName":"diastolic","unit":"mmHg",
         "system":"http://unitsofmeasure.org","code":"mm[Hg]"}}]}}]}"#;

/// The windows of docs/performance.md.
pub fn all() -> [Window; 4] {
    [sampled_hourly(5), quantity(), components(), sampled_hourly_dense()]
}

/// Heart rates of 16 devices, `readings` of each within five minutes (the
/// default `EventBatching__FlushTimespan`), into hours of SampledData with a
/// step every five seconds: 720 steps, as the reference connector's samples
/// have it. The server has those of the five minutes before.
pub fn sampled_hourly(readings: usize) -> Window {
    sampled("sampled_hourly", "heartrate", readings)
}

/// The same from devices that send every five seconds, into hours with a step a
/// second: 60 readings make an Observation of 3600 steps.
pub fn sampled_hourly_dense() -> Window {
    sampled("sampled_hourly_dense", "pulse", 60)
}

fn sampled(name: &'static str, kind: &'static str, readings: usize) -> Window {
    let mut random = Random(0x107c_0121);
    let mut part = |first_second: usize| {
        let mut bodies = Vec::new();
        for reading in 0..readings {
            for device in 0..16 {
                let second = first_second + reading * 300 / readings;
                let value = format!("{}", 55 + random.below(60));
                bodies.push(body(kind, device, Some(device), at(second, random.below(1000)), &[(kind, value)]));
            }
        }
        bodies
    };
    Window { name, readings, before: part(600), bodies: part(900) }
}

/// Heart rates of 1000 devices, one each, into an hour of SampledData for each:
/// what is saved one window after the other. No patient is named, since it is
/// the Device that knows its Patient (fhir-conversion.md 7.3).
pub fn thousand_devices() -> Window {
    let mut random = Random(0x107c_0123);
    let mut part = |second: usize| -> Vec<Vec<u8>> {
        let mut one = |device| {
            let value = format!("{}", 55 + random.below(60));
            body("heartrate", device, None, at(second, random.below(1000)), &[("heartrate", value)])
        };
        (0..1000).map(&mut one).collect()
    };
    Window { name: "thousand_devices", readings: 1, before: part(600), bodies: part(900) }
}

/// The identifier of a device in the windows.
pub fn device_id(device: usize) -> String {
    format!("device-{device:05}")
}

/// Temperatures of 250 devices, four of each, every one an Observation. The
/// server has all of them, with other values.
pub fn quantity() -> Window {
    let part = |least: u64| {
        single("temperature", |random| {
            vec![("temperature", format!("{}.{}", least + random.below(3), 1 + random.below(9)))]
        })
    };
    Window { name: "quantity", readings: 1, before: part(35), bodies: part(38) }
}

/// Blood pressures of 250 devices, four of each, every one an Observation with
/// two components. The server has all of them, with other values.
pub fn components() -> Window {
    let part = |least: u64| {
        single("bloodpressure", |random| {
            vec![
                ("systolic", format!("{}", least + 40 + random.below(30))),
                ("diastolic", format!("{}", least + random.below(20))),
            ]
        })
    };
    Window { name: "components", readings: 1, before: part(60), bodies: part(80) }
}

fn single(kind: &str, values: impl Fn(&mut Random) -> Vec<(&'static str, String)>) -> Vec<Vec<u8>> {
    let mut random = Random(0x107c_0122);
    let body = |index: usize| {
        body(kind, index % 250, Some(index % 250), at(index / 250 * 60, index as u64), &values(&mut random))
    };
    (0..1000).map(body).collect()
}

/// A time of the hour that the windows are in.
fn at(second: usize, millisecond: u64) -> UtcTime {
    let ticks = second as i64 * TICKS_PER_SECOND + millisecond as i64 * (TICKS_PER_SECOND / 1000);
    UtcTime::from_parts((2026, 11, 20), (10, 0, 0), 0).unwrap_or_default().saturating_add(ticks)
}

fn body(
    kind: &str,
    device: usize,
    patient: Option<usize>,
    time: UtcTime,
    values: &[(&'static str, String)],
) -> Vec<u8> {
    let properties =
        values.iter().map(|(name, value)| Property { name: (*name).into(), value: Some(value.as_str().into()) });
    let measurement = Measurement {
        r#type: kind.into(),
        occurrence_time: time,
        ingestion_time: Some(time.saturating_add(7 * TICKS_PER_SECOND / 10)),
        device_id: device_id(device).into(),
        patient_id: patient.map(|patient| format!("patient-{patient:05}").into()),
        encounter_id: None,
        correlation_id: None,
        properties: properties.collect(),
    };
    let mut json = Vec::new();
    measurement.write_json(&mut json);
    json
}
