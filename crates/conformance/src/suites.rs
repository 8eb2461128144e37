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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::Outcome;
    use crate::corpus::Suite;

    /// Runs a suite of the corpus; nothing may fail but what is a departure.
    #[track_caller]
    pub(crate) fn check(suite: &str) {
        let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance"));
        let read = |file: &Path| std::fs::read(file).unwrap();
        let cases: Suite = serde_json::from_slice(&read(&corpus.join(format!("cases/{suite}.json")))).unwrap();
        let departures: Value = serde_json::from_slice(&read(&corpus.join("departures.json"))).unwrap();
        let departures: Vec<&str> =
            departures["cases"].as_array().unwrap().iter().filter_map(|departure| departure["id"].as_str()).collect();
        let run = runner(suite).unwrap();
        let (mut passed, mut failures) = (0, Vec::new());
        for case in &cases.cases {
            let id = format!("{suite}/{}", case["id"].as_str().unwrap());
            match run(case) {
                Outcome::Passed => passed += 1,
                Outcome::Failed { expected, got } if !departures.contains(&id.as_str()) => {
                    failures.push(format!("{id}\n    expected {expected}\n    got      {got}"));
                }
                _ => {}
            }
        }
        assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
        assert!(passed > 0, "no case of `{suite}` was run");
    }
}
