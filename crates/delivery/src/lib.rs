//! Moves batches from a source to a sink, and accounts for every event.
//!
//! ```text
//! Batch of events --Normalizer--> measurements --> MeasurementOutput
//! Batch of measurements --Converter--> Observations --> Destination
//! ```
//!
//! Each event ends with exactly one [`EventFate`] and each measurement with
//! exactly one [`MeasurementFate`]; what is rejected goes to [`DeadLetters`]
//! with its original bytes. Only a dependency that is [`Away`] fails a batch,
//! and then the whole batch is to be given again: data never does (design.md
//! D5).
//!
//! Everything outside is behind the traits here; nothing in this crate does
//! I/O or reads a clock by itself.

pub mod away;
pub mod batch;
pub mod convert;
pub mod current_mapping;
pub mod dead_letter;
pub mod fate;
pub mod incoming;
pub mod normalize;
pub mod reference_metrics;
#[cfg(test)]
mod testing;
mod text;

pub use away::Away;
pub use batch::{Batch, BatchEvent, Position, Source};
pub use convert::{Conversion, Converter, Destination, Pending, Resolved, SaveOutcome, Saved};
pub use current_mapping::{Compiled, CurrentMapping, EitherSource, Load, MappingSource, MappingUnavailable, Notice};
pub use dead_letter::{DeadLetter, DeadLetters, Stage};
pub use fate::{EventFate, Fates, Imbalance, MeasurementFate, Reason, Tally, TemplateCount};
pub use normalize::{MeasurementOutput, Normalization, Normalizer, OutgoingMeasurements};
