//! Azure's own clients, as processes, before the program
//! (`cargo xtask test provider-sdk`).

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

mod authority;
mod bodies;
mod client;
mod gen1;
mod generated;
#[path = "../front/issuer.rs"]
#[allow(dead_code)]
mod issuer;
#[path = "../listens.rs"]
mod listens;
mod lives;
#[path = "../store/places.rs"]
#[allow(dead_code)]
mod places;
mod process;
mod server;
mod states;

const SUBSCRIPTION: &str = "0b1f6471-1bf0-4dda-aec3-111122223333";
const GROUP: &str =
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-111122223333/resourceGroups/rg1/providers/Microsoft.HealthcareApis";

/// Where the programs of the clients are.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/arm");

/// A test for each client.
macro_rules! for_each_client {
    ($($name:ident)*) => {
        mod python { $(#[test] fn $name() { super::$name($crate::client::Package::Python); })* }
        mod old_python { $(#[test] fn $name() { super::$name($crate::client::Package::OldPython); })* }
        mod node { $(#[test] fn $name() { super::$name($crate::client::Package::Node); })* }
    };
}
pub(crate) use for_each_client;
