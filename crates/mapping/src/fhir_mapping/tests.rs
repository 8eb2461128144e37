#![expect(clippy::disallowed_methods, reason = "the cases are files")]

use std::path::Path;

use serde_json::Value;

use super::*;

/// A collection of templates, each on a line of its own from line 2 on.
fn collection(templates: &[&str]) -> String {
    let container = |template: &&str| format!("{{\"templateType\":\"CodeValueFhir\",\"template\":{template}}}");
    let containers: Vec<String> = templates.iter().map(container).collect();
    format!("{{\"templateType\":\"CollectionFhir\",\"template\":[\n{}\n]}}", containers.join(",\n"))
}

fn findings(text: &str) -> Vec<String> {
    let (_, findings) = FhirMapping::load_partial(text.as_bytes(), &Compatibility::default());
    findings
        .into_iter()
        .map(|finding| {
            let place = finding.place.map_or("-".to_owned(), |place| format!("{}:{}", place.line, place.column));
            let warning = if !finding.is_error() { "warning " } else { "" };
            format!("{place} {warning}{}", finding.message)
        })
        .collect()
}

#[track_caller]
fn check(template: &str, expected: &[&str]) {
    // The container before the template is 43 characters long.
    assert_eq!(findings(&collection(&[template])), expected, "{template}");
}

#[track_caller]
fn check_text(text: &str, expected: &[&str]) {
    assert_eq!(findings(text), expected, "{text}");
}

/// The example of fhir-conversion.md 4.4, shortened.
#[test]
fn reads_every_kind_of_value() {
    let text = collection(&[
        r#"{"typeName":"heartrate","periodInterval":60,
            "category":[{"text":"Vital Signs","codes":[{"code":"vital-signs","system":"http://c","display":"Vital Signs"}]}],
            "codes":[{"code":"8867-4","system":"http://loinc.org","display":"Heart rate"}],
            "value":{"valueType":"SampledData","valueName":"hr","defaultPeriod":600000,"unit":"count/min"}}"#,
        r#"{"TYPENAME":"bloodpressure","Codes":[],"components":[
            {"codes":[{"code":"8480-6"}],"value":{"ValueType":"quantity","valueName":"systolic","unit":"mmHg","code":"mm[Hg]"}}]}"#,
        r#"{"typeName":"fall","periodInterval":"dAILY","codes":[],
            "value":{"valueType":"codeableconcept","valueName":"detected","text":"Fall","codes":[{"code":"1912002","extra":1}]}}"#,
        r#"{"typeName":"note","periodInterval":"-1","codes":[],"value":{"valueType":"String"}}"#,
    ]);
    let mapping = FhirMapping::load(text.as_bytes(), &Compatibility::default()).unwrap();
    let intervals: Vec<i64> = mapping.templates().iter().map(|template| template.interval.minutes()).collect();
    assert_eq!(intervals, [60, 0, 1440, -1]);
    let heart_rate = mapping.template("HeartRate").unwrap();
    assert_eq!(heart_rate.category[0].text.as_deref(), Some("Vital Signs"));
    assert_eq!(heart_rate.codes[0].code.as_deref(), Some("8867-4"));
    let kinds: Vec<&str> =
        mapping.templates().iter().flat_map(FhirTemplate::values).map(|value| value.kind.type_name()).collect();
    assert_eq!(kinds, ["SampledData", "Quantity", "CodeableConcept", "String"]);
    assert_eq!(mapping.template("note").unwrap().value.as_ref().unwrap().property(), None);
    assert!(mapping.template("").is_none());
}

