//! Resolves Device, Patient and Encounter, and saves Observations on a FHIR R4
//! server.

pub mod auth;
pub mod client;
pub mod destination;
mod history;
pub mod identity;
pub mod save;
pub mod search;
pub mod version;
