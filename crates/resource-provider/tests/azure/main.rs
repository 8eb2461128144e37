//! The ports on Azure, against stand-ins for Resource Manager, Key Vault and
//! credential URLs and, where `IOTC_TEST_AZURITE` names the component, a real
//! blob storage; and the whole worker over them.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod azurite;
mod blobs;
#[path = "../api/bodies.rs"]
#[allow(dead_code)]
mod bodies;
mod certificates;
mod cloud;
mod faults;
mod fhir_services;
mod keys;
mod lives;
#[path = "../store/places.rs"]
#[allow(dead_code)]
mod places;
#[path = "../api/provider.rs"]
#[allow(dead_code)]
mod provider;
mod resources;
mod role_assignments;
mod site;
mod things;
