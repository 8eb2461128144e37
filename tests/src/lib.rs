//! What end-to-end tests share: processes to start, look at and stop.
//!
//! Nothing is skipped in silence: a test that needs a program which is not
//! there fails and names the `cargo xtask test` that brings it.

pub mod azurite;
pub mod clients;
pub mod collector;
pub mod container;
pub mod fhir;
pub mod gate;
pub mod hapi;
pub mod hub;
pub mod oracle;
pub mod own_server;
pub mod poll;
pub mod process;
pub mod proxy;
pub mod sekmet;
pub mod site;
pub mod soak;
pub mod stack;

use std::path::PathBuf;

/// The folder in the environment variable `variable`, which `cargo xtask test
/// <tier>` sets.
///
/// # Panics
/// When it is not set.
pub fn folder(variable: &str, tier: &str) -> PathBuf {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    folder.unwrap_or_else(|| panic!("`{variable}` is not set; run this with `cargo xtask test {tier}`"))
}
