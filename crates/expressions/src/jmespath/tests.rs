//! The language: syntax, nulls, projections, limits. The functions have their
//! tests in `functions/tests.rs`.

use super::*;
use crate::{Language, ReadOptions, Scratch};

/// Evaluates and gives JSON text; `error: …` when that fails.
pub(super) fn evaluated(expression: &str, data: &str) -> String {
    evaluated_with(expression, data, CompileOptions::default())
}

pub(super) fn evaluated_with(expression: &str, data: &str, options: CompileOptions) -> String {
    let mut names = Names::default();
    let program = match Program::compile(expression, options, &mut names) {
        Ok(program) => program,
        Err(error) => return format!("compile error: {error}"),
    };
    let mut scratch = Scratch::new(&names);
    let document = scratch.read_value(data.as_bytes(), ReadOptions::default()).unwrap();
    let value = match program.evaluate(document, Document::ROOT) {
        Ok(Evaluated::Value(value)) => value,
        Ok(Evaluated::Projection(items)) => Value::Array(items),
        Err(error) => return format!("{error:?}"),
    };
    let mut text = String::new();
    data::write_json(document, &value, &mut text);
    text
}

#[track_caller]
fn check(expression: &str, data: &str, expected: &str) {
    assert_eq!(evaluated(expression, data), expected, "{expression} over {data}");
}

#[track_caller]
fn check_refused(expression: &str, expected: &str) {
    let error = Program::compile(expression, CompileOptions::default(), &mut Names::default()).unwrap_err();
    assert_eq!(error.to_string(), expected, "{expression}");
}

