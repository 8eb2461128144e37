//! Tests of the wire form: what is written, what is read, and that the two
//! agree.

use expressions::DateTime;
use proptest::prelude::*;

use super::*;

fn time(text: &str) -> UtcTime {
    DateTime::parse_token(text).unwrap().instant
}

fn measurement() -> Measurement<'static> {
    Measurement {
        r#type: "spo2".into(),
        occurrence_time: time("2024-03-05T06:07:08.09Z"),
        ingestion_time: Some(time("2024-03-05T06:07:09.1234567Z")),
        device_id: "d-7".into(),
        properties: vec![Property { name: "pct".into(), value: Some("97".into()) }],
        ..Measurement::default()
    }
}

fn written(measurement: &Measurement<'_>) -> String {
    let mut json = Vec::new();
    measurement.write_json(&mut json);
    String::from_utf8(json).expect("JSON is UTF-8")
}

#[test]
fn writes_all_members_in_their_order() {
    let expected = concat!(
        r#"{"Type":"spo2","OccurrenceTimeUtc":"2024-03-05T06:07:08.09Z","#,
        r#""IngestionTimeUtc":"2024-03-05T06:07:09.1234567Z","DeviceId":"d-7","PatientId":null,"#,
        r#""EncounterId":null,"CorrelationId":null,"Properties":[{"Name":"pct","Value":"97"}]}"#,
    );
    assert_eq!(written(&measurement()), expected);
    let empty = Measurement { ingestion_time: None, properties: Vec::new(), ..measurement() };
    assert!(written(&empty).contains(r#""IngestionTimeUtc":null,"#));
    assert!(written(&empty).ends_with(r#""Properties":[]}"#));
}

#[test]
fn escapes_only_what_the_reference_connector_escapes() {
    let device_id = "\"\\/\u{8}\t\n\u{c}\r\u{1}\u{1f}\u{7f}\u{84}\u{85}\u{2027}\u{2028}\u{2029}é<&>'+😀".into();
    let json = written(&Measurement { device_id, ..measurement() });
    let expected =
        "\"DeviceId\":\"\\\"\\\\/\\b\\t\\n\\f\\r\\u0001\\u001f\u{7f}\u{84}\\u0085\u{2027}\\u2028\\u2029é<&>'+😀\",";
    assert!(json.contains(expected), "{json}");
}

/// What a body is read as: its JSON as we write it, or the error.
#[track_caller]
fn check(json: &str, expected: &str) {
    let actual = match Measurement::read(json.as_bytes()) {
        Ok(measurement) => written(&measurement),
        Err(error) => error.to_string(),
    };
    assert_eq!(actual, expected, "{json}");
}

#[track_caller]
fn check_member(member: &str, expected: &str) {
    let json = format!(r#"{{"Type":"t","DeviceId":"d",{member}}}"#);
    let actual = match Measurement::read(json.as_bytes()) {
        Ok(measurement) => written(&measurement),
        Err(error) => error.to_string(),
    };
    assert!(actual.contains(expected), "{member}: {actual}");
}

#[test]
fn reads_what_other_producers_write() {
    for (member, expected) in [
        (r#""patientid":"p""#, r#""PatientId":"p""#),
        (r#""PATIENTID":65.50"#, r#""PatientId":"65.50""#),
        (r#""PatientId":1e3"#, r#""PatientId":"1e3""#),
        (r#""PatientId":true"#, r#""PatientId":"true""#),
        (r#""PatientId":"True""#, r#""PatientId":"True""#),
        (r#""PatientId":"a","patientId":"b""#, r#""PatientId":"b""#),
        (r#""PatientId":"\u0041\"""#, r#""PatientId":"A\"""#),
        (r#""PatientId":{}"#, "`PatientId` is an object or a list"),
        (r#""unknown":[{"a":1}]"#, r#""PatientId":null"#),
        (r#""Type":null"#, "`Type` is missing"),
        (r#""properties":[{"name":"n","VALUE":65}]"#, r#"[{"Name":"n","Value":"65"}]"#),
        (r#""Properties":[{"Name":"n","Value":null}]"#, r#"[{"Name":"n","Value":null}]"#),
        (r#""Properties":[{"Name":"n","Value":[1]}]"#, "`Properties[0].Value` is an object or a list"),
        (r#""Properties":[{"Name":"n"},{"Value":"v"}]"#, "`Properties[1].Name` is missing"),
        (r#""Properties":[null]"#, "`Properties[0]` is not an object"),
        (r#""Properties":null"#, "`Properties` is not a list"),
    ] {
        check_member(member, expected);
    }
}

#[test]
fn reads_all_forms_of_time() {
    for (member, expected) in [
        (r#""x":1"#, r#""OccurrenceTimeUtc":"0001-01-01T00:00:00Z""#),
        (r#""OccurrenceTimeUtc":"2020-08-10T00:15:00""#, r#""OccurrenceTimeUtc":"2020-08-10T00:15:00Z""#),
        (r#""OccurrenceTimeUtc":"2020-08-10T00:15:00+02:00""#, r#""OccurrenceTimeUtc":"2020-08-09T22:15:00Z""#),
        (r#""OccurrenceTimeUtc":"08/10/2020 00:15:00""#, r#""OccurrenceTimeUtc":"2020-08-10T00:15:00Z""#),
        (r#""OccurrenceTimeUtc":"2020-08-10""#, r#""OccurrenceTimeUtc":"2020-08-10T00:00:00Z""#),
        (r#""OccurrenceTimeUtc":null"#, "`OccurrenceTimeUtc` is not a text"),
        (r#""OccurrenceTimeUtc":1597018500"#, "`OccurrenceTimeUtc` is not a text"),
        (r#""OccurrenceTimeUtc":"soon""#, "`OccurrenceTimeUtc` is not a time"),
        (r#""IngestionTimeUtc":null"#, r#""IngestionTimeUtc":null"#),
        (r#""IngestionTimeUtc":"soon""#, "`IngestionTimeUtc` is not a time"),
    ] {
        check_member(member, expected);
    }
}

#[test]
fn refuses_what_is_no_measurement_and_quotes_nothing_of_it() {
    check("null", "expected a measurement object at line 1, column 4");
    check("", "expected a measurement object at line 1, column 0");
    check("[]", "expected a measurement object at line 1, column 0");
    check(r#""secret""#, "expected a measurement object at line 1, column 8");
    check("\u{feff}{}", "expected a measurement object at line 1, column 1");
    check(r#"{"Type":"t","DeviceId":"d"} {}"#, "expected a measurement object at line 1, column 29");
    check("{'Type':'t'}", "expected a measurement object at line 1, column 2");
    check(r#"{"DeviceId":"d"}"#, "`Type` is missing");
    check(r#"{"Type":"t"}"#, "`DeviceId` is missing");
}

/// fhir-conversion.md 1.4: what the reference connector's reader takes beyond
/// JSON.
#[test]
fn reads_the_looser_forms_when_told_to() {
    let read = |json: &str| match Measurement::read_lenient(json.as_bytes()) {
        Ok(measurement) => written(&measurement),
        Err(error) => error.to_string(),
    };
    let plain = r#"{"Type":"t","DeviceId":"d","Properties":[{"Name":"n","Value":65.50},{"Name":"m","Value":true}]}"#;
    let loose =
        "/* a */ {Type:'t', 'DeviceId':\"d\", // b\n Properties:[{Name:'n',Value:65.50,},{Name:'m',Value:true}],}";
    assert_eq!(read(loose), read(plain));
    assert!(read(plain).contains(r#""Value":"65.50""#), "{}", read(plain));
    assert_eq!(read("{Type:'t',DeviceId:undefined}"), "`DeviceId` is missing");
    for refused in ["", "\u{feff}{}", "[]", "{'Type':'t','DeviceId':'d'} {}", "{'Type' 't'}", "'t'"] {
        assert!(read(refused).starts_with("expected a measurement object at line 1"), "{refused}: {}", read(refused));
    }
    assert!(Measurement::read(loose.as_bytes()).is_err());
}

#[test]
fn loses_only_the_bad_ones_of_a_list() {
    let json = r#"[{"Type":"t","DeviceId":"a"},{"Type":"t"},{"Type":"t","DeviceId":"b"},7]"#;
    let read = Measurement::read_list(json.as_bytes()).unwrap();
    let summary: Vec<Result<&str, String>> =
        read.iter().map(|read| read.as_ref().map(|m| &*m.device_id).map_err(ToString::to_string)).collect();
    let expected = [
        Ok("a"),
        Err("`DeviceId` is missing".to_owned()),
        Ok("b"),
        Err("expected a measurement object at line 1, column 1".to_owned()),
    ];
    assert_eq!(summary, expected);
    assert!(Measurement::read_list(b"{}").is_err());
}

fn any_measurement() -> impl Strategy<Value = Measurement<'static>> {
    fn property((name, value): (String, Option<String>)) -> Property<'static> {
        Property { name: name.into(), value: value.map(Into::into) }
    }
    let ids = (any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>());
    let times = (0..=UtcTime::MAX.ticks(), proptest::option::of(0..=UtcTime::MAX.ticks()));
    let properties = proptest::collection::vec((any::<String>(), any::<Option<String>>()), 0..4);
    (any::<String>(), any::<String>(), times, ids, properties).prop_map(
        |(r#type, device_id, (occurrence, ingestion), (patient_id, encounter_id, correlation_id), properties)| {
            Measurement {
                r#type: r#type.into(),
                device_id: device_id.into(),
                occurrence_time: UtcTime::from_ticks(occurrence).unwrap_or_default(),
                ingestion_time: ingestion.and_then(UtcTime::from_ticks),
                patient_id: patient_id.map(Into::into),
                encounter_id: encounter_id.map(Into::into),
                correlation_id: correlation_id.map(Into::into),
                properties: properties.into_iter().map(property).collect(),
            }
        },
    )
}

proptest! {
    #[test]
    fn reads_what_it_writes(measurement in any_measurement()) {
        let json = written(&measurement);
        prop_assert_eq!(Measurement::read(json.as_bytes()), Ok(measurement.clone()));
        prop_assert_eq!(measurement.as_ref().to_measurement(), measurement);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    }

    /// The fast reader takes nothing that the reader for all forms reads
    /// otherwise.
    #[test]
    fn both_readers_agree(
        measurement in any_measurement(),
        plain in "[ -~äß]{0,20}",
        edit in proptest::option::of((any::<proptest::sample::Index>(), "[ -~\\x00-\\x1f]?")),
    ) {
        let plain = Measurement { device_id: plain.as_str().into(), patient_id: Some(plain.as_str().into()), ..measurement };
        let mut json = written(&plain);
        if let Some((at, new)) = edit {
            let at = at.index(json.len());
            if json.is_char_boundary(at) && json.is_char_boundary(at + 1) {
                json.replace_range(at..=at, &new);
            }
        }
        if let Some(read) = plain::read(&json) {
            prop_assert_eq!(Ok(read), read::general(json.as_bytes()));
        }
    }

    #[test]
    fn takes_the_plain_form_the_fast_way(plain in "[ !#-\\[\\]-~äß]{0,40}", time in 0..=UtcTime::MAX.ticks()) {
        let value = Property { name: plain.as_str().into(), value: Some(plain.as_str().into()) };
        let measurement = Measurement {
            device_id: plain.as_str().into(),
            occurrence_time: UtcTime::from_ticks(time).unwrap_or_default(),
            properties: vec![value.clone(), Property { value: None, ..value }],
            ..Measurement::default()
        };
        // Beyond ASCII a few characters come escaped.
        if plain.is_ascii() {
            let json = written(&measurement);
            prop_assert_eq!(plain::read(&json), Some(measurement));
        }
    }

    #[test]
    fn never_panics_on_a_body(body in any::<Vec<u8>>()) {
        let _ = Measurement::read(&body);
        let _ = Measurement::read_list(&body);
    }
}
