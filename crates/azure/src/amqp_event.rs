//! AMQP events as delivery takes them, with the types of device-mapping.md 1.4.
//!
//! For the events that the AMQP client of this package receives. Those of the
//! Event Hubs SDK have types of their own.
//!
//! The system properties are what the Functions front makes of what the host
//! hands over (`custom-handler::invocation`): the AMQP properties that are
//! present, the other annotations, then those of the hub, under their AMQP
//! names. Where JSON has lost a type, the type is kept here: bytes and UUIDs
//! are opaque, as in the reference connector, and timestamps of any name are
//! dates.

use delivery::hub::{APPLICATION_DATES, SYSTEM_DATES};
use delivery::{HubEvent, Property};
use expressions::UtcTime;
use expressions::time::{DateKind, DateTime};
use hub_client::message::{ENQUEUED_TIME, OFFSET, PARTITION_KEY, SEQUENCE_NUMBER};
use hub_client::{AnnotationValue as Amqp, Event, MessageId};

/// An event as it was received. None when its time is none that a clock shows.
pub(crate) fn hub_event(event: Event) -> Option<HubEvent> {
    if event.is_body_unusable {
        // As the reference connector sees it, which takes data sections only.
        tracing::warn!(
            sequence_number = event.sequence_number,
            "An event has an AMQP sequence or value for a body; it counts as empty"
        );
    }
    let enqueued_time = UtcTime::from_unix_milliseconds(event.enqueued_ms)?;
    let mut system_properties = standard_properties(event.properties);
    system_properties.extend(event.annotations.into_iter().map(|(name, amqp)| (name, value(amqp))));
    system_properties.push((SEQUENCE_NUMBER.to_owned(), Property::Integer(event.sequence_number)));
    system_properties.push((OFFSET.to_owned(), Property::String(event.offset.clone())));
    if let Some(key) = event.partition_key {
        system_properties.push((PARTITION_KEY.to_owned(), Property::String(key)));
    }
    system_properties.push((ENQUEUED_TIME.to_owned(), Property::Date(utc(enqueued_time))));
    let properties = event.application_properties.into_iter().map(|(name, amqp)| (name, value(amqp.into())));
    Some(HubEvent {
        body: event.body,
        properties: dated(properties, APPLICATION_DATES),
        system_properties: dated(system_properties.into_iter(), SYSTEM_DATES),
        sequence_number: event.sequence_number,
        offset: event.offset,
        enqueued_time,
    })
}

fn dated(properties: impl Iterator<Item = (String, Property)>, dates: &[&str]) -> Vec<(String, Property)> {
    properties
        .map(|(name, value)| match dates.contains(&name.as_str()) {
            true => (name, value.dated()),
            false => (name, value),
        })
        .collect()
}

fn utc(instant: UtcTime) -> DateTime {
    DateTime { instant, kind: DateKind::Utc }
}

fn value(amqp: Amqp) -> Property {
    match amqp {
        Amqp::Null => Property::Null,
        Amqp::Bool(flag) => Property::Bool(flag),
        Amqp::Ubyte(number) => Property::Integer(number.into()),
        Amqp::Ushort(number) => Property::Integer(number.into()),
        Amqp::Uint(number) => Property::Integer(number.into()),
        Amqp::Ulong(number) => unsigned(number),
        Amqp::Byte(number) => Property::Integer(number.into()),
        Amqp::Short(number) => Property::Integer(number.into()),
        Amqp::Int(number) => Property::Integer(number.into()),
        Amqp::Long(number) => Property::Integer(number),
        Amqp::Float(number) => Property::Float(number.0.into()),
        Amqp::Double(number) => Property::Float(number.0),
        Amqp::Char(character) => Property::String(character.into()),
        Amqp::Timestamp(time) => date(time.milliseconds()),
        Amqp::String(text) => Property::String(text),
        Amqp::Symbol(symbol) => Property::String(symbol.0),
        Amqp::Described(described) => value(described.value),
        Amqp::Uuid(_) | Amqp::Binary(_) | Amqp::List(_) | Amqp::Array(_) | Amqp::Map(_) => Property::Opaque,
        // The library hands these over as bytes; no Event Hubs client sends them.
        Amqp::Decimal32(_) | Amqp::Decimal64(_) | Amqp::Decimal128(_) => Property::Opaque,
    }
}

fn unsigned(number: u64) -> Property {
    i64::try_from(number).map_or(Property::Unsigned(number), Property::Integer)
}

