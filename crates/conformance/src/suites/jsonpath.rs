//! Suite `jsonpath`: an expression over a document gives nodes, or an error.

use std::ops::ControlFlow;

use expressions::{
    CompileOptions, DateTime, Document, Expression, Kind, Language, Names, NodeId, ReadOptions, Scratch, Value as Found,
};
use serde_json::Value;

use crate::Outcome;

/// Runs one case. `select` is `all` (the default) or `first`.
pub fn run(case: &Value) -> Outcome {
    if case.get("errorWhenNoMatch").is_some_and(|value| value != &Value::Bool(false)) {
        return Outcome::Skipped("the product never asks for an error when nothing matches".to_owned());
    }
    let (Some(text), Some(data)) = (case["expression"].as_str(), super::case::json(case, "data")) else {
        return Outcome::failed("a case with `expression` and `data`", "none");
    };
    let mut names = Names::default();
    let expression = match Expression::compile(text, Language::JsonPath, CompileOptions::default(), &mut names) {
        Ok(expression) => expression,
        Err(error) => return failure(case, &error.to_string()),
    };
    let mut scratch = Scratch::new(&names);
    let document = match scratch.read_value(data.as_bytes(), ReadOptions::default()) {
        Ok(document) => document,
        Err(error) => return Outcome::failed("a document", error.to_string()),
    };
    match select(&expression, document, case["select"] == "first") {
        Ok(found) => compare(case, document, &found),
        Err(error) => failure(case, &error),
    }
}

fn select(expression: &Expression, document: Document<'_>, one: bool) -> Result<Vec<NodeId>, String> {
    let mut found = Vec::new();
    let mut add = |value: Found<'_>| {
        // A JSONPath gives nodes and nothing else.
        if let Found::Node(node) = value {
            found.push(node);
        }
    };
    let result = if one {
        expression.select_one(document, Document::ROOT).map(|value| value.into_iter().for_each(add))
    } else {
        expression.select(document, Document::ROOT, &mut |value| {
            add(value);
            ControlFlow::Continue(())
        })
    };
    result.map(|()| found).map_err(|error| error.to_string())
}

/// Every failure of this suite is of the kind `json-path`.
fn failure(case: &Value, got: &str) -> Outcome {
    let Some(error) = case["expect"].get("error") else {
        return Outcome::failed(case["expect"].to_string(), format!("error: {got}"));
    };
    let part = error["contains"].as_str().unwrap_or_default();
    if error["kind"] == "json-path" && got.contains(part) {
        return Outcome::Passed;
    }
    Outcome::failed(error.to_string(), format!("error: {got}"))
}

fn compare(case: &Value, document: Document<'_>, found: &[NodeId]) -> Outcome {
    let expected = &case["expect"]["matches"];
    if let Some(matches) = expected.as_array()
        && matches.len() == found.len()
        && matches.iter().zip(found).all(|(expected, node)| is_same(document, *node, expected))
    {
        return Outcome::Passed;
    }
    let mut got = String::new();
    for node in found {
        got.push(if got.is_empty() { '[' } else { ',' });
        document.write_json(*node, &mut got);
    }
    got.push_str(if got.is_empty() { "[]" } else { "]" });
    Outcome::failed(case["expect"].to_string(), got)
}

/// Whether a node is what was expected: numbers by value, dates by instant,
/// members in any order.
pub(super) fn is_same(document: Document<'_>, node: NodeId, expected: &Value) -> bool {
    match (document.kind(node), expected) {
        (Kind::Null, Value::Null) => true,
        (Kind::False, Value::Bool(value)) => !value,
        (Kind::True, Value::Bool(value)) => *value,
        (Kind::Integer, Value::Number(number)) if number.is_i64() => document.integer(node) == number.as_i64(),
        (Kind::Integer | Kind::BigInteger | Kind::Float, Value::Number(number)) => {
            document.float(node) == number.as_f64()
        }
        (Kind::String, Value::String(text)) => document.text(node) == text.as_str(),
        (Kind::Date, Value::String(text)) => document.date(node) == DateTime::parse_token(text),
        (Kind::Array, Value::Array(elements)) => {
            document.element_count(node) == elements.len()
                && document.children(node).zip(elements).all(|((_, child), element)| is_same(document, child, element))
        }
        (Kind::Object, Value::Object(members)) => {
            document.children(node).count() == members.len()
                && document.children(node).all(|(name, child)| {
                    members.get(document.name(name)).is_some_and(|member| is_same(document, child, member))
                })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_the_order_of_members() {
        let text = r#"{ "suite": "jsonpath", "cases": [
            { "expression": "$.*", "data": { "b": 1, "a": 2 }, "expect": { "matches": [1, 2] } }
        ] }"#;
        let suite: crate::corpus::Suite = serde_json::from_str(text).unwrap();
        assert_eq!(run(&suite.cases[0]), Outcome::Passed);
    }

    #[test]
    fn finds_what_is_wrong() {
        let case =
            |expect: Value| json!({ "expression": "$..a", "data": { "a": 1.0, "b": { "a": null } }, "expect": expect });
        assert_eq!(run(&case(json!({ "matches": [1, null] }))), Outcome::Passed);
        let wrong = [
            json!({ "matches": [null, 1] }),
            json!({ "matches": [1] }),
            json!({ "matches": ["1", null] }),
            json!({ "error": { "kind": "json-path" } }),
        ];
        for expect in wrong {
            let got = "[1.0,null]".to_owned();
            assert_eq!(run(&case(expect.clone())), Outcome::Failed { expected: expect.to_string(), got });
        }
    }
}
