//! A device mapping, and an event normalized with what loaded.

use expressions::{Properties, PropertyValue, UtcTime};
use mapping::normalize::{Event, NormalizeError, Scratch};
use mapping::{Compatibility, DeviceMapping, Finding, Measurement, MeasurementRef};

use crate::document::check_json;
use crate::{check_error, parts};

/// What an event's measurements, and the end of it, look like.
type Normalized = (Vec<String>, Result<usize, NormalizeError>);

/// An input is a mapping, a separator and the body of an event.
pub fn device_mapping(input: &[u8]) {
    let (text, body) = parts(input);
    for compatibility in [Compatibility::default(), Compatibility::reference()] {
        let (mapping, findings) = DeviceMapping::load_partial(text, &compatibility);
        let has_errors = findings.iter().any(Finding::is_error);
        assert!(mapping.is_some() || has_errors, "no mapping and no reason");
        let whole = DeviceMapping::load(text, &compatibility);
        assert_eq!(whole.is_err(), mapping.is_none() || has_errors, "only one of two ways loads");
        let Some(mapping) = mapping else { continue };
        let mut scratch = Scratch::new();
        let first = normalize(&mapping, &mut scratch, body);
        assert_eq!(normalize(&mapping, &mut scratch, body), first, "two runs differ");
        check(&first, &String::from_utf8_lossy(text));
    }
}

fn normalize(mapping: &DeviceMapping, scratch: &mut Scratch, body: &[u8]) -> Normalized {
    let properties = [("iothub-creation-time-utc", PropertyValue::String("2024-02-03T04:05:06Z"))];
    let system_properties = [("iothub-connection-device-id", PropertyValue::String("device"))];
    let event = Event {
        content: expressions::Event {
            body,
            properties: Properties::Typed(&properties),
            system_properties: Properties::Typed(&system_properties),
        },
        enqueued_time: UtcTime::MAX,
    };
    let mut measurements = Vec::new();
    let end = mapping.normalize(scratch, &event, &mut |measurement: &MeasurementRef<'_>| {
        let mut json = Vec::new();
        measurement.write_json(&mut json);
        measurements.push(String::from_utf8(json).expect("a measurement is UTF-8"));
    });
    (measurements, end)
}

fn check((measurements, end): &Normalized, mapping: &str) {
    let sent = match end {
        Ok(sent) => *sent,
        Err(error) => {
            check_error(&error.to_string(), mapping);
            assert!(!error.code().is_empty());
            error.sent
        }
    };
    assert_eq!(measurements.len(), sent, "measurements were lost");
    for json in measurements {
        check_json(json);
        let mut again = Vec::new();
        Measurement::read(json.as_bytes()).expect("a measurement is read").write_json(&mut again);
        assert_eq!(again, json.as_bytes(), "a measurement reads differently");
    }
}
