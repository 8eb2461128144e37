//! A FHIR mapping, and measurements converted with what loaded.

use expressions::UtcTime;
use mapping::group::{Grouping, group};
use mapping::{Compatibility, ConvertError, FhirMapping, Finding, Measurement, MergePolicy, Observation, ResourceIds};

use crate::{check_error, parts};

/// An input is a mapping, a separator and the JSON of measurements.
pub fn fhir_mapping(input: &[u8]) {
    let (text, json) = parts(input);
    for compatibility in [Compatibility::default(), Compatibility::reference()] {
        let (mapping, findings) = FhirMapping::load_partial(text, &compatibility);
        let has_errors = findings.iter().any(Finding::is_error);
        assert!(mapping.is_some() || has_errors, "no mapping and no reason");
        let whole = FhirMapping::load(text, &compatibility);
        assert_eq!(whole.is_err(), mapping.is_none() || has_errors, "only one of two ways loads");
        if let (Some(mapping), Some(measurements)) = (mapping, measurements(json)) {
            convert(&mapping, &measurements, &compatibility, &String::from_utf8_lossy(text));
        }
    }
}

fn measurements(json: &[u8]) -> Option<Vec<Measurement<'_>>> {
    match Measurement::read_list(json) {
        Ok(list) => Some(
            list.into_iter()
                .filter_map(|measurement| measurement.map_err(|error| check_error(&error.to_string(), "")).ok())
                .collect(),
        ),
        Err(error) => {
            check_error(&error.to_string(), "");
            None
        }
    }
}

fn convert(mapping: &FhirMapping, measurements: &[Measurement], compatibility: &Compatibility, text: &str) {
    let Grouping { groups, superseded } = group(measurements, compatibility);
    let mut seen = superseded;
    for group in &groups {
        // The type of a measurement is a word of the device mapping.
        let program = format!("{text}{}", group.r#type);
        let cut = match mapping.observation_groups(group) {
            Ok(cut) => cut,
            Err(error) => {
                check_error(&error.to_string(), &program);
                seen.extend(group.readings.iter().flat_map(|reading| reading.measurements()));
                continue;
            }
        };
        for rejected in cut.rejected {
            check_error(&rejected.error.to_string(), &program);
            seen.push(rejected.measurement);
        }
        for observation in cut.groups {
            if let Err(error) = create_and_merge(mapping, &observation) {
                check_error(&error.to_string(), &program);
            }
            seen.extend(observation.measurements);
            seen.extend(observation.superseded);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..measurements.len()).collect::<Vec<_>>(), "a measurement without a fate, or with two");
}

/// An Observation of the group, read back, and merged with the same readings,
/// which must change nothing.
fn create_and_merge(mapping: &FhirMapping, group: &mapping::group::ObservationGroup) -> Result<(), ConvertError> {
    let ids = ResourceIds { device: "device".into(), patient: "patient".into(), encounter: None };
    let created = mapping.create(group, &ids, UtcTime::MAX)?;
    let json = created.to_json();
    let stored = Observation::read(&json).expect("an Observation is read");
    assert_eq!(stored.to_json(), json, "an Observation reads differently");
    for policy in [MergePolicy::NewWins, MergePolicy::StoredWins] {
        let merged = mapping.merge(&stored, group, policy)?;
        assert!(!merged.changed, "merging what is there changes it: {}", String::from_utf8_lossy(&json));
    }
    Ok(())
}
