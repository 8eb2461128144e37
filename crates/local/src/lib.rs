//! One machine's stand-ins for Event Hubs, the Functions host, a FHIR server, and
//! for tests what Azure's control plane is made of.

pub mod event_hubs;
pub mod fhir_server;
pub mod functions_host;
pub mod identity;
pub mod resource_manager;
