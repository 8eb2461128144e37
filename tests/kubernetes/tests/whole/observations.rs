//! What FHIR servers hold.

use end_to_end::fhir::Fhir;
use serde_json::Value;

/// How many values the Observations of a server hold.
pub fn values(fhir: &Fhir) -> usize {
    let values = |text: &String| {
        let observation: Value = serde_json::from_str(text).unwrap();
        let data = observation["component"].as_array().into_iter().flatten();
        let data = data.filter_map(|component| component["valueSampledData"]["data"].as_str());
        let own = observation["valueSampledData"]["data"].as_str();
        data.chain(own).flat_map(str::split_whitespace).filter(|value| *value != "E").count()
    };
    fhir.try_observations().map(|all| all.values().map(values).sum()).unwrap_or_default()
}
