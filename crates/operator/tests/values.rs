//! The spec of a resource has the values of its chart, one to one, but for what
//! belongs to the platform.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use custom_resources::{Charted, Fhir, IotConnector};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
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

/// What a JSON schema says of the values at each path, `[]` for the items of a list: the most and the least, and patterns.
type Limits = BTreeMap<String, BTreeSet<String>>;

/// Finds the paths of all properties of a JSON schema, with their limits.
fn limits(root: &Value, schema: &Value, prefix: &str, found: &mut Limits) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a reference within the schema");
        limits(root, target, prefix, found);
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for part in schema[word].as_array().into_iter().flatten() {
            limits(root, part, prefix, found);
        }
    }
    if let Some(path) = prefix.strip_suffix('.') {
        found.entry(path.to_owned()).or_default().extend(limits_of(schema));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        limits(root, property, &format!("{prefix}{name}."), found);
    }
    if schema["items"].is_object() {
        limits(root, &schema["items"], &format!("{}[].", prefix.trim_end_matches('.')), found);
    }
}

/// What a schema says itself. In a chart an empty text and a zero stand for what is not said, which in a spec has no need
/// of a value.
fn limits_of(schema: &Value) -> Vec<String> {
    let mut limits = Vec::new();
    for word in ["maximum", "minimum", "maxLength", "maxItems"] {
        match schema[word].as_f64() {
            Some(limit) if word != "minimum" || limit > 1.0 => limits.push(format!("{word} {limit}")),
            _ => {}
        }
    }
    limits.extend(schema["pattern"].as_str().map(|pattern| format!("pattern {}", pattern.trim_start_matches("^$|"))));
    limits
}

fn spec_limits(definition: &CustomResourceDefinition) -> Limits {
    let definition = serde_json::to_value(definition).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut found = Limits::new();
    limits(schema, schema, "", &mut found);
    found
}

fn chart_limits(chart: &str) -> Limits {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm").join(chart).join("values.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut found = Limits::new();
    limits(&schema, &schema, "", &mut found);
    found
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn check<K: Charted + CustomResourceExt>(platform: &[&str]) {
    let spec = spec_limits(&K::crd());
    let mut chart = chart_limits(K::CHART);
    chart.retain(|path, _| !platform.iter().any(|parent| is_below(path, parent)));
    let paths = |limits: &Limits| limits.keys().cloned().collect::<BTreeSet<_>>();
    let (of_spec, of_chart) = (paths(&spec), paths(&chart));
    let only: Vec<&String> = of_spec.symmetric_difference(&of_chart).collect();
    assert!(only.is_empty(), "either only in the spec of {} or only in its chart: {only:#?}", K::CHART);
    let differ: Vec<_> = spec.iter().filter(|(path, limits)| chart.get(*path) != Some(limits)).collect();
    let differ: Vec<_> = differ.into_iter().map(|(path, limits)| (path, limits, &chart[path])).collect();
    assert!(differ.is_empty(), "the limits of the spec of {} are not those of its chart: {differ:#?}", K::CHART);
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

/// What the chart lists is what the operator takes when nothing is said.
#[test]
fn the_platform_allows_the_hosts_of_azure() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm/platform/values.yaml");
    let values = custom_resources::values::read(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(values["lag"]["allowedHosts"], serde_json::json!(operator::lag::hosts::AZURE));
}
