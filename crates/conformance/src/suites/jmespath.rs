//! Suite `jmespath`: an expression over a document gives a value, the matches
//! that a mapping wants, or an error.

use std::ops::ControlFlow;

use expressions::jmespath::{Evaluated, Program, several_tokens_text};
use expressions::{
    Budget, CompileOptions, DateTime, Document, EvaluateError, Kind, Language, Names, ReadOptions, Scratch,
    Value as Found,
};
use serde_json::Value;

use super::jsonpath::is_same as is_same_node;
use crate::Outcome;

/// A failure: its kind and text.
struct Failure {
    kind: &'static str,
    text: String,
}

/// Runs one case. With `select` the expression is evaluated the way mappings
/// do it, `all` for matches and `first` for one token; without, as such.
pub fn run(case: &Value) -> Outcome {
    let (Some(text), Some(data)) = (case["expression"].as_str(), super::case::json(case, "data")) else {
        return Outcome::failed("a case with `expression` and `data`", "none");
    };
    let mut names = Names::default();
    let program = match Program::compile(text, CompileOptions::default(), &mut names) {
        Ok(program) => program,
        Err(error) => {
            let kind = if case["select"].is_string() { "template-expression" } else { "function-error" };
            return failed(case, &Failure { kind, text: error.text(text, Language::JmesPath) });
        }
    };
    let mut scratch = Scratch::new(&names);
    let document = match scratch.read_value(data.as_bytes(), ReadOptions::default()) {
        Ok(document) => document,
        Err(error) => return Outcome::failed("a document", error.to_string()),
    };
    match evaluate(&program, document, case["select"].as_str()) {
        Ok(found) => compare(case, document, &found),
        Err(error) => failed(case, &failure(text, &error)),
    }
}

/// The matches; without `select` the one value.
fn evaluate<'d>(
    program: &Program,
    document: Document<'d>,
    select: Option<&str>,
) -> Result<Vec<Found<'d>>, EvaluateError> {
    match select {
        None => Ok(vec![match program.evaluate(document, Document::ROOT)? {
            Evaluated::Value(value) => value,
            Evaluated::Projection(items) => Found::Array(items),
        }]),
        Some("first") => Ok(program.select_one(document, Document::ROOT, &Budget::default())?.into_iter().collect()),
        Some(_) => {
            let mut found = Vec::new();
            program.select(document, Document::ROOT, &Budget::default(), &mut |value| {
                found.push(value);
                ControlFlow::Continue(())
            })?;
            Ok(found)
        }
    }
}

fn failure(expression: &str, error: &EvaluateError) -> Failure {
    let kind = match error {
        EvaluateError::SeveralTokens => {
            return Failure { kind: "template-expression", text: several_tokens_text(expression) };
        }
        EvaluateError::DivideByZero => "divide-by-zero",
        EvaluateError::Overflow(_) => "overflow",
        EvaluateError::OutOfRange(_) => "argument-out-of-range",
        EvaluateError::Function(_) => "function-error",
        EvaluateError::JsonPath(_) | EvaluateError::Limit(_) => "none of the corpus",
    };
    Failure { kind, text: error.to_string() }
}

fn failed(case: &Value, failure: &Failure) -> Outcome {
    let got = || format!("error {}: {}", failure.kind, failure.text);
    let Some(error) = case["expect"].get("error") else {
        return Outcome::failed(case["expect"].to_string(), got());
    };
    if error["kind"] == failure.kind && super::case::contains(&failure.text, error.get("contains")) {
        return Outcome::Passed;
    }
    Outcome::failed(error.to_string(), got())
}

fn compare(case: &Value, document: Document<'_>, found: &[Found<'_>]) -> Outcome {
    let expect = &case["expect"];
    let is_expected = match (&expect["matches"], found) {
        (Value::Array(matches), found) => {
            matches.len() == found.len()
                && found.iter().zip(matches).all(|(value, expected)| is_same(document, value, expected))
        }
        (_, [value]) if expect.get("approx").is_some() => is_near(document, value, expect),
        (_, [value]) => expect.get("result").is_some_and(|result| is_same(document, value, result)),
        _ => false,
    };
    let is_of_type = match (expect["resultType"].as_str(), found) {
        (Some(expected), [value]) => type_name(document, value) == expected,
        _ => true,
    };
    if is_expected && is_of_type {
        return Outcome::Passed;
    }
    let types: Vec<&str> = found.iter().map(|value| type_name(document, value)).collect();
    Outcome::failed(expect.to_string(), format!("{found:?} of type {types:?}"))
}

