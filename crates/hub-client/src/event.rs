//! Events as the client hands them over and takes them.

use std::collections::VecDeque;

use fe2o3_amqp::types::messaging::{ApplicationProperties, Batch, Body, Data, MessageAnnotations, Properties};
use fe2o3_amqp::types::primitives::{Binary, SimpleValue, Value};

use crate::error::ClientError;
use crate::message::{
    AmqpMessage, ENQUEUED_TIME, OFFSET, PARTITION_KEY, SEQUENCE_NUMBER, annotation, encode, partition_key,
};

/// An event that was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Counted from 0 in its partition, without gaps.
    pub sequence_number: i64,
    /// Opaque and growing.
    pub offset: String,
    /// Milliseconds since 1970.
    pub enqueued_ms: i64,
    /// What the sender gave, when it gave one.
    pub partition_key: Option<String>,
    /// The bytes of all data sections; of a body that is no data, its text or
    /// nothing.
    pub body: Vec<u8>,
    /// Whether the body was of a kind that has no bytes: an AMQP sequence, or a
    /// value that is neither text nor binary. `body` is empty then.
    pub is_body_unusable: bool,
    /// What the sender added, in its order and with its types.
    pub application_properties: Vec<(String, SimpleValue)>,
    /// The message's standard properties: message id, content type and so on.
    pub properties: Option<Properties>,
    /// Annotations besides those that are fields here, for instance
    /// `iothub-enqueuedtime`.
    pub annotations: Vec<(String, Value)>,
}

impl Event {
    /// `None` without the annotations that every event of Event Hubs has.
    pub(crate) fn from_message(message: AmqpMessage) -> Option<Self> {
        let Some(&Value::Long(sequence_number)) = annotation(&message, SEQUENCE_NUMBER) else { return None };
        let Some(Value::String(offset)) = annotation(&message, OFFSET) else { return None };
        let Some(Value::Timestamp(enqueued)) = annotation(&message, ENQUEUED_TIME) else { return None };
        let known = [SEQUENCE_NUMBER, OFFSET, ENQUEUED_TIME, PARTITION_KEY];
        let annotations = message.message_annotations.iter().flat_map(|annotations| annotations.0.iter());
        let annotations = annotations
            .filter_map(|(key, value)| match key {
                fe2o3_amqp::types::messaging::annotations::OwnedKey::Symbol(name)
                    if !known.contains(&name.as_str()) =>
                {
                    Some((name.0.clone(), value.clone()))
                }
                _ => None,
            })
            .collect();
        Some(Self {
            sequence_number,
            offset: offset.clone(),
            enqueued_ms: enqueued.milliseconds(),
            partition_key: partition_key(&message),
            annotations,
            is_body_unusable: is_unusable(&message.body),
            body: body_bytes(message.body),
            application_properties: message.application_properties.into_iter().flat_map(|all| all.0).collect(),
            properties: message.properties,
        })
    }
}

fn body_bytes(body: Body<Value>) -> Vec<u8> {
    match body {
        Body::Data(sections) => sections.iter().flat_map(|section| section.0.iter().copied()).collect(),
        Body::Value(value) => match value.0 {
            Value::String(text) => text.into_bytes(),
            Value::Binary(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        },
        Body::Sequence(_) | Body::Empty => Vec::new(),
    }
}

fn is_unusable(body: &Body<Value>) -> bool {
    match body {
        Body::Value(value) => !matches!(value.0, Value::String(_) | Value::Binary(_) | Value::Null),
        Body::Sequence(_) => true,
        Body::Data(_) | Body::Empty => false,
    }
}

/// An event to send.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewEvent {
    /// Sent as one data section.
    pub body: Vec<u8>,
    /// For instance `application/json`.
    pub content_type: Option<String>,
    /// Application properties.
    pub application_properties: Vec<(String, SimpleValue)>,
    /// Message annotations. A hub behind IoT Hub has its system properties here.
    pub annotations: Vec<(String, Value)>,
}

impl NewEvent {
    /// An event with a body and nothing else.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    fn message(&self) -> AmqpMessage {
        let mut message = AmqpMessage::from(data(vec![self.body.clone()]));
        message.properties = self.content_type.as_ref().map(|content_type| Properties {
            content_type: Some(content_type.as_str().into()),
            ..Properties::default()
        });
        if !self.application_properties.is_empty() {
            let mut properties = ApplicationProperties::default();
            for (name, value) in &self.application_properties {
                properties.0.insert(name.clone(), value.clone());
            }
            message.application_properties = Some(properties);
        }
        if !self.annotations.is_empty() {
            let mut annotations = MessageAnnotations::default();
            for (name, value) in &self.annotations {
                annotations.0.insert(name.as_str().into(), value.clone());
            }
            message.message_annotations = Some(annotations);
        }
        message
    }
}

fn data(sections: Vec<Vec<u8>>) -> Body<Value> {
    Body::Data(Batch::new(sections.into_iter().map(|section| Data(Binary::from(section))).collect::<Vec<_>>()))
}

/// A data section's own bytes: descriptor, type and length.
const SECTION_BYTES: usize = 8;

/// Puts events into batch messages of at most `bytes_max`, in order.
pub(crate) fn batches(
    events: &[NewEvent],
    partition_key: Option<&str>,
    bytes_max: usize,
) -> Result<VecDeque<AmqpMessage>, ClientError> {
    let unreadable = |_| ClientError::Unreadable { doing: "encoding an event" };
    let envelope_bytes = encode(&envelope(Vec::new(), partition_key)).map_err(unreadable)?.len();
    let mut batches = VecDeque::new();
    let (mut sections, mut bytes) = (Vec::new(), envelope_bytes);
    for (index, event) in events.iter().enumerate() {
        let section = encode(&event.message()).map_err(unreadable)?;
        let size = SECTION_BYTES + section.len();
        if envelope_bytes + size > bytes_max {
            return Err(ClientError::TooLarge { index, bytes: envelope_bytes + size, bytes_max });
        }
        if bytes + size > bytes_max {
            batches.push_back(envelope(std::mem::take(&mut sections), partition_key));
            bytes = envelope_bytes;
        }
        bytes += size;
        sections.push(section);
    }
    if !sections.is_empty() {
        batches.push_back(envelope(sections, partition_key));
    }
    Ok(batches)
}

fn envelope(sections: Vec<Vec<u8>>, partition_key: Option<&str>) -> AmqpMessage {
    let mut envelope = AmqpMessage::from(data(sections));
    if let Some(key) = partition_key {
        let mut annotations = MessageAnnotations::default();
        annotations.0.insert(PARTITION_KEY.into(), Value::String(key.to_owned()));
        envelope.message_annotations = Some(annotations);
    }
    envelope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_what_fits_and_no_more() {
        let events: Vec<NewEvent> = (0..10).map(|_| NewEvent::new(vec![b'x'; 300])).collect();
        let batches = batches(&events, Some("key"), 1_000).unwrap();
        let sizes: Vec<usize> = batches.iter().map(|batch| encode(batch).unwrap().len()).collect();
        assert!(sizes.iter().all(|size| *size <= 1_000), "{sizes:?}");
        assert_eq!(sizes.len(), 4, "{sizes:?}");
    }

    #[test]
    fn an_event_too_large_for_any_batch_is_named() {
        let events = [NewEvent::new("a"), NewEvent::new(vec![0; 1_000])];
        let error = batches(&events, None, 1_000).unwrap_err();
        assert!(matches!(error, ClientError::TooLarge { index: 1, bytes_max: 1_000, .. }), "{error}");
        assert!(batches(&[], None, 1_000).unwrap().is_empty());
    }
}
