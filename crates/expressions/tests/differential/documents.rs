//! Random documents, as JSON text: names from a small alphabet so that paths
//! hit something, some of them twice in an object, and values at the edges of
//! their types.

use std::fmt::Debug;

use expressions::{Document, Kind, NodeId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::tree::Tree;

/// Names of members that need no quotes in JSONPath and JMESPath, and two that do.
pub const NAMES: [&str; 6] = ["a", "b", "c", "v", "d e", ""];

pub fn name() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![12 => select(&NAMES[..4]), 1 => select(&NAMES[4..])]
}

pub const DATES: [&str; 5] = [
    "2021-06-01T00:00:00Z",
    "2021-06-01T00:00:00.500Z",
    "2021-06-01T02:00:00+02:00",
    "2021-06-01T00:00:00",
    "2020-02-29T23:59:59.9999999Z",
];

pub const TEXTS: [&str; 18] = [
    "",
    "a",
    "b",
    "abc",
    "B",
    "1",
    "2",
    "2.5",
    " 3 ",
    "1e1",
    "true",
    "False",
    "2021-06-01",
    "ä😀",
    "a/b",
    "x\\ny",
    "/a/",
    "/B/i",
];

const INTEGERS: [&str; 10] =
    ["0", "1", "2", "3", "-1", "5", "2147483648", "9223372036854775807", "-9223372036854775808", "9007199254740993"];

const BIG_INTEGERS: [&str; 3] = ["9223372036854775808", "-99999999999999999999", "18446744073709551616"];

const FLOATS: [&str; 9] =
    ["1.0", "0.3", "0.30000000000000004", "2.5", "-0.0", "1e3", "9.2233720368547758e18", "1e300", "-2.5"];

fn scalar(is_strict: bool) -> BoxedStrategy<String> {
    let plain = prop_oneof![
        2 => select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        5 => select(&INTEGERS[..]).prop_map(str::to_owned),
        3 => select(&FLOATS[..]).prop_map(str::to_owned),
        5 => select(&TEXTS[..]).prop_map(|text| format!("\"{text}\"")),
    ];
    if is_strict {
        return plain.boxed();
    }
    prop_oneof![
        16 => plain,
        3 => select(&DATES[..]).prop_map(|date| format!("\"{date}\"")),
        1 => select(&BIG_INTEGERS[..]).prop_map(str::to_owned),
        1 => select(vec!["NaN", "Infinity", "undefined", "1e400"]).prop_map(str::to_owned),
    ]
    .boxed()
}

/// Any document. A strict one has no dates, no big integers, and nothing that
/// only the lenient reader takes; and no name is twice in an object.
pub fn document(is_strict: bool) -> BoxedStrategy<String> {
    scalar(is_strict)
        .prop_recursive(4, 40, 5, move |inner| {
            let members = vec((name(), inner.clone()), 0..5).prop_map(move |mut members| {
                if is_strict {
                    members.sort_by_key(|member| member.0);
                    members.dedup_by_key(|member| member.0);
                }
                let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            });
            prop_oneof![
                3 => members,
                2 => vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            ]
        })
        .boxed()
}

/// What an expression is evaluated on.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// The document, as type matches are.
    Whole,
    /// The document with one of its nodes as `matchedToken`, as the
    /// expressions of CalculatedContent are. That node may be the root.
    WithMatched(Index),
    /// One of its nodes alone, as the expressions of the other kinds are.
    Match(Index),
}

pub fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        2 => Just(Place::Whole),
        2 => any::<Index>().prop_map(Place::WithMatched),
        1 => any::<Index>().prop_map(Place::Match),
    ]
}

impl Place {
    /// The document and the root for the engine, and the root for the
    /// interpreter.
    pub fn of(self, document: Document<'_>) -> (Document<'_>, NodeId, Tree) {
        let whole = Tree::copy(document, Document::ROOT, None);
        let nodes = whole.descendants_and_self();
        let node_of = |tree: &Tree| tree.at.expect("what is copied is a node");
        match self {
            Place::WithMatched(at) if document.kind(Document::ROOT) == Kind::Object => {
                let matched = nodes[at.index(nodes.len())];
                let root = Tree::copy(document, Document::ROOT, Some(matched));
                (document.with_matched(node_of(matched)), Document::ROOT, root)
            }
            Place::Match(at) => {
                let root = nodes[at.index(nodes.len())];
                (document, node_of(root), root.clone())
            }
            Place::Whole | Place::WithMatched(_) => (document, Document::ROOT, whole.clone()),
        }
    }
}

/// What the engine and the interpreter make of an expression's text; none when
/// both refuse it, and a failure when only one does.
pub fn both<C, P: Debug, E: Debug, F: Debug>(
    expression: &str,
    compiles: Result<C, E>,
    parsed: Result<P, F>,
) -> Result<Option<(C, P)>, TestCaseError> {
    prop_assert_eq!(
        compiles.as_ref().err().map(|_| ()),
        parsed.as_ref().err().map(|_| ()),
        "{}: compiled {:?}, parsed {:?}",
        expression,
        compiles.as_ref().err(),
        parsed
    );
    Ok(compiles.ok().zip(parsed.ok()))
}

/// An expression with one character taken out, replaced by one of `noise`, or
/// put in: most are errors.
pub fn broken(expression: BoxedStrategy<String>, noise: &str) -> BoxedStrategy<String> {
    let noise = select(noise.chars().collect::<Vec<_>>());
    (expression, any::<Index>(), noise, 0..3)
        .prop_map(|(expression, at, noise, form)| {
            let mut text: Vec<char> = expression.chars().collect();
            let at = at.index(text.len() + 1);
            match form {
                0 if at < text.len() => drop(text.remove(at)),
                1 if at < text.len() => text[at] = noise,
                _ => text.insert(at, noise),
            }
            text.into_iter().collect()
        })
        .boxed()
}
