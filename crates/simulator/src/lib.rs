//! A machine, a hub and its positions in memory, for running the delivery loop
//! without a real one.
//!
//! ```text
//! Machine: clock, chance, tasks     moved on by whoever holds it, one thread
//! MemoryHub, MemoryPositions        what delivery reads and where it stands
//! ```
//!
//! A run depends on nothing but its seed: tasks run in the order in which they
//! were woken, and time passes only when [`Machine`] is told so.

pub mod chance;
pub mod contract;
pub mod hub;
pub mod machine;
pub mod positions;

pub use chance::Chance;
pub use hub::MemoryHub;
pub use machine::{Machine, SimulatedRuntime};
pub use positions::{Lie, MemoryPositions};