fn date(milliseconds: i64) -> Property {
    UtcTime::from_unix_milliseconds(milliseconds).map_or(Property::Opaque, |time| Property::Date(utc(time)))
}

fn standard_properties(properties: Option<hub_client::Properties>) -> Vec<(String, Property)> {
    let Some(properties) = properties else { return Vec::new() };
    let text = Property::String;
    let all = [
        ("message-id", properties.message_id.map(message_id)),
        ("user-id", properties.user_id.map(|_| Property::Opaque)),
        ("to", properties.to.map(text)),
        ("subject", properties.subject.map(text)),
        ("reply-to", properties.reply_to.map(text)),
        ("correlation-id", properties.correlation_id.map(message_id)),
        ("content-type", properties.content_type.map(|kind| text(kind.0))),
        ("content-encoding", properties.content_encoding.map(|encoding| text(encoding.0))),
        ("absolute-expiry-time", properties.absolute_expiry_time.map(|time| date(time.milliseconds()))),
        ("creation-time", properties.creation_time.map(|time| date(time.milliseconds()))),
        ("group-id", properties.group_id.map(text)),
        ("group-sequence", properties.group_sequence.map(|number| Property::Integer(number.into()))),
        ("reply-to-group-id", properties.reply_to_group_id.map(text)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn message_id(id: MessageId) -> Property {
    match id {
        MessageId::Ulong(number) => unsigned(number),
        MessageId::Uuid(_) | MessageId::Binary(_) => Property::Opaque,
        MessageId::String(text) => Property::String(text),
    }
}

#[cfg(test)]
mod tests {
    use expressions::{Names, Properties, ReadOptions, Scratch};
    use hub_client::{Properties as AmqpProperties, SimpleValue};

    use super::*;

    fn event() -> Event {
        Event {
            sequence_number: 41,
            offset: "4200".to_owned(),
            enqueued_ms: 1_604_232_000_123,
            partition_key: Some("k".to_owned()),
            body: b"{}".to_vec(),
            is_body_unusable: false,
            application_properties: Vec::new(),
            properties: None,
            annotations: Vec::new(),
        }
    }

    fn text(properties: &[(String, Property)]) -> String {
        let one = |(name, value): &(String, Property)| match value {
            Property::Null => format!("{name}=null"),
            Property::Bool(flag) => format!("{name}={flag}"),
            Property::Integer(number) => format!("{name}={number}"),
            Property::Unsigned(number) => format!("{name}={number}u"),
            Property::Float(number) => format!("{name}={number:?}"),
            Property::String(text) => format!("{name}='{text}'"),
            Property::Date(time) => {
                let mut iso = String::new();
                time.write_iso(&mut iso);
                format!("{name}={iso}")
            }
            Property::Opaque => format!("{name}=?"),
        };
        properties.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_hubs_own_annotations_come_last_under_their_names() {
        let with_iot_hub = Event {
            annotations: vec![
                ("iothub-connection-device-id".to_owned(), Amqp::String("d1".to_owned())),
                ("iothub-enqueuedtime".to_owned(), hub_client::message::timestamp(1_604_232_000_000)),
            ],
            properties: Some(AmqpProperties {
                message_id: Some(MessageId::String("m1".to_owned())),
                content_type: Some("application/json".into()),
                ..AmqpProperties::default()
            }),
            ..event()
        };
        assert_eq!(
            text(&hub_event(with_iot_hub).unwrap().system_properties),
            "message-id='m1' content-type='application/json' iothub-connection-device-id='d1' \
             iothub-enqueuedtime=2020-11-01T12:00:00Z x-opt-sequence-number=41 x-opt-offset='4200' \
             x-opt-partition-key='k' x-opt-enqueued-time=2020-11-01T12:00:00.123Z"
        );
    }

    #[test]
    fn values_keep_their_types() {
        let values = [
            SimpleValue::Null,
            SimpleValue::Bool(true),
            SimpleValue::Ubyte(1),
            SimpleValue::Ulong(u64::MAX),
            SimpleValue::Long(-1),
            SimpleValue::Float(0.5.into()),
            SimpleValue::Double(0.1.into()),
            SimpleValue::Char('ü'),
            SimpleValue::Timestamp(1_604_232_000_000.into()),
            SimpleValue::Uuid([7; 16].into()),
            SimpleValue::Binary(vec![0].into()),
            SimpleValue::String("2020-11-01T12:00:00Z".to_owned()),
            SimpleValue::Symbol("s".into()),
        ];
        let names = "abcdefghijklm".chars().map(String::from);
        let typed = Event { application_properties: names.zip(values).collect(), ..event() };
        assert_eq!(
            text(&hub_event(typed).unwrap().properties),
            "a=null b=true c=1 d=18446744073709551615u e=-1 f=0.5 g=0.1 h='ü' i=2020-11-01T12:00:00Z j=? k=? \
             l='2020-11-01T12:00:00Z' m='s'"
        );
    }

    #[test]
    fn the_times_that_come_as_text_are_dates() {
        let time = || "2020-11-01T12:00:00Z".to_owned();
        let texts = Event {
            application_properties: vec![
                ("iothub-creation-time-utc".to_owned(), SimpleValue::String(time())),
                ("other".to_owned(), SimpleValue::String(time())),
            ],
            annotations: vec![("iothub-enqueuedtime".to_owned(), Amqp::String(time()))],
            ..event()
        };
        let read = hub_event(texts).unwrap();
        assert_eq!(
            text(&read.properties),
            "iothub-creation-time-utc=2020-11-01T12:00:00Z other='2020-11-01T12:00:00Z'"
        );
        assert!(text(&read.system_properties).starts_with("iothub-enqueuedtime=2020-11-01T12:00:00Z "));
    }

    fn typed(pairs: &[(String, Property)]) -> Vec<(&str, expressions::PropertyValue<'_>)> {
        pairs.iter().map(|(name, value)| (name.as_str(), value.value())).collect()
    }

    /// The document that a mapping sees.
    fn document(body: &[u8], properties: Properties<'_>, system_properties: Properties<'_>) -> String {
        let mut scratch = Scratch::new(&Names::default());
        let event = expressions::Event { body, properties, system_properties };
        let document = scratch.read_event(&event, ReadOptions::default()).unwrap();
        let mut json = String::new();
        document.write_json(expressions::Document::ROOT, &mut json);
        json
    }

    /// The same event as the Functions host hands it over, by its reference
    /// (functions-eventhubs-keda.md 1.10).
    #[test]
    fn both_fronts_give_the_same_document() {
        let native = Event {
            application_properties: vec![
                ("n".to_owned(), SimpleValue::Int(7)),
                ("iothub-creation-time-utc".to_owned(), SimpleValue::String("2020-11-01T11:59:58Z".to_owned())),
            ],
            annotations: vec![
                ("iothub-connection-device-id".to_owned(), Amqp::String("d1".to_owned())),
                ("iothub-enqueuedtime".to_owned(), hub_client::message::timestamp(1_604_231_999_500)),
            ],
            properties: Some(AmqpProperties {
                message_id: Some(MessageId::String("m1".to_owned())),
                content_type: Some("application/json".into()),
                creation_time: Some(1_604_231_998_000.into()),
                group_sequence: Some(3),
                ..AmqpProperties::default()
            }),
            ..event()
        };
        let native = hub_event(native).unwrap();
        let (own, system) = (typed(&native.properties), typed(&native.system_properties));
        let native = document(&native.body, Properties::Typed(&own), Properties::Typed(&system));

        let context = r#"{"FullyQualifiedNamespace":"ns","EventHubName":"h","ConsumerGroup":"c","PartitionId":"0"}"#;
        let properties = r#"[{"n":7,"iothub-creation-time-utc":"2020-11-01T11:59:58Z"}]"#;
        let system_properties = r#"[{"message-id":"m1","content-type":"application/json",
            "creation-time":"2020-11-01T11:59:58Z","group-sequence":3,"iothub-connection-device-id":"d1",
            "iothub-enqueuedtime":"2020-11-01T11:59:59.5Z","SequenceNumber":41,"Offset":"4200","OffsetString":"4200",
            "PartitionKey":"k","EnqueuedTimeUtc":"2020-11-01T12:00:00.123"}]"#;
        let quote = |text: &str| serde_json::Value::from(text).to_string();
        let request = format!(
            r#"{{"Data":{{"events":"[\"e30=\"]"}},"Metadata":{{"TriggerPartitionContext":{context},
            "PartitionContext":{context},"SequenceNumberArray":"[41]",
            "EnqueuedTimeUtcArray":"[\"2020-11-01T12:00:00.123\"]",
            "PropertiesArray":{},"SystemPropertiesArray":{}}}}}"#,
            quote(properties),
            quote(system_properties)
        );
        let invocation = custom_handler::Invocation::read(request.as_bytes()).unwrap();
        let event = &invocation.batch().events[0];
        assert_eq!(native, document(event.body, event.properties, event.system_properties));
        assert!(native.contains(r#""x-opt-partition-key":"k""#), "{native}");
    }
}
