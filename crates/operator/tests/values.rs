//! The spec of a resource has the values of its chart, one to one, but for what
//! belongs to the platform.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use operator::resources::{Charted, Fhir, IotConnector};
use serde_json::Value;

/// What a platform sets in the defaults of `helm/platform`, or the operator
/// itself, and no spec.
const PLATFORM: [&str; 13] = [
    "global",
    "image",
    "image.registry",
    "ingest.http.tokenValue",
    "scaling.keda",
    "scaling.operator",
    "telemetry",
    "http",
    "networkPolicy",
    "podDisruptionBudget",
    "pod",
    "serviceAccount",
    "imagePullSecrets",
];

/// The paths of all properties of a JSON schema; `[]` stands for the items of a
/// list.
fn paths(root: &Value, schema: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a reference within the schema");
        paths(root, target, prefix, found);
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for part in schema[word].as_array().into_iter().flatten() {
            paths(root, part, prefix, found);
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        paths(root, property, &format!("{path}."), found);
        found.insert(path);
    }
    if schema["items"].is_object() {
        paths(root, &schema["items"], &format!("{}[].", prefix.trim_end_matches('.')), found);
    }
}

fn spec_paths(definition: &CustomResourceDefinition) -> BTreeSet<String> {
    let definition = serde_json::to_value(definition).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut found = BTreeSet::new();
    paths(schema, schema, "", &mut found);
    found
}

fn chart_paths(chart: &str) -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm").join(chart).join("values.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut found = BTreeSet::new();
    paths(&schema, &schema, "", &mut found);
    found
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn check<K: Charted + CustomResourceExt>(platform: &[&str]) {
    let spec = spec_paths(&K::crd());
    let mut chart = chart_paths(K::CHART);
    chart.retain(|path| !platform.iter().any(|parent| is_below(path, parent)));
    let only: Vec<&String> = spec.symmetric_difference(&chart).collect();
    assert!(only.is_empty(), "either only in the spec of {} or only in its chart: {only:#?}", K::CHART);
    assert!(spec.len() > 30, "the schema was not read: {spec:?}");
}

#[test]
fn the_spec_of_a_connector_has_the_values_of_its_chart() {
    let platform: Vec<&str> = PLATFORM.into_iter().filter(|path| *path != "serviceAccount").collect();
    check::<IotConnector>(&platform);
}

#[test]
fn the_spec_of_a_fhir_server_has_the_values_of_its_chart() {
    // It has an image and telemetry of its own.
    let platform: Vec<&str> = PLATFORM.into_iter().filter(|path| !matches!(*path, "image" | "telemetry")).collect();
    check::<Fhir>(&platform);
}
