//! Reads events from a file or standard input and sends them to the hub.
//!
//! A line is an event. A line that is an object with `Body` and nothing but
//! `Body`, `Properties` and `SystemProperties` is an event with properties, in
//! the form in which mappings see it: that is how IoT Hub's messages look. Any
//! other line is the body as it stands, JSON or not.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use anyhow::Context;
use local::event_hubs::client::{AnnotationValue, Client, EventSender, NewEvent, SimpleValue};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

/// How many events go into one send at the most.
pub const BATCH_EVENTS_MAX: usize = 100;
/// How often a send is tried again while the hub is being started again.
const TRIES: usize = 50;
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// Lines as they are read; a failure ends them.
pub type Lines = mpsc::Receiver<io::Result<String>>;

/// The lines of a file or of standard input, read by a thread of its own: a
/// runtime would wait for its own at the end of the process.
pub fn lines(from: impl Read + Send + 'static) -> Lines {
    let (line, lines) = mpsc::channel(BATCH_EVENTS_MAX);
    std::thread::spawn(move || {
        for read in BufReader::new(from).lines() {
            let failed = read.is_err();
            if line.blocking_send(read).is_err() || failed {
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

    /// Sends lines, in order.
    pub async fn send_lines(&mut self, lines: &[String]) -> anyhow::Result<()> {
        let events: Vec<NewEvent> = lines.iter().map(|line| event(line)).collect();
        for events in events.chunks(BATCH_EVENTS_MAX) {
            self.send(events).await?;
        }
        Ok(())
    }

    /// Until the hub has them. A try of which the answer was lost may store
    /// events twice, which makes no difference downstream.
    async fn send(&mut self, events: &[NewEvent]) -> anyhow::Result<()> {
        let mut tries = 0;
        loop {
            let error = match self.try_send(events).await {
                Ok(()) => return Ok(()),
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

    async fn try_send(&mut self, events: &[NewEvent]) -> anyhow::Result<()> {
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

fn event(line: &str) -> NewEvent {
    let parsed = serde_json::from_str::<Map<String, Value>>(line).ok();
    let Some(mut members) = parsed.filter(is_wrapped) else { return NewEvent::new(line) };
    let body = members.remove("Body").unwrap_or_default();
    let mut event = NewEvent::new(body.to_string());
    for (name, value) in object(members.remove("Properties")) {
        if let Some(value) = property(&value) {
            event.application_properties.push((name, value));
        }
    }
    for (name, value) in object(members.remove("SystemProperties")) {
        event.annotations.push((name, AnnotationValue::String(text(&value))));
    }
    event
}

fn is_wrapped(members: &Map<String, Value>) -> bool {
    members.contains_key("Body")
        && members.keys().all(|name| ["Body", "Properties", "SystemProperties"].contains(&name.as_str()))
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    }
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
    fn takes_a_line_for_a_body_unless_it_is_an_event_with_properties() {
        for line in ["hello", "{\"heartrate\":1}", "{\"Body\":1,\"Other\":2}", "[1]"] {
            assert_eq!(event(line), NewEvent::new(line), "{line}");
        }
        let wrapped = event(
            r#"{"Body":{"a":1},"Properties":{"p":"x","n":7},"SystemProperties":{"iothub-connection-device-id":"d"}}"#,
        );
        assert_eq!(wrapped.body, br#"{"a":1}"#);
        let properties =
            [("n".to_owned(), SimpleValue::Long(7)), ("p".to_owned(), SimpleValue::String("x".to_owned()))];
        assert_eq!(wrapped.application_properties, properties);
        let annotations = [("iothub-connection-device-id".to_owned(), AnnotationValue::String("d".to_owned()))];
        assert_eq!(wrapped.annotations, annotations);
    }
}
