//! Properties of hubs and partitions, asked of `$management`.

use fe2o3_amqp::types::messaging::{AmqpValue, ApplicationProperties, Body, MessageId, Properties};
use fe2o3_amqp::types::primitives::{OrderedMap, SimpleValue, Value};
use fe2o3_amqp::{Receiver, Sender};

use super::{Client, ClientError, attach_failed, in_time, link_failed, sender_attach_failed};
use crate::event_hubs::message::AmqpMessage;
use fe2o3_amqp::link::{RecvError, SendError};

const DOING: &str = "asking for properties";

/// What a hub says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubProperties {
    /// As configured.
    pub name: String,
    /// In their order.
    pub partition_ids: Vec<String>,
}

/// What a partition says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionProperties {
    /// Its id.
    pub id: String,
    /// -1 when nothing was ever sent.
    pub last_sequence_number: i64,
    /// `-1` when nothing was ever sent.
    pub last_offset: String,
    /// Milliseconds since 1970; 0 when nothing was ever sent.
    pub last_enqueued_ms: i64,
}

impl Client {
    /// The hub's name and partitions.
    pub async fn hub_properties(&mut self) -> Result<HubProperties, ClientError> {
        let map = self.read("com.microsoft:eventhub", None).await?;
        let ids = match map.get(&key("partition_ids")) {
            Some(Value::Array(ids)) => ids.0.iter().map(string).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let name = map.get(&key("name")).and_then(string);
        match (name, ids) {
            (Some(name), Some(partition_ids)) => Ok(HubProperties { name, partition_ids }),
            _ => Err(ClientError::Unreadable { doing: DOING }),
        }
    }

    /// Where a partition ends.
    pub async fn partition_properties(&mut self, id: &str) -> Result<PartitionProperties, ClientError> {
        let map = self.read("com.microsoft:partition", Some(id)).await?;
        let number = map.get(&key("last_enqueued_sequence_number"));
        let offset = map.get(&key("last_enqueued_offset")).and_then(string);
        let time = map.get(&key("last_enqueued_time_utc"));
        match (number, offset, time) {
            (Some(&Value::Long(last_sequence_number)), Some(last_offset), Some(Value::Timestamp(time))) => {
                let last_enqueued_ms = time.milliseconds();
                Ok(PartitionProperties { id: id.to_owned(), last_sequence_number, last_offset, last_enqueued_ms })
            }
            _ => Err(ClientError::Unreadable { doing: DOING }),
        }
    }

    /// How many events were ever sent to the hub.
    pub async fn event_count(&mut self) -> Result<u64, ClientError> {
        let mut count = 0;
        for id in self.hub_properties().await?.partition_ids {
            let last = self.partition_properties(&id).await?.last_sequence_number;
            count += u64::try_from(last + 1).unwrap_or_default();
        }
        Ok(count)
    }

    async fn read(&mut self, kind: &str, partition: Option<&str>) -> Result<OrderedMap<Value, Value>, ClientError> {
        let (asking_name, answering_name) = (self.next_link_name(), self.next_link_name());
        let request = request(&self.hub, kind, partition, &answering_name);
        let asking = async {
            let mut answers = Receiver::builder()
                .name(answering_name.clone())
                .source("$management")
                .target(answering_name)
                .attach(&mut self.session)
                .await
                .map_err(|error| attach_failed(DOING, error))?;
            let mut requests = Sender::attach(&mut self.session, asking_name, "$management")
                .await
                .map_err(|error| sender_attach_failed(DOING, error))?;
            requests.send(request).await.map_err(|error| match error {
                SendError::LinkStateError(error) => link_failed(DOING, error),
                error => ClientError::away(DOING, error),
            })?;
            let answer = answers.recv::<Body<Value>>().await.map_err(|error| match error {
                RecvError::LinkStateError(error) => link_failed(DOING, error),
                error => ClientError::away(DOING, error),
            })?;
            let message = answer.into_message();
            // Both links have done what they were for.
            requests.close().await.map_err(|error| ClientError::away(DOING, error))?;
            answers.close().await.map_err(|error| ClientError::away(DOING, error))?;
            properties(message)
        };
        in_time(DOING, asking).await
    }
}

fn request(hub: &str, kind: &str, partition: Option<&str>, reply_to: &str) -> AmqpMessage {
    let mut request = AmqpMessage::from(Body::Value(AmqpValue(Value::Null)));
    request.properties = Some(Properties {
        message_id: Some(MessageId::from(1_u64)),
        reply_to: Some(reply_to.to_owned()),
        ..Properties::default()
    });
    let mut properties = ApplicationProperties::default();
    let entries = [("operation", Some("READ")), ("type", Some(kind)), ("name", Some(hub)), ("partition", partition)];
    for (name, text) in entries {
        if let Some(text) = text {
            properties.0.insert(name.to_owned(), SimpleValue::String(text.to_owned()));
        }
    }
    request.application_properties = Some(properties);
    request
}

fn properties(answer: AmqpMessage) -> Result<OrderedMap<Value, Value>, ClientError> {
    let said = answer.application_properties.unwrap_or_default().0;
    let text = |name: &str| match said.get(name) {
        Some(SimpleValue::String(text)) => text.clone(),
        Some(SimpleValue::Symbol(text)) => text.0.clone(),
        _ => String::new(),
    };
    match (said.get("status-code"), answer.body) {
        (Some(SimpleValue::Int(200)), Body::Value(AmqpValue(Value::Map(map)))) => Ok(map),
        (Some(SimpleValue::Int(200)) | None, _) => Err(ClientError::Unreadable { doing: DOING }),
        _ => Err(ClientError::Refused {
            doing: DOING,
            condition: text("error-condition"),
            description: text("status-description"),
        }),
    }
}

fn key(name: &str) -> Value {
    Value::String(name.to_owned())
}

fn string(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}
