//! Random JSONPath expressions: the compiled engine and the interpreter.

use std::ops::ControlFlow;

use expressions::{
    CompileError, CompileOptions, Document, EvaluateError, Expression, Language, Names, NodeId, ReadOptions, Scratch,
    Value,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::documents::{self, DATES, NAMES, Place, TEXTS};
use crate::jsonpath::{self, Failure, Run};
use crate::tree::Tree;

/// The member names as a path writes them after a dot.
fn name() -> impl Strategy<Value = String> + Clone {
    prop_oneof![20 => select(&NAMES[..4]), 1 => Just("matchedToken")].prop_map(str::to_owned)
}

fn quoted() -> impl Strategy<Value = String> + Clone {
    documents::name().prop_map(|name| format!("'{name}'"))
}

fn optional_number() -> impl Strategy<Value = String> + Clone {
    prop_oneof![2 => Just(String::new()), 3 => (-6_i32..7).prop_map(|number| number.to_string())]
}

fn step_part() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        3 => Just(String::new()),
        3 => select(vec!["1", "2", "-1", "-2", "3"]).prop_map(str::to_owned),
        1 => Just("0".to_owned()),
    ]
}

fn blank() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![6 => Just(""), 1 => Just(" ")]
}

/// What stands between brackets, but for filters.
fn indexer() -> BoxedStrategy<String> {
    let inside = prop_oneof![
        3 => quoted(),
        2 => vec(quoted(), 2..4).prop_map(|names| names.join(",")),
        3 => Just("*".to_owned()),
        3 => (-3_i32..5).prop_map(|index| index.to_string()),
        2 => vec((-2_i32..4).prop_map(|index| index.to_string()), 2..4).prop_map(|indexes| indexes.join(" , ")),
        2 => (optional_number(), optional_number()).prop_map(|(start, end)| format!("{start}:{end}")),
        2 => (optional_number(), optional_number(), step_part())
            .prop_map(|(start, end, step)| format!("{start}:{end}:{step}")),
    ];
    (inside, blank(), blank(), 0..12)
        .prop_map(|(inside, before, after, form)| match form {
            0 => format!("({before}{inside}{after})"),
            _ => format!("[{before}{inside}{after}]"),
        })
        .boxed()
}

fn plain_step() -> BoxedStrategy<String> {
    prop_oneof![
        6 => name().prop_map(|name| format!(".{name}")),
        2 => name().prop_map(|name| format!("..{name}")),
        1 => Just(".*".to_owned()),
        1 => Just("..*".to_owned()),
        5 => indexer(),
        1 => indexer().prop_map(|indexer| format!("..{indexer}")),
        1 => indexer().prop_map(|indexer| format!(".{indexer}")),
    ]
    .boxed()
}

fn literal() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        4 => select(&TEXTS[..]).prop_map(|text| format!("'{text}'")),
        2 => select(&DATES[..]).prop_map(|date| format!("'{date}'")),
        6 => select(vec!["0", "1", "2", "3", "-1", "1.0", "0.3", "2.5", "1e3", "-0.0", "1,000.5", "9223372036854775807"])
            .prop_map(str::to_owned),
        3 => select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ]
}

fn pattern() -> impl Strategy<Value = String> + Clone {
    let bodies = ["a", "^a", "b$", "A.c", "[a-c]+", "^$", "\\/", "(a|b)", "\\d", "^.$", ""];
    (select(bodies.to_vec()), select(vec!["", "i", "m", "s", "x", "ims", "g"]))
        .prop_map(|(body, flags)| format!("/{body}/{flags}"))
}

/// A filter's test, with tests that hold filters themselves.
fn test() -> BoxedStrategy<String> {
    let side = side(plain_step().boxed());
    let flat = tests(side);
    flat.clone().prop_recursive(2, 8, 2, |inner| {
        let step = prop_oneof![
            2 => plain_step(),
            1 => (inner, 0..3).prop_map(|(test, form)| if form == 0 { format!("..[?({test})]") } else { format!("[?({test})]") }),
        ];
        tests(side_of(step.boxed()))
    })
    .boxed()
}

fn side(step: BoxedStrategy<String>) -> BoxedStrategy<String> {
    side_of(step)
}

fn side_of(step: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let path = (prop_oneof![4 => Just("@"), 1 => Just("$")], vec(step, 0..3))
        .prop_map(|(start, steps)| start.to_owned() + &steps.concat());
    prop_oneof![
        5 => path,
        2 => name().prop_map(|name| format!("@{name}")),
        3 => literal(),
    ]
    .boxed()
}

fn tests(side: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let operator = select(vec!["==", "==", "!=", "<>", "===", "!==", "<", "<=", ">", ">="]);
    let term = prop_oneof![
        3 => side.clone(),
        5 => (side.clone(), operator, side.clone(), 0..4).prop_map(|(left, operator, right, form)| {
            if form == 0 { format!("{left}{operator}{right}") } else { format!("{left} {operator} {right}") }
        }),
        1 => (side.clone(), pattern()).prop_map(|(left, pattern)| format!("{left} =~ {pattern}")),
        1 => (pattern(), side).prop_map(|(left, right)| format!("{left} =~ {right}")),
    ];
    let joined = (term.clone(), vec((select(vec!["&&", "||"]), term), 0..4))
        .prop_map(|(first, rest)| rest.iter().fold(first, |all, (operator, term)| format!("{all} {operator} {term}")));
    (joined, blank(), blank()).prop_map(|(test, before, after)| format!("{before}{test}{after}")).boxed()
}

