//! No error text quotes what a payload says of a person.
//!
//! Each sample that names such members (`phiFields`) is run against its own
//! mapping, every other sample's, and mappings made to fail on just those
//! members; whole, cut short and mangled. What the errors say, also to a
//! debugger, must hold none of the members' texts.

use std::collections::BTreeSet;

use expressions::{CompileOptions, Document, Expression, Language, Names, ReadOptions, Scratch, Value as Found};
use mapping::{Compatibility, DeviceMapping, FhirMapping, Measurement, MeasurementRef, normalize};
use serde_json::{Value, json};

use crate::outcome::observation;
use crate::sample::{Sample, SampleEvent, sample, samples};

/// A shorter text occurs in any sentence; `"1"` for a gender is one.
const TEXT_LENGTH_MIN: usize = 3;

/// JMESPath that cannot be evaluated for a text, with `{}` for where it is.
const FAILING_FUNCTIONS: [&str; 16] = [
    "abs({})",
    "add({}, `1`)",
    "divide(`1`, {})",
    "pow({}, `2`)",
    "fromUnixTimestamp({})",
    "fromUnixTimestampMs({})",
    "insertString({}, 'x', `999`)",
    "insertString('x', {}, `999`)",
    "keys({})",
    "values({})",
    "sum({})",
    "avg({})",
    "join({}, {})",
    "sort([{}, `1`])",
    "max_by([{}], &@)",
    "map(&abs(@), [{}])",
];

/// What a sample says of a person.
struct Personal {
    /// The texts themselves.
    texts: BTreeSet<String>,
    /// JSONPaths to them, from the root of an event's document.
    paths: Vec<String>,
}

