//! A stack with the resource provider, and requests to it as of Azure Resource
//! Manager.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::poll::{try_until, until};
use end_to_end::process::Started;
use end_to_end::stack::{ARRIVAL_LIMIT, Setup, Stack};
use reqwest::Method;
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

pub const GROUP: &str = "/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/rg1\
    /providers/Microsoft.HealthcareApis";
/// How long an operation may take: a killed provider's is gone on with when its
/// lease has lapsed.
const OPERATION_LIMIT: Duration = Duration::from_secs(90);

/// A stack with the resource provider.
pub struct Site {
    pub stack: Stack,
    http: Client,
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    operation: Option<String>,
    pub body: Value,
}

impl Site {
    pub fn start() -> Site {
        Site::start_as(Setup::samples())
    }

    /// One with more arguments.
    pub fn start_as(setup: Setup) -> Site {
        let stack = setup.flag("--with-provider").argument("--provider-port", "0").start();
        Site { stack, http: Client::builder().no_proxy().build().unwrap() }
    }

    /// A request; one that is told to try again does.
    pub fn send(&self, method: &Method, path: &str, version: &str, body: Option<&Value>) -> Answered {
        let url = format!("{}{GROUP}/{path}?api-version={version}", self.stack.provider_url());
        let request = || {
            let request = self.http.request(method.clone(), &url);
            body.into_iter().fold(request, |request, body| request.json(body)).send().ok()
        };
        let asks_again = |answer: &Response| answer.status() == 409 && answer.headers().contains_key("retry-after");
        let answer = until("the provider answers", OPERATION_LIMIT, || request().filter(|answer| !asks_again(answer)));
        let operation = answer.headers().get("azure-asyncoperation").map(|url| url.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        Answered { status, operation, body: serde_json::from_str(&answer.text().unwrap()).unwrap_or_default() }
    }

    /// Waits until what a request has begun has succeeded.
    #[track_caller]
    pub fn succeeds(&self, answered: &Answered) {
        let operation = answered.operation.as_ref().unwrap_or_else(|| panic!("{answered:?}"));
        let status = until("the operation ends", OPERATION_LIMIT, || {
            let status: Value = self.http.get(operation).send().ok()?.json().ok()?;
            let ended = ["Succeeded", "Failed", "Canceled"].iter().any(|ended| status["status"] == *ended);
            ended.then_some(status)
        });
        assert_eq!(status["status"], "Succeeded", "{status}\n{}", self.logs());
    }

    #[track_caller]
    pub fn put(&self, path: &str, version: &str, body: &Value) {
        let answered = self.send(&Method::PUT, path, version, Some(body));
        assert!([200, 201].contains(&answered.status), "{path}: {answered:?}");
        self.succeeds(&answered);
    }

    #[track_caller]
    pub fn delete(&self, path: &str, version: &str) {
        let answered = self.send(&Method::DELETE, path, version, None);
        assert_eq!(answered.status, 202, "{path}: {answered:?}");
        self.succeeds(&answered);
    }

    /// Waits until an Observation holds a text; what else may be there does not
    /// matter.
    #[track_caller]
    pub fn wait_for_observation(&self, text: &str) {
        let found = try_until(ARRIVAL_LIMIT, || self.holds(text).then_some(()));
        assert!(found.is_some(), "no Observation holds {text}\n{}", self.logs());
    }

    pub fn holds(&self, text: &str) -> bool {
        let observations = self.stack.fhir().try_observations().unwrap_or_default();
        observations.values().any(|observation| observation.contains(text))
    }

    /// The processes of our two functions.
    pub fn functions(&self) -> Vec<Started> {
        let all = self.stack.parts();
        let is_function = |part: &Started| ["/normalize", "/group-convert"].iter().any(|f| part.command.ends_with(f));
        all.into_iter().filter(is_function).collect()
    }

    /// The folder of what the provider has made.
    pub fn made(&self) -> PathBuf {
        self.stack.folder().join("state/provider")
    }

    /// The files below a folder of the provider's.
    pub fn files(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.made().join(name), &mut found);
        found
    }

    /// The hubs that there are, by their folders.
    pub fn hubs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.stack.folder().join("state/event-hubs")).unwrap();
        let folders = entries.map(Result::unwrap).filter(|entry| entry.path().is_dir());
        folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// What all processes have logged.
    pub fn logs(&self) -> String {
        let mut text = self.stack.logs();
        for file in self.files("logs") {
            text += &format!("== {}\n{}", file.display(), fs::read_to_string(&file).unwrap_or_default());
        }
        text
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}

/// A device mapping that calls what it finds in the member `hr` so.
pub fn device_mapping(type_name: &str) -> Value {
    json!({ "templateType": "CollectionContent", "template": [ {
        "templateType": "JsonPathContent",
        "template": {
            "typeName": type_name,
            "typeMatchExpression": "$..[?(@hr)]",
            "deviceIdExpression": "$.device",
            "patientIdExpression": "$.patient",
            "timestampExpression": "$.at",
            "values": [ { "required": "true", "valueExpression": "$.hr", "valueName": "hr" } ] } } ] })
}

/// A FHIR mapping of the two types `heartrate` and `pulse`.
pub fn fhir_mapping() -> Value {
    let template = |type_name: &str| {
        json!({ "templateType": "CodeValueFhir", "template": {
            "typeName": type_name,
            "codes": [ { "code": type_name, "system": "http://example.com/codes", "display": type_name } ],
            "periodInterval": 0,
            "value": { "valueName": "hr", "valueType": "Quantity", "unit": "/min" } } })
    };
    json!({ "templateType": "CollectionFhir", "template": [template("heartrate"), template("pulse")] })
}

/// An event of a device at a second of an hour. What comes of it holds its value.
pub fn event(device: &str, second: usize, value: usize) -> String {
    let at = format!("2024-05-01T10:00:{second:02}Z");
    json!({ "device": device, "patient": format!("patient-of-{device}"), "at": at, "hr": value }).to_string()
}

/// How a value stands in an Observation.
pub fn value(value: usize) -> String {
    format!("\"value\":{value}")
}
