//! Reads events from a file or standard input and sends them to the hub.
//!
//! A line is an event. A line that is an object with `Body` and nothing but
//! `Body`, `Properties` and `SystemProperties` is an event with properties, in
//! the form in which mappings see it: that is how IoT Hub's messages look. Any
//! other line is the body as it stands, JSON or not, text or not; blank lines
//! are passed over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use anyhow::{Context, ensure};
use local::event_hubs::client::{AnnotationValue, Client, ClientError, EventSender, NewEvent, SimpleValue};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::output::note;

/// How many events go into one send at the most.
pub const BATCH_EVENTS_MAX: usize = 100;
/// How often a send is tried again while the hub is being started again.
const TRIES: usize = 50;
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// A line and its number, from 1.
pub type Line = (usize, Vec<u8>);

/// Lines as they are read; a failure ends them.
pub type Lines = mpsc::Receiver<io::Result<Line>>;

/// Opens a file, or standard input for `-`.
pub fn open(input: &str) -> anyhow::Result<Box<dyn Read + Send>> {
    if input == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let unusable = || format!("cannot open `{input}`");
    let file = File::open(input).with_context(unusable)?;
    let is_folder = file.metadata().with_context(unusable)?.is_dir();
    ensure!(!is_folder, "--input: `{input}` is a folder; expected a file with an event on each line");
    Ok(Box::new(file))
}

/// The lines of a file or of standard input, read by a thread of its own: a
/// runtime would wait for its own at the end of the process.
pub fn lines(from: impl Read + Send + 'static) -> Lines {
    let (line, lines) = mpsc::channel(BATCH_EVENTS_MAX);
    std::thread::spawn(move || {
        for (index, read) in BufReader::new(from).split(b'\n').enumerate() {
            let failed = read.is_err();
            if read.as_ref().is_ok_and(|read| read.trim_ascii().is_empty()) {
                continue;
            }
            if line.blocking_send(read.map(|read| (index + 1, read))).is_err() || failed {
                break;
            }
        }
    });
    lines
}

/// Sends events to a hub of the stand-in, and connects again when it has to.
pub struct Input {
    address: String,
    hub: String,
    open: Option<(Client, EventSender)>,
}

impl Input {
    /// A sender for `hub` at `address`; connects with the first event.
    pub fn new(address: String, hub: &str) -> Input {
        Input { address, hub: hub.to_owned(), open: None }
    }

    /// Sends lines, in order, and gives how many. One that is larger than the
    /// hub takes is named and left out.
    pub async fn send_lines(&mut self, lines: &[Line]) -> anyhow::Result<usize> {
        let mut sent = 0;
        for lines in lines.chunks(BATCH_EVENTS_MAX) {
            let mut events: Vec<(usize, NewEvent)> =
                lines.iter().map(|(number, line)| (*number, event(line))).collect();
            sent += self.send(&mut events).await?;
        }
        Ok(sent)
    }

    /// Until the hub has them. A try of which the answer was lost may store
    /// events twice, which makes no difference downstream.
    async fn send(&mut self, events: &mut Vec<(usize, NewEvent)>) -> anyhow::Result<usize> {
        let mut tries = 0;
        loop {
            let batch: Vec<NewEvent> = events.iter().map(|(_, event)| event.clone()).collect();
            let error = match self.try_send(&batch).await {
                Ok(()) => return Ok(events.len()),
                Err(ClientError::TooLarge { index, bytes, bytes_max }) => {
                    let (line, _) = events.remove(index);
                    note(format_args!(
                        "line {line} of the input makes {bytes} bytes and a hub takes {bytes_max}: not sent"
                    ));
                    continue;
                }
                Err(error) => error,
            };
            self.open = None;
            tries += 1;
            if tries == TRIES {
                return Err(error).context("the Event Hubs stand-in does not take events");
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
    }

    async fn try_send(&mut self, events: &[NewEvent]) -> Result<(), ClientError> {
        if self.open.is_none() {
            let mut client = Client::connect(&self.address, &self.hub).await?;
            let sender = client.sender(Some("0")).await?;
            self.open = Some((client, sender));
        }
        if let Some((_, sender)) = &mut self.open {
            sender.send(events, None).await?;
        }
        Ok(())
    }
}

fn event(line: &[u8]) -> NewEvent {
    let parsed = serde_json::from_slice::<BTreeMap<String, &RawValue>>(line).ok();
    let Some(members) = parsed.filter(is_wrapped) else { return NewEvent::new(line) };
    let body = members.get("Body").map_or("null", |body| body.get());
    let mut event = NewEvent::new(body);
    for (name, value) in object(members.get("Properties")) {
        if let Some(value) = property(&value) {
            event.application_properties.push((name, value));
        }
    }
    for (name, value) in object(members.get("SystemProperties")) {
        event.annotations.push((name, AnnotationValue::String(text(&value))));
    }
    event
}

fn is_wrapped(members: &BTreeMap<String, &RawValue>) -> bool {
    members.contains_key("Body")
        && members.keys().all(|name| ["Body", "Properties", "SystemProperties"].contains(&name.as_str()))
}

fn object(value: Option<&&RawValue>) -> Map<String, Value> {
    value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

/// AMQP's type for a property; none for null and for what has no type there.
fn property(value: &Value) -> Option<SimpleValue> {
    match value {
        Value::String(text) => Some(SimpleValue::String(text.clone())),
        Value::Bool(value) => Some(SimpleValue::Bool(*value)),
        Value::Number(number) => {
            let integer = number.as_i64().map(SimpleValue::Long);
            integer.or_else(|| number.as_f64().map(|double| SimpleValue::Double(double.into())))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_of_any_bytes_and_passes_over_blank_ones() {
        let mut lines = lines(&b"{}\n\n \r\n\xff\xfe\nlast"[..]);
        let mut read = Vec::new();
        while let Some(line) = lines.blocking_recv() {
            read.push(line.expect("memory can be read"));
        }
        assert_eq!(read, [(1, b"{}".to_vec()), (4, b"\xff\xfe".to_vec()), (5, b"last".to_vec())]);
    }

    #[test]
    fn takes_a_line_for_a_body_unless_it_is_an_event_with_properties() {
        for line in ["hello", "{\"heartrate\":1}", "{\"Body\":1,\"Other\":2}", "[1]"] {
            assert_eq!(event(line.as_bytes()), NewEvent::new(line), "{line}");
        }
        let wrapped = event(
            br#"{"Body":{"a":1},"Properties":{"p":"x","n":7},"SystemProperties":{"iothub-connection-device-id":"d"}}"#,
        );
        assert_eq!(wrapped.body, br#"{"a":1}"#);
        let properties =
            [("n".to_owned(), SimpleValue::Long(7)), ("p".to_owned(), SimpleValue::String("x".to_owned()))];
        assert_eq!(wrapped.application_properties, properties);
        let annotations = [("iothub-connection-device-id".to_owned(), AnnotationValue::String("d".to_owned()))];
        assert_eq!(wrapped.annotations, annotations);
    }
}
