//! Runs the official JMESPath compliance files when they lie beside the
//! checkout, in `../shared/conformance/compliance/jmespath`.
//!
//! The reference connector's library differs in two of their cases, which
//! `observed-deviations.json` lists; it is held against that.

#![expect(clippy::disallowed_methods, reason = "the cases are files")]
#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

use std::fs;
use std::io::Write;
use std::path::Path;

use expressions::jmespath::{Evaluated, Program};
use expressions::{CompileOptions, Document, Kind, Names, ReadOptions, Scratch, Value};
use serde_json::Value as Json;

/// How many cases the files have.
const CASE_COUNT: usize = 892;

#[test]
fn gives_what_the_official_cases_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/compliance/jmespath");
    if !folder.exists() {
        // Not by `println!`, which a test that passes keeps to itself.
        let missing = "not run: there is no `../shared/conformance/compliance/jmespath` beside the checkout";
        writeln!(std::io::stderr(), "{missing}").unwrap();
        return;
    }
    let deviations = read(&folder.join("observed-deviations.json"));
    let mut count = 0;
    let mut failures = Vec::new();
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".json") || name == "observed-deviations.json" {
            continue;
        }
        for (group_at, group) in read(&file).as_array().unwrap().iter().enumerate() {
            for (at, case) in group["cases"].as_array().unwrap().iter().enumerate() {
                count += 1;
                let expected = expectation(&deviations, &name, group_at, at, case);
                let actual = evaluate(case["expression"].as_str().unwrap(), &group["given"]);
                if !is_same(&expected, &actual) {
                    failures
                        .push(format!("{name} {group_at} {at} {}: {expected:?}, got {actual:?}", case["expression"]));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(count, CASE_COUNT);
}

/// A result, or the kind of an error.
type Outcome = Result<Json, String>;

fn expectation(deviations: &Json, file: &str, group: usize, at: usize, case: &Json) -> Outcome {
    let observed = deviations["deviations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|deviation| deviation["file"] == file && deviation["group"] == group && deviation["case"] == at);
    let case = observed.map_or(case, |deviation| &deviation["observed"]);
    match case.get("error") {
        Some(kind) => Err(kind.as_str().unwrap().to_owned()),
        None => Ok(case["result"].clone()),
    }
}

fn evaluate(expression: &str, given: &Json) -> Outcome {
    let mut names = Names::default();
    let program = match Program::compile(expression, CompileOptions::default(), &mut names) {
        Ok(program) => program,
        Err(error) => return Err(error.message),
    };
    let mut scratch = Scratch::new(&names);
    let text = given.to_string();
    let options = ReadOptions { dates: false, ..ReadOptions::default() };
    let document = scratch.read_value(text.as_bytes(), options).unwrap();
    match program.evaluate(document, Document::ROOT) {
        Ok(Evaluated::Value(value)) => Ok(json(document, &value)),
        Ok(Evaluated::Projection(items)) => Ok(items.iter().map(|item| json(document, item)).collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// Kinds of errors are compared where the library's texts have them.
fn is_same(expected: &Outcome, actual: &Outcome) -> bool {
    match (expected, actual) {
        (Ok(expected), Ok(actual)) => is_equal(expected, actual),
        (Err(kind), Err(message)) if kind == "syntax" => message.contains("syntax, near"),
        (Err(kind), Err(message)) if kind.starts_with("unknown") || kind.contains("arity") => message.contains(kind),
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

fn is_equal(expected: &Json, actual: &Json) -> bool {
    match (expected, actual) {
        (Json::Number(expected), Json::Number(actual)) => expected.as_f64() == actual.as_f64(),
        (Json::Array(expected), Json::Array(actual)) => {
            expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| is_equal(e, a))
        }
        (Json::Object(expected), Json::Object(actual)) => {
            expected.len() == actual.len()
                && expected.iter().all(|(name, e)| actual.get(name).is_some_and(|a| is_equal(e, a)))
        }
        (expected, actual) => expected == actual,
    }
}

fn json(document: Document<'_>, value: &Value<'_>) -> Json {
    match value {
        Value::Node(node) => match document.kind(*node) {
            Kind::False | Kind::True => (document.kind(*node) == Kind::True).into(),
            Kind::Integer => document.integer(*node).into(),
            Kind::Float => document.float(*node).into(),
            Kind::String => document.text(*node).into(),
            Kind::Array => document.children(*node).map(|(_, child)| json(document, &Value::Node(child))).collect(),
            Kind::Object => document
                .children(*node)
                .map(|(name, child)| (document.name(name).to_owned(), json(document, &Value::Node(child))))
                .collect(),
            _ => Json::Null,
        },
        Value::Null | Value::Date(_) => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) => text.as_ref().into(),
        Value::Array(items) => items.iter().map(|item| json(document, item)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.to_string(), json(document, value))).collect()
        }
    }
}

fn read(file: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}
