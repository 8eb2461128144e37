//! Every row of device-mapping.md 7.2 and 7.3, and the vectors of 13.

use super::*;
use crate::expression::CompileOptions;
use crate::jmespath::tests::{evaluated, evaluated_with};

#[track_caller]
fn check(expression: &str, data: &str, expected: &str) {
    assert_eq!(evaluated(expression, data), expected, "{expression} over {data}");
}

/// Checks many over an empty object.
#[track_caller]
fn check_all(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        check(expression, "{}", expected);
    }
}

fn operand_error(function: &str, at: usize, types: &str) -> String {
    format!(
        "Function(\"Error: invalid-type, function {function} expects argument {at} to be one of the following: {types}\")"
    )
}

const TOO_LARGE_64: &str = r#"Overflow("Value was either too large or too small for an Int64.")"#;
const TOO_LARGE_32: &str = r#"Overflow("Value was either too large or too small for an Int32.")"#;
const NOT_CONVERTIBLE: &str = r#"Function("Object must implement IConvertible.")"#;

/// 13.
#[test]
fn gives_what_the_vectors_say() {
    check("multiply(to_number(h), `0.0254`)", r#"{"h":"78"}"#, "1.9811999999999999");
    check("divide(l, r)", r#"{"l":40,"r":50}"#, "0");
    check("divide(l, r)", r#"{"l":40.0,"r":50.0}"#, "0.8");
    check("add(l, r)", r#"{"l":9223372036854775807,"r":1}"#, "-9223372036854775808");
    check("insertString(o, t, p)", r#"{"o":"abc","t":"X","p":3}"#, r#""abcX""#);
    check("fromUnixTimestampMs(u)", r#"{"u":1626799080123}"#, r#""2021-07-20T16:38:00.123Z""#);
    let body = r#"{"Body":[{"u":"in","h":1},{"u":"cm","h":2}]}"#;
    check("Body[?u == 'in'].h", body, "[1]");
    check("Body[?u == 'in'].h | [0]", body, "1");
    check("join('T', [a, b])", r#"{"a":"2020-01-01","b":"10:00:00Z"}"#, r#""2020-01-01T10:00:00Z""#);
    check("x || 'default'", "{}", r#""default""#);
}

#[test]
fn calculates_with_integers() {
    check_all(&[
        ("add(`1`, `2`)", "3"),
        ("subtract(`-9223372036854775808`, `1`)", "9223372036854775807"),
        ("multiply(`9223372036854775807`, `2`)", "-2"),
        ("divide(`7`, `2`)", "3"),
        ("divide(`-7`, `2`)", "-3"),
        ("divide(`1`, `0`)", "DivideByZero"),
        ("divide(`-9223372036854775808`, `-1`)", r#"Overflow("Arithmetic operation resulted in an overflow.")"#),
        ("pow(`2`, `-1`)", "0"),
        ("pow(`0`, `0`)", "1"),
        ("pow(`3`, `39`)", "4052555153018976256"),
        ("pow(`40`, `50`)", TOO_LARGE_64),
        ("pow(`0`, `-1`)", TOO_LARGE_64),
    ]);
}

#[test]
fn calculates_with_doubles() {
    check_all(&[
        ("add(`1`, `2.0`)", "3.0"),
        ("subtract(`1.0`, `10.5`)", "-9.5"),
        ("multiply(`0`, `-1.7976931348623157e+308`)", "-0.0"),
        ("divide(`1.0`, `4`)", "0.25"),
        ("divide(`1`, `0.0`)", r#""Infinity""#),
        ("divide(`0.0`, `0`)", r#""NaN""#),
        ("pow(`4`, `0.5`)", "2.0"),
        ("pow(`100.0`, `-2.0`)", "0.0001"),
    ]);
}

#[test]
fn calculates_with_numbers_only() {
    for name in ["add", "subtract", "multiply", "divide", "pow"] {
        for (at, arguments) in
            [(0, "'1', `1`"), (0, "missing, `1`"), (0, "`true`, 'x'"), (1, "`1`, @"), (1, "`1.5`, '1'")]
        {
            check(&format!("{name}({arguments})"), "{}", &operand_error(name, at, "Integer|Float"));
        }
    }
    let data = r#"{"big":123456789012345678901234567890}"#;
    check("add(big, `1`)", data, NOT_CONVERTIBLE);
    check("add(`1.0`, big)", data, NOT_CONVERTIBLE);
    check("big == big", data, "true");
    check("big", data, "123456789012345678901234567890");
    check(
        "add(&a, `1`)",
        "{}",
        r#"Function("Error: invalid-type, unexpected expression type as a parameter to the function add.")"#,
    );
}

#[test]
fn inserts_text() {
    check_all(&[
        ("insertString('mple', 'sa', `0`)", r#""sample""#),
        ("insertString('\u{1f600}x', '-', `2`)", "\"\u{1f600}-x\""),
        ("insertString('\u{1f600}', '-', `1`)", "\"\u{fffd}-\u{fffd}\""),
        ("insertString('a', 'b', `2147483648`)", TOO_LARGE_32),
    ]);
    for place in ["4", "-1"] {
        let text = evaluated(&format!("insertString('abc', 'X', `{place}`)"), "{}");
        assert!(text.starts_with("OutOfRange(\"Index was out of range."), "{text}");
    }
    check("insertString(a, 'b', `0`)", r#"{"a":6}"#, &operand_error("insertString", 0, "String"));
    check("insertString('a', missing, `0`)", "{}", &operand_error("insertString", 1, "String"));
    check("insertString('a', 'b', `1.5`)", "{}", &operand_error("insertString", 2, "Integer"));
    // Quirk 56: a date is no string, even through `to_string`.
    let date = r#"{"d":"2019-02-01T22:46:01Z"}"#;
    check("insertString(to_string(d), 'b', `0`)", date, &operand_error("insertString", 0, "String"));
}

#[test]
fn makes_dates_of_timestamps() {
    check_all(&[
        ("fromUnixTimestamp(`1625677200`)", r#""2021-07-07T17:00:00Z""#),
        ("fromUnixTimestamp(`-1`)", r#""1969-12-31T23:59:59Z""#),
        ("fromUnixTimestamp(`-62135596800`)", r#""0001-01-01T00:00:00Z""#),
        ("fromUnixTimestamp(`253402300799`)", r#""9999-12-31T23:59:59Z""#),
        ("fromUnixTimestampMs(`-1000`)", r#""1969-12-31T23:59:59Z""#),
        ("fromUnixTimestampMs(`253402300799999`)", r#""9999-12-31T23:59:59.999Z""#),
        ("length(fromUnixTimestamp(`0`))", "19"),
    ]);
    for out_of_range in [
        "fromUnixTimestamp(`253402300800`)",
        "fromUnixTimestamp(`9223372036854775807`)",
        "fromUnixTimestampMs(`-62135596800001`)",
    ] {
        let text = evaluated(out_of_range, "{}");
        assert!(text.starts_with("OutOfRange(\"Valid values are between"), "{text}");
    }
    check("fromUnixTimestamp('0')", "{}", &operand_error("fromUnixTimestamp", 0, "Integer"));
    check("fromUnixTimestampMs(missing)", "{}", &operand_error("fromUnixTimestampMs", 0, "Integer"));
}

/// Quirk 57.
#[test]
fn takes_timestamps_without_fraction_when_switched() {
    let options = CompileOptions { integral_float_timestamps: true, ..CompileOptions::default() };
    let data = r#"{"t":1625677200.0,"f":1625677200.5}"#;
    check("fromUnixTimestamp(t)", data, &operand_error("fromUnixTimestamp", 0, "Integer"));
    assert_eq!(evaluated_with("fromUnixTimestamp(t)", data, options), r#""2021-07-07T17:00:00Z""#);
    let refused = operand_error("fromUnixTimestamp", 0, "Integer");
    assert_eq!(evaluated_with("fromUnixTimestamp(f)", data, options), refused);
}

/// Quirks 1 and 56, the other way of their switch.
#[test]
fn makes_text_instead_of_dates_when_switched() {
    let options = CompileOptions { dates: false, ..CompileOptions::default() };
    for (expression, expected) in [
        ("type(fromUnixTimestamp(`1625677200`))", r#""string""#),
        ("length(fromUnixTimestampMs(`1625677200500`))", "22"),
        ("insertString(fromUnixTimestamp(`0`), 'on ', `0`)", r#""on 1970-01-01T00:00:00Z""#),
        ("to_string(`\"2019-02-01T22:46:01.500Z\"`)", r#""2019-02-01T22:46:01.500Z""#),
        ("`\"2019-02-01T22:46:01.500Z\"` == '2019-02-01T22:46:01.500Z'", "true"),
    ] {
        assert_eq!(evaluated_with(expression, "{}", options), expected, "{expression}");
    }
}

/// 7.3, first row.
#[test]
fn takes_dates_for_text() {
    let data = r#"{"d":"2019-02-01T22:46:01.5Z"}"#;
    check("type(d)", data, r#""string""#);
    check("length(d)", data, "19");
    check("starts_with(d, '02/01')", data, "true");
    check("starts_with(d, '2019')", data, "false");
    check("ends_with(d, ':01')", data, "true");
    check("contains('at 02/01/2019 22:46:01', d)", data, "true");
    check("join(' ', ['a', d])", data, r#""a 02/01/2019 22:46:01""#);
    check("to_string(d)", data, r#""2019-02-01T22:46:01.5Z""#);
    check("to_string(@)", data, r#""{\"d\":\"2019-02-01T22:46:01.5Z\"}""#);
    check("to_number(d)", data, "null");
    check("reverse(d)", data, r#""10:64:22 9102/10/20""#);
    check("max([d, '03'])", data, r#""03""#);
    check("max([d])", data, r#""02/01/2019 22:46:01""#);
    // The reference connector looks into strings only.
    check("contains(d, '2019')", data, "false");
    check("sort_by([@], &d)", data, r#"Function("invalid-type")"#);
}

#[test]
fn rounds() {
    check_all(&[
        ("abs(`-3`)", "3"),
        ("abs(`-3.5`)", "3.5"),
        ("abs(`2147483648`)", TOO_LARGE_32),
        ("abs(`-2147483648`)", r#"Overflow("Negating the minimum value of a twos complement number is invalid.")"#),
        ("abs('1')", r#"Function("Error: invalid-type, function abs only accepts numbers.")"#),
        ("ceil(`1.2`)", "2"),
        ("floor(`-1.2`)", "-2"),
        ("floor(`5`)", "5"),
        ("floor(`1e18`)", "1000000000000000000"),
        ("ceil(`1e19`)", TOO_LARGE_64),
        ("floor(divide(`0.0`, `0`))", TOO_LARGE_64),
        ("floor(missing)", r#"Function("Error: invalid-type, function floor only accepts numbers.")"#),
    ]);
}

#[test]
fn adds_up() {
    check_all(&[
        ("sum(`[1, 2]`)", "3"),
        ("sum(`[1.5, 1.5]`)", "3"),
        ("sum(`[1.5, 1]`)", "2.5"),
        ("sum(`[]`)", "0"),
        ("sum(`[3000000000]`)", "3000000000"),
        ("sum(`[1e19]`)", TOO_LARGE_64),
        ("sum(`[\"1\"]`)", r#"Function("Error: invalid-type, function sum expects an array of number.")"#),
        ("avg(`[1, 2]`)", "1.5"),
        ("avg(`[1, 3]`)", "2.0"),
        ("avg(`[]`)", "null"),
        ("avg('a')", r#"Function("Error: invalid-type, function avg expects an array.")"#),
    ]);
}

#[test]
fn finds_extremes() {
    check_all(&[
        ("max(`[1, 3, 2]`)", "3"),
        ("min(`[1, 3, 2]`)", "1"),
        ("max(`[1, 2.5]`)", "2.5"),
        ("max(`[3, 2.5]`)", "3.0"),
        ("max(`[3000000000]`)", "3000000000"),
        ("max(`[]`)", "null"),
        ("min(`[]`)", "null"),
        // Quirk 58: the standard deployment has `B`.
        ("max(`[\"a\", \"B\", \"b\"]`)", r#""b""#),
        ("min(`[\"a\", \"B\", \"b\"]`)", r#""B""#),
        (
            "max(`[1, \"a\"]`)",
            r#"Function("Error: invalid-type, all items in the array to the function max must have the same type.")"#,
        ),
        ("min(`[true]`)", r#"Function("Error: invalid-type, function min expects an array of number or string.")"#),
    ]);
}

#[test]
fn finds_extremes_by_key() {
    let data = r#"[{"k":1,"n":"a"},{"k":3,"n":"b"},{"k":3,"n":"c"},{"k":1,"n":"d"}]"#;
    // The last of equals.
    check("max_by(@, &k).n", data, r#""c""#);
    check("min_by(@, &k).n", data, r#""d""#);
    check("max_by(@, &k)", r#"[{"k":"9"},{"k":"1,000"},{"k":2.5}]"#, r#"{"k":"1,000"}"#);
    check("max_by(@, &k)", r#"[{"k":"only one"}]"#, r#"{"k":"only one"}"#);
    check("max_by(@, &k)", "[]", r#"Function("Sequence contains no elements")"#);
    check("min_by(@, &k)", "[]", r#"Function("Sequence contains no elements")"#);
    check(
        "max_by(@, &k)",
        r#"[{"k":"a"},{"k":"b"}]"#,
        r#"Function("Error: invalid-type, when evaluating the expression argument of function max_by, some items could not be cast to a number.")"#,
    );
    check(
        "min_by(@, &k)",
        r#"[{"k":1},{}]"#,
        r#"Function("Error: invalid-type, the expression argument of function min_by should return a number or a string.")"#,
    );
    check(
        "min_by(@, k)",
        "[]",
        r#"Function("Error: invalid-type, function min_by expects its second argument to be an expression type.")"#,
    );
}

#[test]
fn sorts() {
    check_all(&[
        ("sort(`[3, 1, 2]`)", "[1,2,3]"),
        ("sort(`[2.5, 1, 2]`)", "[1,2,2.5]"),
        // Integers of 32 bits: 2.5 counts as 2, and stays before it.
        ("sort(`[3, 2.5, 2]`)", "[2.5,2,3]"),
        ("sort(`[2147483648]`)", TOO_LARGE_32),
        ("sort(`[1.0, 2147483648]`)", "[1.0,2147483648]"),
        // Quirk 58: the standard deployment has `a < b < B`.
        ("sort(`[\"b\", \"B\", \"a\"]`)", r#"["B","a","b"]"#),
        ("sort(`[true, false]`)", "[false,true]"),
        ("sort(`[]`)", "[]"),
        (
            "sort(`[1, \"a\"]`)",
            r#"Function("Error: invalid-type, all items in the array to the function sort must have the same type.")"#,
        ),
        ("sort(`[{}]`)", r#"Function("Cannot cast Newtonsoft.Json.Linq.JObject to Newtonsoft.Json.Linq.JToken.")"#),
    ]);
}

#[test]
fn sorts_by_key() {
    let data = r#"[{"k":2,"n":"a"},{"k":1,"n":"b"},{"k":2,"n":"c"}]"#;
    check("sort_by(@, &k)[*].n", data, r#"["b","a","c"]"#);
    check("sort_by(@, &n)[*].n", r#"[{"n":"b"},{"n":"B"},{"n":"a"}]"#, r#"["B","a","b"]"#);
    check("sort_by(@, &k)[*].k", r#"[{"k":3000000000},{"k":1}]"#, "[1,3000000000]");
    check("sort_by(@, &k)", r#"[{"k":1},{"k":1.5}]"#, r#"Function("invalid-type")"#);
    check("sort_by(@, &k)", r#"[{"k":true}]"#, r#"Function("invalid-type")"#);
    check(
        "sort_by(k, &k)",
        "{}",
        r#"Function("Error: invalid-type, function sort_by expects its first argument to be an array.")"#,
    );
}

/// 7.3: `merge` is deep.
#[test]
fn merges() {
    check_all(&[
        ("merge(`{\"a\": {\"x\": 1}}`, `{\"a\": {\"y\": 2}, \"b\": 3}`)", r#"{"a":{"x":1,"y":2},"b":3}"#),
        ("merge(`{\"a\": [1]}`, `{\"a\": [1, 2]}`)", r#"{"a":[1,1,2]}"#),
        ("merge(`{\"a\": [1]}`, `{\"a\": {\"x\": 1}}`)", r#"{"a":{"x":1}}"#),
        ("merge(`{\"a\": 1}`, `{\"a\": null, \"b\": null}`)", r#"{"a":1,"b":null}"#),
        ("merge(@)", "{}"),
        ("merge(@, 'a')", r#"Function("Error: invalid-type, function merge expects an object.")"#),
    ]);
    check("merge(a, b)", r#"{"a":{"n":{"x":1}},"b":{"n":{"y":[2]}}}"#, r#"{"n":{"x":1,"y":[2]}}"#);
}

#[test]
fn converts_to_numbers() {
    check_all(&[
        ("to_number('78')", "78"),
        ("to_number(' 78 ')", "78"),
        ("to_number('9223372036854775808')", "9.223372036854776E+18"),
        ("to_number('1e3')", "1000.0"),
        ("to_number('98.60')", "98.6"),
        ("to_number('Infinity')", r#""Infinity""#),
        ("to_number('1,000')", "null"),
        ("to_number('x')", "null"),
        ("to_number(`true`)", "null"),
        ("to_number(`1.0`)", "1.0"),
        ("to_number(missing)", "null"),
    ]);
}

#[test]
fn converts_to_text() {
    check_all(&[
        ("to_string(`1.0`)", r#""1.0""#),
        ("to_string(`[1, \"a\", null, true]`)", r#""[1,\"a\",null,true]""#),
        ("to_string('text')", r#""text""#),
        ("to_string(missing)", r#""null""#),
        ("to_string(`true`)", r#""true""#),
        ("to_string({a: 'b'})", r#""{\"a\":\"b\"}""#),
        (
            "to_string(&a)",
            r#"Function("Error: invalid-type, unexpected expression type as a parameter to the function to_string.")"#,
        ),
    ]);
    check("to_string(@)", r#"{"a":[1.50,1e3]}"#, r#""{\"a\":[1.5,1000.0]}""#);
}

#[test]
fn counts_in_utf16_units() {
    check_all(&[
        ("length('a\u{1f600}')", "3"),
        ("length(`[1, 2]`)", "2"),
        ("length(`{\"a\": 1}`)", "1"),
        ("reverse('abc')", r#""cba""#),
        ("reverse('a\u{1f600}')", "\"\u{fffd}\u{fffd}a\""),
        ("reverse(`[1, 2]`)", "[2,1]"),
        ("reverse(`1`)", r#"Function("Error: invalid-type, function reverse accepts either an array or a string.")"#),
        (
            "length(`1`)",
            r#"Function("Error: invalid-type, function length expects either an object, an array or a string.")"#,
        ),
    ]);
}

#[test]
fn looks_into_text_and_lists() {
    check_all(&[
        ("contains('a1.5b', `1.5`)", "true"),
        ("contains('a1b', `1.0`)", "true"),
        ("contains('isTrue', `true`)", "true"),
        ("contains('abc', missing)", r#"Function("Value cannot be null. (Parameter 'value')")"#),
        (
            "contains('abc', `[1]`)",
            r#"Function("Cannot cast Newtonsoft.Json.Linq.JArray to Newtonsoft.Json.Linq.JToken.")"#,
        ),
        ("contains(`[1, [2]]`, `[2]`)", "true"),
        ("contains(`[1]`, `1.0`)", "false"),
        (
            "contains(`1`, `1`)",
            r#"Function("Error: invalid-type, function contains expects either an array or a string.")"#,
        ),
        ("starts_with('abc', 'ab')", "true"),
        ("ends_with('abc', 'bc')", "true"),
        (
            "starts_with('abc', `1`)",
            r#"Function("Error: invalid-type, both arguments to function starts_with must be strings.")"#,
        ),
    ]);
}

#[test]
fn joins_text_only() {
    check_all(&[
        ("join(', ', `[\"a\", \"b\"]`)", r#""a, b""#),
        ("join('', `[]`)", r#""""#),
        ("join(',', ['a', `1`])", r#"Function("Error: invalid-type, function join expects an array of string.")"#),
        ("join(',', ['a', missing])", r#"Function("Error: invalid-type, function join expects an array of string.")"#),
        (
            "join(`1`, `[]`)",
            r#"Function("Error: invalid-type, function join expects a string separator and an array of strings.")"#,
        ),
    ]);
}

/// 7.3, last row, and what else there is.
#[test]
fn does_the_rest_as_specified() {
    check("not_null(missing, a, b)", r#"{"a":null,"b":2}"#, "2");
    check("not_null(missing)", "{}", "null");
    check("map(&a, @)", r#"[{"a":1},{},{"a":null}]"#, "[1,null,null]");
    check("map(&multiply(a, `2`), @)", r#"[{"a":2}]"#, "[4]");
    check(
        "map(a, @)",
        "[]",
        r#"Function("Error: invalid-type, function map expects its first argument to be an expression type.")"#,
    );
    check(
        "map(&a, a)",
        "{}",
        r#"Function("Error: invalid-type, function map expects its second argument to be an array.")"#,
    );
    check("keys(@)", r#"{"b":1,"a":2}"#, r#"["b","a"]"#);
    check("values(@)", r#"{"b":1,"a":null}"#, "[1,null]");
    check("keys(`1`)", "{}", r#"Function("Error: invalid-type, function keys expects an object.")"#);
    check("to_array(@)", r#"{"a":1}"#, r#"[{"a":1}]"#);
    check("to_array(@)", "[1]", "[1]");
    for (value, name) in [
        ("1", "number"),
        ("1.5", "number"),
        ("\"a\"", "string"),
        ("null", "null"),
        ("{}", "object"),
        ("[]", "array"),
        ("true", "boolean"),
    ] {
        check("type(@)", value, &format!("\"{name}\""));
    }
}

/// 7.1 and 7.3: these and no others.
#[test]
fn has_34_functions() {
    let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    assert_eq!(names.len(), 26 + 8);
    assert!(names.is_sorted_by_key(|name| name.to_ascii_lowercase().replace('_', " ")), "{names:?}");
    for absent in ["items", "to_object", "zip", "let", "split", "replace", "trim", "lower", "substring", "find_first"] {
        assert!(Function::find(absent, 1).is_err(), "{absent}");
    }
}
