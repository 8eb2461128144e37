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
pub mod consumer;
pub mod convert;
pub mod current_mapping;
pub mod dead_letter;
pub mod fate;
pub mod hub;
pub mod hub_batch;
pub mod incoming;
pub mod normalize;
pub mod parking;
pub mod planted;
pub mod positions;
pub mod reasons;
pub mod reference_metrics;
pub mod replay;
pub mod runtime;
pub mod stored_letter;
#[cfg(test)]
mod testing;
mod text;
pub mod turn;
pub mod window;
pub mod window_log;

pub use away::Away;
pub use batch::{Batch, BatchEvent, Position, Source};
pub use consumer::{
    Claim, Consumer, ConsumerError, ConsumerOptions, Flush, Observer, Processor, Unobserved, WindowState, claims,
};
pub use convert::{Conversion, Converter, Destination, Pending, Resolved, SaveOutcome, Saved, Unparked};
pub use current_mapping::{Compiled, CurrentMapping, EitherSource, Load, MappingSource, MappingUnavailable, Notice};
pub use dead_letter::{DeadLetter, DeadLetters, Stage};
pub use fate::{EventFate, Fates, Imbalance, MeasurementFate, Reason, Tally, TemplateCount};
pub use hub::{Bounds, Hub, HubEvent, Property, ReadError, Reader, Start};
pub use hub_batch::HubBatch;
pub use normalize::{MeasurementOutput, Normalization, Normalizer, OutgoingMeasurements};
pub use parking::{NoParking, Parking};
pub use positions::{Checkpoint, Layout, Ownership, Positions, Version, WindowMark};
pub use runtime::Runtime;
pub use stored_letter::StoredDeadLetter;
pub use text::KeptProperties;
pub use turn::{Fence, Turn, Unfenced};
pub use window::{Window, WindowRules};
pub use window_log::WindowLog;
