//! Tests of running a mapping. What the corpus covers
//! (`tests/conformance/cases/normalize.json`) is not repeated here.

use expressions::{DateTime, Properties, PropertyValue};

use super::*;
use crate::compatibility::Compatibility;

const TIME: &str = "2022-01-02T03:04:05Z";

fn mapping(templates: &str) -> DeviceMapping {
    let text = format!(r#"{{"templateType":"CollectionContent","template":[{templates}]}}"#);
    DeviceMapping::load(text.as_bytes(), &Compatibility::reference()).unwrap()
}

/// A CalculatedContent template of type `v` whose ids are under the match.
fn calculated(members: &str) -> String {
    format!(
        r#"{{"templateType":"CalculatedContent","template":{{"typeName":"v","typeMatchExpression":"$..[?(@v)]",
        "deviceIdExpression":"$.matchedToken.d","timestampExpression":"$.matchedToken.t",{members}}}}}"#
    )
}

fn value(name: &str, expression: &str) -> String {
    format!(r#""values":[{{"valueName":"{name}","valueExpression":"{expression}","required":true}}]"#)
}

/// What became of an event: `type/device[ name=value]…` for each measurement,
/// and the error.
fn run(mapping: &DeviceMapping, scratch: &mut Scratch, body: &str) -> String {
    run_bytes(mapping, scratch, body.as_bytes())
}

fn run_bytes(mapping: &DeviceMapping, scratch: &mut Scratch, body: &[u8]) -> String {
    let content = expressions::Event { body, properties: Properties::NONE, system_properties: Properties::NONE };
    let mut lines = Vec::new();
    let mut sink = |measurement: &MeasurementRef<'_>| {
        let mut line = format!("{}/{}", measurement.r#type, measurement.device_id);
        for (name, value) in measurement.properties.iter() {
            line.push_str(&format!(" {name}={}", value.unwrap_or("null")));
        }
        lines.push(line);
    };
    let event = Event { content, enqueued_time: UtcTime::MIN };
    match mapping.normalize(scratch, &event, &mut sink) {
        Ok(sent) => assert_eq!(sent, lines.len()),
        Err(error) => {
            assert_eq!(error.sent, lines.len());
            lines.push(format!("{} {:?} [{}] {}", error.code(), error.template, error.name, error.message));
        }
    }
    lines.join("; ")
}

#[track_caller]
fn check(mapping: &DeviceMapping, body: &str, expected: &str) {
    assert_eq!(run(mapping, &mut Scratch::new(), body), expected, "{body}");
}

#[test]
fn builds_the_vectors_of_the_reference() {
    let optional = r#""values":[{"valueName":"v","valueExpression":"$.matchedToken.v","required":true},
        {"valueName":"opt","valueExpression":"$.matchedToken.opt"}]"#;
    let mapping = mapping(&calculated(optional));
    let event = |members: &str| format!(r#"{{"t":"{TIME}","d":12,{members}}}"#);
    check(&mapping, &event(r#""v":78.50,"opt":true"#), "v/12 v=78.5 opt=True");
    check(&mapping, &event(r#""v":1,"opt":{"a":1}"#), "v/12 v=1");
    check(&mapping, &event(r#""v":1,"opt":"""#), "v/12 v=1 opt=");
    check(&mapping, &event(r#""v":1,"opt":null"#), "v/12 v=1");
    let failure = "IncompatibleData Some(0) [v] Unable to extract required value for [v]";
    check(&mapping, &event(r#""v":" ""#), failure);
    check(&mapping, &event(r#""v":[1]"#), failure);
    check(&mapping, &format!(r#"{{"v":1,"t":"{TIME}","d":"{TIME}"}}"#), "v/01/02/2022 03:04:05 v=1");
    check(&mapping, "", "");
    check(&mapping, r#""text""#, "");
    let invalid = "InvalidDataFormat None [] Invalid event message. Cannot be parsed into a JSON object.";
    check(&mapping, "not json", invalid);
}

#[test]
fn keeps_what_was_sent_before_a_failure_and_looks_no_further() {
    let templates = [calculated(&value("v", "$.matchedToken.v")), calculated(&value("w", "$.matchedToken.v"))];
    let mapping = mapping(&templates.join(","));
    let body = format!(r#"[{{"v":1,"d":"a","t":"{TIME}"}},{{"v":2,"d":"b"}},{{"v":3,"d":"c","t":"{TIME}"}}]"#);
    let failure = "IncompatibleData Some(0) [TimestampExpression] \
        Unable to extract required value for [TimestampExpression] using $.matchedToken.t";
    check(&mapping, &body, &format!("v/a v=1; {failure}"));
}

#[test]
fn sees_a_match_twice_in_a_calculated_template() {
    let mapping = mapping(&calculated(&value("v", "$..v")));
    let failure = "TemplateExpression Some(0) [v] Unable to retrieve JsonToken using expression $..v";
    check(&mapping, &format!(r#"{{"v":1,"d":"a","t":"{TIME}"}}"#), failure);
}

#[test]
fn fails_an_event_for_the_selection_of_an_optional_value() {
    let mapping = mapping(&calculated(r#""values":[{"valueName":"x","valueExpression":"$.matchedToken.x[*]"}]"#));
    check(&mapping, &format!(r#"{{"v":1,"d":"a","t":"{TIME}","x":[1]}}"#), "v/a x=1");
    let failure = "TemplateExpression Some(0) [x] Unable to retrieve JsonToken using expression $.matchedToken.x[*]";
    check(&mapping, &format!(r#"{{"v":1,"d":"a","t":"{TIME}","x":[1,2]}}"#), failure);
}

#[test]
fn keeps_text_in_the_standard_language() {
    let template = calculated(r#""defaultExpressionLanguage":"JsonPathRfc9535","values":[]"#)
        .replace("$..[?(@v)]", "$.Body[?@.v]");
    let mapping = mapping(&template);
    check(&mapping, &format!(r#"[{{"v":1,"d":"{TIME}","t":"{TIME}"}}]"#), &format!("v/{TIME}"));
}

#[test]
fn serves_mappings_in_turn_with_one_scratch() {
    let first = mapping(&calculated(&value("v", "$.matchedToken.v")));
    let second = mapping(&calculated(&value("w", "$.matchedToken.other.w")));
    let body = format!(r#"{{"v":1,"other":{{"w":2}},"d":"a","t":"{TIME}"}}"#);
    let mut scratch = Scratch::new();
    for _ in 0..3 {
        assert_eq!(run(&first, &mut scratch, &body), "v/a v=1");
        assert_eq!(run(&second, &mut scratch, &body), "v/a w=2");
    }
}

#[test]
fn takes_times_from_the_properties_of_iot_hub() {
    let mapping = mapping(
        r#"{"templateType":"IotJsonPathContent","template":{"typeName":"v","typeMatchExpression":"$..[?(@Body.v)]"}}"#,
    );
    let enqueued = DateTime::parse_token(TIME).unwrap();
    for (creation_time, expected) in [
        (PropertyValue::String("2020-01-01T00:00:00Z"), "2020-01-01T00:00:00Z"),
        (PropertyValue::String(""), TIME),
        (PropertyValue::Null, TIME),
        (PropertyValue::Integer(7), TIME),
    ] {
        let content = expressions::Event {
            body: br#"{"v":1}"#,
            properties: Properties::Typed(&[("iothub-creation-time-utc", creation_time)]),
            system_properties: Properties::Typed(&[
                ("iothub-connection-device-id", PropertyValue::String("hub-device")),
                ("iothub-enqueuedtime", PropertyValue::Date(enqueued)),
            ]),
        };
        let mut got = Vec::new();
        let mut sink = |measurement: &MeasurementRef<'_>| got.push(measurement.to_measurement());
        let event = Event { content, enqueued_time: enqueued.instant };
        mapping.normalize(&mut Scratch::new(), &event, &mut sink).unwrap();
        let expected = DateTime::parse_token(expected).unwrap().instant;
        assert_eq!(got[0].device_id, "hub-device");
        assert_eq!(got[0].occurrence_time, expected, "{creation_time:?}");
        assert_eq!(got[0].ingestion_time, Some(enqueued.instant));
    }
}

/// Quirk 12.
#[test]
fn takes_the_time_at_which_the_hub_received_the_event() {
    let template = calculated("\"values\":[]")
        .replace("$.matchedToken.d", "$.Body.d")
        .replace("$.matchedToken.t", "$.SystemProperties.x-opt-enqueued-time");
    let (mapping, enqueued) = (mapping(&template), DateTime::parse_token(TIME).unwrap());
    let typed = [("x-opt-enqueued-time", PropertyValue::Date(enqueued))];
    let json = format!(r#"{{"x-opt-enqueued-time":"{TIME}"}}"#);
    for system_properties in
        [Properties::Typed(&typed), Properties::Json { text: &json, dates: &["x-opt-enqueued-time"] }]
    {
        let content =
            expressions::Event { body: br#"{"v":1,"d":"d"}"#, properties: Properties::NONE, system_properties };
        let mut times = Vec::new();
        let mut sink = |measurement: &MeasurementRef<'_>| times.push(measurement.occurrence_time);
        mapping.normalize(&mut Scratch::new(), &Event { content, enqueued_time: UtcTime::MIN }, &mut sink).unwrap();
        assert_eq!(times, [enqueued.instant]);
    }
}

/// Quirk 37: the reference connector names the line of the last one that is
/// written the same.
#[test]
fn names_the_line_of_the_expression_that_failed() {
    let values = "\"values\":[\n{\"valueName\":\"a\",\"valueExpression\":\"$.matchedToken.x\",\"required\":true},\n\
                  {\"valueName\":\"b\",\"valueExpression\":\"$.matchedToken.x\",\"required\":true}]";
    let mapping = mapping(&calculated(values));
    let mut sink = |_: &MeasurementRef<'_>| {};
    let body = format!(r#"{{"v":1,"d":"d","t":"{TIME}"}}"#);
    let error = mapping.normalize_document(&mut Scratch::new(), body.as_bytes(), &mut sink).unwrap_err();
    assert_eq!((error.name.as_str(), error.place.map(|place| place.line)), ("a", Some(3)));
}

#[test]
fn refuses_a_document_that_is_no_object() {
    let mapping = mapping(&calculated(r#""values":[]"#));
    let mut sink = |_: &MeasurementRef<'_>| {};
    let error = mapping.normalize_document(&mut Scratch::new(), b"[1]", &mut sink).unwrap_err();
    assert_eq!((error.code(), error.template), ("Argument", None));
}

#[test]
fn says_where_and_why_without_a_value() {
    let mapping = mapping(&calculated(&value("v", "$.matchedToken.v")));
    let mut sink = |_: &MeasurementRef<'_>| {};
    let body = br#"{"v":1,"d":"secret","t":"secret time"}"#;
    let error = mapping.normalize_document(&mut Scratch::new(), body, &mut sink).unwrap_err();
    let encountered =
        "Encountered an error while extracting value for [TimestampExpression] using expression $.matchedToken.t";
    let expected = format!(
        "Line Number: 2, Position: 88. Unable to extract required value for [TimestampExpression]\n\
         1:One or more errors occurred. ({encountered})\n2:{encountered}\n\
         3:String was not recognized as a valid DateTime."
    );
    assert_eq!(error.to_string(), expected);
}

proptest::proptest! {
    /// Any body, and a body that is nearly right: it may fail, and one scratch
    /// goes on serving.
    #[test]
    fn never_panics_on_a_body(
        body in proptest::prelude::any::<Vec<u8>>(),
        at in 0_usize..60,
        byte in proptest::prelude::any::<u8>(),
    ) {
        let mapping = mapping(&calculated(&value("v", "$.matchedToken.v")));
        let mut scratch = Scratch::new();
        let good = format!(r#"{{"v":1,"d":"a","t":"{TIME}","x":[1,{{"y":null}}]}}"#);
        let mut nearly = good.clone().into_bytes();
        let length = nearly.len();
        nearly[at % length] = byte;
        for body in [body.as_slice(), nearly.as_slice()] {
            let _ = run_bytes(&mapping, &mut scratch, body);
        }
        proptest::prop_assert_eq!(run(&mapping, &mut scratch, &good), "v/a v=1");
    }
}

/// A template of `typeMatchExpression`, whose id and time are those of the body.
fn of_body(type_match: &str, value: &str) -> String {
    format!(
        r#"{{"templateType":"CalculatedContent","template":{{"typeName":"v","typeMatchExpression":{type_match},
        "deviceIdExpression":"$.Body.d","timestampExpression":"$.Body.t",
        "values":[{{"valueName":"v","valueExpression":"{value}","required":true}}]}}}}"#
    )
}

/// A body with a device id of so many bytes and so many readings.
fn body(id_len: usize, readings: usize) -> String {
    let id = "d".repeat(id_len);
    format!(r#"{{"d":"{id}","t":"{TIME}","r":[{}]}}"#, vec![r#"{"v":1}"#; readings].join(","))
}

#[track_caller]
fn ends_with(outcome: &str, expected: &str) {
    let end = outcome.rsplit("; ").next().unwrap_or_default();
    assert_eq!(end, expected);
}

#[test]
fn ends_an_event_whose_measurement_is_too_long() {
    let mapping = mapping(&of_body(r#""$..[?(@v)]""#, "$.matchedToken.v"));
    let outcome = run(&mapping, &mut Scratch::new(), &body(extract::MEASUREMENT_BYTES_MAX + 1, 3));
    ends_with(
        &outcome,
        "LimitExceeded Some(0) [DeviceIdExpression] the ids and values of a measurement take more than 1 MiB",
    );
}

#[test]
fn ends_an_event_whose_measurements_take_too_much() {
    let mapping = mapping(&of_body(r#""$..[?(@v)]""#, "$.matchedToken.v"));
    let outcome = run(&mapping, &mut Scratch::new(), &body(600_000, 200));
    assert_eq!(outcome.matches("; ").count(), OUTPUT_BYTES_MAX / 600_161, "sent before");
    ends_with(&outcome, "LimitExceeded Some(0) [] the measurements of the event take more than 64 MiB");
}

#[test]
fn ends_an_event_with_too_many_measurements() {
    assert_eq!(within_limits(0, 1000, 100).unwrap(), 1000 - 100 - MEASUREMENT_OVERHEAD);
    assert!(within_limits(MEASUREMENTS_MAX - 1, 1000, 0).is_ok());
    let error = within_limits(MEASUREMENTS_MAX, 1000, 0).unwrap_err();
    assert_eq!((error.code(), &*error.message), ("LimitExceeded", "the event gives more than 200000 measurements"));
}

/// An event of so many steps at the most: what was sent, and how it ended.
fn run_within(mapping: &DeviceMapping, steps: u64, body: &str) -> (Result<usize, NormalizeError>, u64) {
    let mut scratch = Scratch::new();
    scratch.adapt(mapping);
    let Scratch { document, matched, parts, .. } = &mut scratch;
    let event =
        expressions::Event { body: body.as_bytes(), properties: Properties::NONE, system_properties: Properties::NONE };
    let document = document.read_event(&event, mapping.read_options()).unwrap();
    let budget = Budget::new(steps);
    let outcome = mapping.run(document, None, matched, parts, &budget, &mut |_: &MeasurementRef<'_>| {});
    (outcome, budget.spent())
}

#[test]
fn ends_an_event_that_takes_too_many_steps() {
    let body = body(1, 300);
    for (type_match, value) in [
        (r#""$..[?(@v)]""#, "$..d"),
        (r#""$..[?($..v == $..x || @v)]""#, "$.matchedToken.v"),
        (r#"{"value":"Body.r[*].{v:v}","language":"JmesPath"}"#, "$..d"),
        (r#"{"value":"Body.r[?length(to_string(@)) > `0`]","language":"JmesPath"}"#, "$..d"),
        (r#"{"value":"$..[?count($..v) > 9999]","language":"JsonPathRfc9535"}"#, "$.matchedToken.v"),
    ] {
        let mapping = mapping(&of_body(type_match, value));
        let (outcome, spent) = run_within(&mapping, 50_000, &body);
        let error = outcome.expect_err(type_match);
        assert_eq!(error.code(), "LimitExceeded", "{type_match}");
        assert_eq!(error.message, "the expressions take more than 50000 steps over this event");
        assert_eq!(spent, 50_000);
    }
}

#[test]
fn leaves_real_events_far_below_the_limits() {
    let reading = r#"{"t":"2022-01-02T03:04:05.678Z","hr":61,"spo2":97,"rr":15,"temp":36.6,"sys":120,"dia":80,"steps":1,"batt":88,"note":"a note as devices add them, and then some more of it"}"#;
    let names = ["hr", "spo2", "rr", "temp", "sys", "dia", "steps", "batt"];
    let templates = |type_match: fn(&str) -> String| {
        let templates = names.map(|name| of_body(&type_match(name), &format!("$.matchedToken.{name}")));
        mapping(&templates.join(","))
    };
    let mappings = [
        templates(|name| format!(r#""$..[?(@.{name})]""#)),
        templates(|name| format!(r#""$.Body.r[?(@.{name} > 0)]""#)),
        templates(|name| format!(r#"{{"value":"Body.r[?{name}]","language":"JmesPath"}}"#)),
        templates(|name| format!(r#"{{"value":"Body.r[*].{{{name}:{name}}}","language":"JmesPath"}}"#)),
    ];
    for (readings, share) in [(50, 100), (5000, 2)] {
        let body = format!(r#"{{"d":"d","t":"{TIME}","r":[{}]}}"#, vec![reading; readings].join(","));
        for (at, mapping) in mappings.iter().enumerate() {
            let (outcome, spent) = run_within(mapping, expressions::budget::STEPS_MAX, &body);
            assert_eq!(outcome, Ok(readings * names.len()), "{at}");
            assert!(spent < expressions::budget::STEPS_MAX / share, "{at}: {spent} steps for {readings} readings");
        }
    }
}
