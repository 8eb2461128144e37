//! Where the dialects coincide with the standards: JSONPath with the crate
//! `serde_json_path` (RFC 9535), JMESPath with the crate `jmespath`.
//!
//! The expressions are from the part that both understand alike
//! (device-mapping.md 6.7, 7.3 and 7.4): no star and no filter on what may be
//! an object, no negative index, no `!=`, no ordering of JSONPath; no null in
//! documents for JMESPath, no slice that starts outside the list, one
//! comparison at a time. Members stand in alphabetical order, as
//! `serde_json` keeps them.

use std::ops::ControlFlow;

use expressions::{CompileOptions, Document, Expression, Language, Names, NodeId, ReadOptions, Scratch, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

use crate::documents;
use crate::tree::{Data, Tree};

type Text = BoxedStrategy<String>;

fn name() -> Text {
    select(vec!["a", "b", "c", "v"]).prop_map(str::to_owned).boxed()
}

fn plain_step() -> Text {
    let bound = prop_oneof![Just(String::new()), (-6_i32..7).prop_map(|bound| bound.to_string())];
    let step = select(vec!["", ":", ":1", ":2", ":3", ":-1", ":-2"]);
    prop_oneof![
        6 => name().prop_map(|name| format!(".{name}")),
        1 => name().prop_map(|name| format!("['{name}']")),
        2 => name().prop_map(|name| format!("..{name}")),
        1 => vec(name(), 2..4).prop_map(|names| format!("['{}']", names.join("','"))),
        3 => (0..4).prop_map(|index| format!("[{index}]")),
        1 => (0..3, 0..3).prop_map(|(one, other)| format!("[{one},{other}]")),
        2 => (bound.clone(), bound, step).prop_map(|(start, end, step)| format!("[{start}:{end}{step}]")),
    ]
    .boxed()
}

fn test() -> Text {
    let side = vec(prop_oneof![4 => name().prop_map(|name| format!(".{name}")), 1 => Just("[0]".to_owned())], 0..3)
        .prop_map(|steps| format!("@{}", steps.concat()));
    let literal = select(vec!["1", "2", "-1", "2.5", "'a'", "'1'", "''", "true", "false", "null"]);
    let term = prop_oneof![
        2 => (side.clone(), vec(plain_step(), 0..2)).prop_map(|(side, steps)| side + &steps.concat()),
        3 => (side, literal).prop_map(|(side, literal)| format!("{side} == {literal}")),
    ];
    // Of one operator: what both mean by two differs.
    (vec(term, 1..4), select(vec![" && ", " || "])).prop_map(|(terms, operator)| terms.join(operator)).boxed()
}

/// `l` is a list, so that a filter sees the same in both.
fn path() -> Text {
    prop_oneof![
        2 => vec(plain_step(), 0..4).prop_map(|steps| format!("${}", steps.concat())),
        2 => (test(), vec(plain_step(), 0..2)).prop_map(|(test, steps)| format!("$.l[?({test})]{}", steps.concat())),
        1 => vec(plain_step(), 0..3).prop_map(|steps| format!("$.l[*]{}", steps.concat())),
    ]
    .boxed()
}

fn with_list(is_without_nulls: bool) -> Text {
    let document = documents::document(true).prop_map(move |json| match is_without_nulls {
        // 1 and 1.0 are not equal here, and are in the standard.
        true => json.replace("null", "7").replace("1.0", "1.5"),
        false => json,
    });
    vec(document, 0..5)
        .prop_map(|items| format!("{{\"a\":{},\"l\":[{}]}}", items.first().map_or("1", |item| item), items.join(",")))
        .boxed()
}

fn all_values<'j>(json: &'j Json, all: &mut Vec<&'j Json>) {
    all.push(json);
    match json {
        Json::Array(items) => items.iter().for_each(|item| all_values(item, all)),
        Json::Object(members) => members.values().for_each(|value| all_values(value, all)),
        _ => {}
    }
}

/// Compares by place: the nodes of both stand in the same order.
fn check_jsonpath(expression: &str, text: &str) -> Result<(), TestCaseError> {
    let mut names = Names::default();
    let path = Expression::compile(expression, Language::JsonPath, CompileOptions::default(), &mut names).unwrap();
    let mut scratch = Scratch::new(&names);
    let document = scratch.read_value(text.as_bytes(), ReadOptions { dates: false, ..ReadOptions::default() }).unwrap();
    let nodes: Vec<NodeId> =
        std::iter::once(Document::ROOT).chain(document.descendants(Document::ROOT).map(|(_, node)| node)).collect();
    let mut actual = Vec::new();
    let ended = path.select(document, Document::ROOT, &mut |value| {
        let Value::Node(node) = value else { panic!("JSONPath gives nodes") };
        actual.push(nodes.iter().position(|each| *each == node).unwrap());
        ControlFlow::Continue(())
    });
    prop_assert!(ended.is_ok(), "{expression} over {text}: {ended:?}");

    let json: Json = serde_json::from_str(text).unwrap();
    let mut values = Vec::new();
    all_values(&json, &mut values);
    let standard = serde_json_path::JsonPath::parse(expression).unwrap();
    let found = standard.query(&json).all();
    let mut expected: Vec<usize> =
        found.iter().map(|value| values.iter().position(|each| std::ptr::eq(*each, *value)).unwrap()).collect();
    // The order of what `..` gives differs.
    if expression.contains("..") {
        actual.sort_unstable();
        expected.sort_unstable();
    }
    prop_assert_eq!(actual, expected, "{} over {}", expression, text);
    Ok(())
}

