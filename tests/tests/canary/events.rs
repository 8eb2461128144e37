//! Marked events, and mappings that fail on some of them in every way they can.

use serde_json::{Value, json};

use crate::marks::{CORRELATION, DEVICE, ENCOUNTER, FRACTION, MEMBER, NUMBER, PATIENT, PROPERTY, TEXT};

/// JMESPath that cannot be evaluated for a text, or not for every one.
const FAILING: [&str; 14] = [
    "abs(matchedToken.{})",
    "add(matchedToken.{}, `1`)",
    "divide(`1`, `0`)",
    "pow(matchedToken.{}, `2`)",
    "fromUnixTimestamp(matchedToken.{})",
    "fromUnixTimestampMs(`99999999999999999`)",
    "insertString(matchedToken.{}, 'x', `99999`)",
    "keys(matchedToken.{})",
    "sum(matchedToken.{})",
    "join(matchedToken.{}, matchedToken.{})",
    "sort([matchedToken.{}, `1`])",
    "max_by([matchedToken.{}], &@)",
    "map(&abs(@), [matchedToken.{}])",
    "matchedToken.missing",
];

/// The device mapping: what works, and one template for each way to fail.
pub fn device_mapping() -> String {
    let plain = |name: &str| {
        json!({ "templateType": "JsonPathContent", "template": {
            "typeName": name, "typeMatchExpression": format!("$..[?(@{name})]"), "deviceIdExpression": "$.device",
            "patientIdExpression": "$.patient", "encounterIdExpression": "$.encounter",
            "correlationIdExpression": "$.correlation", "timestampExpression": "$.at",
            "values": [{ "required": "true", "valueExpression": format!("$.{name}"), "valueName": "value" }],
        } })
    };
    let failing = |(number, function): (usize, &&str)| {
        let member = format!("calc{number}");
        let jmespath = |text: &str| json!({ "value": text, "language": "JmesPath" });
        json!({ "templateType": "CalculatedContent", "template": {
            "typeName": member, "typeMatchExpression": format!("$..[?(@{member})]"),
            "deviceIdExpression": jmespath("matchedToken.device"), "timestampExpression": jmespath("matchedToken.at"),
            "values": [{ "required": "true", "valueExpression": jmespath(&function.replace("{}", &member)), "valueName": "v" }],
        } })
    };
    let from_hub = json!({ "templateType": "IotJsonPathContent", "template": {
        "typeName": "weight", "typeMatchExpression": "$..[?(@iot)]",
        "patientIdExpression": "$.Properties.patient",
        "values": [{ "required": "true", "valueExpression": "$.Body.iot", "valueName": "value" }],
    } });
    let mut templates: Vec<Value> = ["heartrate", "note", "weight", "session", "steps"].map(plain).into();
    templates.push(from_hub);
    let mut several = plain("several");
    several["template"]["values"][0]["valueExpression"] = "$..*".into();
    templates.push(several);
    templates.extend(FAILING.iter().enumerate().map(failing));
    json!({ "templateType": "CollectionContent", "template": templates }).to_string()
}

/// The FHIR mapping: each kind of value, and nothing for `steps`.
pub fn fhir_mapping() -> String {
    let template = |name: &str, period: i64, value: Value| {
        json!({ "templateType": "CodeValueFhir", "template": {
            "typeName": name, "periodInterval": period, "codes": [{ "code": name }], "value": value,
        } })
    };
    let series = json!({ "valueType": "SampledData", "valueName": "value", "defaultPeriod": 60000, "unit": "/min" });
    let templates = [
        template("heartrate", 60, series.clone()),
        template("note", 0, json!({ "valueType": "String", "valueName": "value" })),
        template("weight", 0, json!({ "valueType": "Quantity", "valueName": "value", "unit": "kg" })),
        template("session", -1, series),
    ];
    json!({ "templateType": "CollectionFhir", "template": templates }).to_string()
}

/// An event of this device with one more member, or several.
fn event(device: &str, minute: usize, more: &[(&str, Value)]) -> Value {
    let mut event = json!({
        "device": device, "patient": PATIENT, "encounter": ENCOUNTER, "correlation": CORRELATION,
        "at": format!("2026-11-01T{:02}:{:02}:00Z", minute / 60, minute % 60), MEMBER: TEXT,
    });
    for (name, value) in more {
        event[*name] = value.clone();
    }
    event
}

