//! The whole system on a cluster (`cargo xtask test whole`).
//!
//! ```text
//! Azure's Python client --https--> resource-provider --IotConnector--> operator --> pods, scaled by KEDA
//! events --> hubs --> normalize --> group-convert --> HAPI FHIR, and sekmet beside it
//! ```
//!
//! All of it is real but for the hubs, the kubelet, and Azure, in whose place are
//! the Event Hubs stand-in and Azurite.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

#[path = "../../../../crates/resource-provider/tests/sdk/authority.rs"]
mod authority;
#[path = "../../../../crates/resource-provider/tests/sdk/client.rs"]
#[allow(dead_code)]
mod client;
mod flow;
mod leftovers;
mod observations;
mod server;
mod site;

/// The customer's subscription.
const SUBSCRIPTION: &str = "0b1f6471-1bf0-4dda-aec3-111122223333";
/// What is in its resource group.
const GROUP: &str =
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/Microsoft.HealthcareApis";

/// Where the programs of the clients are.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/arm");
