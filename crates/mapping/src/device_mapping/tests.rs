//! Tests of loading. What the corpus covers (`tests/conformance/cases`,
//! `template.json` and `validate.json`) is not repeated here.

use expressions::Language;

use super::*;

/// The findings of a file, a line each; `!` marks warnings.
fn findings(text: &str) -> Vec<String> {
    let (_, findings) = DeviceMapping::load_partial(text.as_bytes(), &Compatibility::reference());
    findings
        .iter()
        .map(|finding| if finding.is_error() { finding.to_string() } else { format!("! {finding}") })
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(findings(text), expected, "{text}");
}

/// A file with one template.
fn file(kind: &str, members: &str) -> String {
    format!(
        "{{\"templateType\":\"CollectionContent\",\"template\":[\n\
         {{\"templateType\":\"{kind}\",\"template\":\n{{{members}}}}}]}}"
    )
}

const REQUIRED: &str = "\"typeName\":\"v\",\"typeMatchExpression\":\"$..[?(@v)]\",\"deviceIdExpression\":\"$.d\",\"timestampExpression\":\"$.t\"";

#[track_caller]
fn check_members(kind: &str, members: &str, expected: &[&str]) {
    check(&file(kind, &format!("{REQUIRED},\n{members}")), expected);
}

#[test]
fn takes_every_spelling_of_every_kind() {
    let spellings = [
        ("CalculatedContent", TemplateKind::Calculated),
        ("calculatedcontenttemplate", TemplateKind::Calculated),
        ("JsonPathContent", TemplateKind::JsonPath),
        ("JSONPATHCONTENTTEMPLATE", TemplateKind::JsonPath),
        ("IotJsonPathContentTemplate", TemplateKind::IotHub),
        ("IotCentralJsonPathContent", TemplateKind::IotCentral),
        ("IotCentralJsonPathContentTemplate", TemplateKind::IotCentral),
    ];
    for (kind, expected) in spellings {
        let mapping = DeviceMapping::load(file(kind, REQUIRED).as_bytes(), &Compatibility::default()).unwrap();
        assert_eq!(mapping.templates()[0].kind, expected, "{kind}");
    }
    check(
        &file("JsonPathContentTemplateTemplate", REQUIRED),
        &["Line Number: 3, Position: 1. No match found for template type JsonPathContentTemplateTemplate."],
    );
}

#[test]
fn refuses_a_file_that_is_no_collection() {
    check("", &["The mapping is empty."]);
    check("  // nothing\n", &["The mapping is empty."]);
    let not_an_object = "Error reading JObject from JsonReader. Current JsonReader item is not an object:";
    check("null", &[&format!("Line Number: 1, Position: 4. {not_an_object} Null.")]);
    check("[]", &[&format!("Line Number: 1, Position: 1. {not_an_object} StartArray.")]);
    let wrong_type = "Expected TemplateType value CollectionContentTemplate, actual";
    check("{}", &[&format!("Line Number: 1, Position: 1. {wrong_type} Not Found.")]);
    check("\u{feff}{\"templateType\":\"x\"}", &[&format!("Line Number: 1, Position: 19. {wrong_type} x.")]);
    check(
        "{\"templateType\":\"CollectionContent\",\"template\":[null,7]}",
        &[
            &format!("Line Number: 1, Position: 52. {not_an_object} Null."),
            &format!("Line Number: 1, Position: 54. {not_an_object} Integer."),
        ],
    );
}

