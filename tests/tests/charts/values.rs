//! `values.yaml` is the manual of the values: each has a comment, and it holds what the schema knows, no more and no
//! less.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::chart::{Objects, Values, charts, connector};

fn read(name: &str) -> String {
    fs::read_to_string(connector().join(name)).unwrap_or_else(|error| panic!("`{name}`: {error}"))
}

/// A leaf has a comment of its own, or follows without a gap one of the same group that has, or its group has one.
#[test]
fn every_value_has_a_comment() {
    let text = read("values.yaml");
    // The groups around a line, by their depth, and whether each has a comment.
    let mut groups: Vec<(usize, bool)> = Vec::new();
    let mut undocumented = Vec::new();
    let mut commented = false;
    // The depth of the run of leaves under one comment.
    let mut run: Option<usize> = None;
    for line in text.lines() {
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            commented = !content.is_empty();
            run = None;
            continue;
        }
        // The first member of an item stands behind its dash.
        let depth = line.len() - content.trim_start_matches("- ").len();
        groups.retain(|(group, _)| *group < depth);
        let is_group = content.ends_with(':');
        let said = commented || run == Some(depth) || groups.last().is_some_and(|(_, said)| *said);
        if is_group {
            groups.push((depth, commented));
        } else if !said {
            undocumented.push(content.to_owned());
        }
        run = (said && !is_group).then_some(depth);
        commented = false;
    }
    assert_eq!(undocumented, Vec::<String>::new());
}

/// The paths of all leaves, `[]` for the items of a list.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                leaves(member, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => leaves(&items[0], &format!("{path}[]"), found),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// What a schema refers to, or itself.
fn referred<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    match reference.and_then(|reference| reference.strip_prefix("#/$defs/")) {
        Some(name) => referred(&root["$defs"][name], root),
        None => schema,
    }
}

/// The same of a schema. Maps with any keys, secrets and lists of others' objects are leaves.
fn schema_leaves(schema: &Value, root: &Value, path: &str, found: &mut BTreeSet<String>) {
    let schema = referred(schema, root);
    let items = &schema["items"];
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], false, "{path} takes anything");
        for (name, property) in properties.iter().filter(|(name, _)| *name != "global") {
            schema_leaves(property, root, &format!("{path}.{name}"), found);
        }
    } else if items["$ref"].is_string() && referred(items, root)["properties"].is_object() {
        schema_leaves(items, root, &format!("{path}[]"), found);
    } else {
        found.insert(path.to_owned());
    }
}

#[test]
fn the_schema_and_the_values_know_the_same() {
    let values = &Objects::of(&read("values.yaml")).0[0];
    let schema: Value = serde_json::from_str(&read("values.schema.json")).expect("the schema is JSON");
    let (mut of_values, mut of_schema) = (BTreeSet::new(), BTreeSet::new());
    leaves(values, "", &mut of_values);
    schema_leaves(&schema, &schema, "", &mut of_schema);
    // Quantities, of which a pod may have others.
    of_values.retain(|path| !path.starts_with(".pod.resources."));
    of_schema.retain(|path| !path.starts_with(".pod.resources."));
    let only =
        |these: &BTreeSet<String>, those: &BTreeSet<String>| these.difference(those).cloned().collect::<Vec<_>>();
    assert_eq!((only(&of_values, &of_schema), only(&of_schema, &of_values)), (Vec::new(), Vec::new()));
}

/// All that holds for one value: a schema, and what it refers to.
fn parts<'s>(schema: &'s Value, root: &'s Value, found: &mut Vec<&'s Value>) {
    found.push(schema);
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        parts(&root["$defs"][name], root, found);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        parts(part, root, found);
    }
}

