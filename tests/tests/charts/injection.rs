//! What values say stays a value: no text of theirs becomes YAML of the manifests. And the largest connector takes no more
//! than a few times as long as the smallest.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::chart::{Objects, Values, charts, connector, examples, objects_of_all, text};

/// A text that ends its object where it is not quoted.
const TEXT: &str = "x\n---\nkind: Service";

/// The values of a chart with an example of it over them; of a list both would be one, so the example's is taken.
fn merged(under: &Value, over: &Value) -> Value {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            let mut all = under.clone();
            for (name, value) in over {
                let merged = merged(under.get(name).unwrap_or(&Value::Null), value);
                all.insert(name.clone(), merged);
            }
            Value::Object(all)
        }
        _ => over.clone(),
    }
}

/// The places of all texts as JSON pointers, and `<place>/x` for another key in a map of texts, but for the names of
/// variables, which the schema refuses without saying where.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    let variables = ["/settings", "/environment", "/secretEnvironment"].iter().any(|end| place.ends_with(end));
    match value {
        Value::String(_) => found.push(place.to_owned()),
        Value::Object(members) => {
            if members.values().all(Value::is_string) && !variables {
                found.push(format!("{place}/{TEXT}"));
            }
            for (name, member) in members {
                places(member, &format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Puts the text into a place.
fn put(values: &mut Value, place: &str) {
    match place.strip_suffix(&format!("/{TEXT}")) {
        // Labels have values that the schema refuses; their keys it takes.
        Some(map) => {
            let value = if map.ends_with("/labels") || map.ends_with("/nodeSelector") { "x" } else { TEXT };
            values.pointer_mut(map).expect("a map")[TEXT] = value.into();
        }
        // A mapping has to be JSON.
        None if place.ends_with("/content") => {
            *values.pointer_mut(place).expect("a text") = json!({ "x": TEXT, "'{{": "\n---\n" }).to_string().into();
        }
        None => *values.pointer_mut(place).expect("a text") = TEXT.into(),
    }
}

fn parsed(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
    Objects::of(&text).0.swap_remove(0)
}

/// The kinds, as often as they are there.
fn kinds(objects: &Objects) -> Vec<String> {
    let mut kinds: Vec<_> = objects.0.iter().map(|object| object["kind"].to_string()).collect();
    kinds.sort();
    kinds
}

fn judged(chart: &Path, example: Option<&Path>, more: &Value) {
    let values = parsed(&chart.join("values.yaml"));
    let values = example.map_or(values.clone(), |example| merged(&values, &parsed(example)));
    let values = merged(&values, more);
    let file = tempfile::NamedTempFile::new().expect("a file for values");
    let render = |values: &Value| {
        fs::write(file.path(), values.to_string()).expect("values are written");
        Values::default().file(file.path()).render(chart, "1.33")
    };
    let good = render(&values).unwrap_or_else(|error| panic!("{}: {error}", chart.display()));
    let mut all = Vec::new();
    places(&values, "", &mut all);
    // A mapping is a blob or a text of its own.
    let blobs: Vec<_> = all.iter().filter_map(|place| place.strip_suffix("/blob").map(str::to_owned)).collect();
    all.retain(|place| place.strip_suffix("/content").is_none_or(|mapping| !blobs.iter().any(|blob| blob == mapping)));
    // All at once. What the schema refuses, by its place, is not there the next time.
    let mut taken = all.clone();
    let manifests = loop {
        let mut changed = values.clone();
        taken.iter().for_each(|place| put(&mut changed, place));
        let refusal = match render(&changed) {
            Ok(manifests) => break manifests,
            Err(refusal) => refusal,
        };
        let before = taken.len();
        // Of a key that is not known, the map is said.
        let key = format!("/{TEXT}");
        taken.retain(|place| !refusal.contains(&format!("at '{}'", place.strip_suffix(&key).unwrap_or(place))));
        assert!(taken.len() < before, "{}: {refusal}", chart.display());
    };
    assert!(taken.len() > 5 && taken.len() + 10 < all.len(), "{} of {}", taken.len(), all.len());
    let both = objects_of_all(&[("good".to_owned(), good), ("injected".to_owned(), manifests)]);
    assert_eq!(kinds(&both[1].1), kinds(&both[0].1), "{}: one of {taken:?}", chart.display());
}

#[test]
fn no_text_of_a_connectors_values_becomes_yaml() {
    judged(&connector(), Some(&connector().join("examples/full.yaml")), &json!({}));
}

#[test]
fn no_text_of_a_connectors_values_becomes_yaml_with_operator_and_pod_identity() {
    let more = json!({
        "scaling": { "source": "operator", "operator": { "tokenValue": "t0ken", "caBundle": "CA", "clientCertificate": "C", "clientKey": "K" } },
    });
    judged(&connector(), None, &more);
    judged(&connector(), Some(&connector().join("examples/aad-pod-identity.yaml")), &json!({}));
}

#[test]
fn no_text_of_the_other_charts_values_becomes_yaml() {
    for chart in charts().iter().filter(|chart| **chart != connector()) {
        let name = chart.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "platform" {
            let more = json!({
                "watchNamespaces": ["one"],
                "image": { "pullSecrets": ["registry"] },
                "lag": { "enabled": true, "tls": { "secretName": "tls" } },
                "connectorValues": { "image": { "registry": "contoso.azurecr.io" } },
            });
            judged(chart, None, &more);
            continue;
        }
        let more = match name.as_str() {
            "resource-provider" => json!({ "image": { "pullSecrets": ["registry"] } }),
            _ => json!({ "imagePullSecrets": ["registry"] }),
        };
        for example in examples(chart) {
            judged(chart, Some(&example), &more);
        }
    }
}

/// Seconds of the processor that it takes to render so many destinations, the least of several times: what else runs on
/// the machine does not count.
fn effort(destinations: usize) -> f64 {
    let list: Vec<Value> = (0..destinations)
        .map(|number| json!({ "name": format!("d{number}"), "fhir": { "url": "https://f" } }))
        .collect();
    let file = tempfile::NamedTempFile::new().expect("a file for values");
    fs::write(file.path(), json!({ "destinations": list }).to_string()).expect("values are written");
    let helm = end_to_end::folder("IOTC_TEST_HELM", "charts").join("bin/helm");
    let once = || {
        let mut command = Command::new("bash");
        // One processor: how many there are changes what the collector of garbage does.
        command.env("GOMAXPROCS", "1").env("LC_ALL", "C");
        command.args(["-c", r#"TIMEFORMAT=%U; time "$@" >/dev/null"#, "bash"]).arg(&helm);
        command.args(["template", "rel"]).arg(connector()).arg("--values").arg(file.path());
        let output = command.output().expect("bash starts");
        let printed = text(&output.stderr);
        assert!(output.status.success(), "{printed}");
        printed.trim().parse::<f64>().unwrap_or_else(|error| panic!("{printed}: {error}"))
    };
    (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
}

/// Usually three times; what works something out again for each destination takes five times and more.
#[test]
fn the_most_destinations_take_a_few_times_as_long_as_one() {
    let (one, most) = (effort(1), effort(19));
    assert!(most < 4.0 * one, "{one} s for one, {most} s for all");
}
