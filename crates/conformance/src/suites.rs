//! One runner a suite.

mod case;
pub mod fhir;
pub mod group;
pub mod hash;
pub mod jmespath;
pub mod jsonpath;
pub mod normalize;
mod ordered;
pub mod sampled;
pub mod template;
mod template_fhir;

use crate::Runner;

/// The runner of a suite; none when no package of ours covers it yet.
pub fn runner(suite: &str) -> Option<Runner> {
    match suite {
        "fhir" => Some(fhir::run),
        "group" => Some(group::run),
        "hash" => Some(hash::run),
        "jmespath" => Some(jmespath::run),
        "jsonpath" => Some(jsonpath::run),
        "normalize" => Some(normalize::run),
        "sampled" => Some(sampled::run),
        "template" => Some(template::run),
        _ => None,
    }
}
