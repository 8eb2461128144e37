use expressions::UtcTime;

use super::*;

const DEVICE: &str = r#"{ "templateType": "CollectionContent", "template": [
  { "templateType": "JsonPathContent", "template": {
      "typeName": "hr", "typeMatchExpression": "$..[?(@hr)]",
      "deviceIdExpression": "$.device", "timestampExpression": "$.date",
      "values": [ { "valueName": "rate", "valueExpression": "$.hr", "required": true } ] } } ] }"#;

const FHIR: &str = r#"{ "templateType": "CollectionFhir", "template": [
  { "templateType": "CodeValueFhir", "template": {
      "typeName": "hr", "codes": [],
      "value": { "valueType": "Quantity", "valueName": "rate", "unit": "bpm" } } } ] }"#;

const GOOD: &str = r#"{"hr":61,"device":"mark4711","date":"2024-03-05T06:07:08Z"}"#;

/// What to try, as text.
#[derive(Clone, Copy)]
struct Texts<'t> {
    device: &'t str,
    fhir: &'t str,
    samples: &'t [&'t str],
    aggregate: bool,
}

impl Default for Texts<'_> {
    fn default() -> Self {
        Texts { device: DEVICE, fhir: FHIR, samples: &[], aggregate: false }
    }
}

fn try_texts(texts: Texts<'_>) -> Result<Validation, NothingToValidate> {
    let samples: Vec<Sample<'_>> = texts.samples.iter().map(|text| Sample::Document(text.as_bytes())).collect();
    validate(&Request {
        device_mapping: Some(texts.device.as_bytes()),
        fhir_mapping: Some(texts.fhir.as_bytes()),
        samples: &samples,
        aggregate: texts.aggregate,
        compatibility: Compatibility::default(),
        issued: UtcTime::MIN,
    })
}

/// The outcome in short: levels of what was found in the mappings; then for
/// each sample what it gave.
fn summary(validation: &Validation) -> String {
    let found = |list: &[Found]| list.iter().map(|found| format!("{} ", found.level())).collect::<String>();
    let sample = |result: &SampleResult| {
        let count = match result.aggregated_count {
            0 => String::new(),
            count => format!("{count}x "),
        };
        let (measurements, observations) = (result.measurements.len(), result.observations.len());
        format!("| {count}{}{measurements} {observations} ", found(&result.found))
    };
    let samples: String = validation.samples.iter().map(sample).collect();
    format!("{}{samples}", found(&validation.mappings)).trim().to_owned()
}

#[track_caller]
fn check(texts: Texts<'_>, expected: &str) -> Validation {
    let validation = try_texts(texts).expect("a mapping is given");
    assert_eq!(summary(&validation), expected, "{validation}");
    validation
}

#[test]
fn needs_one_mapping() {
    assert_eq!(try_texts(Texts { device: "", fhir: " \n", ..Texts::default() }).err(), Some(NothingToValidate));
    check(Texts { fhir: "", ..Texts::default() }, "");
    check(Texts { device: "", samples: &[GOOD], ..Texts::default() }, "");
    // A file of blanks is a mapping that is wrong.
    check(Texts { fhir: " ", ..Texts::default() }, "ERROR");
}

