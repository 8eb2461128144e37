//! What goes wrong between group-convert and a FHIR server.
//!
//! ```text
//! readings --> internal hub --> group-convert --> Proxy, which injects --> FHIR server
//! ```
//!
//! Each test is one fault. After it every reading has its fate, each once, the
//! positions stand at the end of every partition, and the Observations are those
//! of an undisturbed run over the same windows (`end_to_end::oracle`).

mod at_once;
mod away;
mod busy;
mod case;
mod conflicts;
mod deleted;
mod gateway;
mod lost_answers;
mod overwritten;
mod readings;
mod recut;
pub mod servers;
mod tokens;
mod two_writers;
