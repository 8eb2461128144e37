//! Tries mappings before they are used: what is wrong with each, what does not
//! fit between them, and what they make of samples (device-mapping.md 10).
//!
//! ```text
//! device mapping, FHIR mapping --load--> findings --cross check--> findings
//! samples --device mapping--> measurements --FHIR mapping--> Observations, findings
//! ```
//!
//! One function, for the command line, the resource provider and the debugger
//! page. The messages are those of the reference connector where it has any;
//! none quotes a value of a sample. Samples are looked at only when the mappings
//! have no error: what a broken mapping would make of them says nothing.

mod report;
mod samples;
#[cfg(test)]
mod tests;

use std::fmt;

use expressions::UtcTime;

use crate::compatibility::Compatibility;
use crate::device_mapping::DeviceMapping;
use crate::fhir_mapping::FhirMapping;
use crate::finding::Finding;
use crate::measurement::Measurement;
use crate::observation::Observation;

/// What is to be tried. A mapping of no bytes counts as not given.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The text of the device mapping.
    pub device_mapping: Option<&'r [u8]>,
    /// The text of the FHIR mapping.
    pub fhir_mapping: Option<&'r [u8]>,
    /// What devices send. Looked at only when there is a device mapping.
    pub samples: &'r [Sample<'r>],
    /// Gives only what went wrong, each message once, with how often it came.
    pub aggregate: bool,
    /// The switches of the connector that the mappings are for.
    pub compatibility: Compatibility,
    /// `issued` of the Observations: now.
    pub issued: UtcTime,
}

/// One sample, JSON in UTF-8.
#[derive(Clone, Copy)]
pub enum Sample<'r> {
    /// The object that expressions see, with `Body` and all, or whatever takes
    /// its place.
    Document(&'r [u8]),
    /// What the device sends, which becomes `Body` (quirk 68).
    Body(&'r [u8]),
}

impl fmt::Debug for Sample<'_> {
    /// Leaves the sample out: it may be a patient's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (form, bytes) = match self {
            Sample::Document(bytes) => ("Document", bytes),
            Sample::Body(bytes) => ("Body", bytes),
        };
        f.debug_struct(form).field("len", &bytes.len()).finish()
    }
}

/// Neither mapping was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a device mapping nor a FHIR mapping is given")]
pub struct NothingToValidate;

/// Which of the two mappings something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// The device mapping: from an event to measurements.
    Normalization,
    /// The FHIR mapping: from measurements to Observations.
    FhirTransformation,
}

/// Something that was found, and in which mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which mapping it is about.
    pub category: Category,
    /// What it is, how bad, and where in the mapping's text.
    pub finding: Finding,
}

/// How it went.
#[derive(Clone, Debug, Default)]
pub struct Validation {
    /// What was found in the mappings: first what is in each of them, then what
    /// does not fit between them.
    pub mappings: Vec<Found>,
    /// What became of the samples, in their order. When aggregating, one entry
    /// a message.
    pub samples: Vec<SampleResult>,
}

/// What became of a sample.
#[derive(Clone, Debug, Default)]
pub struct SampleResult {
    /// The position of the sample; when aggregating, of the first one.
    pub sample: usize,
    /// How many samples gave the message; 0 when not aggregating.
    pub aggregated_count: usize,
    /// What went wrong.
    pub found: Vec<Found>,
    /// The measurements, without ingestion time. Those from before an error
    /// too. Empty when aggregating.
    pub measurements: Vec<Measurement<'static>>,
    /// The Observations of the measurements, without the elements that a FHIR
    /// server decides: id, identifier, subject, device and encounter. Empty
    /// when aggregating.
    pub observations: Vec<Observation>,
}

impl Found {
    fn in_each(category: Category, findings: Vec<Finding>) -> impl Iterator<Item = Found> {
        findings.into_iter().map(move |finding| Found { category, finding })
    }

    /// Whether it makes a mapping, or a sample with it, unusable.
    pub fn is_error(&self) -> bool {
        self.finding.is_error()
    }
}

impl Validation {
    /// Whether the mappings have no error. What the samples gave does not count.
    pub fn is_valid(&self) -> bool {
        !self.mappings.iter().any(Found::is_error)
    }

    /// Whether there is no error anywhere.
    pub fn is_clean(&self) -> bool {
        self.is_valid() && !self.samples.iter().flat_map(|sample| &sample.found).any(Found::is_error)
    }
}

/// Tries mappings and samples. Pure: the same request gives the same result.
pub fn validate(request: &Request<'_>) -> Result<Validation, NothingToValidate> {
    let is_blank = |text: Option<&[u8]>| text.is_none_or(|text| text.trim_ascii().is_empty());
    if is_blank(request.device_mapping) && is_blank(request.fhir_mapping) {
        return Err(NothingToValidate);
    }
    let mut mappings = Vec::new();
    let device = given(request.device_mapping).and_then(|text| {
        let (mapping, findings) = DeviceMapping::load_partial(text, &request.compatibility);
        mappings.extend(Found::in_each(Category::Normalization, findings));
        mapping
    });
    let fhir = given(request.fhir_mapping).and_then(|text| {
        let (mapping, findings) = FhirMapping::load_partial(text, &request.compatibility);
        mappings.extend(Found::in_each(Category::FhirTransformation, findings));
        mapping
    });
    if let (Some(device), Some(fhir)) = (&device, &fhir) {
        let findings = cross_check(device, fhir);
        mappings.extend(Found::in_each(Category::FhirTransformation, findings));
    }
    let mut validation = Validation { mappings, samples: Vec::new() };
    if let (true, Some(device)) = (validation.is_valid(), &device) {
        validation.samples = samples::try_all(device, fhir.as_ref(), request);
    }
    Ok(validation)
}

fn given(text: Option<&[u8]>) -> Option<&[u8]> {
    text.filter(|text| !text.is_empty())
}

/// What each template of the device mapping lacks in the FHIR mapping.
fn cross_check(device: &DeviceMapping, fhir: &FhirMapping) -> Vec<Finding> {
    let check = |template: &crate::device_mapping::Template| {
        fhir.check_device_template(&template.type_name, template.values.iter().map(|value| value.name.as_str()))
    };
    device.templates().iter().flat_map(check).collect()
}
