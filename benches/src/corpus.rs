//! Corpora for the benchmarks, made by a seeded generator: the same bytes on
//! every machine. Or read from files.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Events and the device mapping that fits them.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Its name.
    pub name: String,
    /// The device mapping.
    pub mapping: String,
    /// One JSON body each.
    pub bodies: Vec<Vec<u8>>,
    /// The properties of each event; empty when they have none.
    pub properties: Vec<EventProperties>,
}

/// The properties of an event, as the Functions host sends them: what a real
/// event has as a timestamp is ISO text.
#[derive(Clone, Debug)]
pub struct EventProperties {
    /// Application properties.
    pub application: Map<String, Value>,
    /// System properties.
    pub system: Map<String, Value>,
}

/// The kinds of vital signs: type, member, smallest value, span.
const KINDS: [(&str, &str, u64, u64); 8] = [
    ("heartrate", "heartRate", 50, 80),
    ("respiratoryrate", "respiratoryRate", 10, 15),
    ("spo2", "oxygenSaturation", 90, 10),
    ("temperature", "bodyTemperature", 36, 4),
    ("systolic", "systolicPressure", 100, 60),
    ("diastolic", "diastolicPressure", 60, 40),
    ("glucose", "bloodGlucose", 70, 90),
    ("weight", "bodyWeight", 50, 60),
];

/// How many events a corpus has, but for the large ones.
const EVENTS: usize = 1000;

/// The four corpora of docs/performance.md.
pub fn all() -> [Corpus; 4] {
    [vitals(), calculated(), iothub(), arrays()]
}

/// Eight kinds of vital signs in bodies of about 400 bytes, and eight templates
/// in the `$..[?(@heartRate)]` style.
pub fn vitals() -> Corpus {
    let templates = KINDS.map(|(kind, member, ..)| json_path_template(kind, member));
    let mut random = Random(0x107c_0111);
    corpus("vitals", &templates, (0..EVENTS).map(|_| vital(&mut random)).collect())
}

fn json_path_template(kind: &str, member: &str) -> String {
    format!(
        r#"{{"templateType":"JsonPathContent","template":{{"typeName":"{kind}","typeMatchExpression":"$..[?(@{member})]",
        "deviceIdExpression":"$.deviceId","timestampExpression":"$.endDate","patientIdExpression":"$.patientId",
        "values":[{{"required":"true","valueExpression":"$.{member}","valueName":"{kind}"}}]}}}}"#
    )
}

/// The same vital signs with CalculatedContent templates, half of them in
/// JSONPath and half in JMESPath, two of these with arithmetic.
pub fn calculated() -> Corpus {
    let templates: Vec<String> = KINDS
        .iter()
        .enumerate()
        .map(|(at, (kind, member, ..))| match at {
            0..4 => calculated_json_path_template(kind, member),
            4..6 => calculated_jmes_path_template(kind, member, &format!("matchedToken.{member}")),
            6 => calculated_jmes_path_template(kind, member, &format!("divide(matchedToken.{member}, `18.0`)")),
            _ => calculated_jmes_path_template(kind, member, &format!("multiply(matchedToken.{member}, `0.45359237`)")),
        })
        .collect();
    corpus("calculated", &templates, vitals().bodies)
}

fn calculated_json_path_template(kind: &str, member: &str) -> String {
    format!(
        r#"{{"templateType":"CalculatedContent","template":{{"typeName":"{kind}","typeMatchExpression":"$..[?(@{member})]",
        "deviceIdExpression":"$.matchedToken.deviceId","timestampExpression":"$.matchedToken.endDate","patientIdExpression":"$.matchedToken.patientId",
        "values":[{{"required":true,"valueExpression":"$.matchedToken.{member}","valueName":"{kind}"}}]}}}}"#
    )
}

fn calculated_jmes_path_template(kind: &str, member: &str, value: &str) -> String {
    format!(
        r#"{{"templateType":"CalculatedContent","template":{{"typeName":"{kind}","defaultExpressionLanguage":"JmesPath","typeMatchExpression":"[Body][?{member}]",
        "deviceIdExpression":"matchedToken.deviceId","timestampExpression":"matchedToken.endDate","patientIdExpression":"matchedToken.patientId",
        "values":[{{"required":true,"valueExpression":"{value}","valueName":"{kind}"}}]}}}}"#
    )
}

/// The same vital signs as an IoT Hub hands them on: device id and time are in
/// the properties, and the templates are of kind IotJsonPathContent.
pub fn iothub() -> Corpus {
    let templates = KINDS.map(|(kind, member, ..)| {
        format!(
            r#"{{"templateType":"IotJsonPathContent","template":{{"typeName":"{kind}","typeMatchExpression":"$..[?(@Body.{member})]",
            "patientIdExpression":"$.Body.patientId",
            "values":[{{"required":"true","valueExpression":"$.Body.{member}","valueName":"{kind}"}}]}}}}"#
        )
    });
    let mut random = Random(0x107c_0113);
    let properties = (0..EVENTS).map(|_| iot_hub_properties(&mut random)).collect();
    Corpus { properties, ..corpus("iothub", &templates, vitals().bodies) }
}

