//! Events as AMQP messages: their form on the wire and the annotations that
//! the hub puts on them (functions-eventhubs-keda.md 7.5, 7.6).

use fe2o3_amqp::types::messaging::message::__private::Serializable;
use fe2o3_amqp::types::messaging::message::DecodeIntoMessage;
use fe2o3_amqp::types::messaging::{Body, Message};
use fe2o3_amqp::types::primitives::{Timestamp, Value};
use serde_amqp::read::SliceReader;

/// A message with any kind of body.
pub type AmqpMessage = Message<Body<Value>>;

/// The message format of a batch: each data section of the body is one encoded
/// message.
pub const BATCH_FORMAT: u32 = 0x8001_3700;

/// The annotation with the sequence number, a long.
pub const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
/// The annotation with the offset, a string.
pub const OFFSET: &str = "x-opt-offset";
/// The annotation with the time at which the hub received the event.
pub const ENQUEUED_TIME: &str = "x-opt-enqueued-time";
/// The annotation with the partition key, if one was given.
pub const PARTITION_KEY: &str = "x-opt-partition-key";

/// Reads one encoded message.
pub fn decode(bytes: &[u8]) -> Result<AmqpMessage, serde_amqp::Error> {
    Body::<Value>::decode_message_from_reader(SliceReader::new(bytes))
}

/// Writes one message.
pub fn encode(message: &AmqpMessage) -> Result<Vec<u8>, serde_amqp::Error> {
    // The library keeps `Serialize` of messages behind this wrapper.
    serde_amqp::to_vec(&Serializable(message))
}

/// The partition key that a sender gave. The Python client sends it as binary.
pub fn partition_key(message: &AmqpMessage) -> Option<String> {
    match annotation(message, PARTITION_KEY)? {
        Value::String(key) => Some(key.clone()),
        Value::Symbol(key) => Some(key.0.clone()),
        Value::Binary(key) => String::from_utf8(key.to_vec()).ok(),
        _ => None,
    }
}

/// One message annotation by its name.
pub fn annotation<'m>(message: &'m AmqpMessage, name: &str) -> Option<&'m Value> {
    let annotations = message.message_annotations.as_ref()?;
    annotations.0.iter().find(|(key, _)| **key == name.into()).map(|(_, value)| value)
}

/// An AMQP timestamp of milliseconds since 1970.
pub fn timestamp(milliseconds: i64) -> Value {
    Value::Timestamp(Timestamp::from_milliseconds(milliseconds))
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::messaging::MessageAnnotations;
    use fe2o3_amqp::types::primitives::{Binary, Symbol};

    use super::*;

    #[test]
    fn takes_the_key_as_string_symbol_or_binary() {
        let keys = [
            Value::String("k".to_owned()),
            Value::Symbol(Symbol::from("k")),
            Value::Binary(Binary::from(b"k".to_vec())),
        ];
        for key in keys {
            let mut message = AmqpMessage::from(Body::Empty);
            message
                .message_annotations
                .get_or_insert_with(MessageAnnotations::default)
                .0
                .insert(PARTITION_KEY.into(), key);
            assert_eq!(partition_key(&message).as_deref(), Some("k"));
        }
    }
}
