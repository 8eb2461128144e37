//! The compliance suite of RFC 9535, when it lies beside the checkout: what
//! this dialect gives for each case was obtained from Newtonsoft.Json, and what
//! the standard language gives is in the suite itself.

#![expect(clippy::disallowed_methods, reason = "the cases are files")]

use std::ops::ControlFlow;
use std::{fs, path};

use serde_json::Value as Json;

use crate::document::{Document, Scratch};
use crate::expression::{CompileOptions, Expression, Language};
use crate::names::Names;
use crate::reader::ReadOptions;

/// The matches as an array, or none when there is an error.
fn select(text: &str, language: Language, dates: bool, json: &Json) -> Option<Json> {
    let mut names = Names::default();
    let expression = Expression::compile(text, language, CompileOptions::default(), &mut names).ok()?;
    let mut scratch = Scratch::new(&names);
    let json = json.to_string();
    let document = scratch.read_value(json.as_bytes(), ReadOptions { dates, ..ReadOptions::default() }).ok()?;
    let mut found = String::new();
    let result = expression.select(document, Document::ROOT, &mut |value| {
        found.push(if found.is_empty() { '[' } else { ',' });
        if let crate::Value::Node(node) = value {
            document.write_json(node, &mut found);
        }
        ControlFlow::Continue(())
    });
    result.ok()?;
    found.push_str(if found.is_empty() { "[]" } else { "]" });
    serde_json::from_str(&found).ok()
}

fn read(name: &str) -> Option<Json> {
    let folder =
        path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/compliance/jsonpath-rfc9535");
    let Ok(text) = fs::read(folder.join(name)) else {
        println!("the compliance suite is not beside this checkout: not run");
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
}

#[test]
fn gives_what_newtonsoft_gives() {
    let (Some(suite), Some(outcomes)) = (read("cts.json"), read("newtonsoft-outcomes.json")) else { return };
    let tests = suite["tests"].as_array().unwrap();
    let outcomes = outcomes["outcomes"].as_array().unwrap();
    assert_eq!(tests.len(), outcomes.len());
    let mut others = Vec::new();
    for (at, (test, outcome)) in tests.iter().zip(outcomes).enumerate() {
        let selector = test["selector"].as_str().unwrap();
        let ours = select(selector, Language::JsonPath, true, &test["document"]);
        let expected = outcome["outcome"].get("matches");
        if ours.as_ref() != expected {
            println!("{at} `{selector}` over {}: expected {expected:?}, got {ours:?}", test["document"]);
            others.push(at);
        }
    }
    // Negative indexes: an error there, the end of the array here (quirk 42).
    assert_eq!(others, [240, 241, 242]);
}

#[test]
fn gives_what_the_standard_says() {
    let Some(suite) = read("cts.json") else { return };
    let mut failed = Vec::new();
    for (at, test) in suite["tests"].as_array().unwrap().iter().enumerate() {
        let selector = test["selector"].as_str().unwrap();
        let ours = select(selector, Language::JsonPathRfc9535, false, &test["document"]);
        let right = match (test.get("result"), test.get("results")) {
            (Some(result), _) => ours.as_ref() == Some(result),
            (None, Some(results)) => results.as_array().unwrap().iter().any(|result| ours.as_ref() == Some(result)),
            (None, None) => ours.is_none(),
        };
        if !right {
            println!(
                "{at} `{selector}` over {}: got {ours:?}, wanted {}",
                test["document"],
                test.get("result").unwrap_or(&Json::Null)
            );
            failed.push(at);
        }
    }
    // What jsonpath-rust 1.0 does otherwise: several selectors after `..` give
    // all nodes of the first before those of the second, a filter inside a
    // filter is taken for a value, and ill-typed function calls are let through.
    assert_eq!(failed, [40, 41, 116, 463, 474, 477, 480, 481, 534]);
}
