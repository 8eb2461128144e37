use expressions::DateTime;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::compatibility::Compatibility;
use crate::group::{PropertyValues, TimedValue};

const S: &str = crate::identifier::SERVICE_SYSTEM;

/// The templates of fhir-conversion.md 4.4, and some more.
const MAPPING: &str = r#"{"templateType": "CollectionFhir", "template": [
  {"templateType": "CodeValueFhir", "template": {"typeName": "heartrate", "periodInterval": 60,
    "category": [{"text": "Vital Signs", "codes": [{"code": "vital-signs",
      "system": "http://terminology.hl7.org/CodeSystem/observation-category", "display": "Vital Signs"}]}],
    "codes": [{"code": "8867-4", "system": "http://loinc.org", "display": "Heart rate"}],
    "value": {"valueType": "SampledData", "valueName": "hr", "defaultPeriod": 600000, "unit": "count/min"}}},
  {"templateType": "CodeValueFhir", "template": {"typeName": "bloodpressure",
    "codes": [{"code": "85354-9", "system": "http://loinc.org", "display": "Blood pressure panel"}],
    "components": [
      {"codes": [{"code": "8480-6", "system": "http://loinc.org", "display": "Systolic blood pressure"}],
       "value": {"valueType": "Quantity", "valueName": "systolic", "unit": "mmHg",
                 "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}},
      {"codes": [{"code": "8462-4", "system": "http://loinc.org", "display": "Diastolic blood pressure"}],
       "value": {"valueType": "Quantity", "valueName": "diastolic", "unit": "mmHg",
                 "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}}]}},
  {"templateType": "CodeValueFhir", "template": {"typeName": "ecg", "periodInterval": -1, "codes": [],
    "value": {"valueType": "SampledData", "valueName": "mv", "defaultPeriod": 1000, "unit": "mV"},
    "components": [{"codes": [], "value": {"valueType": "SampledData", "valueName": "lead2", "defaultPeriod": 500}}]}},
  {"templateType": "CodeValueFhir", "template": {"typeName": "weight", "codes": [],
    "value": {"valueType": "Quantity", "valueName": "kg", "unit": "kg"}}},
  {"templateType": "CodeValueFhir", "template": {"typeName": "note", "codes": [],
    "value": {"valueType": "String", "valueName": "text"}}}]}"#;

fn mapping_with(change: impl Fn(&mut Compatibility)) -> FhirMapping {
    let mut compatibility = Compatibility::default();
    change(&mut compatibility);
    FhirMapping::load(MAPPING.as_bytes(), &compatibility).unwrap()
}

fn mapping() -> FhirMapping {
    mapping_with(|_| {})
}

fn at(time: &str) -> UtcTime {
    DateTime::parse_token(&format!("2023-10-09T{time}Z")).unwrap().instant
}

/// Property, time and value.
type Values<'v> = &'v [(&'v str, &'v str, &'v str)];

/// A group of `type` from `start` to `end`.
fn group<'v>(r#type: &'v str, start: &str, end: &str, values: &[(&'v str, &'v str, &'v str)]) -> ObservationGroup<'v> {
    let mut properties: Vec<PropertyValues<'v>> = Vec::new();
    for (name, time, value) in values {
        let value = TimedValue { time: at(time), value: (*value != "null").then(|| (*value).into()) };
        match properties.iter_mut().find(|property| property.name == *name) {
            Some(property) => property.values.push(value),
            None => properties.push(PropertyValues { name: (*name).into(), values: vec![value] }),
        }
    }
    let id_segment = "segment".into();
    let (start, end, r#type) = (at(start), at(end), r#type.into());
    ObservationGroup { r#type, start, end, id_segment, values: properties, measurements: vec![], superseded: vec![] }
}

fn hour<'v>(values: &[(&'v str, &'v str)]) -> ObservationGroup<'v> {
    let values: Vec<(&str, &str, &str)> = values.iter().map(|(time, value)| ("hr", *time, *value)).collect();
    ObservationGroup {
        id_segment: "20231009190000Z.20231009195959Z".into(),
        ..group("heartrate", "19:00:00", "19:59:59.9999999", &values)
    }
}

fn ids() -> ResourceIds {
    ResourceIds { device: "d1".to_owned(), patient: "p1".to_owned(), encounter: None }
}

fn create(group: &ObservationGroup<'_>) -> Observation {
    mapping().create(group, &ids(), at("20:01:12.4471932")).unwrap()
}

fn observation(json: &Value) -> Observation {
    Observation::read(json.to_string().as_bytes()).unwrap()
}

fn value_of(observation: &Observation) -> Value {
    serde_json::from_slice(&observation.to_json()).unwrap()
}

/// Merges and gives what stands at a pointer, `unchanged`, or the error's code.
fn merged(stored: &Observation, group: &ObservationGroup<'_>, policy: MergePolicy, pointer: &str) -> String {
    match mapping().merge(stored, group, policy) {
        Err(error) => error.code().to_owned(),
        Ok(merged) if !merged.changed => "unchanged".to_owned(),
        Ok(merged) => match value_of(&merged.observation).pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            other => other.map_or("nothing".to_owned(), Value::to_string),
        },
    }
}

const DATA: &str = "/valueSampledData/data";

/// The example of fhir-conversion.md 5.5, member for member.
#[test]
fn creates_an_hour_of_samples() {
    let created = create(&hour(&[("19:18:23", "65"), ("19:42:05", "71")]));
    let expected = r#"{"resourceType":"Observation",
        "id":"89b4f1d14e9783a2d4c5ffc3a31de0291e2971197849dca81e0e54e3c8e4dd30",
        "identifier":[{"system":"https://azure.microsoft.com/en-us/services/iomt-fhir-connector/",
            "value":"p1.d1.heartrate.20231009190000Z.20231009195959Z"}],
        "status":"final",
        "category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category",
            "code":"vital-signs","display":"Vital Signs"}],"text":"Vital Signs"}],
        "code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"},
            {"system":"https://azure.microsoft.com/en-us/services/iomt-fhir-connector/",
            "code":"heartrate","display":"heartrate"}],"text":"heartrate"},
        "subject":{"reference":"Patient/p1"},
        "effectivePeriod":{"start":"2023-10-09T19:00:00.0000000Z","end":"2023-10-09T19:59:59.9999999Z"},
        "issued":"2023-10-09T20:01:12.4471932+00:00",
        "valueSampledData":{"origin":{"value":0,"unit":"count/min"},"period":600000,"dimensions":1,"data":"E 65 E E 71 E"},
        "device":{"reference":"Device/d1"}}"#;
    let expected: String = expected.lines().map(str::trim_start).collect();
    assert_eq!(String::from_utf8(created.to_json()).unwrap(), expected);
}

/// The example of fhir-conversion.md 5.6.
#[test]
fn creates_components() {
    let time = "19:18:23.541";
    let group = group("bloodpressure", time, time, &[("diastolic", time, "79"), ("systolic", time, "121.50")]);
    let ids = ResourceIds { encounter: Some("e1".to_owned()), ..ids() };
    let created = mapping().create(&group, &ids, at("19:23:30.01")).unwrap();
    let json = String::from_utf8(created.to_json()).unwrap();
    let end = r#""device":{"reference":"Device/d1"},"component":[{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6","display":"Systolic blood pressure"},{"system":"https://azure.microsoft.com/en-us/services/iomt-fhir-connector/","code":"systolic","display":"systolic"}],"text":"systolic"},"valueQuantity":{"value":121.50,"unit":"mmHg","system":"http://unitsofmeasure.org","code":"mm[Hg]"}},"#;
    assert!(json.contains(end), "{json}");
    assert_eq!(value_of(&created)["encounter"]["reference"], "Encounter/e1");
    assert_eq!(value_of(&created)["issued"], "2023-10-09T19:23:30.01+00:00");
    assert_eq!(value_of(&created).pointer("/component/1/code/text"), Some(&json!("diastolic")));
}

#[test]
fn creates_a_shell_unless_told_not_to() {
    let group = group("weight", "19:00:00", "19:00:00", &[("KG", "19:00:00", "80")]);
    assert!(!create(&group).has_value());
    let strict = mapping_with(|compatibility| compatibility.skip_empty_observations = true);
    assert_eq!(strict.create(&group, &ids(), at("20:00:00")).unwrap_err().code(), "NoValue");
}

/// Found by the canary: whoever else writes to the internal hub may put anything
/// there, and the text was in the answer to the Functions host, which logs it.
#[test]
fn names_no_type_that_is_no_name() {
    let message = |name| mapping().template_of(name).unwrap_err().to_string();
    for name in ["steps", "StepCount", "vital-signs/8867-4", "pm2.5", "step count"] {
        assert!(message(name).ends_with(&format!("`{name}`")), "{}", message(name));
    }
    let long = "a".repeat(65);
    for name in ["\u{17b}\u{f3}\u{142}w", "patient 123456789", "a\nb", "{\"name\":1}", &long] {
        assert!(message(name).ends_with("`(not shown)`"), "{}", message(name));
    }
}

#[test]
fn refuses_values_it_cannot_make() {
    let cases: [(&str, Values<'_>, &str); 7] = [
        ("steps", &[], "TemplateNotFound"),
        ("weight", &[("kg", "19:00:00", "1x3")], "InvalidQuantity"),
        ("weight", &[("kg", "19:00:00", "null")], "InvalidQuantity"),
        ("weight", &[("kg", "19:00:00", "1"), ("kg", "19:00:01", "2")], "InvalidQuantity"),
        ("note", &[("text", "19:00:00", "a"), ("text", "19:00:01", "b")], "NotOneString"),
        ("ecg", &[("mv", "19:00:00", "a")], "InvalidSample"),
        ("ecg", &[("lead2", "19:00:00", "1 2")], "InvalidSample"),
    ];
    for (name, values, code) in cases {
        let group = group(name, "19:00:00", "19:00:01", values);
        assert_eq!(mapping().create(&group, &ids(), at("20:00:00")).unwrap_err().code(), code, "{name} {values:?}");
    }
    let mut year = group("ecg", "19:00:00", "19:00:00", &[("mv", "19:00:00", "1")]);
    year.end = year.start.saturating_add(365 * 864_000_000_000);
    assert_eq!(mapping().create(&year, &ids(), at("20:00:00")).unwrap_err().code(), "TooManySamples");
}

#[test]
fn leaves_out_a_text_that_is_empty() {
    for (text, expected) in [("null", Value::Null), (" ", Value::Null), (" a b ", json!("a b"))] {
        let created = create(&group("note", "19:00:00", "19:00:00", &[("text", "19:00:00", text)]));
        assert_eq!(value_of(&created)["valueString"], expected, "{text}");
    }
}

/// The example of fhir-conversion.md 6.6.
#[test]
fn merges_samples_and_amends() {
    let stored = create(&hour(&[("19:18:23", "65"), ("19:42:05", "71")]));
    let before = stored.to_json();
    let more = hour(&[("19:11:40", "66"), ("19:50:00", "70")]);
    let merged = mapping().merge(&stored, &more, MergePolicy::NewWins).unwrap();
    assert_eq!(merged.observation.status().as_deref(), Some("final"));
    let amended = value_of(&merged.amended().unwrap());
    assert_eq!((&amended["status"], amended.pointer(DATA)), (&json!("amended"), Some(&json!("E 66 E E 71 70"))));
    assert_eq!(stored.to_json(), before);
}

#[test]
fn merging_again_changes_nothing() {
    let stored = create(&hour(&[("19:18:23", "65")]));
    let again = mapping().merge(&stored, &hour(&[("19:18:23", "65")]), MergePolicy::NewWins).unwrap();
    assert!(!again.changed);
    assert!(again.amended().is_none());
}

/// A server may cut off digits, print numbers and blanks in its own way, and
/// add what it likes (quirks 42 and 43).
#[test]
fn what_a_server_rewrites_is_no_change() {
    let stored = create(&hour(&[("19:18:23", "65")]));
    let json = String::from_utf8(stored.to_json()).unwrap();
    let json = json.replace(".9999999Z", ".999+00:00").replace(".0000000Z", "Z").replace("600000", "600000.0");
    let json =
        json.replace('}', " }").replacen('{', r#"{"meta":{"versionId":"3","lastUpdated":"now"},"extension":[1e3],"#, 1);
    let stored = Observation::read(json.as_bytes()).unwrap();
    let same = hour(&[("19:18:23", "65")]);
    assert_eq!(merged(&stored, &same, MergePolicy::NewWins, DATA), "unchanged");
    let other = hour(&[("19:18:23", "66")]);
    let amended = mapping().merge(&stored, &other, MergePolicy::NewWins).unwrap().amended().unwrap();
    let text = String::from_utf8(amended.to_json()).unwrap();
    assert!(text.starts_with(r#"{"meta":{"versionId":"3","lastUpdated":"now"},"extension":[1e3],"#), "{text}");
    assert!(text.contains(r#""period":600000.0"#), "{text}");
    assert_eq!(amended.version_id().as_deref(), Some("3"));
    assert_eq!(amended.last_updated().as_deref(), Some("now"));
}

fn ecg<'v>(start: &str, end: &str, values: &[(&'v str, &'v str, &'v str)]) -> ObservationGroup<'v> {
    group("ecg", start, end, values)
}

/// fhir-conversion.md 13.3, shift (defect 30): the grid keeps its place, and
/// the series that the readings do not speak of keeps its times too.
#[test]
fn a_series_that_grows_backwards_keeps_its_times() {
    let values =
        [("mv", "10:00:01", "1"), ("mv", "10:00:02", "2"), ("mv", "10:00:03", "3"), ("lead2", "10:00:01.5", "7")];
    let stored = create(&ecg("10:00:01", "10:00:03", &values));
    assert_eq!(value_of(&stored).pointer(DATA), Some(&json!("1 2 3")));
    assert_eq!(value_of(&stored).pointer("/component/0/valueSampledData/data"), Some(&json!("E 7 E E E")));
    let earlier = ecg("10:00:00.4", "10:00:00.4", &[("mv", "10:00:00.4", "0")]);
    let policy = MergePolicy::NewWins;
    assert_eq!(merged(&stored, &earlier, policy, DATA), "0 1 2 3");
    assert_eq!(merged(&stored, &earlier, policy, "/effectivePeriod/start"), "2023-10-09T10:00:00.0000000Z");
    assert_eq!(merged(&stored, &earlier, policy, "/component/0/valueSampledData/data"), "E E E 7 E E E");
    let both = mapping().merge(&stored, &earlier, policy).unwrap().observation;
    assert_eq!(merged(&both, &earlier, policy, DATA), "unchanged");
}

/// Defect 68: what comes new has the whole period.
#[test]
fn a_new_component_has_the_union_of_the_periods() {
    let stored = create(&ecg("10:00:01", "10:00:02", &[("mv", "10:00:01", "1")]));
    let more = ecg("10:00:00", "10:00:03", &[("lead2", "10:00:00.5", "7"), ("lead2", "10:00:03", "8")]);
    let policy = MergePolicy::NewWins;
    for policy in [policy, MergePolicy::StoredWins] {
        assert_eq!(merged(&stored, &more, policy, "/component/0/valueSampledData/data"), "E 7 E E E E 8");
    }
    assert_eq!(merged(&stored, &more, policy, DATA), "E 1 E");
}

/// Defect 29: the stored samples keep their times.
#[test]
fn a_series_takes_the_period_of_the_template() {
    let mut stored = value_of(&create(&hour(&[("19:18:23", "65"), ("19:42:05", "71")])));
    stored["valueSampledData"]["period"] = json!(300_000);
    stored["valueSampledData"]["data"] = json!("E E E 65 E E E E 71 E E E");
    stored["valueSampledData"]["factor"] = json!(1);
    let stored = observation(&stored);
    let more = hour(&[("19:50:00", "70")]);
    assert_eq!(merged(&stored, &more, MergePolicy::NewWins, DATA), "E 65 E E 71 70");
    assert_eq!(merged(&stored, &more, MergePolicy::NewWins, "/valueSampledData/period"), "600000");
    assert_eq!(merged(&stored, &more, MergePolicy::NewWins, "/valueSampledData/factor"), "1");
}

#[test]
fn a_missing_sample_erases_nothing() {
    let stored = create(&hour(&[("19:18:23", "65")]));
    assert_eq!(merged(&stored, &hour(&[("19:18:30", "null")]), MergePolicy::NewWins, DATA), "unchanged");
}

#[test]
fn sets_what_was_never_stored() {
    let mut stored = value_of(&create(&hour(&[("19:18:23", "65")])));
    stored.as_object_mut().unwrap().remove("valueSampledData");
    let more = hour(&[("19:50:00", "70")]);
    assert_eq!(merged(&observation(&stored), &more, MergePolicy::NewWins, DATA), "E E E E E 70");
    stored["valueSampledData"] = json!({"period": 600_000, "dimensions": 1});
    assert_eq!(merged(&observation(&stored), &more, MergePolicy::NewWins, DATA), "E E E E E 70");
}

#[test]
fn refuses_what_it_cannot_merge_into() {
    let stored = value_of(&create(&hour(&[("19:18:23", "65")])));
    let changed = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut stored = stored.clone();
        change(stored.as_object_mut().unwrap());
        merged(&observation(&stored), &hour(&[("19:18:23", "66")]), MergePolicy::NewWins, DATA)
    };
    let effective = |stored: &mut serde_json::Map<String, Value>, name: &str, value: Value| {
        stored.remove("effectivePeriod");
        stored.insert(name.to_owned(), value);
    };
    assert_eq!(changed(&|_| {}), "E 66 E E E E");
    assert_eq!(changed(&|stored| stored["valueSampledData"]["dimensions"] = json!(2)), "SeveralDimensions");
    let other = |stored: &mut serde_json::Map<String, Value>| {
        stored.remove("valueSampledData");
        stored.insert("valueInteger".to_owned(), json!(1));
    };
    assert_eq!(changed(&other), "ValueTypeDiffers");
    assert_eq!(changed(&|stored| effective(stored, "effectiveTiming", json!({}))), "EffectiveNotSupported");
    assert_eq!(changed(&|stored| effective(stored, "effectiveDateTime", json!("noon"))), "EffectiveNotSupported");
    let open = json!({"start": "2023-10-09"});
    assert_eq!(changed(&|stored| effective(stored, "effectivePeriod", open.clone())), "EffectiveIncomplete");
    assert_eq!(changed(&|stored| drop(stored.remove("effectivePeriod"))), "EffectiveIncomplete");
    assert_eq!(
        changed(&|stored| effective(stored, "effectiveDateTime", json!("2023-10-09T19:00:00Z"))),
        "E 66 E E E E"
    );
}

#[test]
fn leaves_withdrawn_observations_alone() {
    let mut stored = value_of(&create(&hour(&[("19:18:23", "65")])));
    for status in ["entered-in-error", "cancelled"] {
        stored["status"] = json!(status);
        let stored = observation(&stored);
        assert_eq!(merged(&stored, &hour(&[("19:18:23", "65")]), MergePolicy::NewWins, DATA), "unchanged");
        let more = hour(&[("19:50:00", "70")]);
        assert_eq!(merged(&stored, &more, MergePolicy::NewWins, DATA), "Withdrawn");
        let reference = mapping_with(|compatibility| compatibility.overwrite_entered_in_error = true);
        let amended = reference.merge(&stored, &more, MergePolicy::NewWins).unwrap().amended().unwrap();
        assert_eq!(amended.status().as_deref(), Some("amended"));
    }
}

#[test]
fn replayed_readings_only_fill_gaps() {
    let replay = MergePolicy::StoredWins;
    let stored = create(&hour(&[("19:18:23", "65"), ("19:42:05", "71")]));
    assert_eq!(merged(&stored, &hour(&[("19:11:40", "66")]), replay, DATA), "unchanged");
    assert_eq!(merged(&stored, &hour(&[("19:11:40", "66"), ("19:50:00", "70")]), replay, DATA), "E 65 E E 71 70");
    assert_eq!(merged(&stored, &hour(&[("19:50:00", "E")]), replay, DATA), "unchanged");

    let time = "19:18:23";
    let pressure =
        |values: &[(&'static str, &'static str, &'static str)]| group("bloodpressure", time, "19:18:24", values);
    let stored = create(&group("bloodpressure", time, time, &[("systolic", time, "121")]));
    assert_eq!(merged(&stored, &pressure(&[("systolic", time, "99")]), replay, "/effectivePeriod"), "unchanged");
    let both = pressure(&[("systolic", time, "99"), ("diastolic", time, "79")]);
    assert_eq!(merged(&stored, &both, replay, "/component/0/valueQuantity/value"), "121");
    assert_eq!(merged(&stored, &both, replay, "/component/1/valueQuantity/value"), "79");
    assert_eq!(merged(&stored, &both, MergePolicy::NewWins, "/component/0/valueQuantity/value"), "99");
}

#[test]
fn equal_numbers_are_no_change() {
    let weight = |kg| group("weight", "19:00:00", "19:00:00", &[("kg", "19:00:00", kg)]);
    let stored = create(&weight("80.10"));
    assert_eq!(merged(&stored, &weight("80.1"), MergePolicy::NewWins, "/valueQuantity/value"), "unchanged");
    assert_eq!(merged(&stored, &weight("80.11"), MergePolicy::NewWins, "/valueQuantity/value"), "80.11");
}

#[test]
fn finds_our_identifier_whatever_was_added() {
    let mut stored = value_of(&create(&hour(&[])));
    let value = "p1.d1.heartrate.20231009190000Z.20231009195959Z";
    stored["identifier"] = json!([7, {"value": value}, {"use": "official", "system": S, "value": value}]);
    let stored = observation(&stored);
    assert!(stored.has_identifier(S, value));
    assert!(!stored.has_identifier("", value));
    assert_eq!(stored.identifiers().len(), 2);
    assert_eq!(stored.id().as_deref(), Some("89b4f1d14e9783a2d4c5ffc3a31de0291e2971197849dca81e0e54e3c8e4dd30"));
}

#[test]
fn says_where_a_text_is_no_observation_without_quoting_it() {
    let error = |text: &str| Observation::read(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(error("\"secret\""), "not a JSON object, at line 1 column 8");
    assert_eq!(error("{\n\"a\":secret}"), "not a JSON object, at line 2 column 5");
    assert_eq!(error(r#"{"resourceType":"Patient"}"#), "`resourceType` is not `Observation`");
}

fn second() -> impl Strategy<Value = (String, String)> {
    ((0_u32..10, 0_u32..10), "[0-9]").prop_map(|((second, tenth), value)| (format!("10:00:0{second}.{tenth}"), value))
}

fn session(values: &[(String, String)]) -> ObservationGroup<'_> {
    let mut values: Vec<(&str, &str, &str)> =
        values.iter().map(|(time, value)| ("mv", time.as_str(), value.as_str())).collect();
    values.sort_unstable();
    values.dedup_by(|a, b| a.1 == b.1);
    ecg(values[0].1, values[values.len() - 1].1, &values)
}

proptest! {
    /// Whatever is merged in, merging it again changes nothing, and replaying
    /// it changes nothing either.
    #[test]
    fn a_window_written_twice_changes_nothing(
        first in prop::collection::vec(second(), 1..6),
        then in prop::collection::vec(second(), 1..6),
    ) {
        let (mapping, then) = (mapping(), session(&then));
        let once = mapping.merge(&create(&session(&first)), &then, MergePolicy::NewWins).unwrap().observation;
        for policy in [MergePolicy::NewWins, MergePolicy::StoredWins] {
            prop_assert!(!mapping.merge(&once, &then, policy).unwrap().changed);
        }
    }

    /// Every stored sample that no new one replaces is found at its time.
    #[test]
    fn no_sample_moves(
        first in prop::collection::vec(second(), 1..6),
        then in prop::collection::vec(second(), 1..6),
    ) {
        let stored = create(&session(&first));
        let replayed = mapping().merge(&stored, &session(&then), MergePolicy::StoredWins).unwrap().observation;
        let before = samples(&stored);
        let after = samples(&replayed);
        for sample in before {
            prop_assert!(after.contains(&sample), "{sample:?} of {after:?}");
        }
    }
}

/// The samples of the main value with their times in ticks.
fn samples(observation: &Observation) -> Vec<(i64, String)> {
    let value = value_of(observation);
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    let start = DateTime::parse_token(&text("/effectivePeriod/start")).unwrap().instant.ticks();
    let tokens = text(DATA);
    let tokens = tokens.split(' ').enumerate().filter(|(_, token)| *token != "E");
    tokens.map(|(step, token)| (start + step as i64 * 10_000_000, token.to_owned())).collect()
}
