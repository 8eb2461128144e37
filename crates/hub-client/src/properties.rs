//! Properties of hubs and partitions, asked of `$management`
//! (functions-eventhubs-keda.md 7.3).

use fe2o3_amqp::types::messaging::{AmqpValue, ApplicationProperties, Body};
use fe2o3_amqp::types::primitives::{OrderedMap, SimpleValue, Value};
use secrecy::ExposeSecret;

use crate::client::Client;
use crate::error::ClientError;
use crate::message::AmqpMessage;
use crate::requests;

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
    /// Of the oldest event that is retained; of the next one when none is.
    pub first_sequence_number: i64,
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
            (Some(name), Some(partition_ids)) => {
                self.partition_ids.clone_from(&partition_ids);
                Ok(HubProperties { name, partition_ids })
            }
            _ => Err(ClientError::Unreadable { doing: DOING }),
        }
    }

    /// Where a partition ends.
    pub async fn partition_properties(&mut self, id: &str) -> Result<PartitionProperties, ClientError> {
        let map = self.read("com.microsoft:partition", Some(id)).await?;
        let number = |name| match map.get(&key(name)) {
            Some(&Value::Long(number)) => Some(number),
            _ => None,
        };
        let is_empty = matches!(map.get(&key("is_partition_empty")), Some(Value::Bool(true)));
        let offset = map.get(&key("last_enqueued_offset")).and_then(string);
        let time = match map.get(&key("last_enqueued_time_utc")) {
            Some(Value::Timestamp(time)) => Some(time.milliseconds()),
            _ => None,
        };
        let numbers = number("begin_sequence_number").zip(number("last_enqueued_sequence_number"));
        let ((first, last_sequence_number), (last_offset, last_enqueued_ms)) =
            numbers.zip(offset.zip(time)).ok_or(ClientError::Unreadable { doing: DOING })?;
        Ok(PartitionProperties {
            id: id.to_owned(),
            first_sequence_number: if is_empty { last_sequence_number.saturating_add(1) } else { first },
            last_sequence_number,
            last_offset,
            last_enqueued_ms,
        })
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
        let mut request = AmqpMessage::from(Body::Value(AmqpValue(Value::Null)));
        let token = self.token.as_ref().map(ExposeSecret::expose_secret);
        let entries = [
            ("operation", Some("READ")),
            ("type", Some(kind)),
            ("name", Some(self.hub.as_str())),
            ("partition", partition),
            ("security_token", token),
        ];
        let mut properties = ApplicationProperties::default();
        for (name, text) in entries {
            if let Some(text) = text {
                properties.0.insert(name.to_owned(), SimpleValue::String(text.to_owned()));
            }
        }
        request.application_properties = Some(properties);
        let answer = self.ask("$management", DOING, request).await?;
        match requests::value(answer, DOING)? {
            Value::Map(map) => Ok(map),
            _ => Err(ClientError::Unreadable { doing: DOING }),
        }
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
