//! From the bytes of an event to the bytes of an Observation, with the switches
//! that change what is in between.

#![allow(clippy::unwrap_used)] // A test may fail by it.

use expressions::{DateTime, Properties, PropertyValue, UtcTime};
use mapping::compatibility::{Dates, Numbers};
use mapping::group::{self, ObservationGroup};
use mapping::normalize::{Event, Scratch};
use mapping::{Compatibility, DeviceMapping, FhirMapping, Measurement, MeasurementRef, MergePolicy, Observation};
use mapping::{ConvertError, Property, ResourceIds};

/// Each value by another way: JSONPath of either dialect and JMESPath, by
/// itself, out of a projection, and through a function that gives it back.
const DEVICE: &str = r#"{"templateType":"CollectionContent","template":[{"templateType":"CalculatedContent","template":{
    "typeName":"scale","typeMatchExpression":"$..[?(@v)]","deviceIdExpression":"$.matchedToken.d",
    "timestampExpression":"$.matchedToken.t","values":[
    {"valueName":"path","valueExpression":"$.matchedToken.v","required":true},
    {"valueName":"standard","valueExpression":{"value":"$.matchedToken.v","language":"JsonPathRfc9535"}},
    {"valueName":"jmes","valueExpression":{"value":"matchedToken.v","language":"JmesPath"}},
    {"valueName":"piped","valueExpression":{"value":"Body[?v].v | [0]","language":"JmesPath"}},
    {"valueName":"chosen","valueExpression":{"value":"not_null(missing, matchedToken.v)","language":"JmesPath"}}]}}]}"#;

const FHIR: &str = r#"{"templateType":"CollectionFhir","template":[
    {"templateType":"CodeValueFhir","template":{"typeName":"scale","codes":[],
     "value":{"valueType":"Quantity","valueName":"path","unit":"kg"},
     "components":[{"codes":[],"value":{"valueType":"Quantity","valueName":"jmes"}}]}},
    {"templateType":"CodeValueFhir","template":{"typeName":"series","periodInterval":60,"codes":[],
     "value":{"valueType":"SampledData","valueName":"path","defaultPeriod":60000}}}]}"#;

fn body(value: &str) -> String {
    format!(r#"[{{"v":{value},"d":"d1","t":"2023-10-09T19:18:23.5Z"}}]"#)
}

/// An event without properties.
fn content(body: &str) -> expressions::Event<'_> {
    expressions::Event { body: body.as_bytes(), properties: Properties::NONE, system_properties: Properties::NONE }
}

/// What the event becomes on the internal hub, and what is read from there.
fn measure(event: &expressions::Event<'_>, device: &str, compatibility: Compatibility) -> Measurement<'static> {
    let mapping = DeviceMapping::load(device.as_bytes(), &compatibility).unwrap();
    let mut json = Vec::new();
    let mut sink = |measurement: &MeasurementRef<'_>| measurement.write_json(&mut json);
    let event = Event { content: *event, enqueued_time: UtcTime::MIN };
    assert_eq!(mapping.normalize(&mut Scratch::new(), &event, &mut sink), Ok(1));
    Measurement::read(&json).unwrap().as_ref().to_measurement()
}

fn measure_body(body: &str, compatibility: Compatibility) -> Measurement<'static> {
    measure(&content(body), DEVICE, compatibility)
}

fn values<'m>(measurement: &'m Measurement<'_>) -> Vec<(&'m str, &'m str)> {
    let pair = |property: &'m Property<'_>| (&*property.name, property.value.as_deref().unwrap_or("null"));
    measurement.properties.iter().map(pair).collect()
}

