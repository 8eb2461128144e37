//! A folder of `samples/devices`: a payload, its mappings, and in what they
//! fall short of what should come of it. `samples/devices/README.md` has the
//! form.

use std::fs;
use std::path::{Path, PathBuf};

use expressions::{Properties, UtcTime};
use mapping::normalize::Event;
use mapping::{Compatibility, DeviceMapping, FhirMapping};
use serde::Deserialize;
use serde_json::Value;

/// System properties of an event that are dates, though JSON has them as text.
const SYSTEM_DATES: &[&str] = &["iothub-enqueuedtime"];

/// One sample.
pub struct Sample {
    /// The folder's name, for instance `06-same-timestamp-two-values`.
    pub name: String,
    /// `sample.json`.
    pub payload: Value,
    /// `devicecontent.json` and `fhirmapping.json`; none when the mapping
    /// language cannot map the payload at all.
    pub mappings: Option<Mappings>,
    /// `deviations.json`; none when everything comes as it should.
    pub deviations: Option<Deviations>,
}

/// The two mappings of a sample, and its events.
pub struct Mappings {
    pub device: DeviceMapping,
    pub fhir: FhirMapping,
    /// `events.jsonl`, a line each.
    pub events: Vec<Value>,
}

/// In what a sample's mappings fall short, in order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviations {
    /// Why, in a phrase; the README says the same.
    pub reason: String,
    /// What differs; empty when nothing is mapped.
    #[serde(default)]
    pub deviations: Vec<Deviation>,
}

/// One difference from `expected`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// The position in `expected`, from 0.
    pub measurement: usize,
    /// The member that differs; without it, the measurement as a whole.
    pub member: Option<String>,
    /// What comes instead: the member's value, or a list of measurements.
    pub instead: Value,
}

/// How far a sample is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    Fully,
    Partly,
    Not,
}

impl Mapped {
    /// The word in the README's table.
    pub fn word(self) -> &'static str {
        match self {
            Mapped::Fully => "fully",
            Mapped::Partly => "partly",
            Mapped::Not => "not",
        }
    }
}

impl Sample {
    /// Reads a folder; panics when it is not as the README says.
    fn read(folder: &Path) -> Sample {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a folder has a name").to_owned();
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let payload = text("sample.json").unwrap_or_else(|| panic!("{name} has no sample.json"));
        let mappings = text("devicecontent.json").map(|device_text| {
            let fhir = text("fhirmapping.json").unwrap_or_else(|| panic!("{name} has no fhirmapping.json"));
            let events = text("events.jsonl").unwrap_or_else(|| panic!("{name} has no events.jsonl"));
            let compatibility = Compatibility::default();
            Mappings {
                device: DeviceMapping::load(device_text.as_bytes(), &compatibility)
                    .unwrap_or_else(|findings| panic!("{name}: {findings}")),
                fhir: FhirMapping::load(fhir.as_bytes(), &compatibility)
                    .unwrap_or_else(|findings| panic!("{name}: {findings}")),
                events: events.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            }
        });
        Sample {
            payload: serde_json::from_str(&payload).unwrap_or_else(|error| panic!("{name}: {error}")),
            deviations: text("deviations.json")
                .map(|text| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))),
            mappings,
            name,
        }
    }

    pub fn mapped(&self) -> Mapped {
        match (&self.mappings, &self.deviations) {
            (None, _) => Mapped::Not,
            (Some(_), Some(_)) => Mapped::Partly,
            (Some(_), None) => Mapped::Fully,
        }
    }

    /// The measurements that should come, as `sample.json` has them.
    pub fn expected(&self) -> &[Value] {
        self.payload["expected"].as_array().expect("`expected` is a list")
    }

    /// The events: the body, or each of its elements when `transport` says so.
    pub fn events(&self) -> Vec<SampleEvent> {
        let body = &self.payload["body"];
        let note = self.payload["transport"]["note"].as_str().unwrap_or_default();
        match body {
            Value::Array(events) if note.contains("separate events") => events.iter().map(SampleEvent::new).collect(),
            _ => vec![SampleEvent::new(body)],
        }
    }
}

/// An event as a hub has it.
pub struct SampleEvent {
    pub body: String,
    properties: String,
    system_properties: String,
}

impl SampleEvent {
    /// An object of `Body` and nothing but `Body`, `Properties` and
    /// `SystemProperties` is an event with properties, as `iotc up --input`
    /// has it; anything else is a body.
    fn new(value: &Value) -> SampleEvent {
        let parts = ["Body", "Properties", "SystemProperties"];
        let is_wrapped = |members: &&serde_json::Map<String, Value>| {
            members.contains_key("Body") && members.keys().all(|name| parts.contains(&name.as_str()))
        };
        match value.as_object().filter(is_wrapped) {
            Some(members) => {
                let part = |name: &str| members.get(name).map_or_else(|| "{}".to_owned(), Value::to_string);
                SampleEvent {
                    body: part("Body"),
                    properties: part("Properties"),
                    system_properties: part("SystemProperties"),
                }
            }
            None => SampleEvent::of_body(value.to_string()),
        }
    }

    /// An event without properties.
    pub fn of_body(body: String) -> SampleEvent {
        SampleEvent { body, properties: "{}".to_owned(), system_properties: "{}".to_owned() }
    }

    /// The same with another body.
    pub fn with_body(&self, body: String) -> SampleEvent {
        SampleEvent { body, properties: self.properties.clone(), system_properties: self.system_properties.clone() }
    }

    pub fn event(&self) -> Event<'_> {
        Event {
            content: expressions::Event {
                body: self.body.as_bytes(),
                properties: Properties::Json { text: &self.properties, dates: &[] },
                system_properties: Properties::Json { text: &self.system_properties, dates: SYSTEM_DATES },
            },
            enqueued_time: UtcTime::MIN,
        }
    }
}

/// The folder `samples/devices`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/devices")
}

/// All samples, by name.
pub fn samples() -> Vec<Sample> {
    let entries = fs::read_dir(folder()).expect("samples/devices is there").map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.iter().map(|folder| Sample::read(folder)).collect()
}

/// The sample whose name begins so.
pub fn sample(prefix: &str) -> Sample {
    samples().into_iter().find(|sample| sample.name.starts_with(prefix)).expect("there is such a sample")
}
