//! Events as AMQP messages: taking a transfer apart into the events to store,
//! and putting the broker's annotations on an event that is delivered.
//!
//! Bodies, properties and application properties pass through unchanged
//! (functions-eventhubs-keda.md 7.5 and 7.6).

use fe2o3_amqp::types::messaging::{Body, DeliveryAnnotations, MessageAnnotations};
use fe2o3_amqp::types::primitives::Value;
use hub_client::message::{
    BATCH_FORMAT, ENQUEUED_TIME, OFFSET, PARTITION_KEY, SEQUENCE_NUMBER, decode, encode, partition_key,
};

use super::log::StoredEvent;
use super::partition::PartitionStatus;

pub use hub_client::message::{AmqpMessage, timestamp};

/// The events of one transfer, ready to be stored, and what they share.
#[derive(Debug)]
pub struct Transferred {
    /// Decides the partition when the link's address does not.
    pub partition_key: Option<String>,
    /// One encoded message for each event.
    pub events: Vec<Vec<u8>>,
}

impl Transferred {
    /// Takes a single message or a batch apart. Nothing of a batch is kept when
    /// one of its messages can't be read.
    pub fn new(message: AmqpMessage, format: Option<u32>) -> Result<Self, serde_amqp::Error> {
        let partition_key = partition_key(&message);
        let events = match (&message.body, format) {
            (Body::Data(sections), Some(BATCH_FORMAT)) => sections
                .iter()
                .map(|section| to_store(decode(&section.0)?, partition_key.as_deref()))
                .collect::<Result<_, _>>()?,
            _ => vec![to_store(message, partition_key.as_deref())?],
        };
        Ok(Self { partition_key, events })
    }
}

/// The key of a batch stands in its envelope; each stored event carries it itself.
fn to_store(mut message: AmqpMessage, partition_key: Option<&str>) -> Result<Vec<u8>, serde_amqp::Error> {
    // Meant for this hop only (AMQP 1.0, 3.2.2).
    message.delivery_annotations = None;
    if let Some(key) = partition_key {
        let annotations = message.message_annotations.get_or_insert_with(MessageAnnotations::default);
        annotations.0.insert(PARTITION_KEY.into(), Value::String(key.to_owned()));
    }
    encode(&message)
}

/// A stored event as it is delivered.
pub fn to_deliver(event: &StoredEvent) -> Result<AmqpMessage, serde_amqp::Error> {
    let mut message = decode(&event.message)?;
    let annotations = message.message_annotations.get_or_insert_with(MessageAnnotations::default);
    annotations.0.insert(SEQUENCE_NUMBER.into(), Value::Long(event.sequence_number as i64));
    annotations.0.insert(OFFSET.into(), Value::String(event.offset.to_string()));
    annotations.0.insert(ENQUEUED_TIME.into(), timestamp(event.enqueued_ms));
    Ok(message)
}

