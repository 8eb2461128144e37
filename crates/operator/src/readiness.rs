//! Whether what was applied also runs. Pure.
//!
//! A workload is ready when the generation of its Deployment was observed and
//! its minimum is available, or when KEDA scaled it to zero and its ScaledObject
//! is ready (resource-provider.md 4.11). One that is suspended is ready when
//! nothing of it runs.

use custom_resources::WorkloadStatus;
use serde_json::Value;

use crate::conditions::Verdict;
use crate::manifest::{COMPONENT, DESTINATION, Manifest};

/// An object as it was after it was applied.
pub struct Applied<'a> {
    /// As the chart has it.
    pub manifest: &'a Manifest,
    /// As the API server has it.
    pub live: Value,
}

/// The workloads among what was applied.
pub fn workloads(applied: &[Applied<'_>]) -> Vec<WorkloadStatus> {
    let deployments = applied.iter().filter(|object| object.manifest.kind.kind == "Deployment");
    deployments.map(|deployment| workload(deployment, scaler(applied, &deployment.manifest.name))).collect()
}

/// Whether KEDA can scale: of the first ScaledObject that is not ready, or of
/// all; none where there is no ScaledObject.
pub fn scaling(applied: &[Applied<'_>]) -> Option<Verdict> {
    let scalers = applied.iter().filter(|object| object.manifest.kind.kind == "ScaledObject");
    let mut verdicts: Vec<Verdict> =
        scalers.map(|object| scaler_verdict(&object.manifest.name, &object.live)).collect();
    // What is wrong counts more than what is not known yet.
    verdicts.sort_by_key(|verdict| ["False", "Unknown"].iter().position(|worse| *worse == verdict.status).unwrap_or(2));
    verdicts.into_iter().next()
}

/// What is told of a ScaledObject: status and message of its condition `Ready`.
pub fn ready_condition(live: &Value) -> Option<(&str, &str)> {
    condition(live, "Ready")
}

fn scaler_verdict(name: &str, live: &Value) -> Verdict {
    match ready_condition(live) {
        Some(("True", _)) => Verdict::good("ScalersReady", ""),
        Some(("False", message)) => Verdict::bad("ScalerNotReady", format!("ScaledObject `{name}`: {message}")),
        _ => Verdict::unknown("ScalerUnknown", format!("ScaledObject `{name}`: KEDA has not looked at it yet")),
    }
}

fn scaler<'a>(applied: &'a [Applied<'_>], deployment: &str) -> Option<&'a Value> {
    let scales = |object: &&Applied<'_>| {
        object.manifest.kind.kind == "ScaledObject" && object.live["spec"]["scaleTargetRef"]["name"] == deployment
    };
    applied.iter().find(scales).map(|object| &object.live)
}

fn workload(deployment: &Applied<'_>, scaler: Option<&Value>) -> WorkloadStatus {
    let live = &deployment.live;
    let number = |value: &Value| i32::try_from(value.as_i64().unwrap_or(0)).unwrap_or(i32::MAX);
    let is_suspended = deployment.manifest.body["spec"]["replicas"] == 0;
    let message = obstacle(live, scaler, is_suspended);
    WorkloadStatus {
        kind: deployment.manifest.label(COMPONENT).unwrap_or_default().to_owned(),
        destination: deployment.manifest.label(DESTINATION).map(str::to_owned),
        name: deployment.manifest.name.clone(),
        uid: live["metadata"]["uid"].as_str().map(str::to_owned),
        ready: message.is_none(),
        // Kubernetes' own default.
        replicas: live["spec"]["replicas"].as_i64().map_or(1, |_| number(&live["spec"]["replicas"])),
        available_replicas: number(&live["status"]["availableReplicas"]),
        message,
    }
}

/// Why a Deployment is not ready, if it is not.
fn obstacle(live: &Value, scaler: Option<&Value>, is_suspended: bool) -> Option<String> {
    let (generation, observed) = (&live["metadata"]["generation"], &live["status"]["observedGeneration"]);
    if observed.as_i64().unwrap_or(0) < generation.as_i64().unwrap_or(1) {
        return Some("its newest generation is not observed yet".to_owned());
    }
    if is_suspended {
        let is_at_zero = live["spec"]["replicas"] == 0 && live["status"]["replicas"].as_i64().unwrap_or(0) == 0;
        return (!is_at_zero).then(|| "it is suspended, and some of it still runs".to_owned());
    }
    if live["spec"]["replicas"] == 0 {
        return match scaler.map(ready_condition) {
            Some(Some(("True", _))) => None,
            Some(_) => Some("it has no replicas, and its ScaledObject is not ready".to_owned()),
            None => Some("it has no replicas, and nothing scales it".to_owned()),
        };
    }
    if let Some(("False", message)) = condition(live, "Progressing") {
        return Some(message.to_owned());
    }
    match condition(live, "Available") {
        Some(("True", _)) => None,
        Some((_, message)) => Some(message.to_owned()),
        None => Some("nothing of it is available yet".to_owned()),
    }
}

/// Status and message of a condition.
fn condition<'a>(live: &'a Value, kind: &str) -> Option<(&'a str, &'a str)> {
    let conditions = live["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    Some((found["status"].as_str()?, found["message"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests;