/// The paths that may be missing; in secrets and in lists nobody looks.
fn may_be_missing(schemas: &[&Value], root: &Value, path: &str, found: &mut BTreeSet<String>) {
    let mut all = Vec::new();
    schemas.iter().for_each(|schema| parts(schema, root, &mut all));
    if schemas.iter().any(|schema| schema["$ref"] == "#/$defs/secret") {
        return;
    }
    let names: BTreeSet<&String> =
        all.iter().filter_map(|part| part["properties"].as_object()).flat_map(|members| members.keys()).collect();
    for name in names {
        let is_it = |required: &Value| required.as_array().is_some_and(|list| list.iter().any(|one| one == name));
        let path = format!("{path}.{name}");
        if !all.iter().any(|part| is_it(&part["required"])) {
            found.insert(path.clone());
        }
        let of: Vec<&Value> = all.iter().filter_map(|part| part["properties"].get(name)).collect();
        may_be_missing(&of, root, &path, found);
    }
}

/// A key with nothing behind it takes the default away (helm), and a template would read nothing, or 0 or "" of it. So
/// all is required but what the templates take for "none".
#[test]
fn only_what_may_be_none_may_be_left_empty() {
    const NONE: [(&str, &[&str]); 3] = [
        (
            "fhir-service",
            &[
                ".authorization.enabled",
                ".dataStore.connectionString",
                ".dataStore.key",
                ".export.storageAccountConnection",
                ".global",
                ".resources.limits",
                ".resources.requests",
                ".telemetry.connectionString",
            ],
        ),
        (
            "iot-connector",
            &[
                ".global",
                ".ingest.http.token",
                ".internalHub.authentication.connectionString",
                ".pod.resources.functionsHost.limits",
                ".pod.resources.functionsHost.requests",
                ".pod.resources.groupConvert.limits",
                ".pod.resources.groupConvert.requests",
                ".pod.resources.normalize.limits",
                ".pod.resources.normalize.requests",
                ".scaling.operator.token",
                ".source.authentication.connectionString",
                ".storage.authentication.connectionString",
                ".storage.authentication.sas",
            ],
        ),
        ("platform", &[".global", ".pod.resources.limits", ".pod.resources.requests"]),
    ];
    for (chart, (name, none)) in charts().iter().zip(NONE) {
        assert!(chart.ends_with(name), "{}", chart.display());
        let text = fs::read_to_string(chart.join("values.schema.json")).expect("a schema");
        let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
        let mut found = BTreeSet::new();
        may_be_missing(&[&schema], &schema, "", &mut found);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), none, "{name}");
        // And none of these is a trace of a template.
        let nulls: Vec<String> =
            none.iter().filter(|path| **path != ".global").map(|path| format!("{}=null", &path[1..])).collect();
        let nulls: Vec<&str> = nulls.iter().map(String::as_str).collect();
        Values::default().set(&nulls).render(chart, "1.33").unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// A destination that says no more than it must is the one in `values.yaml`, which says everything.
#[test]
fn what_a_destination_does_not_say_is_as_the_values_have_it() {
    let short = r#"destinations=[{"name":"fhir","fhir":{"url":"https://contoso-fhir.fhir.azurehealthcareapis.com"}}]"#;
    let render = |values: Values| values.render(&connector(), "1.33").expect("these values are good");
    assert_eq!(render(Values::default().json(short)), render(Values::default()));
}

/// What helm prints after it has installed a connector.
#[track_caller]
fn notes(example: Option<&str>, values: &[&str]) -> String {
    let chart = connector().display().to_string();
    let file = example.map(|name| crate::chart::example(name).display().to_string());
    let mut arguments = vec!["install", "rel", &chart, "--dry-run=client", "--namespace", "iot"];
    arguments.extend(file.iter().flat_map(|file| ["--values", file]));
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    let output = crate::chart::helm(arguments);
    let printed = crate::chart::text(&output.stdout);
    let notes = printed.split("NOTES:").nth(1);
    notes.unwrap_or_else(|| panic!("no notes: {printed}{}", crate::chart::text(&output.stderr))).to_owned()
}

