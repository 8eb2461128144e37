//! What targets that run expressions share: matches as text, and the checks of
//! them.

use std::ops::ControlFlow;

use expressions::{
    Budget, CompileOptions, Document, EvaluateError, Expression, Kind, Language, MatchedCopies, Names, NodeId,
    ReadOptions, Scratch, Value,
};

use crate::check_error;

/// How many matches are looked at. There can be as many as a limit lets
/// through, and each is as large as the document.
const MATCHES: usize = 50;

/// What an expression gave.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The first matches, as JSON.
    pub(crate) matches: Vec<String>,
    /// How it ended; none when it was stopped after [`MATCHES`].
    pub(crate) end: Option<Result<(), EvaluateError>>,
}

/// The document that `text` holds, read with `scratch`.
pub(crate) fn read<'s>(scratch: &'s mut Scratch, text: &'s [u8]) -> Option<Document<'s>> {
    match scratch.read_value(text, ReadOptions::default()) {
        Ok(document) => Some(document),
        Err(error) => {
            check_error(&error.to_string(), "");
            None
        }
    }
}

/// Runs `expression` over `document`, twice, and over the document with one of
/// its nodes as `matchedToken`; `text` is the expression.
pub(crate) fn run(expression: &Expression, text: &str, document: Document<'_>) {
    let first = select(expression, document);
    assert_eq!(select(expression, document), first, "two runs differ");
    if let Some(Err(error)) = &first.end {
        check_error(&error.to_string(), text);
    }
    check_one(expression, text, document, &first);
    if document.kind(Document::ROOT) != Kind::Object {
        return;
    }
    for (_, node) in document.descendants(Document::ROOT).take(2).chain([(expressions::Symbol::NONE, Document::ROOT)]) {
        let matched = document.with_matched(node);
        if let Some(Err(error)) = select(expression, matched).end {
            check_error(&error.to_string(), text);
        }
    }
}

fn select(expression: &Expression, document: Document<'_>) -> Outcome {
    let mut matches = Vec::new();
    let mut stopped = false;
    let end = expression.select(document, Document::ROOT, &mut |value| {
        matches.push(json(document, &value));
        stopped = matches.len() == MATCHES;
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    Outcome { matches, end: (!stopped).then_some(end) }
}

/// Panics when the one value that an expression gives is not what its matches
/// say. A projection of JMESPath is one array there and matches here.
fn check_one(expression: &Expression, text: &str, document: Document<'_>, all: &Outcome) {
    let one = expression.select_one(document, Document::ROOT);
    if let Err(error) = &one {
        check_error(&error.to_string(), text);
    }
    match (one, all.matches.as_slice()) {
        (Err(EvaluateError::SeveralTokens), matches) => assert!(matches.len() > 1, "one token, called several"),
        (Err(error), _) => assert_eq!(all.end, Some(Err(error)), "only one of two ways fails"),
        (Ok(None), matches) => assert_eq!(matches.len(), 0, "no token, but matches"),
        (Ok(Some(value)), [only]) => {
            let value = json(document, &value);
            assert!(value == *only || value == format!("[{only}]"), "another token: {value} for {only}");
        }
        (Ok(Some(value)), matches) => {
            assert_eq!((matches.len(), json(document, &value).as_str()), (0, "[]"), "a token, but not one match");
        }
    }
}

/// A value as JSON; panics when it is none.
pub(crate) fn json(document: Document<'_>, value: &Value<'_>) -> String {
    let mut text = String::new();
    match value {
        Value::Node(node) => document.write_json(*node, &mut text),
        computed => {
            // The way of a computed match into the document that other expressions see.
            let mut scratch = Scratch::default();
            let mut copies = MatchedCopies::new(&mut scratch);
            let copy = match copies.with_matched(document, computed, &Budget::default()) {
                Ok(copy) => copy,
                Err(error) => {
                    assert!(matches!(error, EvaluateError::Limit(_)), "a copy fails: {error}");
                    return error.to_string();
                }
            };
            let matched = copy.find_name("matchedToken").and_then(|name| copy.member(Document::ROOT, name));
            copy.write_json(matched.expect("a computed match is a member"), &mut text);
        }
    }
    check_json(&text);
    text
}

/// Panics when `text` is not JSON but for the word `undefined` and JavaScript's
/// constructors, which the reference connector's reader lets through and its
/// writer writes.
#[track_caller]
pub(crate) fn check_json(text: &str) {
    let has_constructor = text.split("new").skip(1).any(|rest| {
        // A blank, a NUL or a comment.
        rest.starts_with(|next: char| !next.is_alphanumeric() && next != '"')
    });
    if text.contains("undefined") || has_constructor {
        return;
    }
    let read: Result<serde_json::Value, _> = serde_json::from_str(text);
    if let Err(error) = read {
        // Numbers beyond doubles are JSON that serde_json does not read.
        let is_range = error.to_string().contains("number out of range");
        assert!(is_range, "not JSON: {error}: {text}");
    }
}

/// The JSON of a node.
pub(crate) fn node_json(document: Document<'_>, node: NodeId) -> String {
    json(document, &Value::Node(node))
}

/// Compiles an expression, and gives the names that a scratch for it needs.
pub(crate) fn compile(text: &str, language: Language) -> Option<(Expression, Names)> {
    let mut names = Names::default();
    match Expression::compile(text, language, CompileOptions::default(), &mut names) {
        Ok(expression) => {
            names.fix();
            Some((expression, names))
        }
        Err(error) => {
            assert!(error.position <= text.chars().count(), "an error beyond the end of the expression");
            assert!(!error.text(text, language).is_empty());
            None
        }
    }
}