/// What has to be on the FHIR server already: nobody makes Encounters.
pub fn encounter() -> Value {
    let patient = json!({ "reference": "Patient/of-the-encounter" });
    json!({
        "resourceType": "Encounter", "id": "of-the-events", "status": "in-progress", "subject": patient,
        "class": { "code": "IMP", "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode" },
        "identifier": [{ "value": ENCOUNTER }],
    })
}

/// The patient of [`encounter`].
pub fn patient() -> Value {
    json!({ "resourceType": "Patient", "id": "of-the-encounter" })
}

/// A number as JSON has it, every digit kept.
fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// What can be used, and what group-convert cannot use.
pub fn good(minute: usize) -> Vec<String> {
    let of = |name: &str, value: Value| event(DEVICE, minute, &[(name, value)]).to_string();
    vec![
        of("heartrate", number(NUMBER)),
        of("note", TEXT.into()),
        of("weight", FRACTION.into()),
        of("session", number(NUMBER)),
        of("steps", NUMBER.into()),
        event(DEVICE, minute + 1, &[("weight", TEXT.into())]).to_string(),
        event(DEVICE, minute + 1, &[("heartrate", TEXT.into())]).to_string(),
    ]
}

/// What normalize cannot use: events that fail in every way, bodies that are no
/// events, and one that no template matches.
pub fn bad() -> Vec<String> {
    let mut bad: Vec<String> = (0..FAILING.len())
        .map(|number| event(DEVICE, 5, &[(&format!("calc{number}"), TEXT.into())]).to_string())
        .collect();
    for (name, value) in [
        ("at", Value::from(TEXT)),
        ("at", Value::Null),
        ("at", json!([TEXT])),
        ("device", json!({ MEMBER: TEXT })),
        ("device", "".into()),
        ("patient", json!([PATIENT, PATIENT])),
        ("heartrate", json!({ MEMBER: TEXT })),
        ("heartrate", Value::Null),
        ("several", TEXT.into()),
    ] {
        let reading = ("heartrate", number(NUMBER));
        bad.push(event(DEVICE, 6, &[reading, (name, value)]).to_string());
    }
    let whole = event(DEVICE, 7, &[("heartrate", number(NUMBER)), ("poison", "qzpoison7k".into())]).to_string();
    let middle = whole.find("qzpatient7k").map_or(0, |at| at + 11);
    bad.extend([
        json!({ "battery": NUMBER, MEMBER: { MEMBER: TEXT } }).to_string(),
        "qzpoison7k".to_owned(),
        format!("\"qzpoison7k {DEVICE}"),
        whole[..middle].to_owned(),
        whole.replace("qzpatient7k", r"qzpatient7k\ud8zz"),
        whole.replace("qzpatient7k", r"qzpatient7k\x"),
        whole.replace("\"poison\":", "poison=qzpoison7k"),
        whole.replace(NUMBER, &NUMBER.repeat(50)),
        whole.replace(NUMBER, &format!("{NUMBER}e99999")),
        format!("{}\"qzpoison7k\"{}", "[".repeat(100), "]".repeat(100)),
        format!("<xml device='{DEVICE}'>qzpoison7k</xml>").replace('\n', " "),
        // What the internal hub does not take.
        event(DEVICE, 8, &[("note", format!("{TEXT}{}", "x".repeat(700_000)).into())]).to_string(),
        // With properties, as IoT Hub sends it; the second without the device.
        json!({
            "Body": { "iot": number(FRACTION), MEMBER: TEXT }, "Properties": { "patient": PATIENT, MEMBER: PROPERTY },
            "SystemProperties": { "iothub-connection-device-id": DEVICE, "iothub-enqueuedtime": "2026-11-01T12:00:00Z" },
        })
        .to_string(),
        json!({ "Body": { "iot": TEXT }, "Properties": { "patient": PATIENT, MEMBER: PROPERTY }, "SystemProperties": {} })
            .to_string(),
    ]);
    bad
}

/// A reading of a device that nobody has registered, where that matters.
pub fn unknown(minute: usize) -> String {
    event(&format!("{DEVICE} of nobody"), minute, &[("heartrate", number(NUMBER))]).to_string()
}
