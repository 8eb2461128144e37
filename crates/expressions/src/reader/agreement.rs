//! The strict and the lenient reader against each other and against
//! `serde_json`, on random JSON.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Number, Value as Json};

use super::*;
use crate::document::NodeId;

/// Text with what readers trip over: escapes, quotes, other planes, dates.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,3}",
        "[ -~]{0,20}",
        "\\PC{0,12}",
        "[\"\\\\/\u{0}-\u{1f}\u{7f}\u{2028}é😊]{0,9}",
        "20[12][0-9]-0[1-3]-[0-3][0-9]T[0-2][0-9]:[0-6]0:00(\\.[0-9]{0,8})?(Z|\\+01:00)?",
        "/Date\\([0-9]{0,13}\\)/",
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        (-100_i64..100).prop_map(Number::from),
        any::<f64>().prop_filter_map("JSON has no such number", Number::from_f64),
        (-1000_i32..1000).prop_filter_map("JSON has no such number", |n| Number::from_f64(f64::from(n) / 8.0)),
    ]
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        number().prop_map(Json::Number),
        text().prop_map(Json::String),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Json::Array),
            vec((text(), inner), 0..8).prop_map(|members| Json::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Whether a node is what `serde_json` made of the same text.
fn is_same(document: Document<'_>, node: NodeId, json: &Json) -> bool {
    match (document.kind(node), json) {
        (Kind::Null, Json::Null) | (Kind::False, Json::Bool(false)) | (Kind::True, Json::Bool(true)) => true,
        (Kind::Integer, Json::Number(number)) => document.integer(node) == number.as_i64(),
        (Kind::BigInteger, Json::Number(number)) => number.is_u64() && document.raw(node) == number.to_string(),
        (Kind::Float, Json::Number(number)) => number.is_f64() && document.float(node) == number.as_f64(),
        (Kind::String, Json::String(text)) => document.text(node) == *text && DateTime::parse_token(text).is_none(),
        (Kind::Date, Json::String(text)) => document.text(node) == *text && document.date(node).is_some(),
        (Kind::Array, Json::Array(elements)) => {
            document.element_count(node) == elements.len()
                && document.children(node).zip(elements).all(|((_, child), element)| is_same(document, child, element))
        }
        (Kind::Object, Json::Object(members)) => {
            document.children(node).count() == members.len()
                && members.iter().all(|(name, value)| {
                    let symbol = document.find_name(name);
                    let child = symbol.and_then(|symbol| document.member(node, symbol));
                    child.is_some_and(|child| is_same(document, child, value))
                })
        }
        _ => false,
    }
}

/// The names of all members, in document order.
fn names(document: Document<'_>, node: NodeId, out: &mut Vec<String>) {
    for (name, child) in document.children(node) {
        out.push(document.name(name).to_owned());
        names(document, child, out);
    }
}

/// Whether two documents hold the same, in the same order.
fn is_equal(a: Document<'_>, at_a: NodeId, b: Document<'_>, at_b: NodeId) -> bool {
    a.kind(at_a) == b.kind(at_b)
        && a.text(at_a) == b.text(at_b)
        && a.children(at_a).count() == b.children(at_b).count()
        && a.children(at_a).zip(b.children(at_b)).all(|((name_a, child_a), (name_b, child_b))| {
            a.name(name_a) == b.name(name_b) && is_equal(a, child_a, b, child_b)
        })
}

/// An object with repeated names as text, what is left of it, and the names
/// in the order in which they were first met.
fn with_repeats() -> impl Strategy<Value = (String, Json, Vec<String>)> {
    vec(("[a-e]", json()), 0..12).prop_map(|members| {
        let text: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let mut names: Vec<String> = Vec::new();
        for (name, _) in &members {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        (format!("{{{}}}", text.join(",")), Json::Object(members.into_iter().collect()), names)
    })
}

fn read_leniently(text: &str) -> Scratch {
    let mut scratch = Scratch::default();
    lenient::read(&mut scratch, text, Symbol::NONE, ReadOptions::default()).expect("JSON is read");
    scratch
}

proptest! {
    #[test]
    fn strict_reader_agrees_with_serde_json(json in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
        let text = text.expect("a value can be written");
        let mut scratch = Scratch::default();
        prop_assert!(strict::read(&mut scratch, &text, 0, 0, Symbol::NONE, ReadOptions::default()).is_some());
        let document = scratch.document(&text);
        prop_assert!(is_same(document, Document::ROOT, &json), "{}", text);
    }

    #[test]
    fn readers_agree_on_plain_json(text in prop_oneof![json().prop_map(|json| json.to_string()), with_repeats().prop_map(|made| made.0)]) {
        let mut scratch = Scratch::default();
        let strict = scratch.read_value(text.as_bytes(), ReadOptions::default()).expect("JSON is read");
        let scratch = read_leniently(&text);
        let lenient = scratch.document("");
        prop_assert!(is_equal(strict, Document::ROOT, lenient, Document::ROOT), "{}", text);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        names(strict, Document::ROOT, &mut a);
        names(lenient, Document::ROOT, &mut b);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn repeated_names_get_the_last_value((text, json, names) in with_repeats()) {
        let mut scratch = Scratch::default();
        let document = scratch.read_value(text.as_bytes(), ReadOptions::default()).expect("JSON is read");
        prop_assert!(is_same(document, Document::ROOT, &json), "{}", text);
        let kept: Vec<&str> = document.children(Document::ROOT).map(|(name, _)| document.name(name)).collect();
        prop_assert_eq!(kept, names);
    }

    #[test]
    fn what_is_written_is_read_again(json in json()) {
        let text = json.to_string();
        let options = ReadOptions { dates: false, ..ReadOptions::default() };
        let (mut first, mut second) = (Scratch::default(), Scratch::default());
        let document = first.read_value(text.as_bytes(), options).expect("JSON is read");
        let mut written = String::new();
        document.write_json(Document::ROOT, &mut written);
        prop_assert!(serde_json::from_str::<Json>(&written).is_ok(), "{}", written);
        let again = second.read_value(written.as_bytes(), ReadOptions::default()).expect("JSON is read");
        prop_assert!(is_same(again, Document::ROOT, &json), "{}", written);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(prop_oneof![4 => proptest::sample::select(&b"{}[]()\"',:/*0123456789-+.eExtrufalsnNIw\\ \n"[..]), 1 => any::<u8>()], 0..60)) {
        let mut scratch = Scratch::default();
        if let Ok(document) = scratch.read_value(&bytes, ReadOptions::default()) {
            let mut written = String::new();
            document.write_json(Document::ROOT, &mut written);
        }
    }
}