fn steps() -> Text {
    let step = prop_oneof![
        6 => name().prop_map(|name| format!(".{name}")),
        3 => (-3_i32..4).prop_map(|index| format!("[{index}]")),
        2 => Just("[*]".to_owned()),
        2 => Just("[]".to_owned()),
        1 => Just(".*".to_owned()),
        1 => select(vec!["[:1]", "[1:]", "[::2]", "[::-1]", "[:]", "[:-1]"]).prop_map(str::to_owned),
    ];
    vec(step, 0..4).prop_map(|steps| steps.concat()).boxed()
}

/// Steps for what was computed, which may hold nulls: slices and `.*` keep
/// them here, and drop them in the standard.
fn steps_past_nulls() -> Text {
    let step = prop_oneof![
        3 => name().prop_map(|name| format!(".{name}")),
        2 => (-3_i32..4).prop_map(|index| format!("[{index}]")),
        1 => Just("[*]".to_owned()),
        1 => Just("[]".to_owned()),
    ];
    vec(step, 0..4).prop_map(|steps| steps.concat()).boxed()
}

fn expression() -> Text {
    let start = prop_oneof![4 => Just("a"), 4 => Just("l"), 1 => Just("@"), 1 => Just("l[0]"), 1 => Just("b")];
    let leaf = (start, steps()).prop_map(|(start, steps)| format!("{start}{steps}"));
    let literal = select(vec!["`1`", "`2`", "`2.5`", "'a'", "'1'", "`true`", "`[1]`", "`{\"a\":1}`"]);
    leaf.boxed()
        .prop_recursive(3, 8, 2, move |inner| {
            prop_oneof![
                3 => (select(vec!["a", "l", "@"]), inner.clone(), steps())
                    .prop_map(|(start, test, steps)| format!("{start}[?{test}]{steps}")),
                2 => (inner.clone(), steps_past_nulls()).prop_map(|(inner, steps)| format!("{inner} | @{steps}")),
                1 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one}) || ({other})")),
                1 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one}) && ({other})")),
                1 => inner.clone().prop_map(|inner| format!("!({inner})")),
                2 => (inner.clone(), select(vec!["==", "!="]), literal.clone())
                    .prop_map(|(inner, operator, literal)| format!("({inner}) {operator} {literal}")),
                1 => (inner.clone(), select(vec!["<", "<=", ">", ">="]))
                    .prop_map(|(inner, operator)| format!("({inner}) {operator} `1`")),
                1 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("[{one}, {other}]")),
                1 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("{{x: {one}, y: {other}}}")),
                1 => inner.clone().prop_map(|inner| format!("type({inner})")),
                1 => inner.clone().prop_map(|inner| format!("keys({inner})")),
                1 => inner.clone().prop_map(|inner| format!("values({inner})")),
                1 => inner.clone().prop_map(|inner| format!("length(to_array({inner}))")),
                1 => inner.prop_map(|inner| format!("map(&({inner}), l)")),
            ]
        })
        .boxed()
}

fn json(value: &Value<'_>, document: Document<'_>) -> Json {
    let of = |tree: &Tree| json_of(tree);
    match value {
        Value::Node(node) => of(&Tree::copy(document, *node, None)),
        Value::Null => Json::Null,
        Value::Bool(is_true) => Json::from(*is_true),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::String(text) => Json::from(text.clone()),
        Value::Date(_) => panic!("no dates here"),
        Value::Array(items) => items.iter().map(|item| json(item, document)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone().into_owned(), json(value, document))).collect()
        }
    }
}

fn json_of(tree: &Tree) -> Json {
    match &tree.data {
        Data::Null => Json::Null,
        Data::Bool(is_true) => Json::from(*is_true),
        Data::Integer(number) => Json::from(*number),
        Data::Float(number) => Json::from(*number),
        Data::String(text) => Json::from(text.clone()),
        Data::Array(items) => items.iter().map(json_of).collect(),
        Data::Object(members) => members.iter().map(|(name, value)| (name.clone(), json_of(value))).collect(),
        other => panic!("not in strict JSON: {other:?}"),
    }
}

fn check_jmespath(expression: &str, text: &str) -> Result<(), TestCaseError> {
    let mut names = Names::default();
    let program = expressions::jmespath::Program::compile(expression, CompileOptions::default(), &mut names);
    let program = program.map_err(|error| TestCaseError::fail(format!("{expression}: {error}")))?;
    let mut scratch = Scratch::new(&names);
    let document = scratch.read_value(text.as_bytes(), ReadOptions { dates: false, ..ReadOptions::default() }).unwrap();
    let actual = program.evaluate(document, Document::ROOT).ok().map(|evaluated| match evaluated {
        expressions::jmespath::Evaluated::Value(value) => json(&value, document),
        expressions::jmespath::Evaluated::Projection(items) => items.iter().map(|item| json(item, document)).collect(),
    });
    let data = jmespath::Variable::from_json(text).unwrap();
    let expected = jmespath::compile(expression).unwrap().search(data).ok();
    let expected = expected.map(|value| serde_json::to_value(&*value).unwrap());
    prop_assert_eq!(actual, expected, "left is ours: {} over {}", expression, text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jsonpath_is_that_of_the_rfc_where_they_coincide(json in with_list(false), expressions in vec(path(), 8)) {
        for expression in &expressions {
            check_jsonpath(expression, &json)?;
        }
    }

    #[test]
    fn jmespath_is_that_of_its_specification_where_they_coincide(
        json in with_list(true),
        expressions in vec(expression(), 8),
    ) {
        for expression in &expressions {
            check_jmespath(expression, &json)?;
        }
    }
}
