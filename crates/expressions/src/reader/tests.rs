use super::*;
use crate::document::NodeId;
use crate::event::{Properties, PropertyValue};
use crate::value::Value;

/// Reads `text` and writes what was understood, with the kind of each scalar.
fn shape(text: &[u8], options: ReadOptions) -> Result<String, ReadError> {
    let mut scratch = Scratch::default();
    let document = scratch.read_value(text, options)?;
    Ok(describe(document))
}

fn describe(document: Document<'_>) -> String {
    let mut out = String::new();
    describe_node(document, Document::ROOT, &mut out);
    out
}

fn describe_node(document: Document<'_>, node: NodeId, out: &mut String) {
    let kind = document.kind(node);
    if let Kind::Object | Kind::Array = kind {
        out.push(if kind == Kind::Object { '{' } else { '[' });
        for (at, (name, child)) in document.children(node).enumerate() {
            out.push_str(if at == 0 { "" } else { " " });
            if kind == Kind::Object {
                out.push_str(document.name(name));
                out.push(':');
            }
            describe_node(document, child, out);
        }
        out.push(if kind == Kind::Object { '}' } else { ']' });
        return;
    }
    out.push_str(&format!("{kind:?}"));
    if !document.text(node).is_empty() {
        out.push_str(&format!("({})", document.text(node)));
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    check_bytes(text.as_bytes(), expected);
}

#[track_caller]
fn check_bytes(text: &[u8], expected: &str) {
    let actual = shape(text, ReadOptions::default());
    assert_eq!(actual.as_deref(), Ok(expected), "{}", String::from_utf8_lossy(text));
}

#[track_caller]
fn check_rejected(text: &str) {
    let actual = shape(text.as_bytes(), ReadOptions::default());
    assert!(actual.is_err(), "{text}: {actual:?}");
}

#[test]
fn reads_plain_json() {
    check("null", "Null");
    check("5", "Integer(5)");
    check("\"text\"", "String(text)");
    check(" [ ] ", "[]");
    check("{}", "{}");
    check(
        r#"{"a": [1, -2.5, 1e3, true], "b": {"c": false, "d": null}, "": "x"}"#,
        "{a:[Integer(1) Float(-2.5) Float(1e3) True] b:{c:False d:Null} :String(x)}",
    );
    check(r#"["a\nb", "\u00e9\ud83d\ude0a", "\ud800x"]"#, "[String(a\nb) String(é\u{1f60a}) String(\u{fffd}x)]");
    check(r#"{"a\u0062": "long enough to be scanned in words"}"#, "{ab:String(long enough to be scanned in words)}");
}

#[test]
fn types_numbers() {
    check(
        "[9223372036854775807, 9223372036854775808]",
        "[Integer(9223372036854775807) BigInteger(9223372036854775808)]",
    );
    check(
        "[-9223372036854775808, -9223372036854775809]",
        "[Integer(-9223372036854775808) BigInteger(-9223372036854775809)]",
    );
    check("[0, -0, -0.0]", "[Integer(0) Integer(0) Float(-0.0)]");
    check_rejected(&"1".repeat(381));
}

#[test]
fn types_dates() {
    check(r#"["2019-02-01T22:46:01Z"]"#, "[Date(2019-02-01T22:46:01Z)]");
    check(
        r#"["2019-02-01T22:46:01.12345678Z", "2019-02-01"]"#,
        "[String(2019-02-01T22:46:01.12345678Z) String(2019-02-01)]",
    );
    check(r#"["\/Date(0)\/", "/Date(1)/", "/Date(x)/"]"#, "[Date(/Date(0)/) Date(/Date(1)/) String(/Date(x)/)]");
    check(r#"["2019-02-01T22:46:0\u0031Z"]"#, "[Date(2019-02-01T22:46:01Z)]");
    check(r#"['2019-02-01T22:46:01Z']"#, "[Date(2019-02-01T22:46:01Z)]");
    let text = shape(
        br#"["2019-02-01T22:46:01Z", '2019-02-01T22:46:01Z']"#,
        ReadOptions { dates: false, ..ReadOptions::default() },
    );
    assert_eq!(text.as_deref(), Ok("[String(2019-02-01T22:46:01Z) String(2019-02-01T22:46:01Z)]"));
}

#[test]
fn gives_a_repeated_name_its_last_value() {
    check(r#"{"a": 1, "b": 2, "a": 3}"#, "{a:Integer(3) b:Integer(2)}");
    check(
        r#"{"a": {"x": [1]}, "b": 2, "a": [{"y": 3}], "c": 4, "a": {"z": {"q": 5}}}"#,
        "{a:{z:{q:Integer(5)}} b:Integer(2) c:Integer(4)}",
    );
    check(
        r#"[{"b": {"a": 1, "a": {"b": 2}}, "a": 3, "b": {"a": 4, "c": 0, "a": [5]}}, 6]"#,
        "[{b:{a:[Integer(5)] c:Integer(0)} a:Integer(3)} Integer(6)]",
    );
    check("{'a': 1, b: 2, a: 3}", "{a:Integer(3) b:Integer(2)}");
    let mut scratch = Scratch::default();
    let document = scratch.read_value(br#"{"a": 1, "a": 2}"#, ReadOptions::default()).unwrap();
    let name = document.find_name("a").unwrap();
    assert_eq!(document.member(Document::ROOT, name).and_then(|node| document.integer(node)), Some(2));
}

#[test]
fn keeps_names_apart_that_share_a_bit() {
    let members: Vec<String> = (0..300).map(|i| format!("\"n{i}\":{i}")).collect();
    let text = format!("{{{}}}", members.join(","));
    let mut scratch = Scratch::default();
    let document = scratch.read_value(text.as_bytes(), ReadOptions::default()).unwrap();
    assert_eq!(document.children(Document::ROOT).count(), 300);
    for i in [0, 64, 299] {
        let name = document.find_name(&format!("n{i}")).unwrap();
        assert_eq!(document.member(Document::ROOT, name).and_then(|node| document.integer(node)), Some(i));
    }
}

#[test]
fn reads_the_lenient_dialect() {
    check(r#"{"a":1} junk"#, "{a:Integer(1)}");
    check(r#"{"a":1}{"a":2}"#, "{a:Integer(1)}");
    check(r#"{'a': 'it\'s', b$_1: "x", 'c': .5}"#, "{a:String(it's) b$_1:String(x) c:Float(0.5)}");
    check("[1,]", "[Integer(1)]");
    check("{\"a\":1,}", "{a:Integer(1)}");
    check("[1,,2]", "[Integer(1) Undefined Integer(2)]");
    check("[,]", "[Undefined]");
    check("{a:,b:1}", "{a:Undefined b:Integer(1)}");
    check("/* x */ {\"a\": // y\n1 /**/ , /*z*/ }", "{a:Integer(1)}");
    check("[NaN, Infinity, -Infinity, undefined]", "[Float(NaN) Float(Infinity) Float(-Infinity) Undefined]");
    check(
        "[.5, 5., 0x1F, 010, -010, 1e400]",
        "[Float(0.5) Float(5.0) Integer(31) Integer(8) Integer(-10) Float(1e400)]",
    );
    check(
        "[new Date(123), {a: new Foo('x', [1, new Bar()])}]",
        "[Opaque(new Date(123)) {a:Opaque(new Foo('x', [1, new Bar()]))}]",
    );
    check("[\"tab\there\"]", "[String(tab\there)]");
    check("\u{a0}[1]\u{a0}", "[Integer(1)]");
    check("5 junk", "Integer(5)");
    check("5}", "Integer(5)");
}

#[test]
fn rejects_what_the_reference_connector_rejects() {
    for text in [
        " ",
        "\t\n",
        "// only\n",
        "/* only */",
        "not json",
        "{\"a\" 1}",
        "{\"a\":1",
        "[1",
        "{\"a\":}",
        "[1}",
        "]",
        ")",
        "+1",
        "1_000",
        r#"["\x"]"#,
        r#"["a]"#,
        "{,}",
        "{\"a\" /*x*/ : 1}",
        "[1 2]",
        "truex",
        "nul",
        "new Date",
        "new Date(1",
        "[/]",
        "/* open",
        "/*/",
        "{a-b:1}",
        "{a",
        "newDate(1)",
        "[1)",
        "[08]",
        "\u{1f}\u{8b}\u{8}",
    ] {
        check_rejected(text);
    }
}

#[test]
fn limits_the_depth() {
    let nested = |depth: usize, open: &str, close: &str| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{a:", "}")] {
        assert!(shape(nested(64, open, close).as_bytes(), ReadOptions::default()).is_ok());
        check_rejected(&nested(65, open, close));
    }
    let options = ReadOptions { depth_max: 100_000, ..ReadOptions::default() };
    let mut scratch = Scratch::default();
    assert!(scratch.read_value(nested(100_000, "[", "]").as_bytes(), options).is_ok());
    assert!(scratch.read_value(nested(100_000, "[", ",]").as_bytes(), options).is_ok());
}

#[test]
fn decodes_bytes_first() {
    check_bytes(b"", "Null");
    check_bytes(b"\xef\xbb\xbf{\"a\":1}", "{a:Integer(1)}");
    check_bytes(b"\xff\xfe{\0}\0", "{}");
    check_bytes(b"[\"\xff\"]", "[String(\u{fffd})]");
    assert!(shape(b"\x1f\x8b\x08\0", ReadOptions::default()).is_err());
}

#[test]
fn names_the_place_of_an_error_and_quotes_nothing() {
    let error = shape(br#"{"a": secret}"#, ReadOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "a value was expected at byte 6");
}

#[test]
fn reads_an_event_with_its_properties() {
    let date = DateTime::parse_token("2019-02-01T22:46:01Z").unwrap();
    let typed = [
        ("s", PropertyValue::String("2019-02-01T22:46:01Z")),
        ("d", PropertyValue::Date(date)),
        ("i", PropertyValue::Integer(-7)),
        ("u", PropertyValue::Unsigned(u64::MAX)),
        ("v", PropertyValue::Unsigned(7)),
        ("f", PropertyValue::Float(1e17)),
        ("b", PropertyValue::Bool(true)),
        ("n", PropertyValue::Null),
        ("o", PropertyValue::Opaque),
    ];
    let json = r#"{"iothub-enqueuedtime":"2019-02-01T22:46:01Z","text":"2019-02-01T22:46:01Z","n":1}"#;
    let event = Event {
        body: br#"{"hr":[60,"2019-02-01T22:46:01Z"]}"#,
        properties: Properties::Typed(&typed),
        system_properties: Properties::Json { text: json, dates: &["iothub-enqueuedtime", "n", "other"] },
    };
    let mut scratch = Scratch::default();
    let document = scratch.read_event(&event, ReadOptions::default()).unwrap();
    assert_eq!(
        describe(document),
        "{Body:{hr:[Integer(60) Date(2019-02-01T22:46:01Z)]} \
         Properties:{s:String(2019-02-01T22:46:01Z) d:Date(2019-02-01T22:46:01Z) i:Integer(-7) \
         u:BigInteger(18446744073709551615) v:Integer(7) f:Float(1E+17) b:True n:Null o:Opaque} \
         SystemProperties:{iothub-enqueuedtime:Date(2019-02-01T22:46:01Z) text:String(2019-02-01T22:46:01Z) n:Integer(1)}}"
    );
    assert_eq!(
        document.children(Document::ROOT).map(|(name, _)| name).collect::<Vec<_>>(),
        [Symbol::BODY, Symbol::PROPERTIES, Symbol::SYSTEM_PROPERTIES]
    );
    assert!(document.member(Document::ROOT, Symbol::SYSTEM_PROPERTIES).is_some());
}

/// Quirk 1, the other way of its switch.
#[test]
fn leaves_dates_text_everywhere_when_told() {
    let date = DateTime::parse_token("2019-02-01T22:46:01.5Z").unwrap();
    let event = Event {
        body: br#"["2019-02-01T22:46:01.500Z"]"#,
        properties: Properties::Typed(&[("d", PropertyValue::Date(date))]),
        system_properties: Properties::Json { text: r#"{"d":"2019-02-01T22:46:01Z"}"#, dates: &["d"] },
    };
    let mut scratch = Scratch::default();
    let document = scratch.read_event(&event, ReadOptions { dates: false, ..ReadOptions::default() }).unwrap();
    assert_eq!(
        describe(document),
        "{Body:[String(2019-02-01T22:46:01.500Z)] Properties:{d:String(2019-02-01T22:46:01.5Z)} \
         SystemProperties:{d:String(2019-02-01T22:46:01Z)}}"
    );
}

#[test]
fn reads_a_lenient_event() {
    let event = Event {
        body: b"{'hr': 1} x",
        properties: Properties::Json { text: "{'a': 'b',}", dates: &["a"] },
        system_properties: Properties::NONE,
    };
    let mut scratch = Scratch::default();
    let document = scratch.read_event(&event, ReadOptions::default()).unwrap();
    assert_eq!(describe(document), "{Body:{hr:Integer(1)} Properties:{a:String(b)} SystemProperties:{}}");
    let blank = Event { body: b"  ", ..event };
    assert!(scratch.read_event(&blank, ReadOptions::default()).is_err());
    let list = Event { properties: Properties::Json { text: "[]", dates: &[] }, ..event };
    assert!(scratch.read_event(&list, ReadOptions::default()).is_err());
}

#[test]
fn gives_the_root_a_computed_match() {
    let event = Event {
        body: br#"{"hr":[1,{"a\n":"b\n","a":1e2}]}"#,
        properties: Properties::NONE,
        system_properties: Properties::NONE,
    };
    let mut scratch = Scratch::default();
    let document = scratch.read_event(&event, ReadOptions::default()).unwrap();
    let body = document.member(Document::ROOT, Symbol::BODY).unwrap();
    let value = Value::Object(vec![
        ("body".into(), Value::Node(body)),
        ("list".into(), Value::Array(vec![Value::Null, Value::Bool(false), Value::Integer(1), Value::Float(2.0)])),
        ("text".into(), Value::String("2019-02-01T22:46:01Z".into())),
    ]);
    let mut second = Scratch::new(document.names);
    let matched = second.copy_with_matched(document, &value);
    assert_eq!(
        describe(matched),
        "{Body:{hr:[Integer(1) {a\n:String(b\n) a:Float(1e2)}]} Properties:{} SystemProperties:{} \
         matchedToken:{body:{hr:[Integer(1) {a\n:String(b\n) a:Float(1e2)}]} \
         list:[Null False Integer(1) Float(2)] text:String(2019-02-01T22:46:01Z)}}"
    );
    assert!(matched.name_set(Document::ROOT) & Symbol::MATCHED_TOKEN.bit() != 0);
}

#[test]
fn reads_messages_of_changing_shape() {
    let mut scratch = Scratch::default();
    for (text, expected) in [
        (r#"{"a":1,"b":[{"t":1,"v":2},{"t":3,"v":4}],"c":5}"#, "{a:1 b:[{t:1 v:2} {t:3 v:4}] c:5}"),
        (r#"{"a":1,"b":[{"t":1,"v":2},{"t":3,"v":4}],"c":5}"#, "{a:1 b:[{t:1 v:2} {t:3 v:4}] c:5}"),
        (r#"{"a":1,"bb":2,"":3,"c":5}"#, "{a:1 bb:2 :3 c:5}"),
        (r#"{"a":1,"b\\":2,"c\"":3,"\u0062":4}"#, "{a:1 b\\:2 c\":3 b:4}"),
        (r#"{"a":1,"b\\":2,"c\"":3,"b":4}"#, "{a:1 b\\:2 c\":3 b:4}"),
        (r#"{"a":1,"a":2}"#, "{a:2}"),
    ] {
        for _ in 0..2 {
            let document = scratch.read_value(text.as_bytes(), ReadOptions::default()).unwrap();
            assert_eq!(describe(document).replace("Integer(", "").replace(')', ""), expected, "{text}");
        }
    }
}

#[test]
fn ends_where_the_match_is_the_root() {
    let event = Event { body: b"1", properties: Properties::NONE, system_properties: Properties::NONE };
    let (mut first, mut second) = (Scratch::default(), Scratch::default());
    let document = first.read_event(&event, ReadOptions::default()).unwrap().with_matched(Document::ROOT);
    let value = Value::Node(Document::ROOT);
    let copy = second.copy_with_matched(document, &value);
    let plain = r#""Body":1,"Properties":{},"SystemProperties":{}"#;
    let mut written = String::new();
    copy.write_json(Document::ROOT, &mut written);
    assert_eq!(written, format!(r#"{{{plain},"matchedToken":{{{plain},"matchedToken":{{{plain}}}}}}}"#));
}

#[test]
fn keeps_dates_of_properties_without_text() {
    let time = DateTime::parse_token("2026-11-20T10:15:30.5Z").unwrap();
    let local = DateTime::parse_token("2026-11-20T10:15:30.5+01:00").unwrap();
    let system = [("utc", PropertyValue::Date(time)), ("local", PropertyValue::Date(local))];
    let event = Event { body: b"{}", properties: Properties::NONE, system_properties: Properties::Typed(&system) };
    let mut scratch = Scratch::default();
    let document = scratch.read_event(&event, ReadOptions::default()).unwrap();
    let properties = document.member(Document::ROOT, Symbol::SYSTEM_PROPERTIES).unwrap();
    let mut copier = Scratch::default();
    let copy = copier.copy_with_matched(document, &Value::Node(properties));
    let copied = copy.member(Document::ROOT, Symbol::MATCHED_TOKEN).unwrap();
    for (document, properties) in [(document, properties), (copy, copied)] {
        let nodes: Vec<NodeId> = document.children(properties).map(|(_, node)| node).collect();
        let dates: Vec<Option<DateTime>> = nodes.iter().map(|node| document.date(*node)).collect();
        assert_eq!(dates, [Some(time), Some(local)]);
        assert!(nodes.iter().all(|node| document.kind(*node) == Kind::Date));
        assert_eq!(document.text(nodes[0]), "2026-11-20T10:15:30.5Z");
        assert_eq!(document.text(nodes[1]), "2026-11-20T09:15:30.5+00:00");
        let mut json = String::new();
        document.write_json(properties, &mut json);
        assert_eq!(json, r#"{"utc":"2026-11-20T10:15:30.5Z","local":"2026-11-20T09:15:30.5+00:00"}"#);
    }
}