fn personal(sample: &Sample) -> Personal {
    let fields = sample.payload["phiFields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap());
    let fields: Vec<&str> = fields.collect();
    let mut texts = BTreeSet::new();
    for event in sample.events() {
        let document = format!(r#"{{"Body":{}}}"#, event.body);
        for field in &fields {
            collect_texts(&document, &rooted(field), &mut texts);
        }
    }
    texts.retain(|text| text.chars().count() >= TEXT_LENGTH_MIN);
    Personal { texts, paths: fields.iter().map(|field| rooted(field)).collect() }
}

/// From a path in a body to one in an event's document.
fn rooted(field: &str) -> String {
    if field.starts_with("$.Body.") { field.to_owned() } else { field.replacen('$', "$.Body", 1) }
}

/// All strings at and below what a path selects.
fn collect_texts(document: &str, path: &str, texts: &mut BTreeSet<String>) {
    let mut names = Names::default();
    let path = Expression::compile(path, Language::JsonPath, CompileOptions::default(), &mut names).unwrap();
    let mut scratch = Scratch::new(&names);
    let options = ReadOptions { dates: false, ..ReadOptions::default() };
    let document = scratch.read_value(document.as_bytes(), options).unwrap();
    let mut found = Vec::new();
    path.select(document, Document::ROOT, &mut |value| {
        found.extend(match value {
            Found::Node(node) => Some(node),
            _ => None,
        });
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    while let Some(node) = found.pop() {
        if document.kind(node) == expressions::Kind::String {
            texts.insert(document.text(node).into_owned());
        }
        found.extend(document.children(node).map(|(_, child)| child));
    }
}

/// The texts of everything that went wrong.
#[derive(Default)]
struct Errors(Vec<String>);

impl Errors {
    /// Runs an event and keeps what is said of its failure; gives the
    /// measurements.
    fn normalize(&mut self, mapping: &DeviceMapping, event: &SampleEvent) -> Vec<Measurement<'static>> {
        let mut measurements = Vec::new();
        let mut sink = |measurement: &MeasurementRef<'_>| measurements.push(measurement.to_measurement());
        if let Err(error) = mapping.normalize(&mut normalize::Scratch::new(), &event.event(), &mut sink) {
            self.0.push(format!("{error}\n{error:?}\n{}", error.code()));
        }
        measurements
    }

    fn convert(&mut self, mapping: &FhirMapping, measurement: &Measurement) {
        if let Err(error) = observation(std::slice::from_ref(measurement), mapping) {
            self.0.push(format!("{error}\n{error:?}\n{}", error.code()));
        }
    }
}

/// A device mapping of one template that matches any body.
fn device_mapping(member: &str, expression: Value) -> DeviceMapping {
    let mut template = json!({
        "typeName": "broken",
        "typeMatchExpression": "$.Body",
        "deviceIdExpression": { "value": "'d-1'", "language": "JmesPath" },
        "timestampExpression": { "value": "'2026-01-01T00:00:00Z'", "language": "JmesPath" },
        "values": [],
    });
    match member {
        "value" => {
            template["values"] = json!([{ "required": true, "valueName": "value", "valueExpression": expression }]);
        }
        member => template[member] = expression,
    }
    let mapping = json!({
        "templateType": "CollectionContent",
        "template": [{ "templateType": "CalculatedContent", "template": template }],
    });
    // As strict as can be: comparisons that cannot be made are errors, too.
    DeviceMapping::load(mapping.to_string().as_bytes(), &Compatibility::reference())
        .unwrap_or_else(|findings| panic!("{findings}"))
}

/// Mappings that fail on what is at `path`.
fn broken_mappings(path: &str) -> Vec<DeviceMapping> {
    let one = path.replace("[*]", "[0]");
    let jmespath = one.replace("$.", "");
    let parent = one.rsplit_once('.').map_or("$", |(parent, _)| parent);
    let mut mappings = vec![
        device_mapping("timestampExpression", json!(one)),
        device_mapping("deviceIdExpression", json!(parent)),
        device_mapping("correlationIdExpression", json!(parent)),
        device_mapping("patientIdExpression", json!("$.Body..*")),
        device_mapping("value", json!(format!("{one}.missing"))),
        device_mapping("value", json!(parent)),
        device_mapping("value", json!("$..*")),
        device_mapping("typeMatchExpression", json!(format!("$..[?({one} > 5)]"))),
        device_mapping("typeMatchExpression", json!(format!("$..[?({one} < 5.5)]"))),
        device_mapping("typeMatchExpression", json!(format!("$..[?({one} >= true)]"))),
    ];
    for function in FAILING_FUNCTIONS {
        let text = function.replace("{}", &jmespath);
        for member in ["value", "timestampExpression", "typeMatchExpression"] {
            mappings.push(device_mapping(member, json!({ "value": text, "language": "JmesPath" })));
        }
    }
    mappings
}

/// The body whole, and as no reader takes it, broken next to personal texts.
fn bodies(event: &SampleEvent, texts: &BTreeSet<String>) -> Vec<SampleEvent> {
    let body = &event.body;
    let mut bodies = vec![body.clone()];
    for text in texts {
        bodies.push(text.clone());
        bodies.push(format!(r#"{{"{text}" 1}}"#));
        if let Some(at) = body.find(text.as_str()) {
            let end = at + text.len();
            bodies.push(body[..end].to_owned());
            bodies.push(format!(r"{}\x{}", &body[..at], &body[at..]));
            bodies.push(format!(r"{}\ud8zz{}", &body[..end], &body[end..]));
            bodies.push(body[..at.saturating_sub(1)].to_owned() + text + &body[end..]);
        }
    }
    bodies.into_iter().map(|body| event.with_body(body)).collect()
}

/// FHIR mappings of every type of the measurements that their properties do
/// not fit, and one without any type.
fn broken_fhir_mappings(measurement: &Measurement) -> Vec<FhirMapping> {
    let name = measurement.properties.first().map_or("none", |property| &*property.name);
    let quantity = json!({ "valueType": "Quantity", "valueName": name, "unit": "1" });
    let series = json!({ "valueType": "SampledData", "valueName": name, "defaultPeriod": 1000, "unit": "1" });
    let template = |interval: i64, value: &Value| {
        json!([{ "templateType": "CodeValueFhir", "template": {
            "typeName": measurement.r#type, "periodInterval": interval, "codes": [], "value": value,
        } }])
    };
    [json!([]), template(0, &quantity), template(0, &series), template(-1, &quantity)]
        .map(|templates| {
            let mapping = json!({ "templateType": "CollectionFhir", "template": templates });
            FhirMapping::load(mapping.to_string().as_bytes(), &Compatibility::default()).unwrap()
        })
        .into()
}

/// Everything that goes wrong with a sample.
fn errors(sample: &Sample, personal: &Personal, others: &[Sample]) -> Errors {
    let mut errors = Errors::default();
    let broken: Vec<DeviceMapping> = personal.paths.iter().flat_map(|path| broken_mappings(path)).collect();
    let foreign = others.iter().filter_map(|other| other.mappings.as_ref()).map(|mappings| &mappings.device);
    let mappings: Vec<&DeviceMapping> = foreign.chain(&broken).collect();
    for event in sample.events() {
        for event in bodies(&event, &personal.texts) {
            for mapping in &mappings {
                errors.normalize(mapping, &event);
            }
        }
        // What a person's texts become as values, in FHIR mappings of numbers.
        for path in &personal.paths {
            let mapping = device_mapping("value", json!(path.replace("[*]", "[0]")));
            for mut measurement in errors.normalize(&mapping, &event) {
                measurement.patient_id = personal.texts.first().cloned().map(Into::into);
                for mapping in broken_fhir_mappings(&measurement) {
                    errors.convert(&mapping, &measurement);
                }
            }
        }
    }
    errors
}

#[test]
fn errors_quote_nothing_personal() {
    let samples = samples();
    let (mut texts, mut errors_count, mut all_codes) = (0, 0, BTreeSet::new());
    for sample in &samples {
        let personal = personal(sample);
        if personal.texts.is_empty() {
            continue;
        }
        let errors = errors(sample, &personal, &samples);
        for error in &errors.0 {
            for text in &personal.texts {
                assert!(!error.contains(text.as_str()), "{}: an error quotes {text}: {error}", sample.name);
            }
        }
        let codes: BTreeSet<&str> = errors.0.iter().filter_map(|error| error.lines().last()).collect();
        for code in ["InvalidDataFormat", "IncompatibleData", "TemplateExpression", "FunctionError"] {
            assert!(codes.contains(code), "{}: no {code} among {codes:?}", sample.name);
        }
        all_codes.extend(codes.into_iter().map(str::to_owned));
        texts += personal.texts.len();
        errors_count += errors.0.len();
    }
    for code in ["InvalidQuantity", "InvalidSample", "TemplateNotFound", "CorrelationIdNotDefined"] {
        assert!(all_codes.contains(code), "no {code} among {all_codes:?}");
    }
    println!("samples: {texts} personal texts in none of {errors_count} errors");
    assert!(texts >= 15, "only {texts} personal texts");
}

#[test]
fn finds_what_is_personal_in_a_payload() {
    // Guards the test above: what it looks for is what the payloads have.
    let texts = |prefix: &str| personal(&sample(prefix)).texts.into_iter().collect::<Vec<_>>();
    assert_eq!(texts("01-"), ["pt-0042"]);
    assert_eq!(texts("29-"), ["0000000000000", "25200101", "EXAMPLE", "Example#Person"]);
    assert_eq!(texts("30-"), ["patient-fhir-id-1"]);
    assert_eq!(texts("34-"), ["HOSP", "MRN-000123"]);
}