/// What is made of the groups that a measurement is cut into.
fn grouped<T>(
    measurement: Measurement<'_>,
    fhir: &FhirMapping,
    make: impl FnOnce(&[ObservationGroup<'_>], &[ConvertError]) -> T,
) -> T {
    let measurements = [measurement];
    let grouping = group::group(&measurements, fhir.compatibility());
    let cut = fhir.observation_groups(&grouping.groups[0]).unwrap();
    let rejected: Vec<ConvertError> = cut.rejected.into_iter().map(|rejected| rejected.error).collect();
    make(&cut.groups, &rejected)
}

/// The Observation of a measurement that gives one.
fn create_one(fhir: &FhirMapping, measurement: Measurement<'_>) -> Result<Observation, ConvertError> {
    grouped(measurement, fhir, |groups, rejected| match (groups, rejected) {
        ([group], []) => create(fhir, group),
        _ => panic!("{} groups, {} rejected", groups.len(), rejected.len()),
    })
}

/// The segment of the identifier of a measurement's Observation.
fn id_segment(fhir: &FhirMapping, measurement: Measurement<'_>) -> String {
    grouped(measurement, fhir, |groups, _| groups[0].id_segment.to_string())
}

fn create(fhir: &FhirMapping, group: &ObservationGroup<'_>) -> Result<Observation, ConvertError> {
    let ids = ResourceIds { device: "d".into(), patient: "p".into(), encounter: None };
    fhir.create(group, &ids, UtcTime::MIN)
}

/// The part of an Observation's JSON from `start` on to the next `end`, as it
/// is written.
fn part(observation: &Observation, start: &str, end: char) -> String {
    let json = String::from_utf8(observation.to_json()).unwrap();
    let (_, rest) = json.split_once(start).unwrap_or_else(|| panic!("no {start} in {json}"));
    rest.split(end).next().unwrap().to_owned()
}

/// What a value of an event is in the measurement, in `valueQuantity`, and in
/// `valueSampledData` after an older reading was there.
fn through(value: &str, compatibility: Compatibility) -> (String, String, String) {
    let fhir = FhirMapping::load(FHIR.as_bytes(), &compatibility).unwrap();
    let measurement = measure_body(&body(value), compatibility);
    let text = measurement.properties[0].value.clone().unwrap().into_owned();

    let quantity = match create_one(&fhir, measurement.clone()) {
        Ok(observation) => part(&observation, r#""valueQuantity":{"value":"#, ','),
        Err(error) => error.code().to_owned(),
    };
    let series = |measurement| Measurement { r#type: "series".into(), ..measurement };
    let stored = series(measure_body(&body("1").replace("19:18", "19:00"), compatibility));
    let stored = create_one(&fhir, stored).unwrap();
    let samples = grouped(series(measurement), &fhir, |groups, rejected| match groups.first() {
        Some(new) => {
            let merged = fhir.merge(&stored, new, MergePolicy::NewWins).unwrap();
            let data = part(&merged.observation, r#""data":""#, '"');
            data.split(' ').nth(18).unwrap().to_owned()
        }
        None => rejected[0].code().to_owned(),
    });
    (text, quantity, samples)
}

fn exact() -> Compatibility {
    Compatibility { numbers: Numbers::Exact, ..Compatibility::default() }
}

#[test]
fn numbers_are_printed_as_dotnet_prints_them() {
    for (written, printed, quantity, sample) in [
        ("98.60", "98.6", "98.6", "98.6"),
        ("72", "72", "72", "72"),
        ("1.0", "1", "1", "1"),
        ("1e3", "1000", "1000", "1000"),
        ("0.00001", "1E-05", "0.00001", "0.00001"),
        ("123456789012345678.5", "1.2345678901234568E+17", "123456789012345680", "123456789012345680"),
        (r#""98.60""#, "98.60", "98.60", "98.60"),
        (r#""1.50e1""#, "1.50e1", "15.0", "15.0"),
    ] {
        let expected = (printed.to_owned(), quantity.to_owned(), sample.to_owned());
        assert_eq!(through(written, Compatibility::default()), expected, "{written}");
    }
}

/// An exponent is a number's form and not a digit of it: it goes as far as the
/// measurement and is written out after that (docs/compatibility.md).
#[test]
fn exact_numbers_keep_every_digit_to_the_observation() {
    for (written, quantity, sample) in [
        ("98.60", "98.60", "98.60"),
        ("72", "72", "72"),
        ("1.0", "1.0", "1.0"),
        ("1e3", "1000", "1000"),
        ("9.860E+1", "98.60", "98.60"),
        ("1.50e-3", "0.00150", "0.00150"),
        ("0.00001", "0.00001", "0.00001"),
        ("123456789012345678.50", "123456789012345678.50", "123456789012345678.50"),
        ("9223372036854775808", "9223372036854775808", "9223372036854775808"),
        ("1e400", "InvalidQuantity", "InvalidSample"),
    ] {
        let expected = (written.to_owned(), quantity.to_owned(), sample.to_owned());
        assert_eq!(through(written, exact()), expected, "{written}");
    }
}

/// What only the lenient reader takes has a plain form.
#[test]
fn exact_numbers_of_the_lenient_reader_are_plain() {
    for (written, expected) in [(".5", "0.5"), ("5.", "5.0"), ("0x1F", "31"), ("010", "8")] {
        assert_eq!(values(&measure_body(&body(written), exact()))[0], ("path", expected), "{written}");
    }
}

/// fhir-conversion.md 5.4, the other way of its switch: as in the reference
/// connector.
#[test]
fn exponents_are_no_numbers_when_told_so() {
    for numbers in [Numbers::Reference, Numbers::Exact] {
        let compatibility = Compatibility { numbers, quantity_exponents: false, ..Compatibility::default() };
        let refused = ("1.50e1".to_owned(), "InvalidQuantity".to_owned(), "InvalidSample".to_owned());
        assert_eq!(through(r#""1.50e1""#, compatibility), refused);
    }
}

#[test]
fn exact_numbers_come_through_every_selection() {
    let summed = r#",{"valueName":"summed","valueExpression":{"value":"add(matchedToken.v, `0.0`)","language":"JmesPath"}}]}}]}"#;
    let device = DEVICE.replace("]}}]}", summed);
    let body = body("98.60");
    for (compatibility, selected) in [(exact(), "98.60"), (Compatibility::default(), "98.6")] {
        let measurement = measure(&content(&body), &device, compatibility);
        let mut expected: Vec<_> =
            ["path", "standard", "jmes", "piped", "chosen"].map(|name| (name, selected)).to_vec();
        // What is computed is a double, and prints as one.
        expected.push(("summed", "98.6"));
        assert_eq!(values(&measurement), expected);
    }
}

/// A computed match is a copy of the document, with every digit.
#[test]
fn exact_numbers_come_through_a_computed_match() {
    let device = DEVICE.replace(
        r#""typeMatchExpression":"$..[?(@v)]""#,
        r#""typeMatchExpression":{"value":"[{v: Body[0].v, d: Body[0].d, t: Body[0].t}][]","language":"JmesPath"}"#,
    );
    let body = body("98.60");
    assert_eq!(
        values(&measure(&content(&body), &device, exact()))[..3],
        [("path", "98.60"), ("standard", "98.60"), ("jmes", "98.60")]
    );
}

/// Stored 98.60 and new 98.6 are one number, so nothing is written: a server
/// that drops zeros would else be written to with every batch (quirk 43).
#[test]
fn exact_numbers_come_through_a_merge() {
    let fhir = FhirMapping::load(FHIR.as_bytes(), &exact()).unwrap();
    let measure = |value: &str| measure_body(&body(value), exact());
    let stored = create_one(&fhir, measure("98.60")).unwrap();
    let merge = |value: &str| {
        grouped(measure(value), &fhir, |groups, _| fhir.merge(&stored, &groups[0], MergePolicy::NewWins).unwrap())
    };
    assert!(!merge("98.60").changed);
    assert!(!merge("98.6").changed);
    let merged = merge("97.500");
    assert!(merged.changed);
    assert_eq!(part(&merged.observation, r#""valueQuantity":{"value":"#, ','), "97.500");
    assert_eq!(part(&merged.observation, r#""text":"jmes"},"valueQuantity":{"value":"#, '}'), "97.500");
}

/// device-mapping.md quirks 1, 2, 3 and 56, both ways of the switch.
#[test]
fn text_that_looks_like_a_date_is_one_unless_told_otherwise() {
    let device = r#"{"templateType":"CollectionContent","template":[{"templateType":"CalculatedContent","template":{
        "typeName":"t","typeMatchExpression":"$..[?(@v)]","deviceIdExpression":"$.matchedToken.v",
        "timestampExpression":"$.matchedToken.v","correlationIdExpression":"$.matchedToken.v","values":[
        {"valueName":"path","valueExpression":"$.matchedToken.v"},
        {"valueName":"jmes","valueExpression":{"value":"to_string(Body.v)","language":"JmesPath"}},
        {"valueName":"length","valueExpression":{"value":"length(Body.v)","language":"JmesPath"}},
        {"valueName":"property","valueExpression":"$.SystemProperties.x"},
        {"valueName":"unix","valueExpression":{"value":"fromUnixTimestamp(`0`)","language":"JmesPath"}}]}}]}"#;
    let date = DateTime::parse_token("2019-02-01T22:46:01.5Z").unwrap();
    let properties = [("x", PropertyValue::Date(date))];
    let measure = |text: &str, dates| {
        let body = format!(r#"{{"v":"{text}"}}"#);
        let content = expressions::Event {
            body: body.as_bytes(),
            properties: Properties::NONE,
            system_properties: Properties::Typed(&properties),
        };
        let measurement = measure(&content, device, Compatibility { dates, ..Compatibility::default() });
        let mut time = String::new();
        measurement.occurrence_time.write_iso(&mut time);
        let ids = (measurement.device_id.clone(), measurement.correlation_id.clone().unwrap());
        assert_eq!(ids.0, ids.1);
        let values: Vec<_> = values(&measurement).into_iter().map(|(_, value)| value).collect();
        format!("{} {time} {}", ids.0, values.join("|"))
    };
    let reference = "|02/01/2019 22:46:01|01/01/1970 00:00:00";
    let exact = "|2019-02-01T22:46:01.5Z|1970-01-01T00:00:00Z";
    for (text, printed, time) in [
        ("2019-02-01T22:46:01.500Z", "02/01/2019 22:46:01", "2019-02-01T22:46:01.5Z"),
        ("2019-02-01T22:46:01+01:00", "02/01/2019 21:46:01", "2019-02-01T21:46:01Z"),
        ("2019-02-01T24:00:00", "02/02/2019 00:00:00", "2019-02-02T00:00:00Z"),
        ("/Date(1549061161500)/", "02/01/2019 22:46:01", "2019-02-01T22:46:01.5Z"),
    ] {
        let expected = format!("{printed} {time} {printed}|{printed}|19{reference}");
        assert_eq!(measure(text, Dates::Reference), expected, "{text}");
        let expected = format!("{text} {time} {text}|{text}|{}{exact}", text.len());
        assert_eq!(measure(text, Dates::Exact), expected, "{text}");
    }
    // Without seconds it is text either way.
    let text = "2019-02-01T22:46Z";
    let expected = format!("{text} 2019-02-01T22:46:00Z {text}|{text}|17");
    assert_eq!(measure(text, Dates::Reference), expected.clone() + reference);
    assert_eq!(measure(text, Dates::Exact), expected + exact);
}

/// device-mapping.md quirk 7, both ways of the switch.
#[test]
fn a_recursive_path_sees_the_match_twice_unless_told_otherwise() {
    let device = r#"{"templateType":"CollectionContent","template":[{"templateType":"CalculatedContent","template":{
        "typeName":"t","typeMatchExpression":"$..[?(@v)]","deviceIdExpression":"$.matchedToken.d",
        "timestampExpression":"$..t","values":[{"valueName":"v","valueExpression":"$..v","required":true}]}}]}"#;
    for (matched_token_twice, expected) in [(true, Err("TemplateExpression")), (false, Ok(1))] {
        let compatibility = Compatibility { matched_token_twice, ..Compatibility::default() };
        let mapping = DeviceMapping::load(device.as_bytes(), &compatibility).unwrap();
        let body = body("7");
        let event = Event { content: content(&body), enqueued_time: UtcTime::MIN };
        let mut found = Vec::new();
        let mut sink = |measurement: &MeasurementRef<'_>| found.push(measurement.to_measurement());
        let outcome = mapping.normalize(&mut Scratch::new(), &event, &mut sink).map_err(|error| error.code());
        assert_eq!(outcome, expected);
        assert!(found.iter().all(|measurement| values(measurement) == [("v", "7")]));
    }
}

/// device-mapping.md quirk 49, both ways of the switch: what cannot run in
/// linear time is found when the mapping loads, with its place.
#[test]
fn look_around_is_a_finding_unless_told_otherwise() {
    let device = DEVICE.replace("$..[?(@v)]", "$..[?(@d =~ /^d(?=1)/x)]");
    let found = DeviceMapping::load(device.as_bytes(), &Compatibility::default()).unwrap_err().to_string();
    assert!(found.starts_with("Validation errors:\nLine Number: 2, Position: "), "{found}");
    assert!(found.contains("the regular expression cannot be used: look-around"), "{found}");
    let compatibility = Compatibility { backtracking_patterns: true, ..Compatibility::default() };
    let body = body("7");
    assert_eq!(measure(&content(&body), &device, compatibility).device_id, "d1");
}

/// fhir-conversion.md quirk 58, both ways of the switch.
#[test]
fn two_readings_of_one_second_share_an_identifier_unless_told_otherwise() {
    let segments = |subsecond_identifiers| {
        let compatibility = Compatibility { subsecond_identifiers, ..Compatibility::default() };
        let fhir = FhirMapping::load(FHIR.as_bytes(), &compatibility).unwrap();
        [body("7"), body("8").replace("23.5Z", "23.75Z")].map(|body| {
            let measurement = measure_body(&body, compatibility);
            let single = id_segment(&fhir, measurement.clone());
            // Hours are as they were.
            let hour = id_segment(&fhir, Measurement { r#type: "series".into(), ..measurement });
            assert_eq!(hour, "20231009190000Z.20231009195959Z");
            single
        })
    };
    let second = "20231009191823Z.20231009191823Z".to_owned();
    assert_eq!(segments(false), [second.clone(), second]);
    assert_eq!(segments(true), ["202310091918235000000Z", "202310091918237500000Z"]);
}
