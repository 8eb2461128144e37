//! The functions of an app: one folder with a function.json each
//! (functions-eventhubs-keda.md 2.1, 3.5).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::functions_host::retry::RetryPolicy;
use crate::functions_host::settings::{SettingError, Settings};

/// A function that this host can run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Function {
    /// The folder's name, and the path of its invocations.
    pub(super) name: String,
    pub(super) trigger: Trigger,
    pub(super) retry: Option<RetryPolicy>,
}

/// What starts an invocation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trigger {
    EventHub(EventHubTrigger),
    Http(HttpTrigger),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct EventHubTrigger {
    /// Name in `Data`.
    pub(super) binding: String,
    pub(super) hub: String,
    pub(super) consumer_group: String,
    /// Name of the connection's settings.
    pub(super) connection: String,
    pub(super) cardinality: Cardinality,
    pub(super) data_type: DataType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cardinality {
    One,
    Many,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    Text,
    Binary,
    Unset,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct HttpTrigger {
    /// Name in `Data`.
    pub(super) binding: String,
    /// Name in `Outputs`, or `$return`.
    pub(super) output: Option<String>,
    /// Behind the prefix, with `{name}` for parameters.
    pub(super) route: String,
    /// Upper case; empty: all.
    pub(super) methods: Vec<String>,
    /// Exactly this trigger and an http output: requests can be forwarded.
    pub(super) can_forward: bool,
}

/// Reads all functions below the app root that are not switched off.
pub(super) fn read_all(root: &Path, only: &[String], settings: &Settings) -> Result<Vec<Function>, SettingError> {
    let failed = |source| SettingError::Read { path: root.to_owned(), source };
    let mut functions = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        let file = folder.join("function.json");
        let Some(name) = folder.file_name().and_then(|name| name.to_str()).filter(|_| file.is_file()) else { continue };
        let is_wanted = only.is_empty() || only.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        if is_wanted && !is_disabled(name, settings) {
            let text = fs::read_to_string(&file).map_err(|source| SettingError::Read { path: file.clone(), source })?;
            let json = serde_json::from_str(&text).map_err(|source| SettingError::Json { path: file, source })?;
            functions.push(Function::read(name, &json, settings)?);
        }
    }
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(functions)
}

fn is_disabled(name: &str, settings: &Settings) -> bool {
    let names = [format!("AzureWebJobs.{name}.Disabled"), format!("AzureWebJobs__{name}__Disabled")];
    names.iter().filter_map(|name| settings.get(name)).any(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

impl Function {
    fn read(name: &str, json: &Value, settings: &Settings) -> Result<Self, SettingError> {
        let place = format!("{name}/function.json");
        if !is_function_name(name) {
            return Err(SettingError::value(&place, "name", Some(name), "a letter, then letters, digits, `_` and `-`"));
        }
        let bindings = json["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bindings =
            bindings.iter().map(|binding| Binding::read(&place, binding, settings)).collect::<Result<Vec<_>, _>>()?;
        let mut triggers = bindings.iter().filter(|binding| binding.kind().ends_with("trigger"));
        let trigger = match (triggers.next(), triggers.next()) {
            (Some(trigger), None) => trigger,
            _ => return Err(SettingError::value(&place, "bindings", None, "exactly one trigger")),
        };
        let retry = json["retry"].as_object().map(|members| {
            members.iter().map(|(name, value)| (name.to_lowercase(), text_of(value))).collect::<BTreeMap<_, _>>()
        });
        let member = |name: &str| retry.as_ref()?.get(&name.to_lowercase()).map(String::as_str);
        Ok(Self {
            name: name.to_owned(),
            trigger: trigger.trigger(&bindings, name)?,
            retry: RetryPolicy::read(&place, member)?,
        })
    }
}

/// One entry of `bindings`, its texts resolved, its names in lower case.
struct Binding<'a> {
    place: &'a str,
    members: BTreeMap<String, Value>,
}

impl<'a> Binding<'a> {
    fn read(place: &'a str, json: &Value, settings: &Settings) -> Result<Self, SettingError> {
        let mut members = BTreeMap::new();
        for (name, value) in json.as_object().into_iter().flatten() {
            let value = match value {
                Value::String(text) => Value::String(settings.resolve(place, text)?),
                other => other.clone(),
            };
            members.insert(name.to_lowercase(), value);
        }
        let binding = Self { place, members };
        let name = binding.required("name", "a letter, then letters and digits, or `$return`")?;
        if name != "$return" && !is_binding_name(name) {
            return Err(SettingError::value(place, "name", Some(name), "a letter, then letters and digits"));
        }
        Ok(binding)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }

    fn required(&self, name: &str, expected: &'static str) -> Result<&str, SettingError> {
        self.text(name).ok_or_else(|| SettingError::value(self.place, name, None, expected))
    }

    fn kind(&self) -> String {
        self.text("type").unwrap_or_default().to_lowercase()
    }

    fn trigger(&self, all: &[Binding<'_>], function: &str) -> Result<Trigger, SettingError> {
        match self.kind().as_str() {
            "eventhubtrigger" => Ok(Trigger::EventHub(self.event_hub()?)),
            "httptrigger" => Ok(Trigger::Http(self.http(all, function)?)),
            _ => Err(SettingError::value(self.place, "type", self.text("type"), "`eventHubTrigger` or `httpTrigger`")),
        }
    }

    fn event_hub(&self) -> Result<EventHubTrigger, SettingError> {
        let one_of = |name: &str, expected| SettingError::value(self.place, name, self.text(name), expected);
        let cardinality = match self.text("cardinality").unwrap_or("one").to_lowercase().as_str() {
            "one" => Cardinality::One,
            "many" => Cardinality::Many,
            _ => return Err(one_of("cardinality", "`one` or `many`")),
        };
        let data_type = match self.text("datatype").unwrap_or_default().to_lowercase().as_str() {
            "" => DataType::Unset,
            "string" => DataType::Text,
            "binary" => DataType::Binary,
            _ => return Err(one_of("datatype", "`string` or `binary`")),
        };
        let group = self.text("consumergroup").filter(|group| !group.is_empty()).unwrap_or("$Default");
        Ok(EventHubTrigger {
            binding: self.required("name", "a name")?.to_owned(),
            // The connection string may name the hub instead.
            hub: self.text("eventhubname").unwrap_or_default().to_owned(),
            consumer_group: group.to_owned(),
            connection: self.required("connection", "the name of the connection's setting")?.to_owned(),
            cardinality,
            data_type,
        })
    }

    fn http(&self, all: &[Binding<'_>], function: &str) -> Result<HttpTrigger, SettingError> {
        let output = all.iter().find(|binding| binding.kind() == "http");
        let methods = self.members.get("methods").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(HttpTrigger {
            binding: self.required("name", "a name")?.to_owned(),
            output: output.and_then(|binding| binding.text("name")).map(str::to_owned),
            route: self.text("route").unwrap_or(function).trim_matches('/').to_owned(),
            methods: methods.iter().filter_map(Value::as_str).map(str::to_uppercase).collect(),
            can_forward: output.is_some() && all.len() == 2,
        })
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_function_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
        && !name.eq_ignore_ascii_case("host")
}

fn is_binding_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        let environment = [("HUB", "devicedata"), ("GROUP", ""), ("AzureWebJobs.off.Disabled", "true")];
        Settings::new(&environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn reads_an_event_hub_trigger() {
        let json = json!({
            "bindings": [{
                "type": "eventHubTrigger", "direction": "in", "name": "events", "eventHubName": "%HUB%",
                "connection": "InputEventHub", "consumerGroup": "%GROUP%", "cardinality": "many", "dataType": "binary",
            }],
            "retry": { "strategy": "fixedDelay", "maxRetryCount": -1, "delayInterval": "00:00:01" },
        });
        let function = Function::read("normalize", &json, &settings()).unwrap();
        let expected = EventHubTrigger {
            binding: "events".to_owned(),
            hub: "devicedata".to_owned(),
            consumer_group: "$Default".to_owned(),
            connection: "InputEventHub".to_owned(),
            cardinality: Cardinality::Many,
            data_type: DataType::Binary,
        };
        assert_eq!(function.trigger, Trigger::EventHub(expected));
        assert_eq!(function.retry.unwrap().max_retry_count, None);
    }

    #[test]
    fn names_what_is_wrong() {
        let trigger =
            |name: &str, kind: &str| json!({ "bindings": [{ "type": kind, "name": name, "connection": "C" }] });
        let cases = [
            ("f", json!({ "bindings": [] }), "`bindings` of f/function.json is missing; expected exactly one trigger"),
            (
                "f",
                trigger("a_b", "eventHubTrigger"),
                "`name` of f/function.json is `a_b`; expected a letter, then letters and digits",
            ),
            (
                "f",
                trigger("a", "blobTrigger"),
                "`type` of f/function.json is `blobTrigger`; expected `eventHubTrigger` or `httpTrigger`",
            ),
            (
                "9",
                trigger("a", "eventHubTrigger"),
                "`name` of 9/function.json is `9`; expected a letter, then letters, digits, `_` and `-`",
            ),
        ];
        for (name, json, expected) in cases {
            assert_eq!(Function::read(name, &json, &settings()).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn reads_the_folders_that_are_functions_and_not_switched_off() {
        let root = tempfile::tempdir().unwrap();
        let json = json!({ "bindings": [{ "type": "httpTrigger", "name": "req" }, { "type": "http", "name": "res" }] });
        for name in ["ingest", "off", "handlers"] {
            fs::create_dir(root.path().join(name)).unwrap();
            if name != "handlers" {
                fs::write(root.path().join(name).join("function.json"), json.to_string()).unwrap();
            }
        }
        let functions = read_all(root.path(), &[], &settings()).unwrap();
        assert_eq!(functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>(), ["ingest"]);
        assert!(matches!(&functions[0].trigger, Trigger::Http(http) if http.can_forward && http.route == "ingest"));
        assert_eq!(read_all(root.path(), &["other".to_owned()], &settings()).unwrap(), []);
    }
}