fn step() -> BoxedStrategy<String> {
    prop_oneof![
        6 => plain_step(),
        2 => test().prop_map(|test| format!("[?({test})]")),
        2 => test().prop_map(|test| format!("..[?({test})]")),
    ]
    .boxed()
}

fn path() -> BoxedStrategy<String> {
    let start = prop_oneof![8 => Just("$"), 1 => Just(""), 1 => Just(" $")];
    let end = prop_oneof![8 => Just(""), 1 => Just(" ")];
    let usual = prop_oneof![Just(""), Just("$.matchedToken"), Just("$..[?(@a)]"), Just("$..[?(@a && @b)]")];
    prop_oneof![
        12 => (start, vec(step(), 0..4), end).prop_map(|(start, steps, end)| format!("{start}{}{end}", steps.concat())),
        1 => (usual, vec(step(), 0..2)).prop_map(|(start, steps)| format!("{start}{}", steps.concat())),
        1 => (select(vec!["a", "$a", "@.a", "a.b", ".a", "*", "", "$", "matchedToken"]), vec(step(), 0..2))
            .prop_map(|(start, steps)| format!("{start}{}", steps.concat())),
    ]
    .boxed()
}

fn broken_path() -> BoxedStrategy<String> {
    documents::broken(path(), " .$@[]()'*,:-01?!=<>&|/\\a\"")
}

/// What one engine makes of an expression and a document.
#[derive(Debug, PartialEq)]
struct Outcome<T> {
    all: (Vec<T>, Option<Failure>),
    one: Result<Option<T>, Failure>,
}

fn compiled(expression: &Expression, document: Document<'_>, root: NodeId) -> Outcome<NodeId> {
    let node = |value: Value<'_>| match value {
        Value::Node(node) => node,
        other => panic!("JSONPath gives nodes, not {other:?}"),
    };
    let mut tokens = Vec::new();
    let ended = expression.select(document, root, &mut |value| {
        tokens.push(node(value));
        ControlFlow::Continue(())
    });
    Outcome {
        all: (tokens, ended.err().map(failure)),
        one: expression.select_one(document, root).map(|one| one.map(node)).map_err(failure),
    }
}

fn failure(error: EvaluateError) -> Failure {
    match error {
        EvaluateError::SeveralTokens => Failure::SeveralTokens,
        EvaluateError::JsonPath(_) => Failure::JsonPath,
        other => panic!("not an error of JSONPath: {other:?}"),
    }
}

fn interpreted(steps: &[jsonpath::parse::Step], run: Run<'_>) -> Outcome<NodeId> {
    let at = |tree: &Tree| tree.at.expect("every token is a node");
    let (tokens, failure) = jsonpath::select(steps, run);
    Outcome {
        all: (tokens.into_iter().map(at).collect(), failure),
        one: jsonpath::select_one(steps, run).map(|one| one.map(at)),
    }
}

fn check(expression: &str, json: &str, place: Place, coerced_comparison_errors: bool) -> Result<(), TestCaseError> {
    let options = CompileOptions { coerced_comparison_errors, ..CompileOptions::default() };
    let mut names = Names::default();
    let compiles = Expression::compile(expression, Language::JsonPath, options, &mut names);
    // Patterns are compiled with the path, not when they are first used.
    let is_about_pattern = |error: &CompileError| error.message.contains("regular expression");
    if compiles.as_ref().is_err_and(is_about_pattern) {
        return Ok(());
    }
    let parsed = jsonpath::parse::parse(expression);
    let Some((compiles, parsed)) = documents::both(expression, compiles, parsed)? else { return Ok(()) };
    let mut scratch = Scratch::new(&names);
    let document = scratch.read_value(json.as_bytes(), ReadOptions::default()).expect("the JSON is read");
    let (document, root, tree) = place.of(document);
    let (actual, expected) =
        (compiled(&compiles, document, root), interpreted(&parsed, Run { root: &tree, coerced_comparison_errors }));
    let is_nothing = expected.all.0.is_empty() && expected.all.1.is_none();
    let lacks = matches!(place, Place::Whole) && compiles.needed_names() & !document.all_names() != 0;
    prop_assert_eq!(actual, expected, "left is compiled: {} over {}", expression, json);
    prop_assert!(is_nothing || !lacks, "{} is said to need what {} lacks", expression, json);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jsonpath_selects_what_the_interpreter_selects(
        json in documents::document(false),
        expressions in vec(path(), 8),
        place in documents::place(),
        coerced_comparison_errors: bool,
    ) {
        for expression in &expressions {
            check(expression, &json, place, coerced_comparison_errors)?;
        }
    }

    #[test]
    fn jsonpath_refuses_what_the_interpreter_refuses(
        json in documents::document(false),
        expressions in vec(broken_path(), 8),
    ) {
        for expression in &expressions {
            check(expression, &json, Place::Whole, true)?;
        }
    }
}