#[test]
fn loads_the_good_templates_beside_a_bad_one() {
    let text = "{\"templateType\":\"CollectionContent\",\"template\":[{\"templateType\":\"x\"},\
        {\"templateType\":\"JsonPathContent\",\"template\":{"
        .to_owned()
        + REQUIRED
        + "}}]}";
    let (mapping, _) = DeviceMapping::load_partial(text.as_bytes(), &Compatibility::default());
    assert_eq!(mapping.unwrap().templates()[0].index, 1);
    let refused = DeviceMapping::load(text.as_bytes(), &Compatibility::default()).unwrap_err();
    let expected = "Validation errors:\nLine Number: 1, Position: 49. No match found for template type x.";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn leaves_blank_optional_expressions_unset_and_values_out() {
    for kind in ["CalculatedContent", "JsonPathContent"] {
        let text = file(kind, &format!("{REQUIRED},\"patientIdExpression\":\" \",\"values\":null"));
        let mapping = DeviceMapping::load(text.as_bytes(), &Compatibility::default()).unwrap();
        assert!(mapping.templates()[0].patient_id.is_none());
        assert!(mapping.templates()[0].values.is_empty());
    }
}

#[test]
fn finds_a_bad_jsonpath_when_loading() {
    let text = file("JsonPathContent", &REQUIRED.replace("(@v)]", "(@v]"));
    let found = findings(&text);
    assert_eq!(found.len(), 1);
    let expected =
        "Line Number: 3, Position: 49. The following JsonPath expression could not be parsed: $..[?(@v]. Cause: ";
    assert!(found[0].starts_with(expected), "{}", found[0]);
}

#[test]
fn reports_every_problem_of_a_template_in_order() {
    check(
        &file(
            "CalculatedContent",
            "\"typeName\":null,\n\"colour\":1,\n\"deviceIdExpression\":{\"value\":null},\n\"values\":[{\"unit\":1},7]",
        ),
        &[
            "Line Number: 4, Position: 9. Could not find member 'colour' on object of type 'CalculatedFunctionContentTemplate'. ",
            "Line Number: 5, Position: 22. Required property 'Value' expects a value but got null. ",
            "Line Number: 6, Position: 11. Required property 'ValueName' not found in JSON. ",
            "Line Number: 6, Position: 11. Required property 'ValueExpression' not found in JSON. ",
            "Line Number: 6, Position: 18. Could not find member 'unit' on object of type 'CalculatedFunctionValueExpression'. ",
            "Line Number: 6, Position: 22. Expected an object for a value, not Integer.",
            "Line Number: 3, Position: 1. Required property 'TypeMatchExpression' not found in JSON. ",
            "Line Number: 3, Position: 1. Required property 'TimestampExpression' not found in JSON. ",
            "Line Number: 3, Position: 1. Required property 'TypeName' expects a value but got null. ",
        ],
    );
}

#[test]
fn reads_languages() {
    let cases: [(&str, Result<Language, &str>); 9] = [
        ("{\"value\":\"a\"}", Ok(Language::JsonPath)),
        ("{\"value\":\"$.a\",\"language\":\"jsonpathrfc9535\"}", Ok(Language::JsonPathRfc9535)),
        ("{\"value\":\"a\",\"LANGUAGE\":\"JSONPATH\",\"note\":1}", Ok(Language::JsonPath)),
        ("{\"value\":\"a\",\"language\":null}", Ok(Language::JsonPath)),
        ("{\"value\":\"a\",\"language\":\"\"}", Ok(Language::JsonPath)),
        ("{\"value\":\"a\",\"language\":\"0\"}", Ok(Language::JsonPath)),
        ("{\"value\":\"a\",\"language\":7}", Err("Unsupported Expression Language: 7")),
        ("{\"value\":\"a\",\"language\":1.5}", Err("Unexpected token Float when parsing enum. ")),
        ("5", Err("Error reading JObject from JsonReader. Current JsonReader item is not an object: Integer.")),
    ];
    for (expression, expected) in cases {
        let text = file("CalculatedContent", &format!("{REQUIRED},\"patientIdExpression\":{expression}"))
            .replace("\"$.d\"", "\"d\"");
        let loaded = DeviceMapping::load(text.as_bytes(), &Compatibility::default());
        match (loaded, expected) {
            (Ok(mapping), Ok(language)) => {
                let patient_id = mapping.templates()[0].patient_id.as_ref().unwrap();
                assert_eq!(patient_id.language, language, "{expression}");
            }
            (Err(found), Err(message)) => assert_eq!(found.0[0].message, message, "{expression}"),
            (loaded, _) => panic!("{expression}: {loaded:?}"),
        }
    }
    check_members(
        "CalculatedContent",
        "\"defaultExpressionLanguage\":null",
        &[
            "Line Number: 4, Position: 32. Cannot convert null value to Microsoft.Health.Fhir.Ingest.Template.TemplateExpressionLanguage. ",
        ],
    );
}

#[test]
fn reads_required_as_the_reference_connector_does() {
    let required = |required: &str| {
        let values =
            format!("\"values\":[{{\"valueName\":\"v\",\"valueExpression\":\"$.v\",\"required\":{required}}}]");
        let text = file("JsonPathContent", &format!("{REQUIRED},{values}"));
        DeviceMapping::load(text.as_bytes(), &Compatibility::default())
            .ok()
            .map(|m| m.templates()[0].values[0].required)
    };
    for (text, expected) in [
        ("true", Some(true)),
        ("\" TRUE \"", Some(true)),
        ("\"false\"", Some(false)),
        ("0", Some(false)),
        ("2", Some(true)),
        ("0.0", Some(false)),
        ("1.0", Some(true)),
        ("\"1\"", None),
        ("\"yes\"", None),
        ("\"\"", None),
        ("null", None),
        ("[]", None),
    ] {
        assert_eq!(required(text), expected, "{text}");
    }
}

#[test]
fn takes_numbers_for_text_where_the_reference_connector_does() {
    let text = file("JsonPathContent", &REQUIRED.replace("\"v\"", "1.50").replace("\"$.d\"", "7"));
    let mapping = DeviceMapping::load(text.as_bytes(), &Compatibility::default()).unwrap();
    assert_eq!(mapping.templates()[0].type_name, "1.5");
    assert_eq!(mapping.templates()[0].device_id[0].text, "7");
}

#[test]
fn warns_of_what_has_no_effect_or_always_fails() {
    check_members(
        "IotJsonPathContent",
        "\"lineNumber\":1",
        &[
            "! Line Number: 3, Position: 72. [DeviceIdExpression] is ignored: IotJsonPathContentTemplate gives its own.",
            "! Line Number: 3, Position: 100. [TimestampExpression] is ignored: IotJsonPathContentTemplate gives its own.",
            "! Line Number: 4, Position: 13. The member 'lineNumber' is ignored.",
        ],
    );
    check(
        &file("JsonPathContent", &REQUIRED.replace("$..[?(@v)]", "")),
        &["! Line Number: 3, Position: 40. An expression must be set for [TypeMatchExpression]; every event fails."],
    );
}

/// Quirks 43 and 53, and fhir-conversion.md quirk 8.
#[test]
fn warns_of_what_means_something_else_than_it_seems() {
    let warnings = |text: &str| {
        let (mapping, findings) = DeviceMapping::load_partial(text.as_bytes(), &Compatibility::default());
        assert!(mapping.is_some() && !findings.iter().any(Finding::is_error), "{findings:?}");
        findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
    };
    let grouping = |filter: &str| warnings(&file("JsonPathContent", &REQUIRED.replace("[?(@v)]", filter)));
    let and_first = ["`a && b || c` means `a && (b || c)` here."];
    assert_eq!(grouping("[?(@v && @w || @x)]"), and_first);
    assert_eq!(grouping("[?(@y || @v && @w || @x)]"), and_first);
    assert_eq!(grouping("[?(@v || @w && @x)]"), [""; 0]);
    assert_eq!(grouping("[?(@v && @a[?(@w || @x)])]"), [""; 0]);

    let value = |expression: &str| {
        let expression = format!("{{\"value\":\"{expression}\",\"language\":\"JmesPath\"}}");
        let values = format!("\"values\":[{{\"valueName\":\"n\",\"valueExpression\":{expression}}}]");
        warnings(&file("CalculatedContent", &format!("{REQUIRED},{values}")))
    };
    let list = ["The expression for [ValueExpression] gives a list, also of one value; end it with `| [0]`."];
    for expression in ["Body[?t=='hr'].v", "Body[].v", "a || Body[*]", "a | Body.*", "[0:1]", "(Body[*])[0]"] {
        assert_eq!(value(expression), list, "{expression}");
    }
    for expression in ["Body[?t=='hr'].v | [0]", "length(Body[*])", "Body[0].v", "[a, b] | [1]"] {
        assert_eq!(value(expression), [""; 0], "{expression}");
    }
    let match_by_projection =
        REQUIRED.replace("\"$..[?(@v)]\"", "{\"value\":\"[Body][?v]\",\"language\":\"JmesPath\"}");
    assert_eq!(warnings(&file("CalculatedContent", &match_by_projection)), [""; 0]);

    let template = |name: &str| {
        format!(
            "{{\"templateType\":\"JsonPathContent\",\"template\":{{{}}}}}",
            REQUIRED.replace("\"typeName\":\"v\"", name)
        )
    };
    let two = |names: [&str; 2]| {
        let templates = names.map(|name| template(&format!("\"typeName\":\"{name}\""))).join(",");
        warnings(&format!("{{\"templateType\":\"CollectionContent\",\"template\":[{templates}]}}"))
    };
    let case = "The typeName differs from another in letter case only: one FHIR template, two Observations.";
    assert_eq!(two(["HeartRate", "heartrate"]), [case]);
    assert_eq!(two(["heartrate", "heartrate"]), [""; 0]);
}

proptest::proptest! {
    /// Any text, and text that is nearly a mapping.
    #[test]
    fn never_panics_on_a_file(text in proptest::prelude::any::<Vec<u8>>(), cut in 0_usize..400, byte in proptest::prelude::any::<u8>()) {
        let _ = DeviceMapping::load_partial(&text, &Compatibility::default());
        let mut nearly = file("CalculatedContent", &format!("{REQUIRED},\"values\":[{{\"valueName\":1}}]")).into_bytes();
        let at = cut % nearly.len();
        nearly[at] = byte;
        let _ = DeviceMapping::load_partial(&nearly, &Compatibility::default());
        nearly.truncate(at);
        let _ = DeviceMapping::load_partial(&nearly, &Compatibility::default());
    }
}

/// A value whose expression holds a pattern.
fn value_with(pattern: &str) -> String {
    let expression = format!("$..[?(@.v =~ {pattern})]").replace('\\', "\\\\");
    format!("{{\"valueName\":\"v\",\"valueExpression\":\"{expression}\"}}")
}

/// A service that checks the mappings of others compiles some of these patterns and no
/// more, whether or not they can be used.
#[test]
fn the_patterns_of_a_mapping_have_a_limit_together() {
    for pattern in ["/\\w{18}/", "/\\w{60}/"] {
        let values = vec![value_with(pattern); 8000].join(",");
        let found = findings(&file("JsonPathContent", &format!("{REQUIRED},\"values\":[{values}]")));
        let is_full = |finding: &&String| finding.contains("of the mapping take more than 64 MiB together");
        let full = found.iter().filter(is_full).count();
        assert!(full >= 8000 - 80, "{full} of {pattern}: {}", found[0]);
    }
}

#[test]
fn a_thousand_templates_may_have_a_pattern_each() {
    for pattern in ["/\\w+/", "/^[a-z]+[0-9]$/", "/^heart ?rate \\(bpm\\)$/i"] {
        let template = file("JsonPathContent", &format!("{REQUIRED},\"values\":[{}]", value_with(pattern)));
        let (_, template) = template.split_once('[').unwrap();
        let template = template.strip_suffix("]}").unwrap();
        let templates = vec![template; 1000].join(",");
        let text = format!("{{\"templateType\":\"CollectionContent\",\"template\":[{templates}]}}");
        let mapping = DeviceMapping::load(text.as_bytes(), &Compatibility::default());
        assert_eq!(mapping.map(|mapping| mapping.templates().len()), Ok(1000), "{pattern}");
    }
}
