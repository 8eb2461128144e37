//! App settings and host.json, as the Functions host reads them.
//!
//! host.json is flattened into names such as `extensions:eventHubs:maxWaitTime`,
//! and `AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime` in the
//! environment wins over it (functions-eventhubs-keda.md 3.2). Names are
//! compared without regard to case.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::functions_host::retry::RetryPolicy;

/// What the environment's names for host.json begin with.
const HOST_PREFIX: &str = "azurefunctionsjobhost:";

/// Why the host does not start: one of its files or settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// A file that has to be there is not, or cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not JSON.
    #[error("`{}` is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it is not.
        source: serde_json::Error,
    },
    /// A setting has a value that cannot be, or none.
    #[error("`{name}` of {place} is {value}; expected {expected}")]
    Value {
        /// Where it was looked for, such as `host.json`.
        place: String,
        /// Its name.
        name: String,
        /// Its value, or `missing`.
        value: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// `%NAME%` with a name that is no app setting.
    #[error("`%{name}%` in {place} does not resolve: there is no such app setting")]
    Unresolved {
        /// The file.
        place: String,
        /// The setting's name.
        name: String,
    },
}

impl SettingError {
    pub(super) fn value(place: &str, name: &str, value: Option<&str>, expected: &'static str) -> Self {
        let value = value.map_or_else(|| "missing".to_owned(), |value| format!("`{value}`"));
        Self::Value { place: place.to_owned(), name: name.to_owned(), value, expected }
    }
}

/// The environment of the host, whose names it compares without regard to case
/// and with `__` and `:` as the same.
#[derive(Debug)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(super) fn new(environment: &BTreeMap<String, String>) -> Self {
        Self(environment.iter().map(|(name, value)| (normal(name), value.clone())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&normal(name)).map(String::as_str)
    }

    /// Puts settings in the place of `%NAME%`.
    pub(super) fn resolve(&self, place: &str, text: &str) -> Result<String, SettingError> {
        let mut resolved = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            let Some((name, behind)) = after.split_once('%') else { break };
            let value = self.get(name);
            let unresolved = || SettingError::Unresolved { place: place.to_owned(), name: name.to_owned() };
            resolved.push_str(before);
            resolved.push_str(value.ok_or_else(unresolved)?);
            rest = behind;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    /// Replaces `%NAME%` by a setting, one that is not there by nothing.
    fn expand(&self, text: &str) -> String {
        let mut parts = text.split('%');
        let mut expanded = parts.next().unwrap_or_default().to_owned();
        while let Some(name) = parts.next() {
            let Some(behind) = parts.next() else {
                expanded.push('%');
                expanded.push_str(name);
                break;
            };
            expanded.push_str(self.get(name).unwrap_or_default());
            expanded.push_str(behind);
        }
        expanded
    }
}

fn normal(name: &str) -> String {
    name.replace("__", ":").to_lowercase()
}

/// `customHandler` of host.json (functions-eventhubs-keda.md 1.1).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CustomHandler {
    pub(super) executable: String,
    /// `arguments`, the worker path, `workerArguments`.
    pub(super) arguments: Vec<String>,
    /// Relative to the app root.
    pub(super) working_directory: Option<String>,
    pub(super) forwards_http: bool,
    pub(super) initialization_timeout: Duration,
    pub(super) port: Option<u16>,
}

/// `extensions.eventHubs` of host.json (functions-eventhubs-keda.md 3.1).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EventHubsOptions {
    pub(super) max_event_batch_size: usize,
    pub(super) min_event_batch_size: usize,
    pub(super) max_wait_time: Duration,
    /// Batches from one checkpoint to the next.
    pub(super) batch_checkpoint_frequency: usize,
    pub(super) enable_checkpointing: bool,
    pub(super) initial_offset: InitialOffset,
    pub(super) custom_endpoint: Option<String>,
}

/// Where a partition without a checkpoint is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialOffset {
    /// With the oldest event there is.
    Start,
    /// With what comes from now on.
    End,
    /// With the first event enqueued at this time, in milliseconds since 1970,
    /// or later.
    EnqueuedTime(i64),
}

