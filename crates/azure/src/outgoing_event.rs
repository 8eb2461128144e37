//! What can be sent to a hub: bytes, or bytes with properties.

use azure_core_amqp::AmqpSimpleValue;
use azure_messaging_eventhubs::models::EventData;
use serde_json::{Map, Value};

/// Something that can be sent to a hub.
pub trait OutgoingEvent {
    /// The event as the SDK has it.
    fn event_data(&self) -> EventData;
}

impl<B: AsRef<[u8]> + ?Sized> OutgoingEvent for B {
    fn event_data(&self) -> EventData {
        EventData::from(self.as_ref().to_vec())
    }
}

/// An event with properties.
#[derive(Clone)]
pub struct PropertiedEvent<'b> {
    body: &'b [u8],
    message_id: Option<String>,
    content_type: Option<String>,
    properties: Vec<(String, AmqpSimpleValue)>,
}

/// Without what it holds: that is a patient's.
impl std::fmt::Debug for PropertiedEvent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PropertiedEvent").field("body.len", &self.body.len()).finish_non_exhaustive()
    }
}

impl<'b> PropertiedEvent<'b> {
    /// An event without properties.
    pub fn new(body: &'b [u8]) -> PropertiedEvent<'b> {
        PropertiedEvent { body, message_id: None, content_type: None, properties: Vec::new() }
    }

    /// Names the event.
    #[must_use]
    pub fn message_id(mut self, id: &str) -> PropertiedEvent<'b> {
        self.message_id = Some(id.to_owned());
        self
    }

    /// Says what the body is.
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> PropertiedEvent<'b> {
        self.content_type = Some(content_type.to_owned());
        self
    }

    /// Adds an application property.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl Into<AmqpSimpleValue>) -> PropertiedEvent<'b> {
        self.properties.push((name.to_owned(), value.into()));
        self
    }

    /// Adds the application properties that JSON has a type for; a null, an
    /// array or an object is none.
    #[must_use]
    pub fn json_properties(mut self, properties: &Map<String, Value>) -> PropertiedEvent<'b> {
        for (name, value) in properties {
            let value = match value {
                Value::Bool(value) => AmqpSimpleValue::Boolean(*value),
                Value::String(text) => AmqpSimpleValue::String(text.clone()),
                Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                    (Some(number), ..) => AmqpSimpleValue::Long(number),
                    (None, Some(number), _) => AmqpSimpleValue::ULong(number),
                    (None, None, Some(number)) => AmqpSimpleValue::Double(number),
                    (None, None, None) => continue,
                },
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            self.properties.push((name.clone(), value));
        }
        self
    }
}

impl OutgoingEvent for PropertiedEvent<'_> {
    fn event_data(&self) -> EventData {
        let mut event = EventData::builder().with_body(self.body.to_vec());
        if let Some(id) = &self.message_id {
            event = event.with_message_id(id.as_str());
        }
        if let Some(content_type) = &self.content_type {
            event = event.with_content_type(content_type.clone());
        }
        for (name, value) in &self.properties {
            event = event.add_property(name.clone(), value.clone());
        }
        event.build()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_carries_what_json_has_a_type_for() {
        let json =
            json!({ "text": "a", "flag": true, "int": -1, "big": u64::MAX, "float": 2.5, "null": null, "list": [] });
        let event = PropertiedEvent::new(b"b").message_id("m").content_type("application/gzip");
        let event = event.json_properties(json.as_object().expect("an object")).property("more", true).event_data();
        let properties = event.properties().expect("properties");
        let expected = [
            ("text", AmqpSimpleValue::String("a".to_owned())),
            ("flag", AmqpSimpleValue::Boolean(true)),
            ("int", AmqpSimpleValue::Long(-1)),
            ("big", AmqpSimpleValue::ULong(u64::MAX)),
            ("float", AmqpSimpleValue::Double(2.5)),
            ("more", AmqpSimpleValue::Boolean(true)),
        ];
        assert_eq!(properties.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(properties.get(name), Some(&value), "{name}");
        }
        assert_eq!((event.body(), event.content_type()), (Some(&b"b"[..]), Some("application/gzip")));
        assert!(event.message_id().is_some());
    }
}
