//! Random JMESPath expressions: the compiled engine and the interpreter.

use std::ops::ControlFlow;

use expressions::Value;
use expressions::{CompileOptions, Document, EvaluateError, Expression, Kind, Language, Names, ReadOptions, Scratch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::documents::{self, DATES, Place, TEXTS};
use crate::jmespath::{self, Failure};
use crate::tree::{Data, Tree, is_same};

type Text = BoxedStrategy<String>;

fn name() -> Text {
    documents::name()
        .prop_map(|name| {
            let needs_quotes = name.is_empty() || name.contains(' ');
            if needs_quotes { format!("\"{name}\"") } else { name.to_owned() }
        })
        .boxed()
}

fn literal() -> Text {
    let json = [
        "1",
        "0",
        "-1",
        "2.5",
        "1.0",
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "[1,null,[2]]",
        "{\"a\":1}",
        "\"\"",
        "word",
    ];
    let json =
        json.into_iter().chain(["9223372036854775807", "[3,1,2]", "[\"b\",\"a\"]", "{\"a\":{\"b\":[1]}}", " 1 "]);
    prop_oneof![
        4 => select(json.collect::<Vec<_>>()).prop_map(|json| format!("`{json}`")),
        2 => select(&DATES[..]).prop_map(|date| format!("`\"{date}\"`")),
        3 => select(&TEXTS[..]).prop_map(|text| format!("'{text}'")),
        1 => select(&DATES[..]).prop_map(|date| format!("'{date}'")),
    ]
    .boxed()
}

fn number() -> Text {
    prop_oneof![2 => Just(String::new()), 3 => (-5_i32..6).prop_map(|number| number.to_string())].boxed()
}

fn slice() -> Text {
    (number(), number(), prop_oneof![3 => Just(""), 4 => select(vec![":", ":1", ":2", ":-1", ":-2", ":3", ":0"])])
        .prop_map(|(start, end, step)| format!("[{start}:{end}{step}]"))
        .boxed()
}

/// What follows a value: `.a`, `[0]` and so on.
fn postfix(inner: Text) -> Text {
    prop_oneof![
        8 => name().prop_map(|name| format!(".{name}")),
        4 => (-3_i32..4).prop_map(|index| format!("[{index}]")),
        3 => Just("[*]".to_owned()),
        2 => Just("[]".to_owned()),
        2 => Just(".*".to_owned()),
        2 => slice(),
        3 => inner.clone().prop_map(|test| format!("[?{test}]")),
        1 => vec(inner.clone(), 1..3).prop_map(|parts| format!(".[{}]", parts.join(","))),
        1 => hash(inner.clone()).prop_map(|hash| format!(".{hash}")),
        2 => call(inner).prop_map(|call| format!(".{call}")),
    ]
    .boxed()
}

fn hash(inner: Text) -> Text {
    let names = [["x", "y"], ["a", "b"], ["b", "\"d e\""]];
    (select(names.to_vec()), vec(inner, 1..3))
        .prop_map(|(names, parts)| {
            let members: Vec<String> = names.iter().zip(parts).map(|(name, part)| format!("{name}:{part}")).collect();
            format!("{{{}}}", members.join(", "))
        })
        .boxed()
}

/// A call with arguments of the right sort more often than not.
fn call(inner: Text) -> Text {
    let one = vec![
        "abs",
        "avg",
        "ceil",
        "floor",
        "keys",
        "length",
        "max",
        "min",
        "reverse",
        "sort",
        "sum",
        "to_array",
        "to_number",
        "to_string",
        "type",
        "values",
        "fromUnixTimestamp",
        "fromUnixTimestampMs",
        "not_null",
        "merge",
    ];
    let two = vec![
        "contains",
        "starts_with",
        "ends_with",
        "join",
        "add",
        "subtract",
        "multiply",
        "divide",
        "pow",
        "not_null",
        "merge",
    ];
    let by = vec!["sort_by", "max_by", "min_by"];
    let list = prop_oneof![
        2 => inner.clone(),
        1 => inner.clone().prop_map(|inner| format!("to_array({inner})")),
        1 => vec(inner.clone(), 1..4).prop_map(|parts| format!("[{}]", parts.join(","))),
        1 => name().prop_map(|name| format!("{name}[*]")),
        1 => Just("@.*".to_owned()),
    ]
    .boxed();
    prop_oneof![
        4 => (select(one.clone()), inner.clone()).prop_map(|(function, argument)| format!("{function}({argument})")),
        3 => (select(one), list.clone()).prop_map(|(function, argument)| format!("{function}({argument})")),
        4 => (select(two), inner.clone(), inner.clone())
            .prop_map(|(function, one, other)| format!("{function}({one}, {other})")),
        1 => (inner.clone(), list.clone()).prop_map(|(glue, list)| format!("join({glue}, {list})")),
        1 => (list.clone(), inner.clone()).prop_map(|(list, search)| format!("contains({list}, {search})")),
        2 => (select(by), list.clone(), inner.clone()).prop_map(|(function, list, key)| format!("{function}({list}, &{key})")),
        1 => (list, inner.clone()).prop_map(|(list, mapped)| format!("map(&{mapped}, {list})")),
        1 => (inner.clone(), inner.clone(), -1_i32..5)
            .prop_map(|(text, inserted, at)| format!("insertString({text}, {inserted}, `{at}`)")),
        1 => select(vec!["length()", "length(@, @)", "sort(&a)", "map(a, b)", "none(@)", "to_string(&a)", "Length(@)"])
            .prop_map(str::to_owned),
        1 => inner.prop_map(|inner| format!("length( {inner} )")),
    ]
    .boxed()
}

fn expression() -> Text {
    let leaf = prop_oneof![
        8 => name(),
        3 => Just("@".to_owned()),
        3 => literal(),
        1 => Just("*".to_owned()),
        1 => Just("[*]".to_owned()),
        1 => Just("[]".to_owned()),
        1 => (-2_i32..3).prop_map(|index| format!("[{index}]")),
        1 => slice(),
        1 => Just("matchedToken".to_owned()),
    ]
    .boxed();
    leaf.prop_recursive(4, 14, 3, |inner| {
        let inner = inner.boxed();
        let operator = select(vec!["||", "&&", "|", "==", "!=", "<", "<=", ">", ">="]);
        prop_oneof![
            6 => (inner.clone(), vec(postfix(inner.clone()), 1..4)).prop_map(|(start, rest)| start + &rest.concat()),
            2 => (inner.clone(), operator.clone(), inner.clone())
                .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
            1 => (inner.clone(), operator, inner.clone())
                .prop_map(|(left, operator, right)| format!("{left}{operator}{right}")),
            1 => inner.clone().prop_map(|inner| format!("!{inner}")),
            2 => inner.clone().prop_map(|inner| format!("({inner})")),
            4 => call(inner.clone()),
            1 => vec(inner.clone(), 1..4).prop_map(|parts| format!("[{}]", parts.join(", "))),
            1 => hash(inner.clone()),
            1 => inner.prop_map(|test| format!("[?{test}]")),
        ]
    })
    .boxed()
}

fn broken_expression() -> Text {
    documents::broken(expression(), " .@[]()'*,:-01?!=<>&|`\"{}\\a#")
}

fn failure(error: EvaluateError) -> Failure {
    match error {
        EvaluateError::SeveralTokens => Failure::SeveralTokens,
        EvaluateError::Function(_) => Failure::Function,
        EvaluateError::DivideByZero => Failure::DivideByZero,
        EvaluateError::Overflow(_) => Failure::Overflow,
        EvaluateError::OutOfRange(_) => Failure::OutOfRange,
        other => panic!("not an error of JMESPath: {other:?}"),
    }
}

/// A result of the engine as a tree; `document` is the one without
/// `matchedToken`, and `root` all that `@` means.
fn tree(value: &Value<'_>, document: Document<'_>) -> Tree {
    let data = match value {
        Value::Node(node) => return Tree::copy(document, *node, None),
        Value::Null => Data::Null,
        Value::Bool(is_true) => Data::Bool(*is_true),
        Value::Integer(number) => Data::Integer(*number),
        Value::Float(number) => Data::Float(*number),
        Value::String(text) => Data::String(text.clone().into_owned()),
        Value::Date(date) => Data::Date(*date),
        Value::Array(items) => Data::Array(items.iter().map(|item| tree(item, document)).collect()),
        Value::Object(members) => Data::Object(
            members.iter().map(|(name, value)| (name.clone().into_owned(), tree(value, document))).collect(),
        ),
    };
    data.into()
}

/// Whether two results are the same. The root shows here without
/// `matchedToken`, whichever of the two ways it was reached.
fn agree(actual: &Tree, expected: &Tree) -> bool {
    match (&actual.data, &expected.data) {
        _ if actual.at == Some(Document::ROOT) && expected.at == Some(Document::ROOT) => true,
        (Data::Array(actual), Data::Array(expected)) => {
            actual.len() == expected.len()
                && actual.iter().zip(expected).all(|(actual, expected)| agree(actual, expected))
        }
        (Data::Object(actual), Data::Object(expected)) => {
            actual.len() == expected.len()
                && actual
                    .iter()
                    .zip(expected)
                    .all(|(actual, expected)| actual.0 == expected.0 && agree(&actual.1, &expected.1))
        }
        _ => is_same(actual, expected),
    }
}

/// Whether a copy of a document with a computed match is the document with
/// that match.
fn copies_with_matched(document: Document<'_>, value: &Value<'_>, matched: &Tree) -> bool {
    if document.kind(Document::ROOT) != Kind::Object {
        return true;
    }
    let mut scratch = Scratch::default();
    let copy = scratch.copy_with_matched(document, value);
    let expected = Tree::copy(document, Document::ROOT, Some(matched));
    is_same(&Tree::copy(copy, Document::ROOT, None), &expected)
}

fn check(expression: &str, json: &str, place: Place) -> Result<(), TestCaseError> {
    let mut names = Names::default();
    let compiles = Expression::compile(expression, Language::JmesPath, CompileOptions::default(), &mut names);
    let parsed = jmespath::parse::parse(expression);
    let Some((compiles, parsed)) = documents::both(expression, compiles, parsed)? else { return Ok(()) };
    let mut scratch = Scratch::new(&names);
    let plain = scratch.read_value(json.as_bytes(), ReadOptions::default()).expect("the JSON is read");
    let (document, start, root) = place.of(plain);
    let (mut values, mut is_copied) = (Vec::new(), true);
    let ended = compiles.select(document, start, &mut |value| {
        let value_tree = tree(&value, plain);
        if matches!(place, Place::Whole) {
            is_copied &= copies_with_matched(plain, &value, &value_tree);
        }
        values.push(value_tree);
        ControlFlow::Continue(())
    });
    prop_assert!(is_copied, "a copy with a result of {expression} over {json} differs");
    let all = ended.map(|()| values).map_err(failure);
    let expected = jmespath::select(&parsed, &root);
    let lacks = matches!(place, Place::Whole) && compiles.needed_names() & !plain.all_names() != 0;
    let is_nothing = expected.as_ref().is_ok_and(|expected| expected.is_empty());
    prop_assert!(is_nothing || !lacks, "{expression} is said to need what {json} lacks");
    let is_agreed = match (&all, &expected) {
        (Ok(all), Ok(expected)) => {
            all.len() == expected.len() && all.iter().zip(expected).all(|(actual, expected)| agree(actual, expected))
        }
        (Err(actual), Err(expected)) => actual == expected,
        _ => false,
    };
    prop_assert!(is_agreed, "all of {expression} over {json}: compiled {all:?}, interpreted {expected:?}");
    let one = compiles.select_one(document, start).map(|one| one.map(|one| tree(&one, plain))).map_err(failure);
    let expected = jmespath::select_one(&parsed, &root);
    let is_agreed = match (&one, &expected) {
        (Ok(Some(one)), Ok(Some(expected))) => agree(one, expected),
        (Ok(None), Ok(None)) => true,
        (Err(actual), Err(expected)) => actual == expected,
        _ => false,
    };
    prop_assert!(is_agreed, "one of {expression} over {json}: compiled {one:?}, interpreted {expected:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jmespath_gives_what_the_interpreter_gives(
        json in documents::document(false),
        expressions in vec(expression(), 8),
        place in documents::place(),
    ) {
        for expression in &expressions {
            check(expression, &json, place)?;
        }
    }

    #[test]
    fn jmespath_refuses_what_the_interpreter_refuses(
        json in documents::document(false),
        expressions in vec(broken_expression(), 8),
    ) {
        for expression in &expressions {
            check(expression, &json, Place::Whole)?;
        }
    }
}