/// Everything in host.json that this host knows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HostJson {
    /// `None`: without limit.
    pub(super) function_timeout: Option<Duration>,
    pub(super) handler: CustomHandler,
    pub(super) event_hubs: EventHubsOptions,
    pub(super) retry: Option<RetryPolicy>,
    /// When not empty, only these functions are loaded.
    pub(super) functions: Vec<String>,
    /// Before each HTTP route; `api` unless set.
    pub(super) route_prefix: String,
}

impl HostJson {
    /// Reads the file's content together with what the environment says.
    pub(super) fn read(file: &Value, settings: &Settings) -> Result<Self, SettingError> {
        let section = Section::new(file, settings);
        if section.get("version") != Some("2.0") {
            return Err(SettingError::value(HOST_JSON, "version", section.get("version"), "`2.0`"));
        }
        Ok(Self {
            function_timeout: section.function_timeout()?,
            handler: section.handler(settings)?,
            event_hubs: section.event_hubs()?,
            retry: RetryPolicy::read(HOST_JSON, |name| section.get(&format!("retry:{name}")))?,
            functions: section.list("functions"),
            route_prefix: section.get("extensions:http:routePrefix").unwrap_or("api").trim_matches('/').to_owned(),
        })
    }
}

const HOST_JSON: &str = "host.json";

/// host.json, flattened, under the environment.
struct Section(BTreeMap<String, String>);

impl Section {
    fn new(file: &Value, settings: &Settings) -> Self {
        let mut flat = BTreeMap::new();
        flatten("", file, &mut flat);
        for (name, value) in &settings.0 {
            if let Some(name) = name.strip_prefix(HOST_PREFIX) {
                flat.insert(name.to_owned(), value.clone());
            }
        }
        Self(flat)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_lowercase()).map(String::as_str)
    }

    /// A list, or one text that holds a JSON list (as the environment may).
    fn list(&self, name: &str) -> Vec<String> {
        if let Some(items) = self.get(name).and_then(|text| serde_json::from_str(text).ok()) {
            return items;
        }
        (0..).map_while(|index| self.get(&format!("{name}:{index}")).map(str::to_owned)).collect()
    }

    fn parse<T>(
        &self,
        name: &str,
        default: T,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SettingError> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => parse(text).ok_or_else(|| SettingError::value(HOST_JSON, name, Some(text), expected)),
        }
    }

    fn function_timeout(&self) -> Result<Option<Duration>, SettingError> {
        // Outside the Consumption plan (functions-eventhubs-keda.md 2.5).
        let default = Some(Duration::from_secs(30 * 60));
        self.parse("functionTimeout", default, "`-1` or a time of at least `00:00:01`", |text| match text {
            "-1" => Some(None),
            text => time_span(text).filter(|time| *time >= Duration::from_secs(1)).map(Some),
        })
    }

    fn handler(&self, settings: &Settings) -> Result<CustomHandler, SettingError> {
        let name = |name: &str| format!("customHandler:description:{name}");
        let executable = self.get(&name("defaultExecutablePath")).filter(|path| !path.is_empty());
        let missing = || SettingError::value(HOST_JSON, &name("defaultExecutablePath"), None, "the handler's program");
        let mut arguments = self.list(&name("arguments"));
        arguments.extend(self.get(&name("defaultWorkerPath")).map(str::to_owned));
        arguments.extend(self.list(&name("workerArguments")));
        let expanded = arguments.iter().map(|argument| settings.expand(argument));
        // The host joins arguments with blanks and quotes nothing, so a blank
        // inside one divides it.
        let arguments = expanded.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        Ok(CustomHandler {
            executable: settings.expand(executable.ok_or_else(missing)?),
            arguments: arguments.collect(),
            working_directory: self.get(&name("workingDirectory")).map(str::to_owned),
            forwards_http: self.parse("customHandler:enableForwardingHttpRequest", false, "`true` or `false`", flag)?,
            initialization_timeout: self.parse(
                "customHandler:initializationTimeout",
                Duration::from_secs(30),
                "a time such as `00:00:30`",
                time_span,
            )?,
            port: self.parse("customHandler:port", None, "a port number", |text| text.parse().ok().map(Some))?,
        })
    }

    fn event_hubs(&self) -> Result<EventHubsOptions, SettingError> {
        let name = |name: &str| format!("extensions:eventHubs:{name}");
        let count = |text: &str| text.parse().ok().filter(|count| *count >= 1);
        let max = self.parse(&name("maxEventBatchSize"), 100, "a number of at least 1", count)?;
        let ten_minutes = Duration::from_secs(600);
        Ok(EventHubsOptions {
            max_event_batch_size: max,
            min_event_batch_size: self.parse(
                &name("minEventBatchSize"),
                1,
                "a number from 1 to `maxEventBatchSize`",
                |text| count(text).filter(|min| *min <= max),
            )?,
            max_wait_time: self.parse(
                &name("maxWaitTime"),
                Duration::from_secs(60),
                "a time from 0 to `00:10:00`",
                |text| time_span(text).filter(|time| *time <= ten_minutes),
            )?,
            batch_checkpoint_frequency: self.parse(
                &name("batchCheckpointFrequency"),
                1,
                "a number of at least 1",
                count,
            )?,
            enable_checkpointing: self.parse(&name("enableCheckpointing"), true, "`true` or `false`", flag)?,
            initial_offset: self.initial_offset()?,
            custom_endpoint: self.get(&name("customEndpointAddress")).map(str::to_owned),
        })
    }

    fn initial_offset(&self) -> Result<InitialOffset, SettingError> {
        let name = "extensions:eventHubs:initialOffsetOptions:type";
        let time = "extensions:eventHubs:initialOffsetOptions:enqueuedTimeUtc";
        let expected = "`fromStart`, `fromEnd` or `fromEnqueuedTime`";
        match self.get(name).unwrap_or("fromStart").to_lowercase().as_str() {
            "fromstart" => Ok(InitialOffset::Start),
            "fromend" => Ok(InitialOffset::End),
            "fromenqueuedtime" => {
                let at = self.get(time).and_then(|text| text.parse::<jiff::Timestamp>().ok());
                let missing = || SettingError::value(HOST_JSON, time, self.get(time), "a UTC time");
                Ok(InitialOffset::EnqueuedTime(at.ok_or_else(missing)?.as_millisecond()))
            }
            other => Err(SettingError::value(HOST_JSON, name, Some(other), expected)),
        }
    }
}

