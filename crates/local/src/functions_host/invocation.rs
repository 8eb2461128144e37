//! The body of an invocation, byte for byte as the host writes it
//! (functions-eventhubs-keda.md 1.7 to 1.10).
//!
//! Members are written in the host's order by hand, because most values are
//! JSON texts inside JSON strings and an ordered map would not help with that.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::functions_host::checkpoints::PartitionKey;
use crate::functions_host::dates;
use crate::functions_host::function::{Cardinality, DataType, EventHubTrigger};
use crate::functions_host::retry::RetryPolicy;
use crate::functions_host::source::HostEvent;

/// What does not change from one try of an invocation to the next.
#[derive(Debug)]
pub(super) struct Invocation<'a> {
    pub(super) function: &'a str,
    pub(super) trigger: &'a EventHubTrigger,
    pub(super) partition: &'a PartitionKey,
    pub(super) is_checkpointing: bool,
    /// One event, or the batch.
    pub(super) events: &'a [HostEvent],
    pub(super) retry: Option<RetryPolicy>,
}

/// The events cannot be handed over: with `cardinality` many and no `dataType`
/// each body has to be JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "binding parameters to complex objects uses JSON; event {index} of the batch is no JSON, so the handler is not called"
)]
pub(super) struct NotBindable {
    index: usize,
}

/// Members of a JSON object, in order, each as JSON text.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<(String, String)>);

impl Members {
    /// A member that is JSON already.
    pub(super) fn json(&mut self, name: &str, text: impl Into<String>) {
        let text = text.into();
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, value)) => *value = text,
            None => self.0.push((name.to_owned(), text)),
        }
    }

    /// A member whose JSON text goes into a JSON string: the double encoding.
    fn encoded(&mut self, name: &str, json: &str) {
        self.json(name, quote(json));
    }

    pub(super) fn text(&self) -> String {
        let members = self.0.iter().map(|(name, value)| format!("{}:{value}", quote(name)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}

impl Invocation<'_> {
    /// The request's body; `retries` is how often it was tried before.
    pub(super) fn body(&self, retries: u32, failed: bool) -> Result<String, NotBindable> {
        let mut data = Members::default();
        data.json(&self.trigger.binding, self.data()?);
        let mut metadata = Members::default();
        let partition = self.partition_context();
        metadata.json("TriggerPartitionContext", partition.clone());
        metadata.json("PartitionContext", partition);
        match (self.trigger.cardinality, self.events) {
            (Cardinality::One, [event]) => self.add_one(&mut metadata, event),
            _ => self.add_many(&mut metadata),
        }
        metadata.json("sys", sys(self.function));
        if let Some(policy) = &self.retry {
            metadata.json("RetryContext", retry_context(policy, retries, failed));
        }
        Ok(format!("{{\"Data\":{},\"Metadata\":{}}}", data.text(), metadata.text()))
    }

    fn data(&self) -> Result<String, NotBindable> {
        let bodies = || self.events.iter().map(|event| event.body.as_slice());
        match (self.trigger.cardinality, self.trigger.data_type) {
            // Bytes are the one kind of value that is not encoded twice.
            (Cardinality::One, DataType::Binary) => Ok(bodies().map(base64).collect()),
            (Cardinality::One, _) => Ok(bodies().map(|body| quote(&text_of(body))).collect()),
            (Cardinality::Many, DataType::Binary) => Ok(quote(&list(bodies().map(base64)))),
            (Cardinality::Many, DataType::Text) => Ok(quote(&list(bodies().map(text_of)))),
            (Cardinality::Many, DataType::Unset) => {
                let parsed = bodies().enumerate().map(|(index, body)| {
                    // Json.NET would also rewrite numbers and dates; that is left out.
                    let value: Result<&RawValue, _> = serde_json::from_slice(body);
                    value.map(|value| value.get().to_owned()).map_err(|_| NotBindable { index })
                });
                Ok(quote(&list(parsed.collect::<Result<Vec<_>, _>>()?)))
            }
        }
    }

    fn partition_context(&self) -> String {
        format!(
            "{{\"IsCheckpointingAfterInvocation\":{},\"FullyQualifiedNamespace\":{},\"EventHubName\":{},\
             \"ConsumerGroup\":{},\"PartitionId\":{}}}",
            self.is_checkpointing,
            quote(&self.partition.namespace),
            quote(&self.partition.hub),
            quote(&self.partition.consumer_group),
            quote(&self.partition.partition),
        )
    }

    fn add_many(&self, metadata: &mut Members) {
        let array = |of: &dyn Fn(&HostEvent) -> String| list(self.events.iter().map(of));
        metadata.encoded("PartitionKeyArray", &array(&partition_key));
        metadata.encoded("OffsetArray", &array(&|event| quote(numeric_offset(event))));
        metadata.encoded("OffsetStringArray", &array(&|event| quote(&event.offset)));
        metadata.encoded("SequenceNumberArray", &array(&|event| event.sequence_number.to_string()));
        metadata.encoded("EnqueuedTimeUtcArray", &array(&|event| quote(&dates::unspecified(event.enqueued_ms))));
        metadata.encoded("PropertiesArray", &array(&|event| properties(&event.properties).text()));
        metadata.encoded("SystemPropertiesArray", &array(&system_properties));
    }

    fn add_one(&self, metadata: &mut Members, event: &HostEvent) {
        if let Some(key) = &event.partition_key {
            metadata.encoded("PartitionKey", &quote(key));
        }
        metadata.encoded("Offset", &quote(numeric_offset(event)));
        metadata.encoded("OffsetString", &quote(&event.offset));
        metadata.encoded("SequenceNumber", &event.sequence_number.to_string());
        metadata.json("EnqueuedTimeUtc", quote(&dates::whole_seconds(event.enqueued_ms)));
        metadata.json("Properties", properties(&event.properties).text());
        metadata.json("SystemProperties", system_properties(event));
        if self.trigger.data_type != DataType::Binary {
            merge_body(metadata, &event.body);
        }
    }
}

/// The members of a body that is a JSON object become metadata and hide what
/// has their name; lists and nulls do not (`Utility.ApplyBindingData`).
fn merge_body(metadata: &mut Members, body: &[u8]) {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return };
    for (name, value) in &members {
        match value {
            Value::Null | Value::Array(_) => {}
            Value::Object(_) => metadata.json(name, json_text(value)),
            Value::String(text) => metadata.encoded(name, &quote(text)),
            Value::Bool(flag) => metadata.encoded(name, if *flag { "\"True\"" } else { "\"False\"" }),
            Value::Number(number) => metadata.encoded(name, &quote(&number.to_string())),
        }
    }
}