fn is_near(document: Document<'_>, value: &Found<'_>, expect: &Value) -> bool {
    let number = match value {
        Found::Integer(value) => Some(*value as f64),
        Found::Float(value) => Some(*value),
        Found::Node(node) => document.float(*node),
        _ => None,
    };
    match (number, expect["approx"].as_f64(), expect["tolerance"].as_f64()) {
        (Some(number), Some(expected), Some(tolerance)) => (number - expected).abs() <= tolerance,
        _ => false,
    }
}

/// Whether a value is what was expected: numbers by value, dates by instant,
/// members in any order.
fn is_same(document: Document<'_>, value: &Found<'_>, expected: &Value) -> bool {
    match (value, expected) {
        (Found::Node(node), expected) => is_same_node(document, *node, expected),
        (Found::Null, Value::Null) => true,
        (Found::Bool(value), Value::Bool(expected)) => value == expected,
        (Found::Integer(value), Value::Number(number)) if number.is_i64() => Some(*value) == number.as_i64(),
        (Found::Integer(value), Value::Number(number)) => Some(*value as f64) == number.as_f64(),
        (Found::Float(value), Value::Number(number)) => Some(*value) == number.as_f64(),
        (Found::String(value), Value::String(text)) => value == text,
        (Found::Date(date), Value::String(text)) => Some(*date) == DateTime::parse_token(text),
        (Found::Array(items), Value::Array(elements)) => {
            items.len() == elements.len()
                && items.iter().zip(elements).all(|(item, element)| is_same(document, item, element))
        }
        (Found::Object(values), Value::Object(members)) => {
            values.len() == members.len()
                && values
                    .iter()
                    .all(|(name, value)| members.get(&**name).is_some_and(|member| is_same(document, value, member)))
        }
        _ => false,
    }
}

/// The name of a type in the corpus.
fn type_name(document: Document<'_>, value: &Found<'_>) -> &'static str {
    match value {
        Found::Node(node) => match document.kind(*node) {
            Kind::Null => "null",
            Kind::False | Kind::True => "boolean",
            Kind::Integer | Kind::BigInteger => "integer",
            Kind::Float => "float",
            Kind::String => "string",
            Kind::Date => "date",
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::Undefined | Kind::Opaque => "none of the corpus",
        },
        Found::Null => "null",
        Found::Bool(_) => "boolean",
        Found::Integer(_) => "integer",
        Found::Float(_) => "float",
        Found::String(_) => "string",
        Found::Date(_) => "date",
        Found::Array(_) => "array",
        Found::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_what_is_wrong() {
        let case = |expression: &str, expect: Value| {
            run(&json!({ "expression": expression, "data": { "a": [1, 2] }, "expect": expect }))
        };
        let right = [
            ("a", json!({ "result": [1, 2], "resultType": "array" })),
            ("a[0]", json!({ "result": 1.0 })),
            ("divide(a[0], `3.0`)", json!({ "approx": 0.333, "tolerance": 0.001, "resultType": "float" })),
            ("add(a, a)", json!({ "error": { "kind": "function-error", "contains": "add" } })),
        ];
        for (expression, expect) in right {
            assert_eq!(case(expression, expect), Outcome::Passed, "{expression}");
        }
        let wrong = [
            ("a", json!({ "result": [2, 1] })),
            ("a[0]", json!({ "result": 1, "resultType": "float" })),
            ("a[0]", json!({ "result": "1" })),
            ("missing", json!({})),
            ("divide(a[0], `3.0`)", json!({ "approx": 0.3, "tolerance": 0.001 })),
            ("add(a, a)", json!({ "error": { "kind": "overflow" } })),
            ("add(a, a)", json!({ "error": { "kind": "function-error", "contains": "subtract" } })),
            ("a", json!({ "error": { "kind": "function-error" } })),
        ];
        for (expression, expect) in wrong {
            assert!(matches!(case(expression, expect), Outcome::Failed { .. }), "{expression}");
        }
    }
}
