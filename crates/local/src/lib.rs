//! One machine's stand-ins for Event Hubs, the Functions host and a FHIR server.

pub mod event_hubs;
pub mod fhir_server;
pub mod functions_host;
pub mod identity;
