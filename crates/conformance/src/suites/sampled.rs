//! The suite `sampled`: series of samples and their text.

use expressions::UtcTime;
use mapping::MergePolicy;
use mapping::sampled_data::{self, Grid, Sample, SamplePeriod};
use serde_json::{Value, json};

use super::case;
use super::group::{time, timed_values};
use crate::Outcome;

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let got = match case::text(case, "operation") {
        "build" => build(case),
        "to-time-values" => decode(case),
        "merge" => merge(case),
        other => return Outcome::Skipped(format!("the operation `{other}`")),
    };
    let Some(got) = got else { return Outcome::Skipped("the case lacks a time or a period".to_owned()) };
    match case::difference(&case["expect"], &got, "") {
        None => Outcome::Passed,
        Some(_) => Outcome::failed(case["expect"].to_string(), got.to_string()),
    }
}

fn build(case: &Value) -> Option<Value> {
    let values = timed_values(&case["values"]);
    let end = time(case::text(case, "end"))?;
    Some(match sampled_data::build(&sampled_data::samples(&values), &grid(case)?, end) {
        Ok(text) => json!({ "result": text }),
        Err(_) => json!({ "error": { "kind": "not-supported" } }),
    })
}

fn decode(case: &Value) -> Option<Value> {
    let with_gaps = case["preserveErrors"] == json!(true);
    Some(match sampled_data::decode(case::text(case, "data"), &grid(case)?) {
        Ok(samples) => result(samples.filter(|sample| with_gaps || !sample.is_gap())),
        Err(_) => json!({ "error": { "kind": "argument" } }),
    })
}

fn merge(case: &Value) -> Option<Value> {
    let (stored, new) = (timed_values(&case["existing"]), timed_values(&case["new"]));
    // Without a grid each instant is a step of its own.
    let tick = SamplePeriod::from_milliseconds("0.0001".parse().ok()?)?;
    let grid = Grid { start: UtcTime::MIN, period: tick };
    let samples = |values| sampled_data::samples(values);
    let merged = sampled_data::merge(samples(&stored), samples(&new), &grid, MergePolicy::NewWins);
    Some(result(merged.into_iter()))
}

fn grid(case: &Value) -> Option<Grid> {
    let milliseconds = case::json(case, "periodMs")?.parse().ok()?;
    Some(Grid { start: time(case::text(case, "start"))?, period: SamplePeriod::from_milliseconds(milliseconds)? })
}

fn result<'v>(samples: impl Iterator<Item = Sample<'v>>) -> Value {
    let entry = |sample: Sample<'_>| {
        let mut text = String::new();
        sample.time.write_iso(&mut text);
        json!({ "time": text, "value": sample.value })
    };
    json!({ "result": samples.map(entry).collect::<Vec<_>>() })
}
