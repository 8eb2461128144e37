//! The vectors of device-mapping.md 13 and the rules of section 6.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::{Path, evaluate};
use crate::budget::Budget;
use crate::document::{Document, Scratch};
use crate::expression::{CompileOptions, EvaluateError, Expression, Language};
use crate::names::Names;
use crate::reader::ReadOptions;
use crate::value::Value;

fn select(path: &str, json: &str, coerced_comparison_errors: bool, one: bool) -> String {
    let mut names = Names::default();
    let options = CompileOptions { coerced_comparison_errors, ..CompileOptions::default() };
    let path = match Expression::compile(path, Language::JsonPath, options, &mut names) {
        Ok(path) => path,
        Err(error) => return format!("error {error}"),
    };
    let mut scratch = Scratch::new(&names);
    let document = scratch.read_value(json.as_bytes(), ReadOptions::default()).unwrap();
    let mut found = Vec::new();
    let result = if one {
        path.select_one(document, Document::ROOT).map(|value| found.extend(value))
    } else {
        path.select(document, Document::ROOT, &mut |value| {
            found.push(value);
            ControlFlow::Continue(())
        })
    };
    match result {
        Ok(()) => written(document, &found),
        Err(error) => format!("error {error}"),
    }
}

fn written(document: Document<'_>, found: &[Value<'_>]) -> String {
    let mut out = String::new();
    for value in found {
        let Value::Node(node) = value else { panic!("{value:?} is no node") };
        if !out.is_empty() {
            out.push(' ');
        }
        document.write_json(*node, &mut out);
    }
    out
}

#[track_caller]
fn check(path: &str, json: &str, expected: &str) {
    assert_eq!(select(path, json, true, false), expected, "{path}");
}

#[track_caller]
fn check_error(path: &str, expected: &str) {
    check(path, "{}", &format!("error {expected}"));
}

/// Which of `values`, as member `v` of the elements of an array, match.
#[track_caller]
fn check_filter(filter: &str, values: &[&str], expected: &[&str]) {
    let element = |value: &&str| if value.is_empty() { "{}".to_owned() } else { format!("{{\"v\":{value}}}") };
    let array = format!("[{}]", values.iter().map(element).collect::<Vec<_>>().join(","));
    let expected: Vec<String> = expected.iter().map(element).collect();
    assert_eq!(select(&format!("$[?({filter})]"), &array, true, false), expected.join(" "), "{filter}");
}