#[test]
fn accepts_what_the_reference_connector_accepts() {
    check(r#"{"typeName":"a","codes":[],"category":null,"components":null}"#, &[]);
    check(r#"{"typeName":7,"codes":[{"code":1.50,"display":true,"system":null}]}"#, &[]);
    check(r#"{"typeName":"a","codes":[],"value":{"valueType":"SampledData","defaultPeriod":"1e3","other":1}}"#, &[]);
    check_text("// none yet\n{'templateType':'COLLECTIONFHIRTEMPLATE','template':[],}", &[]);
}

#[test]
fn reports_a_text_that_is_no_collection() {
    check_text("", &["- The mapping is empty."]);
    check_text(
        "[]",
        &["1:1 Error reading JObject from JsonReader. Current JsonReader item is not an object: StartArray. "],
    );
    check_text("{}", &["1:1 Expected TemplateType value CollectionFhirTemplate, actual Not Found."]);
    let actual = "1:16 Expected TemplateType value CollectionFhirTemplate, actual CollectionContent.";
    check_text(r#"{"templateType":"CollectionContent","template":[]}"#, &[actual]);
    let array = "Expected an array for the template property value for template type CollectionFhirTemplate.";
    check_text(r#"{"templateType":"CollectionFhir"}"#, &[&format!("1:1 {array}")]);
    check_text("{\"templateType\":\"CollectionFhir\",\n\"template\":{}}", &[&format!("2:11 {array}")]);
}

#[test]
fn reports_a_container_that_holds_no_template() {
    let text = r#"{"templateType":"CollectionFhir","template":[null,
{"templateType":"Mystery","template":{}},
{"template":{}},
{"templateType":"CodeValueFhir"},
{"templateType":"CodeValueFhir","template":[]}]}"#;
    let object = "Expected an object for the template property value for template type CodeValueFhirTemplate.";
    let expected = [
        "1:49 Error reading JObject from JsonReader. Current JsonReader item is not an object: Null. ",
        "2:16 Expected TemplateType value CodeValueFhirTemplate, actual Mystery.",
        "3:1 Expected TemplateType value CodeValueFhirTemplate, actual .",
        &format!("4:16 {object}"),
        &format!("5:16 {object}"),
    ];
    check_text(text, &expected);
}

#[test]
fn reports_required_members() {
    let required = |name: &str, place: &str| format!("2:{place} Required property '{name}' not found in JSON. ");
    check("{}", &[&required("Codes", "44"), &required("TypeName", "44")]);
    let null = "2:44 Required property 'Codes' expects a value but got null. ";
    check(r#"{"typeName":"a","codes":null}"#, &[null]);
    check(r#"{"typeName":"a","codes":[],"components":[{}]}"#, &[&required("Codes", "85")]);
    let component = r#"{"typeName":"a","codes":[],"components":[{"codes":[]}]}"#;
    check(component, &[&required("Value", "85")]);
    let value = |value: &str| format!(r#"{{"typeName":"a","codes":[],"value":{value}}}"#);
    check(&value(r#"{"valueType":"SampledData"}"#), &[&required("DefaultPeriod", "79")]);
    check(&value(r#"{"valueType":"SampledData","defaultPeriod":null}"#), &[&required("DefaultPeriod", "79")]);
    check(&value(r#"{"valueType":"CodeableConcept","codes":null}"#), &[&required("Codes", "79")]);
}

#[test]
fn reports_members_that_nobody_knows() {
    let unknown = |name: &str, class: &str| format!("Could not find member '{name}' on object of type '{class}'. ");
    let template = r#"{"typeName":"a","codes":[{"cod":1}],"category":[{"txt":1}],"components":[{"codes":[],"x":1,"value":{"valueType":"String"}}],"colour":1}"#;
    let expected = [
        format!("2:75 {}", unknown("cod", "FhirCode")),
        format!("2:98 {}", unknown("txt", "FhirCodeableConcept")),
        format!("2:132 {}", unknown("x", "CodeValueMapping")),
        format!("2:176 {}", unknown("colour", "CodeValueFhirTemplate")),
    ];
    check(template, &expected.each_ref().map(String::as_str));
}

#[test]
fn reports_values_of_the_wrong_kind() {
    let name = "Microsoft.Health.Fhir.Ingest.Template.ObservationPeriodInterval";
    let interval = |written: &str| format!(r#"{{"typeName":"a","codes":[],"periodInterval":{written}}}"#);
    for (written, printed) in [("60.0", "60"), ("null", "{null}"), ("\"Hour\"", "\"Hour\""), ("true", "True")] {
        let column = 87 + written.len();
        check(&interval(written), &[&format!("2:{column} Error converting value {printed} to type '{name}'. ")]);
    }
    let template = r#"{"typeName":[],"codes":{},"value":null,"components":["x"]}"#;
    let expected = [
        "2:56 Error reading string. Unexpected token: StartArray. ",
        "2:67 Error converting value StartObject to type \
         'System.Collections.Generic.IList`1[Microsoft.Health.Fhir.Ingest.Template.FhirCode]'. ",
        "2:81 Expected an object for a value, not Null.",
        "2:99 Error converting value \"x\" to type 'Microsoft.Health.Fhir.Ingest.Template.CodeValueMapping'. ",
    ];
    check(template, &expected);
}

#[test]
fn reports_values_that_are_no_value() {
    let value = |value: &str| format!(r#"{{"typeName":"a","codes":[],"value":{value}}}"#);
    check(&value(r#"{"VALUETYPE":"String"}"#), &["2:79 Property ValueType is missing."]);
    let kinds = "SampledData, Quantity, String and CodeableConcept are.";
    check(&value(r#"{"valueType":"Ratio"}"#), &[&format!("2:98 The value type 'Ratio' is not supported: {kinds}")]);
    let period = |period: &str| value(&format!(r#"{{"valueType":"SampledData","defaultPeriod":{period}}}"#));
    check(&period("\"abc\""), &["2:126 Could not convert string to decimal: abc. "]);
    let positive = "The defaultPeriod has to be a positive number of milliseconds, at least 0.0001.";
    check(&period("0"), &[&format!("2:122 {positive}")]);
    check(&period("-5"), &[&format!("2:123 {positive}")]);
}

#[test]
fn reports_intervals_that_do_not_exist() {
    let message = "2:89 The period interval 30 is not supported: \
                   -1 (CorrelationId), 0 (Single), 60 (Hourly) and 1440 (Daily) are.";
    check(r#"{"typeName":"a","codes":[],"periodInterval":30}"#, &[message]);
}

#[test]
fn warns_of_series_that_would_be_too_long() {
    let daily = |period: &str| {
        format!(
            r#"{{"typeName":"a","codes":[],"periodInterval":1440,"value":{{"valueType":"SampledData","defaultPeriod":{period}}}}}"#
        )
    };
    check(&daily("87"), &[]);
    let message = "2:145 warning With this defaultPeriod an Observation has more than 1000000 samples; \
                   measurements of this type will be rejected.";
    check(&daily("86"), &[message]);
    assert!(FhirMapping::load(collection(&[&daily("86")]).as_bytes(), &Compatibility::default()).is_ok());
}

#[test]
fn reports_names_that_cannot_be_told_apart() {
    let text = collection(&[
        r#"{"typeName":"Ä","codes":[]}"#,
        r#"{"typeName":" ","codes":[],"value":{"valueType":"SampledData"}}"#,
        r#"{"typeName":"ä","codes":[],"value":{"valueType":"SampledData"}}"#,
    ]);
    let expected = ["3:55 Empty type name is not allowed: ' '", "4:55 Duplicate template defined for type name: 'ä'"];
    check_text(&text, &expected);
}

#[test]
fn keeps_the_templates_that_are_right() {
    let text = collection(&[r#"{"typeName":"a"}"#, r#"{"typeName":"a","codes":[]}"#]);
    let (mapping, findings) = FhirMapping::load_partial(text.as_bytes(), &Compatibility::default());
    assert_eq!((mapping.unwrap().templates().len(), findings.len()), (1, 1));
    let error = FhirMapping::load(text.as_bytes(), &Compatibility::default()).unwrap_err();
    let message = "Validation errors:\nLine Number: 2, Position: 44. Required property 'Codes' not found in JSON. ";
    assert_eq!(error.to_string(), message);
}

#[test]
fn compares_with_a_device_template() {
    let text = collection(&[
        r#"{"typeName":"A","codes":[],"value":{"valueType":"String","valueName":"x"}}"#,
        r#"{"typeName":"b","codes":[],"value":{"valueType":"String","valueName":"x"},
            "components":[{"codes":[],"value":{"valueType":"String","valueName":"y"}}]}"#,
        r#"{"typeName":"c","codes":[]}"#,
    ]);
    let load = |compatibility| FhirMapping::load(text.as_bytes(), &compatibility).unwrap();
    let ours = load(Compatibility::default());
    let of = |mapping: &FhirMapping, type_name: &str, values: [&str; 2]| -> Vec<String> {
        mapping.check_device_template(type_name, values).into_iter().map(|finding| finding.message).collect()
    };
    let messages = |type_name, values| of(&ours, type_name, values);
    let missing = |value: &str, device: &str, available: &str| {
        format!(
            "The value [{value}] in Device Mapping [{device}] is not represented within the Fhir Template of type \
             [{device}]. Available values are: [{available}]. No value will appear inside of Observations."
        )
    };
    assert_eq!(messages("a", ["x", "X"]), [missing("X", "a", "x")]);
    // Quirk 70: a top-level value counts beside components.
    assert_eq!(messages("b", ["x", "y"]), [""; 0]);
    assert_eq!(messages("b", ["y", "z"]), [missing("z", "b", "x ,y")]);
    assert_eq!(of(&load(Compatibility::reference()), "b", ["x", "y"]), [missing("x", "b", "y")]);
    assert_eq!(messages("c", ["x", "y"]), ["The Fhir Template of type [c] has neither a value nor components."]);
    assert!(ours.check_device_template(" ", [])[0].is_error());
    let none = "No matching Fhir Template exists for Device Mapping [d]. Ensure case matches. \
                Available Fhir Templates: [A ,b ,c].";
    assert_eq!(messages("d", ["x", "y"]), [none]);
}

/// The cases of the corpus' suite `validate` that have a FHIR mapping only.
#[test]
fn finds_what_the_corpus_expects() {
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance"));
    let read = |file: &str| -> Value { serde_json::from_slice(&std::fs::read(corpus.join(file)).unwrap()).unwrap() };
    let (suite, departures) = (read("cases/validate.json"), read("departures.json"));
    let departs = |case: &Value| {
        let id = format!("validate/{}", case["id"].as_str().unwrap());
        departures["cases"].as_array().unwrap().iter().any(|departure| departure["id"] == id.as_str())
    };
    let mut count = 0;
    for case in suite["cases"].as_array().unwrap() {
        let Some(text) = case["fhirMappingText"].as_str() else { continue };
        if case.get("deviceMapping").or(case.get("deviceMappingText")).is_some() || departs(case) {
            continue;
        }
        let (_, findings) = FhirMapping::load_partial(text.as_bytes(), &Compatibility::reference());
        let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.is_error()).collect();
        let expect = &case["expect"];
        assert_eq!(errors.is_empty(), expect["valid"].as_bool().unwrap(), "{} {findings:?}", case["id"]);
        let Some(expected) = expect["templateErrors"].as_array() else { continue };
        assert_eq!(errors.len(), expected.len(), "{} {findings:?}", case["id"]);
        for (expected, error) in expected.iter().zip(errors) {
            assert!(error.message.contains(expected["contains"].as_str().unwrap()), "{} {error}", case["id"]);
            let line = error.place.map(|place| u64::from(place.line));
            assert!(expected["line"].is_null() || expected["line"].as_u64() == line, "{} {error}", case["id"]);
        }
        count += 1;
    }
    assert!(count > 20, "only {count} cases");
}