/// Name, time and a random id of an invocation.
pub(super) fn sys(function: &str) -> String {
    let guid = uuid::Uuid::new_v4();
    format!("{{\"MethodName\":{},\"UtcNow\":{},\"RandGuid\":\"{guid}\"}}", quote(function), quote(&dates::utc_now()))
}

fn retry_context(policy: &RetryPolicy, retries: u32, failed: bool) -> String {
    // What the real host puts here is the serialised .NET exception; its class
    // and a fixed message stand for it.
    let exception = match failed {
        true => {
            "{\"ClassName\":\"Microsoft.Azure.WebJobs.Host.FunctionInvocationException\",\
             \"Message\":\"Exception while executing function\"}"
        }
        false => "null",
    };
    let max = policy.max_retry_count_shown();
    format!(
        "{{\"RetryCount\":{retries},\"MaxRetryCount\":{max},\"Instance\":null,\"State\":null,\"Exception\":{exception}}}"
    )
}

fn partition_key(event: &HostEvent) -> String {
    event.partition_key.as_deref().map_or_else(|| "null".to_owned(), quote)
}

/// `-1` when the offset is not a number, as with geo-replication.
fn numeric_offset(event: &HostEvent) -> &str {
    if event.offset.parse::<i64>().is_ok() { &event.offset } else { "-1" }
}

fn properties(pairs: &[(String, Value)]) -> Members {
    let mut members = Members::default();
    for (name, value) in pairs {
        members.0.push((name.clone(), json_text(value)));
    }
    members
}

fn system_properties(event: &HostEvent) -> String {
    let mut members = properties(&event.system_properties);
    members.json("SequenceNumber", event.sequence_number.to_string());
    members.json("Offset", quote(numeric_offset(event)));
    members.json("OffsetString", quote(&event.offset));
    members.json("PartitionKey", partition_key(event));
    members.json("EnqueuedTimeUtc", quote(&dates::unspecified(event.enqueued_ms)));
    members.text()
}

fn base64(body: &[u8]) -> String {
    // The alphabet of base64 needs no escapes.
    format!("\"{}\"", BASE64.encode(body))
}

/// A body as a JSON string; what is not UTF-8 is lost, as in the host.
fn text_of(body: &[u8]) -> String {
    quote(&String::from_utf8_lossy(body))
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}

/// A JSON string as Newtonsoft.Json writes it.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            // Beside control characters, what JavaScript takes for a line end.
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A value as JSON text with the host's escapes.
pub(super) fn json_text(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(items) => list(items.iter().map(json_text)),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{}:{}", quote(name), json_text(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests;