/// What a receiver with `com.microsoft:enable-receiver-runtime-metric` gets
/// with each event: where the end of the partition is.
pub fn runtime_metrics(status: &PartitionStatus, now_ms: i64) -> DeliveryAnnotations {
    let mut metrics = DeliveryAnnotations::default();
    metrics.0.insert("last_enqueued_sequence_number".into(), Value::Long(status.last_sequence_number));
    metrics.0.insert("last_enqueued_offset".into(), Value::String(status.last_offset()));
    metrics.0.insert("last_enqueued_time_utc".into(), timestamp(status.last_enqueued_ms()));
    metrics.0.insert("runtime_info_retrieval_time_utc".into(), timestamp(now_ms));
    metrics
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::messaging::{AmqpValue, ApplicationProperties, Batch, Data, Properties};
    use fe2o3_amqp::types::primitives::{Binary, OrderedMap, SimpleValue, Timestamp, Uuid};

    use hub_client::message::annotation;

    use super::*;

    fn body(text: &str) -> Body<Value> {
        Body::Data(Batch::new(vec![Data(Binary::from(text.as_bytes().to_vec()))]))
    }

    fn with_key(mut message: AmqpMessage, key: Value) -> AmqpMessage {
        message.message_annotations.get_or_insert_with(MessageAnnotations::default).0.insert(PARTITION_KEY.into(), key);
        message
    }

    fn stored(message: Vec<u8>) -> StoredEvent {
        StoredEvent { sequence_number: 7, offset: 4200, enqueued_ms: 1_000, message }
    }

    #[test]
    fn properties_of_every_type_pass_through_unchanged() {
        let mut sent = AmqpMessage::from(body("{}"));
        sent.properties = Some(Properties {
            message_id: Some("m1".to_owned().into()),
            content_type: Some("application/json".into()),
            ..Properties::default()
        });
        let mut properties = ApplicationProperties::default();
        let values = [
            SimpleValue::Null,
            SimpleValue::Bool(true),
            SimpleValue::Ubyte(1),
            SimpleValue::Uint(0),
            SimpleValue::Ulong(u64::MAX),
            SimpleValue::Int(-1),
            SimpleValue::Long(i64::MIN),
            SimpleValue::Float(0.5.into()),
            SimpleValue::Double(0.1.into()),
            SimpleValue::Char('ü'),
            SimpleValue::Timestamp(Timestamp::from_milliseconds(5)),
            SimpleValue::Uuid(Uuid::from([7; 16])),
            SimpleValue::Binary(Binary::from(vec![0, 255])),
            SimpleValue::String("text".to_owned()),
            SimpleValue::Symbol("symbol".into()),
        ];
        for (index, value) in values.into_iter().enumerate() {
            properties.0.insert(format!("p{index}"), value);
        }
        sent.application_properties = Some(properties);

        let transferred = Transferred::new(sent.clone(), Some(0)).unwrap();
        let delivered = to_deliver(&stored(transferred.events[0].clone())).unwrap();

        assert_eq!(delivered.properties, sent.properties);
        assert_eq!(delivered.application_properties, sent.application_properties);
        assert_eq!(delivered.body, sent.body);
        assert_eq!(annotation(&delivered, SEQUENCE_NUMBER), Some(&Value::Long(7)));
        assert_eq!(annotation(&delivered, OFFSET), Some(&Value::String("4200".to_owned())));
        assert_eq!(annotation(&delivered, ENQUEUED_TIME), Some(&timestamp(1_000)));
    }

    #[test]
    fn bodies_of_every_kind_pass_through_unchanged() {
        let mut map = OrderedMap::new();
        map.insert(Value::String("a".to_owned()), Value::List(vec![Value::Int(1), Value::Null]));
        for body in [body(""), Body::Value(AmqpValue(Value::Map(map)))] {
            let message = AmqpMessage::from(body.clone());
            let events = Transferred::new(message, None).unwrap().events;
            assert_eq!(to_deliver(&stored(events[0].clone())).unwrap().body, body);
        }
    }

    #[test]
    fn a_batch_becomes_its_events_with_the_key_of_its_envelope() {
        let sections = ["a", "b"].map(|text| Data(Binary::from(encode(&AmqpMessage::from(body(text))).unwrap())));
        let envelope = with_key(Body::Data(Batch::new(sections.to_vec())).into(), Value::String("k".to_owned()));
        let batch = Transferred::new(envelope, Some(BATCH_FORMAT)).unwrap();
        assert_eq!(batch.partition_key.as_deref(), Some("k"));
        let events: Vec<AmqpMessage> = batch.events.iter().map(|event| decode(event).unwrap()).collect();
        assert_eq!(events.iter().map(|event| event.body.clone()).collect::<Vec<_>>(), [body("a"), body("b")]);
        assert!(events.iter().all(|event| partition_key(event).as_deref() == Some("k")));
    }

    #[test]
    fn a_batch_with_an_unreadable_message_gives_nothing() {
        let good = encode(&AmqpMessage::from(body("a"))).unwrap();
        let sections = [good, b"not a message".to_vec()].map(|bytes| Data(Binary::from(bytes)));
        let envelope = Body::Data(Batch::new(sections.to_vec())).into();
        assert!(Transferred::new(envelope, Some(BATCH_FORMAT)).is_err());
    }
}
