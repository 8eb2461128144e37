//! How an event of the internal hub says that it was sent before.
//!
//! What is replayed may be older than what its Observation holds by now, so it
//! merges stored-wins (design.md D7): it fills gaps, and otherwise ends as
//! superseded.

/// The application property of a replayed event, a boolean.
pub const REPLAY_PROPERTY: &str = "iotc-replay";