#[test]
fn selects_the_nodes_that_have_members() {
    check("$..[?(@hr)]", r#"{"hr":1,"Body":{"hr":2}}"#, r#"{"hr":1,"Body":{"hr":2}} {"hr":2}"#);
    check("$..[?(@hr && @dt)]", r#"{"Body":[{"hr":1},{"hr":2,"dt":3}]}"#, r#"{"hr":2,"dt":3}"#);
    check("$..[?(@Body.hr)]", r#"{"Body":{"hr":1}}"#, r#"{"Body":{"hr":1}}"#);
    check("$..[?(@['My P'])]", r#"{"Body":{"My P":1}}"#, r#"{"My P":1}"#);
    check("$.Body[?(@hr)]", r#"{"Body":{"hr":1}}"#, "");
    check("$.Body[?(@hr)]", r#"{"Body":[{"hr":null},{"x":1}]}"#, r#"{"hr":null}"#);
    check("$..[?(@)]", "[1]", "[1] 1");
    check("$..[?(@)]", "7", "7");
}

#[test]
fn selects_members_and_elements() {
    check("$..b", r#"{"a":{"b":1},"b":[{"b":2}]}"#, r#"1 [{"b":2}] 2"#);
    check("$..*", r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}} {"b":1} 1"#);
    check("$['b','a','b']", r#"{"a":1,"b":2}"#, "2 1 2");
    check("$..['a','b']", r#"{"b":1,"a":2,"c":{"a":3}}"#, "1 2 3");
    check("$..['a','a']", r#"{"a":1}"#, "1 1");
    check("$[3:0:-1]", "[0,1,2,3,4]", "3 2 1");
    check("$[-1:]", "[1,2]", "2");
    check("$..[0]", r#"{"a":[1]}"#, "");
    check("$[2,0,2,9]", "[0,1,2]", "2 0 2");
    check("$.*", "[1]", "");
    check("$[*]", r#"{"a":1}"#, "");
    check("$.a[1].b", r#"{"a":[0,{"b":"x"}]}"#, "\"x\"");
    check("a.b", r#"{"a":{"b":null}}"#, "null");
}

#[test]
fn counts_negative_indexes_from_the_end() {
    check("$[-1]", "[1,2]", "2");
    check("$[-2,-1]", "[1,2]", "1 2");
    check("$[-3]", "[1,2]", "");
    check("$[-1]", "{}", "");
}

#[test]
fn slices_as_python_does() {
    for (path, expected) in [
        ("$[:]", "0 1 2 3 4"),
        ("$[1:3]", "1 2"),
        ("$[::2]", "0 2 4"),
        ("$[::-2]", "4 2 0"),
        ("$[-3:-1]", "2 3"),
        ("$[9:]", ""),
        ("$[:-9]", ""),
        ("$[-9:2]", "0 1"),
        ("$[9::-3]", "4 1"),
        ("$[2:-9:-1]", "2 1 0"),
        ("$[1:3:-1]", ""),
        ("$[3:1]", ""),
        ("$[1:9:2147483647]", "1"),
        ("$[9:1:-2147483648]", "4"),
        ("$[1:2:3:4]", "1"),
    ] {
        check(path, "[0,1,2,3,4]", expected);
    }
    check("$[0:1]", r#"{"a":1}"#, "");
    check("$[::-1]", "[]", "");
}

#[test]
fn tells_names_from_signs() {
    check("$", "1", "1");
    check("  ", "1", "1");
    check("$ ", r#"{"$":1}"#, "1");
    check("$a", r#"{"$a":1}"#, "1");
    check("@.a", r#"{"@":{"a":1}}"#, "1");
    check(" $.a ", r#"{"a":1}"#, "1");
    check(" a ", r#"{" a":1}"#, "1");
    check("$.iothub-connection-device-id", r#"{"iothub-connection-device-id":"d"}"#, "\"d\"");
    check("$.a:b/'c'\"\u{e4}", "{\"a:b/'c'\\\"\u{e4}\":1}", "1");
    check("$.a*", r#"{"a*":1}"#, "1");
    check("$['*']", r#"{"*":1,"a":2}"#, "1");
    check("$.['a'].b", r#"{"a":{"b":1}}"#, "1");
    check("$(0)('a')", r#"[{"a":1}]"#, "");
    check("$.(0)('a')", r#"[{"a":1}]"#, "1");
    check("$...a", r#"{"b":{"a":1}}"#, "1");
    check("$.a\t", r#"{"a":1}"#, "1");
    check("$.\ta.b", "{\"\\ta\":{\"b\":1}}", "1");
    check(r"$['it\'s\n\/']", r#"{"it's\n/":1}"#, "1");
    check("$.a. ", r#"{"a":1}"#, "1");
}

#[test]
fn nests_operators_to_the_right() {
    let json = r#"[{"a":1},{"a":1,"b":1},{"a":1,"c":1},{"c":1}]"#;
    check("$[?(@.a && @.b || @.c)]", json, r#"{"a":1,"b":1} {"a":1,"c":1}"#);
    check("$[?(@.c || @.a && @.b)]", json, r#"{"a":1,"b":1} {"a":1,"c":1} {"c":1}"#);
    check("$[?(@.a && @.b && @.a)]", json, r#"{"a":1,"b":1}"#);
    check("$[?(@.a&&@.b||@.c&&@.a)]", json, r#"{"a":1,"b":1} {"a":1,"c":1}"#);
}

#[test]
fn asks_for_existence() {
    check("$[?(false)]", "[1,2]", "1 2");
    check("$[?(null)]", "[1]", "1");
    check("$[?(/x/)]", "[1]", "1");
    check("$[?(@..name)]", r#"[{"a":{"name":1}},{"a":1}]"#, r#"{"a":{"name":1}}"#);
    check("$[?($[1])]", "[1,2]", "1 2");
    check("$[?($[2])]", "[1,2]", "");
    check("$.a[?(@.b[?(@.c == 1)])]", r#"{"a":[{"b":[{"c":1}]},{"b":[{"c":2}]}]}"#, r#"{"b":[{"c":1}]}"#);
}

#[test]
fn compares_for_equality_without_converting() {
    check_filter("@.v == 1", &["1", "1.0", "\"1\"", "true", "null", ""], &["1", "1.0"]);
    check_filter("@.v != 1", &["1", "\"1\"", "null", "", "[1]"], &["\"1\"", "null", "[1]"]);
    check_filter("@.v <> 1", &["1", "{}"], &["{}"]);
    check_filter("@.v !== 1", &["1", "1.0", "\"1\"", "[1]", ""], &["\"1\""]);
    check_filter("@.v === true", &["1", "true", "\"true\""], &["true"]);
    check_filter("'1' == @.v", &["1", "\"1\""], &["\"1\""]);
    check_filter("@.v == 0.3 ", &["0.30000000000000004", "0.31"], &["0.30000000000000004"]);
    check_filter("@.v[*] == 'x'", &[r#"["y","x"]"#, r#"["y"]"#], &[r#"["y","x"]"#]);
    check_filter("@.v == @.v", &["1", "[1]", "null", ""], &["1", "null"]);
    check_filter(
        "@.v == 9223372036854775807",
        &["9223372036854775808", "9223372036854775807"],
        &["9223372036854775807"],
    );
    check_filter("@.v == 18446744073709551616.0", &["18446744073709551616"], &["18446744073709551616"]);
    check_filter("@.v == 'a\\\\b'", &[r#""a\\b""#], &[r#""a\\b""#]);
}

#[test]
fn compares_dates_with_their_canonical_text() {
    let d = &["\"2019-02-01T22:46:01.5Z\""];
    check_filter("@.v == '2019-02-01T22:46:01.5Z'", &["\"2019-02-01T22:46:01.500Z\""], d);
    check_filter("@.v == '2019-02-01T22:46:01.500Z'", d, &[]);
    check_filter("'2019-02-01T22:46:01.5Z' == @.v", d, &[]);
    check_filter("@.v === '2019-02-01T22:46:01.5Z'", d, &[]);
    check_filter("@.v =~ /2019/", d, &[]);
    check_filter("@.v > '2019-02-01'", d, d);
    check_filter("@.v < '2019-02-01T22:46:02Z'", d, d);
    check(
        "$[?('2020-01-01' > @.v)]",
        r#"[{"v":"2019-02-01T22:46:01Z"}]"#,
        "error Unable to cast object of type 'System.String' to type 'System.DateTimeOffset'.",
    );
}

#[test]
fn orders_by_the_type_on_the_left() {
    check_filter("@.v > 1", &["2", "2.5", "\"2\"", "null", "true"], &["2", "2.5", "\"2\""]);
    check_filter("@.v < 1", &["null", "0", ""], &["null", "0"]);
    check_filter("@.v >= null", &["null", "1"], &["null", "1"]);
    check_filter("@.v <= 1 ", &["true", "false", "2", "[]"], &["true", "false"]);
    check_filter("@.v > 1.5 ", &["\"2.5\"", "\" 1,000 \"", "true", "2"], &["\"2.5\"", "\" 1,000 \"", "2"]);
    check_filter("@.v < '2'", &["\"10\"", "\"B\"", "\"a\""], &["\"10\""]);
    check_filter("@.v < 'a'", &["\"B\"", "\"a\""], &["\"B\""]);
    check_filter("@.v < true", &["false", "0", "\"False\"", "\" true \""], &["false", "0", "\"False\""]);
    check_filter("@.v > 9223372036854775807", &["9223372036854775808", "\"1\""], &["9223372036854775808"]);
    check_filter("@.v < -5 ", &["-9223372036854775809", "-4"], &["-9223372036854775809"]);
    check_filter("@.v > 0.30000000000000004 ", &["0.3", "0.4"], &["0.4"]);
    check_filter("1 < 2 && @.v < '\u{e000}'", &["\"\u{1f600}\""], &["\"\u{1f600}\""]);
}

#[test]
fn fails_or_not_when_sides_cannot_be_converted() {
    for value in ["\"abc\"", "\"2.5\"", "\"2019-02-01T00:00:00Z\""] {
        let json = format!("[{{\"v\":{value}}},{{\"v\":2}}]");
        let strict = select("$[?(@.v > 1)]", &json, true, false);
        assert!(strict.starts_with("error ") && !strict.contains("abc"), "{strict}");
        assert_eq!(select("$[?(@.v > 1)]", &json, false, false), "{\"v\":2}");
    }
    assert_eq!(select("$[?(@.v =~ @.p)]", r#"[{"v":"a","p":"("}]"#, false, false).find("error "), Some(0));
}

#[test]
fn an_integer_beyond_64_bits_has_no_relation_to_not_a_number() {
    for operator in ["==", "!=", "===", "!==", "<"] {
        let path = format!("$[?(@.v {operator} @.w)]");
        for json in [r#"[{"v":9223372036854775808,"w":NaN}]"#, r#"[{"v":Infinity,"w":9223372036854775808}]"#] {
            let error = select(&path, json, true, false);
            assert_eq!(error, "error BigInteger cannot represent NaN or infinity.", "{path}");
            assert_eq!(select(&path, json, false, false), "", "{path}");
        }
    }
}

#[test]
fn matches_regular_expressions() {
    check_filter("@.v =~ /^A.c$/i", &["\"abc\"", "\"xabc\"", "1"], &["\"abc\""]);
    check_filter("@.v =~ /b/", &["\"abc\"", "null", ""], &["\"abc\""]);
    check_filter("@.v =~ /A b/xi", &["\"a b\"", "\"ab\""], &["\"a b\""]);
    check_filter("@.v =~ /a.b/s", &["\"a\\nb\""], &["\"a\\nb\""]);
    check_filter("@.v =~ /^b$/m", &["\"a\\nb\""], &["\"a\\nb\""]);
    check_filter("@.v =~ /^a$/", &["\"a\\n\"", "\"a\\nb\""], &["\"a\\n\""]);
    check_filter("@.v =~ /a\\/b/", &["\"a/b\""], &["\"a/b\""]);
    check_filter("@.v =~ '/B/i'", &["\"abc\""], &["\"abc\""]);
    check_filter("@.v =~ /[[&]{x/", &["\"[{x\"", "\"&{x\"", "\"a\""], &["\"[{x\"", "\"&{x\""]);
    check_filter("@.v =~ /^[a-z-[aeiou]]{2}$/", &["\"bc\"", "\"ba\""], &["\"bc\""]);
    check_filter("@.v =~ 1 ", &["\"1\""], &[]);
    check("$[?(@.v =~ @.p)].v", r#"[{"v":"abc","p":"/B/i"},{"v":"x","p":"/y/"}]"#, "\"abc\"");
    for pattern in ["/(?=a)/", "/(a)\\1/", "/(/", "'a'"] {
        let text = format!("$[?(@.v =~ {pattern})]");
        let error = Path::compile(&text, true, &mut Names::default()).unwrap_err();
        assert_eq!(error.position, 11, "{error}");
    }
}

#[test]
fn reads_numbers_up_to_a_blank_or_parenthesis() {
    check("$[?(@.v==1 && @.w==2)]", r#"[{"v":1,"w":2}]"#, r#"{"v":1,"w":2}"#);
    check_error("$[?(@.v==1&&@.w==2)]", "Unexpected character while parsing path query: ) at character 18");
    check_filter("@.v == 1,000.5 ", &["1000.5"], &["1000.5"]);
    check_filter("@.v == -1e2", &["-100"], &["-100"]);
    check_error("$[?(@.v==9223372036854775808)]", "Unexpected character while parsing path query: ) at character 28");
    check_error("$[?(@.v==+1)]", "Unexpected character while parsing path query: + at character 9");
    // A comparison without operator after it is forgotten.
    check("$[?(@.v==1 @.w==2)]", r#"[{"v":1},{"w":2}]"#, r#"{"w":2}"#);
}

#[test]
fn reports_broken_paths_with_their_place() {
    for (path, error) in [
        ("$.", "Unexpected end while parsing path. at character 2"),
        ("$. a", "Unexpected character while parsing path:   at character 2"),
        ("$.a .b", "Unexpected character while parsing path:   at character 3"),
        ("a]", "Unexpected character while parsing path: ] at character 1"),
        (" $", "Index was outside the bounds of the array. at character 2"),
        ("[0]a", "Unexpected character following indexer: a at character 3"),
        ("[", "Path ended with open indexer. at character 1"),
        ("[0", "Path ended with open indexer. at character 2"),
        ("[ ", "Path ended with open indexer. at character 2"),
        ("[]", "Array index expected. at character 1"),
        ("[1,]", "Array index expected. at character 3"),
        ("[1 2]", "Unexpected character while parsing path indexer: 2 at character 3"),
        ("[*,1]", "Unexpected character while parsing path indexer: * at character 1"),
        ("[\"a\"]", "Unexpected character while parsing path indexer: \" at character 1"),
        ("['a',0]", "Path ended with an open string. at character 7"),
        ("['\\u0041']", "Unknown escape character: \\u at character 3"),
        ("[99999999999]", "Value was either too large or too small for an Int32. at character 1"),
        ("[1-2]", "The input string '1-2' was not in a correct format. at character 1"),
        ("[::0]", "Step cannot be zero. at character 4"),
        ("[?@.a]", "Unexpected character while parsing path indexer: @ at character 2"),
        ("[?(@.a)", "Path ended with open indexer. at character 7"),
        ("[?(@.a", "Path ended with open query. at character 6"),
        ("[?(", "Path ended with open query. at character 3"),
        ("[?(@.a ~ 1)]", "Could not read query operator. at character 7"),
        ("[?(@.a=", "Path ended with open query. at character 6"),
        ("[?(@.a|@.b)]", "Unexpected character while parsing path query: | at character 6"),
        ("[?(!@.a)]", "Unexpected character while parsing path query: ! at character 3"),
        ("[?(@.a =~ /x)]", "Path ended with an open regex. at character 14"),
        ("\u{e4}[?(@.", "Unexpected end while parsing path. at character 6"),
    ] {
        check_error(path, error);
    }
}

#[test]
fn wants_one_token() {
    assert_eq!(select("$..v", r#"{"v":1}"#, true, true), "1");
    assert_eq!(select("$..v", "{}", true, true), "");
    assert_eq!(select("$..v", r#"[{"v":1},{"v":2}]"#, true, true), "error Path returned multiple tokens.");
    // The second token comes before the comparison that would fail.
    let json = r#"[{"v":2},{"v":3},{"v":"x"}]"#;
    assert_eq!(select("$[?(@.v > 1)]", json, true, true), "error Path returned multiple tokens.");
}

/// How many matches a path has.
fn count(document: Document<'_>, path: &Path) -> usize {
    let mut count = 0;
    path.select(document, Document::ROOT, &Budget::default(), &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    count
}

#[test]
fn sees_the_match_a_second_time() {
    let mut names = Names::default();
    let mut compile = |text| Path::compile(text, true, &mut names).unwrap();
    let paths =
        ["$.matchedToken.hr", "$..hr", "$..[?(@hr)]", "$..[?(@matchedToken)]", "$.Body[?($.matchedToken.hr == @)]"]
            .map(&mut compile);
    let of_root =
        ["$.matchedToken.matchedToken", "$..hr", "$..[?(@Body)]", "$..[?(@matchedToken)]", "$.matchedToken..[?(@hr)]"]
            .map(&mut compile);
    let mut scratch = Scratch::new(&names);
    let text = r#"{"Body":[1,{"hr":1}]}"#;
    let document = scratch.read_value(text.as_bytes(), ReadOptions::default()).unwrap();
    let body = document.children(Document::ROOT).next().unwrap().1;
    let matched = document.element(body, 1).unwrap();
    assert_eq!(paths.each_ref().map(|path| count(document.with_matched(matched), path)), [1, 2, 2, 1, 1]);
    let whole = document.with_matched(Document::ROOT);
    assert_eq!(of_root.each_ref().map(|path| count(whole, path)), [0, 2, 2, 1, 1]);
    let mut out = String::new();
    whole.write_json(Document::ROOT, &mut out);
    assert_eq!(out, r#"{"Body":[1,{"hr":1}],"matchedToken":{"Body":[1,{"hr":1}]}}"#);
}

/// Quirk 7, the other way of its switch.
#[test]
fn sees_the_match_once_when_switched() {
    let mut names = Names::default();
    let options = CompileOptions { matched_token_twice: false, ..CompileOptions::default() };
    let mut compile = |text| Path::compile_with(text, options, &mut names).unwrap();
    let paths = [
        "$.matchedToken.hr",
        "$..hr",
        "$..[?(@hr)]",
        "$..[?(@matchedToken)]",
        "$.Body[?($.matchedToken.hr == @)]",
        "$..matchedToken.hr",
        "$..['x','matchedToken']..hr",
        "$.matchedToken..hr",
        "$..*",
    ]
    .map(&mut compile);
    let mut scratch = Scratch::new(&names);
    let text = r#"{"Body":[1,{"hr":1}]}"#;
    let document = scratch.read_value(text.as_bytes(), ReadOptions::default()).unwrap();
    let body = document.children(Document::ROOT).next().unwrap().1;
    let node = document.element(body, 1).unwrap();
    let expected = [1, 1, 1, 1, 1, 1, 1, 1, 5];
    assert_eq!(paths.each_ref().map(|path| count(document.with_matched(node), path)), expected);
    // A match that JMESPath computed is in no other place, so it is seen, too.
    let mut second = Scratch::new(document.names);
    let computed = Value::Object(vec![("hr".into(), Value::Integer(1))]);
    let computed = second.copy_with_matched(document, &computed);
    assert_eq!(paths.each_ref().map(|path| count(computed, path)), [1, 2, 2, 1, 1, 1, 1, 1, 7]);
    let whole = document.with_matched(Document::ROOT);
    assert_eq!(paths.each_ref().map(|path| count(whole, path)), [0, 1, 1, 1, 0, 0, 1, 1, 5]);
}

/// Quirk 49, the other way of its switch: patterns that come with an event run
/// in linear time in any case.
#[test]
fn runs_patterns_by_backtracking_when_switched() {
    let json = r#"[{"v":"aa","p":"/(a)\\1/"},{"v":"ab","p":"/a/"}]"#;
    check("$[?(@.v =~ /(a)\\1/)].v", json, "\"aa\"");
    let refused = "error a value used as a regular expression is not one that can be used";
    check("$[?(@.v =~ @.p)].v", json, refused);
}

/// Senders choose how long these are, and each takes memory and time to compile.
#[test]
fn a_long_pattern_that_comes_with_an_event_meets_the_limit_of_steps() {
    for (pattern, is_refused) in [
        (format!("/{}/", "a".repeat(1000)), false),
        (format!("/{}/", "\\\\w".repeat(40_000)), true),
        (format!("/{}/i", "[\\\\s\\\\S]".repeat(200)), true),
    ] {
        let found = select("$[?(@.v =~ @.p)].v", &format!(r#"[{{"v":"abc","p":"{pattern}"}}]"#), true, false);
        let refusal = "error the expressions take more than 100000000 steps over this event";
        assert_eq!(found.as_str() == refusal, is_refused, "{pattern:.20}: {found:.200}");
    }
}

#[test]
fn tells_the_names_that_a_path_needs() {
    for (text, errors, expected) in [
        ("$..[?(@hr)]", true, "hr"),
        ("$..[?(@.hr && @['a b'])]", true, "hr, a b"),
        ("$..[?(@Body.hr)]", true, "Body, hr"),
        ("$.Body..[?(@hr)].x", true, "Body, hr, x"),
        ("$.Body[*]['a','b'].c", true, "Body, c"),
        ("$..a[0:1]", true, "a"),
        ("$..[?(@hr || @dt)]", true, ""),
        ("$..[?(@hr && @a || @hr)]", true, "hr"),
        ("$..[?(@)]", true, ""),
        ("$..[?($.a.b)]", true, "a, b"),
        ("$..[?(@.type == 'hr')].v", true, "type, v"),
        ("$..[?('hr' != @.type)]", true, "type"),
        ("$..[?(@.type == @.kind)]", true, "type, kind"),
        // An error must not be hidden by the lack of what comes after it.
        ("$..[?(@.a > 1 && @.b)].c", true, "a"),
        ("$..[?(@.a > 1 && @.b)].c", false, "a, b, c"),
        ("$..[?(@.a =~ @.b && @.c)]", false, "a, b"),
        ("$..[?(@.a =~ /x/ && @.c)]", true, "a, c"),
    ] {
        let mut names = Names::default();
        let path = Path::compile(text, errors, &mut names).unwrap();
        let needed = expected.split(", ").filter(|name| !name.is_empty());
        let expected = needed.fold(0, |bits, name| bits | names.find(name).unwrap().bit());
        assert_eq!(path.needed_names(), expected, "{text}");
    }
}

#[test]
fn stops_hostile_paths() {
    let nested = format!("${}{}", "[?(@".repeat(100), ")]".repeat(100));
    assert!(select(&nested, "[]", true, false).contains("at most 64"), "nested filters");
    assert!(select(&"a.".repeat(600), "[]", true, false).contains("at most 512"), "many steps");
    let path = Path::compile("$..*..*..*", true, &mut Names::default()).unwrap();
    let mut scratch = Scratch::default();
    let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
    let document = scratch.read_value(deep.as_bytes(), ReadOptions::default()).unwrap();
    let mut count = 0;
    let result = evaluate::select(&path, document, Document::ROOT, &Budget::new(1000), &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(result, Err(EvaluateError::Limit(_))) && (1..1000).contains(&count), "{result:?} {count}");
}

proptest! {
    /// Whatever the text: an error with a place inside it, or nodes.
    #[test]
    fn never_panics(parts in prop::collection::vec(prop::sample::select(PARTS), 0..12)) {
        let text = parts.concat();
        match Path::compile(&text, true, &mut Names::default()) {
            Ok(_) => {
                select(&text, r#"{"a":[1,"2",null,{"a":2.5}],"b":{"c":"2019-02-01T00:00:00Z"}}"#, true, false);
            }
            Err(error) => prop_assert!(error.position <= text.chars().count(), "{text}: {error}"),
        }
    }
}

const PARTS: &[&str] = &[
    "$", "@", ".", "..", "a", "b", "*", "[", "]", "(", ")", "?(", "'a'", "'", "\\", ",", ":", "-", "1", "2.5", " ",
    "==", "<", ">", "!=", "=~", "/a/", "/(/", "&&", "||", "null", "true", "[?(@.", ")]", "[0]", "[-1]", "[1:]",
    "..[?(@", "$.a", "\u{e4}",
];
