//! The whole path in simulated time: delivery, the real mapping core and the
//! real FHIR client, over hubs, positions and a FHIR server in memory, under
//! faults that follow from a seed.
//!
//! ```text
//! seed --scenario--> steps and rates --run--> what happened --oracle--> broken promises
//! ```
//!
//! A seed gives the same run each time. docs/reliability.md says what is
//! promised, and what this does not see.

pub mod fhir;
pub mod hubs;
pub mod oracle;
pub mod process;
pub mod record;
pub mod run;
pub mod scenario;
pub mod stores;
pub mod world;

pub use run::{Outcome, mappings, run};
