//! Requests as the Functions host posts them: many events, bytes, most values
//! encoded twice (functions-eventhubs-keda.md 1.7 to 1.10).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::corpus::Corpus;

/// The body of the invocation whose first event has the sequence number
/// `first`: `events` bodies of `corpus`, in turn. Every other event has a
/// partition key and an application property, as in the example of
/// functions-eventhubs-keda.md 1.10.
pub fn invocation(corpus: &Corpus, first: usize, events: usize) -> String {
    let range = first..first + events;
    let list =
        |of: &dyn Fn(usize) -> String| quote(&format!("[{}]", range.clone().map(of).collect::<Vec<_>>().join(",")));
    let body = |at: usize| format!("\"{}\"", BASE64_STANDARD.encode(&corpus.bodies[at % corpus.bodies.len()]));
    let offset = |at: usize| format!("\"{}\"", at * 512);
    let partition = r#"{"IsCheckpointingAfterInvocation":true,"FullyQualifiedNamespace":"ns1.servicebus.windows.net","EventHubName":"devicedata","ConsumerGroup":"$Default","PartitionId":"0"}"#;
    let mut metadata = String::new();
    for (name, value) in [
        ("TriggerPartitionContext", partition.to_owned()),
        ("PartitionContext", partition.to_owned()),
        ("PartitionKeyArray", list(&partition_key)),
        ("OffsetArray", list(&offset)),
        ("OffsetStringArray", list(&offset)),
        ("SequenceNumberArray", list(&|at| at.to_string())),
        ("EnqueuedTimeUtcArray", list(&enqueued_time)),
        ("PropertiesArray", list(&|at| application_properties(corpus, at))),
        ("SystemPropertiesArray", list(&|at| system_properties(corpus, at))),
        ("sys", r#"{"MethodName":"normalize","UtcNow":"2026-11-20T12:00:01.5Z","RandGuid":"0b5f0a6e-6a0e-4d7a-9a39-1d3a4b1c2d3e"}"#.to_owned()),
        ("RetryContext", r#"{"RetryCount":0,"MaxRetryCount":-1,"Instance":null,"State":null,"Exception":null}"#.to_owned()),
    ] {
        let comma = if metadata.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(metadata, "{comma}\"{name}\":{value}");
    }
    format!("{{\"Data\":{{\"events\":{}}},\"Metadata\":{{{metadata}}}}}", list(&body))
}

fn partition_key(at: usize) -> String {
    if at.is_multiple_of(2) { format!("\"device-{:05}\"", at % 5000) } else { "null".to_owned() }
}

fn enqueued_time(at: usize) -> String {
    let seconds = at / 1000;
    format!("\"2026-11-20T{:02}:{:02}:{:02}.{:03}\"", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60, at % 1000)
}

fn application_properties(corpus: &Corpus, at: usize) -> String {
    match corpus.properties.get(at % corpus.bodies.len()) {
        Some(properties) => serde_json::Value::Object(properties.application.clone()).to_string(),
        None if at.is_multiple_of(2) => r#"{"source":"sim"}"#.to_owned(),
        None => "{}".to_owned(),
    }
}

fn system_properties(corpus: &Corpus, at: usize) -> String {
    // The host takes what has a name of its own out of the annotations.
    let properties = corpus.properties.get(at % corpus.bodies.len());
    let own = properties.into_iter().flat_map(|properties| &properties.system);
    let own: String = own
        .filter(|(name, _)| name.starts_with("iothub-"))
        .map(|(name, value)| format!("{}:{value},", quote(name)))
        .collect();
    format!(
        r#"{{{own}"SequenceNumber":{at},"Offset":"{offset}","OffsetString":"{offset}","PartitionKey":{},"EnqueuedTimeUtc":{}}}"#,
        partition_key(at),
        enqueued_time(at),
        offset = at * 512,
    )
}

/// A JSON string. What the host's texts hold needs two escapes only.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
