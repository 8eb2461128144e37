//! The suite `hash`: partition keys, resource ids, identifiers of Observations.

use mapping::identifier::{ResourceIds, SERVICE_SYSTEM, observation_identifier, resource_id};
use mapping::partition::{self, PartitionKey};
use serde_json::{Value, json};

use super::case;
use crate::Outcome;

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let expect = &case["expect"];
    let got = match case::text(case, "operation") {
        "partition-bucket" => bucket(case),
        "partition-key" => partition_keys(case),
        "resource-id" => {
            let identifier = &case["identifier"];
            json!({ "result": resource_id(case::text(identifier, "system"), case::text(identifier, "value")) })
        }
        "observation-identifier" => observation(case),
        other => return Outcome::Skipped(format!("the operation `{other}`")),
    };
    let (wanted, message) = (&expect["error"], &got["error"]["message"]);
    let is_same_error = wanted.is_object()
        && wanted["kind"] == got["error"]["kind"]
        && case::contains(message.as_str().unwrap_or_default(), wanted.get("contains"));
    if got == *expect || is_same_error { Outcome::Passed } else { Outcome::failed(expect.to_string(), got.to_string()) }
}

fn bucket(case: &Value) -> Value {
    let range = case.get("range").and_then(Value::as_u64).unwrap_or(PartitionKey::COUNT as u64);
    match partition::bucket(case::text(case, "value"), range as u32) {
        Some(bucket) => json!({ "result": bucket.to_string() }),
        None => json!({ "error": { "kind": "argument-out-of-range" } }),
    }
}

fn observation(case: &Value) -> Value {
    let text = |name: &str| case::text(case, name).to_owned();
    let ids = ResourceIds { device: text("deviceId"), patient: text("patientId"), encounter: None };
    let value = observation_identifier(&ids, &text("groupName"), &text("idSegment"));
    json!({ "result": { "system": SERVICE_SYSTEM, "value": value } })
}

fn partition_keys(case: &Value) -> Value {
    let devices = case["deviceIds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_batch = case["batch"].as_bool().unwrap_or(true);
    let key = |device: &Value| match is_batch {
        true => Ok(PartitionKey::of_device(device.as_str().unwrap_or_default()).to_string()),
        false => partition::key_of_single(device.as_str()).map(str::to_owned),
    };
    match devices.iter().map(key).collect::<Result<Vec<_>, _>>() {
        Ok(keys) => json!({ "result": keys }),
        Err(error) => json!({ "error": { "kind": "argument", "message": error.to_string() } }),
    }
}