fn flatten(name: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    let inner =
        |part: &str| if name.is_empty() { part.to_lowercase() } else { format!("{name}:{}", part.to_lowercase()) };
    match value {
        Value::Object(members) => members.iter().for_each(|(part, value)| flatten(&inner(part), value, flat)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| flatten(&inner(&index.to_string()), item, flat));
        }
        Value::String(text) => drop(flat.insert(name.to_owned(), text.clone())),
        Value::Null => {}
        scalar => drop(flat.insert(name.to_owned(), scalar.to_string())),
    }
}

fn flag(text: &str) -> Option<bool> {
    text.to_lowercase().parse().ok()
}

/// A .NET TimeSpan: `[d.]hh:mm[:ss[.fffffff]]`, not negative.
pub(super) fn time_span(text: &str) -> Option<Duration> {
    let (days, clock) = match text.split_once('.') {
        Some((days, clock)) if clock.contains(':') => (days.parse().ok()?, clock),
        _ => (0_u64, text),
    };
    let mut parts = clock.split(':');
    let hours: u64 = parts.next()?.parse().ok().filter(|hours| *hours < 24)?;
    let minutes: u64 = parts.next()?.parse().ok().filter(|minutes| *minutes < 60)?;
    let seconds = parts.next().unwrap_or("0");
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let seconds: u64 = seconds.parse().ok().filter(|seconds| *seconds < 60)?;
    let nanoseconds: u32 = format!("{fraction:0<9}").parse().ok().filter(|_| fraction.len() <= 7)?;
    if parts.next().is_some() {
        return None;
    }
    Some(Duration::new(((days * 24 + hours) * 60 + minutes) * 60 + seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::new(&environment.collect())
    }

    fn minimal() -> Value {
        json!({ "version": "2.0", "customHandler": { "description": { "defaultExecutablePath": "handlers/x" } } })
    }

    #[test]
    fn has_the_hosts_defaults() {
        let host = HostJson::read(&minimal(), &settings(&[])).unwrap();
        assert_eq!(host.function_timeout, Some(Duration::from_secs(1800)));
        assert_eq!(host.handler.initialization_timeout, Duration::from_secs(30));
        assert_eq!(host.event_hubs.max_event_batch_size, 100);
        assert_eq!(host.event_hubs.max_wait_time, Duration::from_secs(60));
        assert_eq!((host.retry, host.route_prefix), (None, "api".to_owned()));
    }

    #[test]
    fn environment_wins_over_the_file() {
        let mut file = minimal();
        file["extensions"] = json!({ "eventHubs": { "maxEventBatchSize": 7, "batchCheckpointFrequency": 2 } });
        file["customHandler"]["description"]["arguments"] = json!(["a", "b"]);
        let environment = settings(&[
            ("AzureFunctionsJobHost__extensions__EventHubs__maxeventbatchsize", "50"),
            ("AzureFunctionsJobHost__customHandler__description__arguments", r#"["--mode","%MODE%","%GONE%"]"#),
            ("AzureFunctionsJobHost__functionTimeout", "-1"),
            ("AzureFunctionsJobHost__functions__0", "normalize"),
            ("AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions__type", "fromEnd"),
            ("MODE", "normalize"),
        ]);
        let host = HostJson::read(&file, &environment).unwrap();
        assert_eq!((host.event_hubs.max_event_batch_size, host.event_hubs.batch_checkpoint_frequency), (50, 2));
        assert_eq!(host.handler.arguments, ["--mode", "normalize"]);
        assert_eq!((host.function_timeout, host.functions), (None, vec!["normalize".to_owned()]));
        assert_eq!(host.event_hubs.initial_offset, InitialOffset::End);
    }

    #[test]
    fn names_the_setting_that_cannot_be() {
        let cases = [
            (
                "functionTimeout",
                "00:00:00.5",
                "`functionTimeout` of host.json is `00:00:00.5`; expected `-1` or a time of at least `00:00:01`",
            ),
            (
                "extensions__eventHubs__minEventBatchSize",
                "101",
                "`extensions:eventHubs:minEventBatchSize` of host.json is `101`; expected a number from 1 to `maxEventBatchSize`",
            ),
            (
                "extensions__eventHubs__maxWaitTime",
                "00:11:00",
                "`extensions:eventHubs:maxWaitTime` of host.json is `00:11:00`; expected a time from 0 to `00:10:00`",
            ),
            ("version", "3", "`version` of host.json is `3`; expected `2.0`"),
        ];
        for (name, value, expected) in cases {
            let environment = settings(&[(&format!("AzureFunctionsJobHost__{name}"), value)]);
            assert_eq!(HostJson::read(&minimal(), &environment).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn resolves_settings_between_percent_signs() {
        let settings = settings(&[("InputEventHub__EventHubName", "devicedata")]);
        assert_eq!(settings.resolve("f", "%inputeventhub__EVENTHUBNAME%-x").unwrap(), "devicedata-x");
        assert_eq!(settings.resolve("f", "100%").unwrap(), "100%");
        let error = settings.resolve("function.json", "%Nope%").unwrap_err();
        assert_eq!(error.to_string(), "`%Nope%` in function.json does not resolve: there is no such app setting");
    }

    #[test]
    fn reads_time_spans() {
        let cases = [
            ("00:00:30", Some(30_000)),
            ("1.02:03:04.5", Some(93_784_500)),
            ("00:01", Some(60_000)),
            ("00:00:00.0100000", Some(10)),
            ("00:60:00", None),
            ("30", None),
            ("-00:00:01", None),
            ("00:00:00:00", None),
            ("", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(time_span(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
