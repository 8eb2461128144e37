//! One runner a suite.

pub mod batching;
mod case;
pub mod checkpoint;
mod delivered;
pub mod errors;
pub mod fhir;
pub mod fhir_client;
pub mod group;
pub mod hash;
pub mod identity;
pub mod import;
pub mod jmespath;
pub mod jsonpath;
pub mod normalize;
pub mod observation_save;
mod ordered;
pub mod sampled;
pub mod template;
mod template_fhir;
pub mod validate;

use crate::Runner;

/// The runner of a suite; none for a suite that nobody here knows.
pub fn runner(suite: &str) -> Option<Runner> {
    match suite {
        "batching" => Some(batching::run),
        "checkpoint" => Some(checkpoint::run),
        "errors" => Some(errors::run),
        "fhir" => Some(fhir::run),
        "fhir-client" => Some(fhir_client::run),
        "group" => Some(group::run),
        "hash" => Some(hash::run),
        "identity" => Some(identity::run),
        "import" => Some(import::run),
        "jmespath" => Some(jmespath::run),
        "jsonpath" => Some(jsonpath::run),
        "normalize" => Some(normalize::run),
        "observation-save" => Some(observation_save::run),
        "sampled" => Some(sampled::run),
        "template" => Some(template::run),
        "validate" => Some(validate::run),
        _ => None,
    }
}
