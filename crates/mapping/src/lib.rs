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
pub mod convert_error;
pub mod finding;
pub mod identifier;
pub mod measurement;
pub mod text;

pub use compatibility::Compatibility;
pub use finding::{Finding, Findings, Place};
pub use measurement::{Measurement, Property};
