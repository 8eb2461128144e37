//! AMQP values as the host writes them into JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fe2o3_amqp::types::messaging::{MessageId, Properties};
use fe2o3_amqp::types::primitives::Value as Amqp;
use serde_json::{Number, Value};

use crate::functions_host::dates;

/// One value. What JSON has no form for becomes its text.
pub(super) fn value(value: Amqp) -> Value {
    match value {
        Amqp::Null => Value::Null,
        Amqp::Bool(flag) => flag.into(),
        Amqp::Ubyte(number) => number.into(),
        Amqp::Ushort(number) => number.into(),
        Amqp::Uint(number) => number.into(),
        Amqp::Ulong(number) => number.into(),
        Amqp::Byte(number) => number.into(),
        Amqp::Short(number) => number.into(),
        Amqp::Int(number) => number.into(),
        Amqp::Long(number) => number.into(),
        Amqp::Float(number) => float(f64::from(number.0)),
        Amqp::Double(number) => float(number.0),
        Amqp::Char(character) => character.to_string().into(),
        Amqp::Timestamp(time) => dates::utc(time.milliseconds()).into(),
        Amqp::Uuid(uuid) => uuid::Uuid::from_bytes(uuid.into_inner()).to_string().into(),
        Amqp::Binary(bytes) => BASE64.encode(bytes).into(),
        Amqp::String(text) => text.into(),
        Amqp::Symbol(symbol) => symbol.0.into(),
        Amqp::List(items) => items.into_iter().map(self::value).collect(),
        Amqp::Array(items) => items.0.into_iter().map(self::value).collect(),
        Amqp::Map(members) => members.into_iter().map(|(name, member)| (name_of(name), self::value(member))).collect(),
        Amqp::Described(described) => self::value(described.value),
        // .NET has no type for them either; Event Hubs clients do not send them.
        Amqp::Decimal32(_) | Amqp::Decimal64(_) | Amqp::Decimal128(_) => Value::Null,
    }
}

/// .NET writes what is not a number as text.
fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

fn name_of(name: Amqp) -> String {
    match value(name) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The standard properties that are set, under their AMQP names.
pub(super) fn standard_properties(properties: Option<Properties>) -> Vec<(String, Value)> {
    let Some(properties) = properties else { return Vec::new() };
    let time = |time: fe2o3_amqp::types::primitives::Timestamp| Value::from(dates::utc(time.milliseconds()));
    let all = [
        ("message-id", properties.message_id.map(message_id)),
        ("user-id", properties.user_id.map(|id| BASE64.encode(id).into())),
        ("to", properties.to.map(Value::from)),
        ("subject", properties.subject.map(Value::from)),
        ("reply-to", properties.reply_to.map(Value::from)),
        ("correlation-id", properties.correlation_id.map(message_id)),
        ("content-type", properties.content_type.map(|kind| kind.0.into())),
        ("content-encoding", properties.content_encoding.map(|encoding| encoding.0.into())),
        ("absolute-expiry-time", properties.absolute_expiry_time.map(time)),
        ("creation-time", properties.creation_time.map(time)),
        ("group-id", properties.group_id.map(Value::from)),
        ("group-sequence", properties.group_sequence.map(Value::from)),
        ("reply-to-group-id", properties.reply_to_group_id.map(Value::from)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn message_id(id: MessageId) -> Value {
    match id {
        MessageId::Ulong(number) => number.into(),
        MessageId::Uuid(uuid) => uuid::Uuid::from_bytes(uuid.into_inner()).to_string().into(),
        MessageId::Binary(bytes) => BASE64.encode(bytes).into(),
        MessageId::String(text) => text.into(),
    }
}
