//! Runs the samples through both mappings, as the connector would.

use std::collections::HashMap;

use expressions::{Properties, UtcTime};

use super::{Category, Found, Request, Sample, SampleResult};
use crate::convert_error::ConvertError;
use crate::device_mapping::DeviceMapping;
use crate::fhir_mapping::FhirMapping;
use crate::finding::Finding;
use crate::group;
use crate::measurement::{Measurement, MeasurementRef};
use crate::normalize::{Event, NormalizeError, Scratch};
use crate::observation::Observation;

/// What becomes of every sample.
pub(super) fn try_all(device: &DeviceMapping, fhir: Option<&FhirMapping>, request: &Request<'_>) -> Vec<SampleResult> {
    let mut scratch = Scratch::new();
    let samples = request.samples.iter().enumerate().filter(|(_, sample)| !is_null(sample));
    let results = samples.map(|(at, sample)| {
        let mut result = SampleResult { sample: at, ..SampleResult::default() };
        normalize(device, &mut scratch, sample, &mut result);
        if let Some(fhir) = fhir {
            convert(fhir, request.issued, &mut result);
        }
        result
    });
    if request.aggregate { aggregate(results) } else { results.collect() }
}

/// A sample of nothing is none.
fn is_null(sample: &Sample<'_>) -> bool {
    matches!(sample, Sample::Document(bytes) if bytes.trim_ascii() == b"null")
}

fn normalize(device: &DeviceMapping, scratch: &mut Scratch, sample: &Sample<'_>, result: &mut SampleResult) {
    let measurements = &mut result.measurements;
    let mut sink = |measurement: &MeasurementRef<'_>| {
        measurements.push(Measurement { ingestion_time: None, ..measurement.to_measurement() });
    };
    let made = match sample {
        Sample::Document(document) => device.normalize_document(scratch, document, &mut sink),
        Sample::Body(body) => {
            let (properties, system_properties) = (Properties::NONE, Properties::NONE);
            let content = expressions::Event { body, properties, system_properties };
            device.normalize(scratch, &Event { content, enqueued_time: UtcTime::MIN }, &mut sink)
        }
    };
    let finding = match made {
        Ok(0) => Finding::warning("No measurements were produced for the given device data.", None),
        Ok(_) => return,
        Err(error) => failure(&error),
    };
    result.found.push(Found { category: Category::Normalization, finding });
}

/// The failure as the reference connector's validator words it: the causes are
/// counted from 2 here, and from 1 in the running connector.
fn failure(error: &NormalizeError) -> Finding {
    let mut message = error.message.clone();
    for (at, cause) in error.causes.iter().enumerate() {
        message.push_str(&format!("\n{}:{cause}", at + 2));
    }
    Finding::error(message, error.place)
}

/// Makes the Observation of each measurement, as if it came alone.
fn convert(fhir: &FhirMapping, issued: UtcTime, result: &mut SampleResult) {
    for measurement in &result.measurements {
        match observation(fhir, measurement, issued) {
            Ok(observation) => result.observations.extend(observation),
            Err(error) => {
                let finding = Finding::error(message(&error), None);
                result.found.push(Found { category: Category::FhirTransformation, finding });
            }
        }
    }
}

fn observation(
    fhir: &FhirMapping,
    measurement: &Measurement,
    issued: UtcTime,
) -> Result<Option<Observation>, ConvertError> {
    let grouping = group::group(std::slice::from_ref(measurement), fhir.compatibility());
    let Some(group) = grouping.groups.first() else { return Ok(None) };
    let mut cut = fhir.observation_groups(group)?;
    if let Some(rejected) = cut.rejected.pop() {
        return Err(rejected.error);
    }
    cut.groups.first().map(|group| fhir.preview(group, issued)).transpose()
}

fn message(error: &ConvertError) -> String {
    match error {
        ConvertError::TemplateNotFound { type_name } => format!(
            "No Fhir Template exists with the type name [{type_name}]. Ensure that all Fhir Template type names \
             match Device Mapping type names (including casing)"
        ),
        other => other.to_string(),
    }
}

/// One result for each different message, warnings too (quirk 71). The place in
/// the mapping is part of the message.
fn aggregate(results: impl Iterator<Item = SampleResult>) -> Vec<SampleResult> {
    let mut aggregated: Vec<SampleResult> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for result in results {
        for found in result.found {
            let place = *places.entry(found.finding.to_string()).or_insert_with(|| {
                aggregated.push(SampleResult { sample: result.sample, found: vec![found], ..SampleResult::default() });
                aggregated.len() - 1
            });
            aggregated[place].aggregated_count += 1;
        }
    }
    aggregated
}
