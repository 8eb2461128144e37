//! `$management`: the properties of hubs and partitions
//! (functions-eventhubs-keda.md 7.3).

use fe2o3_amqp::types::primitives::{Array, OrderedMap, Value};

use super::message::{AmqpMessage, timestamp};
use super::requests::{Answer, text};
use super::store::{Hub, Store};

const HUB: &str = "com.microsoft:eventhub";
const PARTITION: &str = "com.microsoft:partition";
const NOT_FOUND: &str = "amqp:not-found";

/// Answers one `READ`, if it `may` be asked for that hub, with the token that the
/// request itself carries, as those of the client for Java do.
pub fn answer(store: &Store, request: &AmqpMessage, may: impl Fn(&str, Option<&str>) -> bool) -> Answer {
    if text(request, "operation") != Some("READ") {
        return Answer::failed(400, "amqp:not-implemented", "expected the operation `READ`");
    }
    let name = text(request, "name").unwrap_or_default();
    if !may(name, text(request, "security_token")) {
        return Answer::failed(401, "amqp:unauthorized-access", format!("no token for hub `{name}` was shown"));
    }
    let Some(hub) = store.hub(name) else {
        return Answer::failed(404, NOT_FOUND, format!("there is no hub `{name}`"));
    };
    match text(request, "type") {
        Some(HUB) => Answer::done(200, hub_properties(&hub)),
        Some(PARTITION) => {
            let id = text(request, "partition").unwrap_or_default();
            match partition_properties(&hub, id) {
                Some(properties) => Answer::done(200, properties),
                None => Answer::failed(404, NOT_FOUND, format!("hub `{name}` has no partition `{id}`")),
            }
        }
        _ => Answer::failed(400, "com.microsoft:argument-error", format!("expected the type `{HUB}` or `{PARTITION}`")),
    }
}

fn hub_properties(hub: &Hub) -> Value {
    let ids = (0..hub.partitions.len()).map(|id| string(&id.to_string())).collect::<Vec<_>>();
    map([
        ("name", string(&hub.name)),
        ("type", string(HUB)),
        ("created_at", timestamp(hub.created_ms)),
        ("partition_count", Value::Int(hub.partitions.len() as i32)),
        // An array: clients do not take a list.
        ("partition_ids", Value::Array(Array::from(ids))),
        // The Go client, and so KEDA, asks again when it is missing.
        ("georeplication_factor", Value::Int(1)),
    ])
}

fn partition_properties(hub: &Hub, id: &str) -> Option<Value> {
    let status = hub.partition(id)?.status();
    Some(map([
        ("name", string(&hub.name)),
        ("type", string(PARTITION)),
        ("partition", string(id)),
        ("begin_sequence_number", Value::Long(status.first_sequence_number)),
        ("last_enqueued_sequence_number", Value::Long(status.last_sequence_number)),
        // Wanted by the Rust client, which does not use it.
        ("last_enqueued_sequence_number_epoch", Value::Long(-1)),
        ("last_enqueued_offset", string(&status.last_offset())),
        ("last_enqueued_time_utc", timestamp(status.last_enqueued_ms())),
        ("is_partition_empty", Value::Bool(status.is_empty())),
    ]))
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let mut map = OrderedMap::new();
    for (key, value) in entries {
        map.insert(string(key), value);
    }
    Value::Map(map)
}
