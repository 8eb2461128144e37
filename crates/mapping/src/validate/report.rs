//! The two forms in which a validation leaves the process: JSON for tools, and
//! lines for people.

use std::fmt;

use serde::ser::{Error, Serialize, SerializeSeq, SerializeStruct, Serializer};
use serde_json::value::RawValue;

use super::{Category, Found, SampleResult, Validation};
use crate::finding::Severity;

impl Category {
    /// The reference connector's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Normalization => "NORMALIZATION",
            Category::FhirTransformation => "FHIRTRANSFORMATION",
        }
    }
}

impl Found {
    /// The reference connector's word for how bad it is.
    pub fn level(&self) -> &'static str {
        match self.finding.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "WARN",
        }
    }
}

impl Serialize for Found {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Found", 5)?;
        object.serialize_field("level", self.level())?;
        object.serialize_field("category", self.category.as_str())?;
        object.serialize_field("message", &self.finding.message)?;
        object.serialize_field("line", &self.finding.place.map(|place| place.line))?;
        object.serialize_field("column", &self.finding.place.map(|place| place.column))?;
        object.end()
    }
}

impl Serialize for Validation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Validation", 3)?;
        object.serialize_field("valid", &self.is_valid())?;
        object.serialize_field("mappings", &self.mappings)?;
        object.serialize_field("samples", &self.samples)?;
        object.end()
    }
}

impl Serialize for SampleResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("SampleResult", 5)?;
        object.serialize_field("sample", &self.sample)?;
        object.serialize_field("aggregatedCount", &self.aggregated_count)?;
        object.serialize_field("found", &self.found)?;
        let measurements = Json(self.measurements.iter().map(|measurement| {
            let mut text = Vec::new();
            measurement.write_json(&mut text);
            text
        }));
        object.serialize_field("measurements", &measurements)?;
        object.serialize_field(
            "observations",
            &Json(self.observations.iter().map(|observation| observation.to_json())),
        )?;
        object.end()
    }
}

/// A list of what is JSON already.
struct Json<I>(I);

impl<I: Iterator<Item = Vec<u8>> + Clone> Serialize for Json<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for bytes in self.0.clone() {
            let text = String::from_utf8(bytes).map_err(S::Error::custom)?;
            list.serialize_element(&RawValue::from_string(text).map_err(S::Error::custom)?)?;
        }
        list.end()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.level(), self.category.as_str(), self.finding)
    }
}

/// A line for each finding, and for each sample what it gave. Holds the values
/// of the samples, which whoever validates has.
impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.mappings {
            writeln!(f, "{found}")?;
        }
        for result in &self.samples {
            match result.aggregated_count {
                0 => writeln!(f, "sample {}", result.sample + 1)?,
                count => writeln!(f, "{count} samples, the first is {}", result.sample + 1)?,
            }
            for found in &result.found {
                // The causes of a failure are lines of their own.
                writeln!(f, "  {}", found.to_string().replace('\n', "\n    "))?;
            }
            for measurement in &result.measurements {
                let mut text = Vec::new();
                measurement.write_json(&mut text);
                writeln!(f, "  measurement {}", String::from_utf8_lossy(&text))?;
            }
            for observation in &result.observations {
                writeln!(f, "  Observation {}", String::from_utf8_lossy(&observation.to_json()))?;
            }
        }
        f.write_str(match (self.is_valid(), self.is_clean()) {
            (false, _) => "The mappings are not valid.",
            (true, false) => "The mappings are valid, but there are errors with samples.",
            (true, true) => "The mappings are valid.",
        })
    }
}
