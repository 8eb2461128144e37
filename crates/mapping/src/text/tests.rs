use super::*;

/// Writes the tree with the place of each value and member.
fn describe(text: &Text) -> String {
    let at = |place: Place| format!("@{}:{}", place.line, place.column);
    let value = match &text.value {
        TextValue::Array(elements) => format!("[{}]", elements.iter().map(describe).collect::<Vec<_>>().join(" ")),
        TextValue::Object(members) => {
            let members =
                members.iter().map(|member| format!("{}{}={}", member.name, at(member.place), describe(&member.value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(" "))
        }
        scalar => format!("{scalar:?}"),
    };
    format!("{value}{}", at(text.place))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let actual = Text::read(text.as_bytes()).map(|text| text.map_or("none".to_owned(), |text| describe(&text)));
    assert_eq!(actual.as_deref(), Ok(expected), "{text}");
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = Text::read(text.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), expected, "{text}");
}

#[test]
fn knows_the_places() {
    check("{\"a\": 12}", "{a@1:5=Integer(\"12\")@1:8}@1:1");
    check(
        "{\n  \"a\" : \"x\",\r\n  'b': [true,\rnull]}",
        "{a@2:7=String(\"x\")@2:11 b@3:6=[Bool(true)@3:12 Null@4:4]@3:8}@1:1",
    );
    check("/* \n */ [1, // x\n {}]", "[Integer(\"1\")@2:6 {}@3:2]@2:5");
    check("[\"\u{1f60a}é\", 1]", "[String(\"\u{1f60a}é\")@1:6 Integer(\"1\")@1:9]@1:1");
    check("[\"a\nb\", 1.50]", "[String(\"a\\nb\")@2:2 Float(\"1.50\")@2:8]@1:1");
}

#[test]
fn reads_the_lenient_dialect() {
    check("\u{feff}{}", "{}@1:1");
    check(
        "{a: 1, 'a': 0x1F, \"a\": 12345678901234567890,}",
        "{a@1:3=Integer(\"1\")@1:5 a@1:11=Integer(\"31\")@1:16 a@1:22=Integer(\"12345678901234567890\")@1:43}@1:1",
    );
    check("[,.5]", "[Null@1:1 Float(\"0.5\")@1:4]@1:1");
    check("'2019-02-01T22:46:01Z'", "Date(\"2019-02-01T22:46:01Z\")@1:22");
    check("'2019-02-01'", "String(\"2019-02-01\")@1:12");
}

#[test]
fn gives_none_when_there_is_nothing() {
    check("", "none");
    check(" \n\t", "none");
    check("// nothing\n/* at all */", "none");
    check("null // nothing", "Null@1:4");
}

#[test]
fn says_where_the_text_goes_wrong() {
    check_error("{\n  \"a\" 1\n}", "Line Number: 2, Position: 7. a `:` was expected after the member name");
    check_error("{\"a\": x}", "Line Number: 1, Position: 7. a value was expected");
    check_error("{\"a\": 1", "Line Number: 1, Position: 7. the text ends inside a value");
    check_error("[1 2]", "Line Number: 1, Position: 4. a `,` or the end of the object or array was expected");
    check_error("{} x", "Line Number: 1, Position: 4. there is text after the value");
    check_error("[new Date(1)]", "Line Number: 1, Position: 12. this is not a value");
    check_error(&"[".repeat(65), "Line Number: 1, Position: 65. objects and arrays are nested too deeply");
}

#[test]
fn finds_members_as_the_reference_connector_does() {
    let text = Text::read(br#"{"A": 1, "a": 2, "A": 3, "b": 4, "B": 5}"#).unwrap().unwrap();
    let member = |name| text.member(name).map(|member| member.value.value.clone());
    assert_eq!(member("a"), Some(TextValue::Integer("2".into())));
    assert_eq!(member("A"), Some(TextValue::Integer("3".into())));
    assert_eq!(member("B"), Some(TextValue::Integer("5".into())));
    assert_eq!(member("c"), None);
}

#[test]
fn every_place_has_its_pointer() {
    fn check(tree: &Text, value: &Text, pointer: &str) -> usize {
        assert_eq!(tree.pointer(value.place).as_deref(), Some(pointer));
        let below = match &value.value {
            TextValue::Array(elements) => {
                let each = elements.iter().enumerate();
                each.map(|(index, element)| check(tree, element, &format!("{pointer}/{index}"))).sum()
            }
            TextValue::Object(members) => {
                let each = members.iter().map(|member| {
                    let pointer = format!("{pointer}/{}", member.name.replace('~', "~0").replace('/', "~1"));
                    assert_eq!(tree.pointer(member.place).as_ref(), Some(&pointer));
                    check(tree, &member.value, &pointer)
                });
                each.sum()
            }
            _ => 0,
        };
        1 + below
    }
    let text = "{\"a\":[1,[],{\"b/c\":null,\"~\":\n[{\"d\":1}, {}\n,\"x\"]}],\n \"e\": {\"f\":2.5},\"g\":true}";
    let tree = Text::read(text.as_bytes()).unwrap().unwrap();
    assert_eq!(check(&tree, &tree, ""), 14);
    assert_eq!(tree.pointer(Place { line: 9, column: 1 }), None);
}