#[test]
fn makes_measurements_and_observations_of_samples() {
    let validation = check(Texts { samples: &[GOOD, "null", GOOD], ..Texts::default() }, "| 1 1 | 1 1");
    assert_eq!(validation.samples[1].sample, 2, "nothing is no sample");
    assert_eq!(validation.samples[0].measurements[0].ingestion_time, None);
    let observation = String::from_utf8(validation.samples[0].observations[0].to_json()).expect("JSON");
    assert!(observation.contains(r#""valueQuantity":{"value":61,"unit":"bpm"}"#), "{observation}");
    for absent in [r#""id""#, "identifier", "subject", r#""device""#, "mark4711"] {
        assert!(!observation.contains(absent), "{observation}");
    }
    assert!(validation.is_valid() && validation.is_clean());
}

#[test]
fn looks_at_no_sample_when_a_mapping_is_wrong() {
    let validation = check(Texts { fhir: "{}", samples: &[GOOD], ..Texts::default() }, "ERROR");
    assert!(!validation.is_valid());
    assert_eq!(validation.mappings[0].category, Category::FhirTransformation);
    // Templates that are right are compared even then.
    let device = DEVICE
        .replace("\"rate\"", "\"other\"")
        .replace("\"hr\", \"type", "\"colour\": 1, \"typeName\": \"hr\", \"type");
    check(Texts { device: &device, ..Texts::default() }, "ERROR");
}

#[test]
fn says_what_became_of_each_sample() {
    let no_date = r#"{"hr":61,"device":"mark4711"}"#;
    let no_match = r#"{"spo2":97}"#;
    let word = r#"{"hr":"mark4711","device":"d","date":"2024-03-05T06:07:08Z"}"#;
    let texts = Texts { samples: &[no_date, no_match, word, "[1]", "{"], ..Texts::default() };
    let validation = check(texts, "| ERROR 0 0 | WARN 0 0 | ERROR 1 0 | ERROR 0 0 | ERROR 0 0");
    let found: Vec<&Found> = validation.samples.iter().map(|sample| &sample.found[0]).collect();
    let message = "Unable to extract required value for [TimestampExpression] using $.date";
    assert_eq!((found[0].finding.message.as_str(), found[0].finding.place.map(|place| place.line)), (message, Some(4)));
    assert_eq!(found[1].finding.message, "No measurements were produced for the given device data.");
    assert_eq!(found[2].category, Category::FhirTransformation);
    for found in found {
        assert!(!found.to_string().contains("mark4711"), "{found}");
    }
    assert!(validation.is_valid() && !validation.is_clean());
}

#[test]
fn names_the_type_that_has_no_template() {
    let fhir = FHIR.replace("\"hr\"", "\"other\"");
    let validation = check(Texts { fhir: &fhir, samples: &[GOOD], ..Texts::default() }, "WARN | ERROR 1 0");
    let message = &validation.samples[0].found[0].finding.message;
    assert!(message.starts_with("No Fhir Template exists with the type name [hr]."), "{message}");
}

/// Messages are counted over all samples, warnings too (quirk 71).
#[test]
fn aggregates_by_message() {
    let no_date = r#"{"hr":61,"device":"d"}"#;
    let samples = [no_date, GOOD, "{}", no_date, "{}", "{}"];
    let validation =
        check(Texts { samples: &samples, aggregate: true, ..Texts::default() }, "| 2x ERROR 0 0 | 3x WARN 0 0");
    assert_eq!(validation.samples.iter().map(|result| result.sample).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn takes_what_a_device_sends_as_body() {
    let mapping = DEVICE.replace("$..[?(@hr)]", "$.Body[?(@hr)]");
    let body = format!("[{GOOD}, {GOOD}]");
    let given = |sample: Sample<'_>| {
        let request = Request {
            device_mapping: Some(mapping.as_bytes()),
            fhir_mapping: None,
            samples: &[sample],
            aggregate: false,
            compatibility: Compatibility::default(),
            issued: UtcTime::MIN,
        };
        summary(&validate(&request).expect("a mapping is given"))
    };
    assert_eq!(given(Sample::Body(body.as_bytes())), "| 2 0");
    assert_eq!(given(Sample::Document(GOOD.as_bytes())), "| WARN 0 0");
}

#[test]
fn has_lines_for_people() {
    let no_text = r#"{"hr":{},"device":"d","date":"2024-03-05T06:07:08Z"}"#;
    let lines = try_texts(Texts { samples: &[no_text], ..Texts::default() }).expect("mappings").to_string();
    let starts =
        ["sample 1", "  ERROR NORMALIZATION Line Number: 5, ", "    2:One or more errors occurred. ", "    3:"];
    for (line, start) in lines.lines().zip(starts) {
        assert!(line.starts_with(start), "{lines}");
    }
    assert!(lines.ends_with("\nThe mappings are valid, but there are errors with samples."), "{lines}");
}

#[test]
fn has_one_form_for_tools() {
    let fhir = FHIR.replace("\"hr\"", "\"other\"");
    let validation = try_texts(Texts { fhir: &fhir, samples: &[GOOD], ..Texts::default() }).expect("mappings");
    let json = serde_json::to_value(&validation).expect("JSON");
    assert_eq!(json["valid"], true);
    assert_eq!(json["mappings"][0]["level"], "WARN");
    assert_eq!(json["mappings"][0]["category"], "FHIRTRANSFORMATION");
    assert_eq!(json["samples"][0]["measurements"][0]["Properties"][0]["Value"], "61");
    assert_eq!(json["samples"][0]["observations"], serde_json::json!([]));
}
