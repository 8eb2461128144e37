//! Turns device events into measurements, groups them, and turns groups into
//! Observations.
//!
//! ```text
//! event --DeviceMapping--> Measurement --group--> MeasurementGroup --FhirMapping--> ObservationGroup --> Observation
//! ```
//!
//! Everything is pure: no I/O, no clock, no environment. Every problem of a
//! mapping is a [`Finding`] with its place in the mapping's text, found when it
//! loads.

pub mod compatibility;
mod convert;
pub mod convert_error;
pub mod cut;
pub mod device_mapping;
pub mod fhir_mapping;
pub mod finding;
pub mod group;
pub mod identifier;
mod json;
pub mod measurement;
pub mod normalize;
pub mod observation;
pub mod partition;
pub mod sampled_data;
mod template_file;
pub mod text;
pub mod validate;

pub use compatibility::Compatibility;
pub use convert_error::ConvertError;
pub use device_mapping::DeviceMapping;
pub use fhir_mapping::FhirMapping;
pub use finding::{Finding, Findings, Place};
pub use identifier::ResourceIds;
pub use measurement::{Measurement, MeasurementRef, Property};
pub use observation::{MergePolicy, Merged, Observation};
pub use validate::{Validation, validate};