/// Who has read the notes knows what is missing.
#[test]
fn the_notes_warn_of_names_of_the_example() {
    let example = notes(None, &[]);
    assert!(example.contains("WARNING: names of the example") && example.contains("storage.accountName"), "{example}");
    assert!(
        example.contains("rel-normalize: normalize, reads contoso.servicebus.windows.net/devicedata as $default"),
        "{example}"
    );
    assert!(example.contains("WARNING: image.registry is not set"), "{example}");
    let own = [
        "source.eventHub.fullyQualifiedNamespace=ns1.servicebus.windows.net",
        "internalHub.eventHub.fullyQualifiedNamespace=ns2.servicebus.windows.net",
        "storage.accountName=acct",
        "destinations[0].name=fhir",
        "destinations[0].fhir.url=https://f.example",
    ];
    let with = |more: &'static str| notes(None, &own.iter().copied().chain([more]).collect::<Vec<_>>());
    let own = with("image.registry=registry.example");
    assert!(!own.contains("WARNING") && own.contains("Azure Event Hubs Data Receiver"), "{own}");
    // A repository may name its registry itself.
    let own = with("image.native.repository=registry.example:5000/iot/native");
    assert!(!own.contains("WARNING"), "{own}");
}

/// Nobody is asked to grant what nothing uses; KEDA sees positions, and neither dead letters nor what is parked.
#[test]
fn the_notes_list_what_has_to_be_granted() {
    let grants = |example: &str| {
        let notes = notes(Some(example), &[]);
        let lines = notes.lines().map(str::trim).filter_map(|line| line.split_once(": "));
        let lines = lines.filter(|(_, what)| what.contains(" Data ") || what.contains("Key Vault"));
        lines.map(|(who, what)| format!("{who}: {what}")).collect::<Vec<_>>()
    };
    let hubs = |who: &str| {
        [
            format!("{who}: Azure Event Hubs Data Receiver on the customer's hub"),
            format!("{who}: Storage Blob Data Reader on the container rel-normalize-e1"),
            format!("{who}: Azure Event Hubs Data Receiver on the internal hub"),
            format!("{who}: Storage Blob Data Reader on the container rel-convert-fhir"),
        ]
    };
    let internal = [
        "the internal identity: Storage Blob Data Contributor on the storage account",
        "the internal identity: Azure Event Hubs Data Sender on the internal hub",
        "the internal identity: Azure Event Hubs Data Receiver on the internal hub",
    ];
    let internal = internal.map(str::to_owned).to_vec();
    let own = [
        "Azure Event Hubs Data Receiver on the customer's hub",
        "FHIR Data Contributor on https://contoso-fhir.fhir.azurehealthcareapis.com",
    ];
    let own = own.map(|what| format!("the internal identity: {what}")).to_vec();
    assert_eq!(grants("native"), [internal.clone(), own, hubs("KEDA's identity").to_vec()].concat());
    // Opened with secrets, all of it.
    assert_eq!(grants("sas"), Vec::<String>::new());
    // KEDA opens the vault itself, for there is no pod at zero that would.
    let expected = [
        "the internal identity: Key Vault Secrets User on the vault contoso-vault",
        "the internal identity: FHIR Data Contributor on https://contoso-fhir.fhir.azurehealthcareapis.com",
        "KEDA's identity: Key Vault Secrets User on the vault contoso-vault",
        "KEDA's identity: Azure Event Hubs Data Receiver on the internal hub",
        "KEDA's identity: Storage Blob Data Reader on the container rel-convert-fhir",
    ];
    assert_eq!(grants("connection-strings"), [internal.clone(), expected.map(str::to_owned).to_vec()].concat());
    // KEDA asks the operator, which is the connector.
    let expected = [
        "the external identity: Azure Event Hubs Data Receiver on the customer's hub",
        "the external identity: FHIR Data Contributor on https://customer-fhir.fhir.azurehealthcareapis.com",
    ];
    assert_eq!(grants("operator-scaled"), [internal, expected.map(str::to_owned).to_vec()].concat());
}