fn iot_hub_properties(random: &mut Random) -> EventProperties {
    let (device, second, milli) = (random.below(5000), random.below(60), random.below(1000));
    let (sequence, generation) = (random.below(1 << 40), random.below(1 << 60));
    let time = format!("2026-11-20T10:15:{second:02}.{milli:03}Z");
    let method = r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#;
    EventProperties {
        application: object(json!({ "iothub-creation-time-utc": time, "gateway": "gateway-7" })),
        system: object(json!({
            "x-opt-sequence-number": sequence,
            "x-opt-offset": format!("{sequence}00"),
            "x-opt-enqueued-time": time,
            "iothub-connection-device-id": format!("device-{device:05}"),
            "iothub-connection-auth-method": method,
            "iothub-connection-auth-generation-id": generation.to_string(),
            "iothub-enqueuedtime": time,
            "iothub-message-source": "Telemetry",
        })),
    }
}

fn object(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Events of about 20 KB with an array of 50 readings of one kind each.
pub fn arrays() -> Corpus {
    let templates = KINDS.map(|(kind, member, ..)| json_path_template(kind, member));
    let mut random = Random(0x107c_0114);
    let bodies = (0..100).map(|_| {
        let mut body = String::from(r#"{"gateway":"gateway-7","batch":17,"readings":["#);
        for at in 0..50 {
            let comma = if at == 0 { "" } else { "," };
            let reading = vital(&mut random);
            let _ = write!(body, "{comma}{}", String::from_utf8_lossy(&reading));
        }
        body.push_str("]}");
        body.into_bytes()
    });
    corpus("arrays", &templates, bodies.collect())
}

fn corpus(name: &str, templates: &[String], bodies: Vec<Vec<u8>>) -> Corpus {
    let mapping = format!(r#"{{"templateType":"CollectionContent","template":[{}]}}"#, templates.join(","));
    Corpus { name: name.to_owned(), mapping, bodies, properties: Vec::new() }
}

fn vital(random: &mut Random) -> Vec<u8> {
    let (_, member, least, span) = KINDS[random.below(8) as usize];
    let value = least + random.below(span);
    let (device, patient, record) = (random.below(5000), random.below(3000), random.next());
    let (minute, second, milli) = (random.below(60), random.below(60), random.below(1000));
    let (battery, strength, tenth) = (random.below(100), random.below(70), random.below(10));
    format!(
        r#"{{"deviceId":"device-{device:05}","patientId":"patient-{patient:05}","recordId":"{record:016x}","startDate":"2026-11-20T10:{minute:02}:{second:02}.{milli:03}Z","endDate":"2026-11-20T10:{minute:02}:{second:02}.{milli:03}Z","{member}":{value}.{tenth},"device":{{"manufacturer":"Acme Medical","model":"Vital\u0053ign 3000","firmware":"3.14.15","battery":{battery}}},"quality":{{"signal":-{strength},"confidence":0.9{tenth},"flags":[0,1,{tenth}]}},"source":"gateway-7","ok":true}}"#
    )
    .into_bytes()
}

/// Reads a corpus from files: one JSON body a line, and if wanted the
/// properties of each event, one `{"p": {…}, "s": {…}}` a line.
pub fn read(bodies: &Path, mapping: &Path, properties: Option<&Path>) -> Result<Corpus, String> {
    let text = |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let name = bodies.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bodies: Vec<Vec<u8>> = lines(&text(bodies)?).map(|line| line.as_bytes().to_vec()).collect();
    let properties: Vec<EventProperties> = match properties {
        Some(path) => lines(&text(path)?).map(event_properties).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    if bodies.is_empty() {
        return Err(format!("{name} has no line"));
    }
    if !properties.is_empty() && properties.len() != bodies.len() {
        return Err(format!("{name} has {} lines, its properties have {}", bodies.len(), properties.len()));
    }
    Ok(Corpus { name, mapping: text(mapping)?, bodies, properties })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

fn event_properties(line: &str) -> Result<EventProperties, String> {
    let mut json: serde_json::Map<String, Value> =
        serde_json::from_str(line).map_err(|error| format!("properties: {error}"))?;
    let mut set = |name| json.remove(name).map(object).unwrap_or_default();
    Ok(EventProperties { application: set("p"), system: set("s") })
}

/// A small generator of numbers (splitmix64): the same row for the same seed.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so it is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, that excluded.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