#[test]
fn gives_fields_and_elements() {
    check("a.b", r#"{"a":{"b":1}}"#, "1");
    check(r#"SystemProperties."iothub-enqueuedtime""#, r#"{"SystemProperties":{"iothub-enqueuedtime":"x"}}"#, r#""x""#);
    check(r#""\u0061\"b""#, r#"{"a\"b":1}"#, "1");
    check("a[1]", r#"{"a":[1,2]}"#, "2");
    check("a[-1]", r#"{"a":[1,2]}"#, "2");
    check("a[2]", r#"{"a":[1,2]}"#, "null");
    check("a[99999999999999999999]", r#"{"a":[1,2]}"#, "null");
    check("a.b", r#"{"a":[1]}"#, "null");
    check("@", "[1.50]", "[1.5]");
    check("@.a", r#"{"a":1}"#, "1");
}

#[test]
fn gives_constants() {
    check(r"'a\\b\'c'", "{}", r#""a\\\\b'c""#);
    check("'2019-02-01T22:46:01+01:00'", "{}", r#""2019-02-01T22:46:01+01:00""#);
    check("`\"2019-02-01T22:46:01+01:00\"`", "{}", r#""2019-02-01T21:46:01+00:00""#);
    check("` {\"b\": [1, 2.0, true, null], \"a\": \"\\`\"} `", "{}", r#"{"b":[1,2.0,true,null],"a":"`"}"#);
    check("`heartRate`", "{}", r#""heartRate""#);
    check("`blood-pressure` == 'blood-pressure'", "{}", "true");
    check("type(`null`)", "{}", r#""null""#);
    for bad in ["``", "`01`", "`1 2`", "`[1,]`", "`'a'`", "`a b`", "`\"a`"] {
        check_refused(bad, &format!("Error(1, 0): syntax, near '{bad}'. at character 0"));
    }
}

/// 7.1: the operators from loosest to tightest.
#[test]
fn groups_by_level() {
    let data = r#"{"a":1,"b":2,"t":true,"f":false,"o":{"x":[7]},"l":[1]}"#;
    check("f || t && f", data, "false");
    check("t || t && f", data, "true");
    check("`5` | @", data, "5");
    check("o | x || 'none' | [0]", data, "7");
    check("!f == t", data, "true");
    check("!(f == t)", data, "true");
    check("!t == t", data, "false");
    check("!o.x", data, "false");
    check("!o.x[5]", data, "true");
    check("!!a", data, "true");
    // `<` binds tighter than `==`, `!=` tighter than `<`.
    check("t == a < b", data, "true");
    check("a < b == t", data, "true");
    check("b > a == t", data, "true");
    check("a < b != f", data, "null");
    check("f == a >= b", data, "true");
    check("t == a <= b && t", data, "true");
    check("l[0] == a", data, "true");
}

/// 7.1 and 11: what cannot be compiled, with the library's words and the place.
#[test]
fn refuses_what_is_not_in_the_grammar() {
    check_refused("", "Error(1, 0): syntax, near ''. at character 0");
    check_refused("a.", "Error(1, 2): syntax, near ''. at character 2");
    check_refused("a\n .. b", "Error(2, 2): syntax, near '.'. at character 4");
    check_refused("add(1,2)", "Error(1, 4): syntax, near '1'. at character 4");
    check_refused("$.a", "Error(1, 0): syntax, near '$'. at character 0");
    check_refused("'\u{e9}' + a", "Error(1, 4): syntax, near '+'. at character 4");
    check_refused("a[b]", "Error(1, 2): syntax, near 'b'. at character 2");
    check_refused("a[ ]", "Error(1, 3): syntax, near ']'. at character 3");
    check_refused("a.[0]", "Error(1, 3): syntax, near '0'. at character 3");
    check_refused("{a}", "Error(1, 2): syntax, near '}'. at character 2");
    check_refused("&a", "Error(1, 0): syntax, near '&'. at character 0");
    check_refused("add(left, right, up", "Error(1, 19): syntax, near ''. at character 19");
    check_refused("a[::0]", "Error: invalid-value, a slice projection step cannot be 0. at character 4");
    check_refused("{a: b, a: c}", "An item with the same key has already been added. Key: a at character 7");
}

#[test]
fn refuses_calls_that_cannot_work() {
    let cases = [
        ("Add(a, b)", "Error: unknown-function, no function named Add has been registered.", 0),
        ("a.substring(b)", "Error: unknown-function, no function named substring has been registered.", 2),
        ("add()", "Error: invalid-arity, the function add expects 2 arguments but none were supplied.", 0),
        ("sort(a, b)", "Error: invalid-arity, the function sort expects 1 argument but 2 were supplied.", 0),
        ("merge()", "Error: invalid-arity, the function merge expects 1 argument or more but none were supplied.", 0),
    ];
    for (expression, message, position) in cases {
        let error = Program::compile(expression, CompileOptions::default(), &mut Names::default()).unwrap_err();
        assert_eq!(error, CompileError { message: message.to_owned(), position, is_function: true });
    }
    let error = Program::compile("a.", CompileOptions::default(), &mut Names::default()).unwrap_err();
    assert!(!error.is_function);
    assert_eq!(
        error.text("a.", Language::JmesPath),
        "The following JmesPath expression could not be parsed: a.. Cause: Error(1, 2): syntax, near ''."
    );
}

/// 7.4, first point.
#[test]
fn keeps_nulls_that_are_written_down() {
    check("[*].x", r#"[{"x":1},{},{"x":null}]"#, "[1,null]");
    check("[*]", "[1,null,[null]]", "[1,[null]]");
    check("[]", "[1,null,[2,null]]", "[1,2]");
    check("*", r#"{"a":1,"b":null}"#, "[1,null]");
    check("a.*", r#"{"a":{"b":null}}"#, "[null]");
    check("[:2]", "[null,1,2]", "[null,1]");
    check("[?@ == `null`]", "[null,1]", "[null]");
    check("[*].[x]", r#"[{"x":1},{}]"#, "[[1],[null]]");
    check("[*].x.y", r#"[{"x":{"y":1}},{"x":{}},{"x":null}]"#, "[1]");
    check("[*].to_number(@)", r#"["1","x"]"#, "[1]");
    check("[*].(x)", "[]", "compile error: Error(1, 4): syntax, near '('. at character 4");
}

/// 7.4, second point.
#[test]
fn parentheses_do_not_end_a_projection() {
    let data = r#"{"a":[{"b":[1,2]},{"b":[3,4]}]}"#;
    check("(a[*].b)[0]", data, "[1,3]");
    check("a[*].b[0]", data, "[1,3]");
    check("a[*].b | [0]", data, "[1,2]");
    check("a[*].b[*]", data, "[[1,2],[3,4]]");
    check("a[*].b[]", data, "[1,2,3,4]");
    check("a[*].b[] | [1:3]", data, "[2,3]");
    check("a[?b[0] == `3`].b[1]", data, "[4]");
    check("a[::-1].b[0]", data, "[3,1]");
    check("[a][*][0].b", data, "[[1,2]]");
    check("a.[[0]]", data, "[{\"b\":[1,2]}]");
}

/// A projection with nothing before it takes a list without a point.
#[test]
fn takes_a_list_straight_after_a_bare_projection() {
    check("[*][a, b]", r#"[{"a":1,"b":2}]"#, "[[1,2]]");
    check("*[a]", r#"{"x":{"a":1}}"#, "[[1]]");
    check_refused("x[*][a, b]", "Error(1, 5): syntax, near 'a'. at character 5");
}

/// 7.4, third point.
#[test]
fn stops_at_null() {
    check("missing.length(@)", "{}", "null");
    check("missing[0].b", "{}", "null");
    check("x.[a]", r#"{"x":null}"#, "null");
    check("x | [a]", r#"{"x":null}"#, "[null]");
    check(
        "length(missing)",
        "{}",
        r#"Function("Error: invalid-type, function length expects either an object, an array or a string.")"#,
    );
}

#[test]
fn slices() {
    let data = "[0,1,2,3,4,5]";
    check("[1:3]", data, "[1,2]");
    check("[:-1]", data, "[0,1,2,3,4]");
    check("[-2:]", data, "[4,5]");
    check("[::2]", data, "[0,2,4]");
    check("[::-2]", data, "[5,3,1]");
    check("[4:1:-1]", data, "[4,3,2]");
    check("[10:0:-3]", data, "[4,1]");
    check("[-7::2]", data, "[1,3,5]");
    check("[10:20]", data, "[]");
    check("[99999999999999999999:-99999999999999999999:-1]", data, "[5,4,3,2,1,0]");
    check("[1:2]", r#""text""#, "null");
    check("[::-99999999999999999999]", data, "[5]");
}

/// 7.3, comparisons.
#[test]
fn compares() {
    let cases = [
        ("`1` == `1.0`", "false"),
        ("`1.0` == `1.00`", "true"),
        ("`0.1` != `0.2`", "true"),
        ("add(`0.1`, `0.2`) == `0.3`", "true"),
        ("`1` == '1'", "false"),
        ("`{\"a\": 1, \"b\": [2]}` == `{\"b\": [2], \"a\": 1}`", "true"),
        ("`[1, 2]` == `[2, 1]`", "false"),
        ("missing == `null`", "true"),
        ("`1` < `1.5`", "true"),
        ("`2` <= `2.0`", "true"),
        ("'a' < 'b'", "true"),
        ("'b' < 'B'", "false"),
        ("missing < 'a'", "true"),
        ("missing < missing", "false"),
        ("missing <= missing", "true"),
        ("'a' > missing", "true"),
        ("missing >= 'a'", "false"),
        ("`1` < 'a'", "null"),
        ("`true` < `false`", "null"),
        ("`[]` < `[1]`", "null"),
        ("missing < `1`", "null"),
        ("'\u{ffff}' > '\u{1f600}'", "true"),
    ];
    for (expression, expected) in cases {
        check(expression, "{}", expected);
    }
}

/// 7.3, first row: comparisons of dates.
#[test]
fn compares_dates() {
    let data = r#"{"d":"2019-02-01T22:46:01Z","e":"2018-03-01T00:00:00Z"}"#;
    check("d == '2019-02-01T22:46:01Z'", data, "false");
    check("d == `\"2019-02-01T22:46:01Z\"`", data, "true");
    check("d == `\"2019-02-01T23:46:01+01:00\"`", data, "true");
    // By the text `02/01/2019 …` and `03/01/2018 …`.
    check("d < e", data, "true");
    check("d < '03'", data, "true");
}

/// 7.4, last point: what counts as false.
#[test]
fn filters_by_truth() {
    check("[?a]", r#"[{"a":""},{"a":[]},{"a":{}},{"a":false},{"a":null},{},{"a":0}]"#, r#"[{"a":0}]"#);
    check("[?a]", r#"[{"a":"2019-02-01T22:46:01Z"}]"#, r#"[{"a":"2019-02-01T22:46:01Z"}]"#);
    check("x || 'default'", "{}", r#""default""#);
    check("a[?b] || 'none'", r#"{"a":[{}]}"#, r#""none""#);
    check("a && b", r#"{"a":0,"b":1}"#, "1");
    check("a && b && c", r#"{"a":"","b":1}"#, r#""""#);
}

/// Matches as 4.2 wants them, one token as 4.3 does.
#[test]
fn selects_as_mappings_do() {
    let data = br#"{"Body":{"heartRate":78},"l":[{"v":1},{"v":2},{"w":3}],"n":null,"e":[]}"#;
    let cases = [
        ("l[*].v", "1 2", "several"),
        ("l[?w].w", "3", "[3]"),
        ("l[?x].x", "", "[]"),
        ("l[*].v | [0]", "1", "1"),
        ("e", "[]", "[]"),
        ("n", "", "none"),
        ("missing", "", "none"),
        ("[Body][?heartRate]", r#"{"heartRate":78}"#, r#"[{"heartRate":78}]"#),
        ("to_array(Body)[?heartRate].heartRate", "78", "[78]"),
        ("l[*].[v]", "[1] [2] [null]", "several"),
    ];
    for (expression, matches, one) in cases {
        let mut names = Names::default();
        let program = Program::compile(expression, CompileOptions::default(), &mut names).unwrap();
        let mut scratch = Scratch::new(&names);
        let document = scratch.read_value(data, ReadOptions::default()).unwrap();
        let json = |value: &Value<'_>| {
            let mut text = String::new();
            data::write_json(document, value, &mut text);
            text
        };
        let mut found = Vec::new();
        let select = program.select(document, Document::ROOT, &Budget::default(), &mut |value| {
            found.push(json(&value));
            ControlFlow::Continue(())
        });
        assert_eq!((select, found.join(" ")), (Ok(()), matches.to_owned()), "{expression}");
        let actual = match program.select_one(document, Document::ROOT, &Budget::default()) {
            Ok(Some(value)) => json(&value),
            Ok(None) => "none".to_owned(),
            Err(EvaluateError::SeveralTokens) => "several".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, one, "{expression}");
    }
    assert_eq!(several_tokens_text("a[*]"), "Multiple tokens were returned using expression a[*]");
}

#[test]
fn stops_selecting_when_told() {
    let mut names = Names::default();
    let program = Program::compile("[*]", CompileOptions::default(), &mut names).unwrap();
    let mut scratch = Scratch::new(&names);
    let document = scratch.read_value(b"[1,2,3]", ReadOptions::default()).unwrap();
    let mut count = 0;
    let select = program.select(document, Document::ROOT, &Budget::default(), &mut |_| {
        count += 1;
        if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((select, count), (Ok(()), 2));
}

/// 4.2: the root of CalculatedContent has one more member.
#[test]
fn sees_the_matched_token() {
    let mut names = Names::default();
    let programs = ["matchedToken.hr", "keys(@)", "matchedToken == Body", "Body.matchedToken"]
        .map(|text| Program::compile(text, CompileOptions::default(), &mut names).unwrap());
    let mut scratch = Scratch::new(&names);
    let document = scratch.read_value(br#"{"Body":{"hr":1}}"#, ReadOptions::default()).unwrap();
    let body = document.member(Document::ROOT, crate::Symbol::BODY).unwrap();
    let document = document.with_matched(body);
    let actual =
        programs.map(|program| match program.select_one(document, Document::ROOT, &Budget::default()).unwrap() {
            Some(value) => {
                let mut text = String::new();
                data::write_json(document, &value, &mut text);
                text
            }
            None => "none".to_owned(),
        });
    assert_eq!(actual, ["1", r#"["Body","matchedToken"]"#, "true", "none"]);
}

/// 4.2: a match that is the whole document is a copy without `matchedToken`.
/// Once taken for the root itself, it was compared with itself without end.
#[test]
fn has_the_whole_document_as_match_once() {
    let mut names = Names::default();
    let cases = [
        ("keys(@)", r#"["Body","matchedToken"]"#),
        ("keys(matchedToken)", r#"["Body"]"#),
        ("matchedToken.Body.hr", "1"),
        ("matchedToken.matchedToken", "none"),
        ("@ == matchedToken", "false"),
        ("contains(@.*, matchedToken)", "true"),
        ("contains(@.*, @)", "false"),
        ("to_string(matchedToken)", r#""{\"Body\":{\"hr\":1}}""#),
    ];
    for (text, expected) in cases {
        let program = Program::compile(text, CompileOptions::default(), &mut names).unwrap();
        let mut scratch = Scratch::new(&names);
        let document = scratch.read_value(br#"{"Body":{"hr":1}}"#, ReadOptions::default()).unwrap();
        let value =
            program.select_one(document.with_matched(Document::ROOT), Document::ROOT, &Budget::default()).unwrap();
        let mut actual = String::new();
        match value {
            Some(value) => data::write_json(document, &value, &mut actual),
            None => actual.push_str("none"),
        }
        assert_eq!(actual, expected, "{text}");
    }
}

#[test]
fn keeps_the_order_of_members() {
    check("{z: b, a: a}", r#"{"a":1,"b":2}"#, r#"{"z":2,"a":1}"#);
    check("keys(@)", r#"{"b":1,"a":2}"#, r#"["b","a"]"#);
    check("*", r#"{"b":1,"a":2}"#, "[1,2]");
}

#[test]
fn bounds_how_deep_an_expression_nests() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    check(&nested(parser::NESTING_MAX - 1), r#"{"a":1}"#, "1");
    check_refused(&nested(100_000), "the expression is too long at character 0");
    check_refused(&nested(500), "the expression nests too deep at character 100");
    check_refused(&"!".repeat(500), "the expression nests too deep at character 100");
    let chain = vec!["a"; interpreter::DEPTH_MAX + 1].join(" == ");
    check(&chain, r#"{"a":1}"#, r#"Limit("the expression nests too deep")"#);
    check(&vec!["a"; 900].join(" || "), "{}", "null");
    check(
        &vec!["[@]"; 400].join(" | ").replacen("[@]", "a", 1),
        "{}",
        &format!("{}null{}", "[".repeat(399), "]".repeat(399)),
    );
}

#[test]
fn bounds_the_work() {
    let doubling = vec!["[@, @]"; 40].join(" | ");
    check(&doubling, "1", r#"Limit("the expression takes more than 2000000 steps")"#);
    let text = vec!["join('', [@, @])"; 60].join(" | ");
    check(&text, r#""0123456789abcdef""#, r#"Limit("the expression takes more than 2000000 steps")"#);
    let list = format!("[{}]", vec!["[1]"; 3000].join(","));
    check("map(&length(map(&@, @)), [@]) | [0]", &list, "3000");
    let expression = "[?length(a[?@ == `0`]) == `1`]";
    let rows = format!("[{}]", [r#"{"a":[1,2,3]}"#; 10].join(","));
    check(expression, &rows, "[]");
    let quadratic = format!("[{}]", (0..3000).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    check(
        "[*].length(@)",
        &quadratic,
        r#"Function("Error: invalid-type, function length expects either an object, an array or a string.")"#,
    );
    check("[@, @] | [0][?contains(`[-1]`, @)] | length(@)", &quadratic, "0");
}

proptest::proptest! {
    /// Whatever is written is compiled or refused, and what is compiled gives
    /// a value or an error.
    #[test]
    fn takes_any_text(parts in proptest::collection::vec(0..PARTS.len(), 0..14)) {
        let text: String = parts.iter().map(|part| PARTS[*part]).collect();
        evaluated(&text, r#"{"a":[{"b":1.5},null,[2,"x"]],"b":"2019-02-01T22:46:01Z"}"#);
    }
}

const PARTS: [&str; 40] = [
    "a",
    "b",
    "@",
    "*",
    ".",
    "[",
    "]",
    "[]",
    "[?",
    "[0]",
    "[-1]",
    "[1:]",
    "[::-2]",
    "[*]",
    "(",
    ")",
    "{",
    "}",
    ":",
    ",",
    "|",
    "||",
    "&&",
    "!",
    "==",
    "<",
    "&",
    "'x\\''",
    "`1`",
    "`[1, 2]`",
    "`",
    "\"b\"",
    "length(",
    "sort_by(",
    "map(&",
    "to_string(",
    "\\",
    "\u{e9}",
    "-",
    "merge(@,",
];
