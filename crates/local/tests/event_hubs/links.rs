//! Sending, receiving and asking, link by link.

use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::types::messaging::{Body, Source};
use fe2o3_amqp::types::primitives::{Symbol, Value};
use fe2o3_amqp::{Connection, Receiver, Session};
use futures::FutureExt;
use local::event_hubs::client::{AnnotationValue, Client, ClientError, Event, NewEvent, SimpleValue};
use local::event_hubs::{DEFAULT_GROUP, StartPosition};
use tempfile::TempDir;

use crate::stand_in::{SOON, StandIn, receive, receive_from_start, text};

fn start() -> (StandIn, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (StandIn::start(folder.path()), folder)
}

async fn send(client: &mut Client, texts: &[&str], partition_key: Option<&str>) {
    let events: Vec<NewEvent> = texts.iter().map(|text| NewEvent::new(*text)).collect();
    client.sender(None).await.unwrap().send(&events, partition_key).await.unwrap();
}

/// Why a receiver is refused, which it learns when it is attached.
async fn refusal(client: &mut Client, group: &str, partition: &str, epoch: Option<i64>) -> ClientError {
    let mut receiver = client.receiver(group, partition, &StartPosition::Latest, epoch).await.unwrap();
    receiver.receive(1, SOON).await.unwrap_err()
}

/// The text of the first event from `position` on.
async fn first_from(client: &mut Client, position: StartPosition) -> String {
    let mut receiver = client.receiver(DEFAULT_GROUP, "0", &position, None).await.unwrap();
    let first = receive(&mut receiver, 1).await;
    receiver.close().await.unwrap();
    text(&first[0])
}

#[tokio::test]
async fn receivers_start_where_they_ask_to() {
    let (stand_in, _folder) = start();
    let mut client = stand_in.client("one").await;
    for letter in ["a", "b", "c"] {
        send(&mut client, &[letter], None).await;
    }
    let stored = receive_from_start(&mut client, "0", 3).await;
    let offset = |event: &Event| event.offset.parse().unwrap();
    let [_, b, c] = &stored[..] else { panic!("{} events", stored.len()) };
    // Each send waits for its settlement, which takes some milliseconds.
    assert!(b.enqueued_ms < c.enqueued_ms);
    let cases = [
        (StartPosition::Earliest, "a"),
        (StartPosition::Offset { offset: offset(b), inclusive: true }, "b"),
        (StartPosition::Offset { offset: offset(b), inclusive: false }, "c"),
        (StartPosition::SequenceNumber { sequence_number: 1, inclusive: true }, "b"),
        (StartPosition::SequenceNumber { sequence_number: 1, inclusive: false }, "c"),
        (StartPosition::SequenceNumber { sequence_number: -1, inclusive: false }, "a"),
        (StartPosition::EnqueuedTime { milliseconds: b.enqueued_ms, inclusive: true }, "b"),
        (StartPosition::EnqueuedTime { milliseconds: b.enqueued_ms, inclusive: false }, "c"),
    ];
    for (position, expected) in cases {
        assert_eq!(first_from(&mut client, position.clone()).await, expected, "{position}");
    }

    let mut latest = client.receiver(DEFAULT_GROUP, "0", &StartPosition::Latest, None).await.unwrap();
    send(&mut client, &["d"], None).await;
    assert_eq!(text(&receive(&mut latest, 1).await[0]), "d");
}

#[tokio::test]
async fn events_come_as_they_were_sent() {
    let (stand_in, _folder) = start();
    let mut client = stand_in.client("one").await;
    let event = NewEvent {
        body: b"\x00{\"heartRate\":78}\xff".to_vec(),
        content_type: Some("application/json".to_owned()),
        application_properties: vec![
            ("text".to_owned(), SimpleValue::String("v".to_owned())),
            ("number".to_owned(), SimpleValue::Int(-3)),
            ("big".to_owned(), SimpleValue::Ulong(u64::MAX)),
            ("flag".to_owned(), SimpleValue::Bool(true)),
        ],
        annotations: vec![("iothub-connection-device-id".to_owned(), AnnotationValue::String("d".to_owned()))],
    };
    client.sender(None).await.unwrap().send(std::slice::from_ref(&event), Some("key")).await.unwrap();
    let received = receive_from_start(&mut client, "0", 1).await.remove(0);
    assert_eq!(received.body, event.body);
    assert_eq!(received.application_properties, event.application_properties);
    assert_eq!(received.annotations, event.annotations);
    assert_eq!(received.partition_key.as_deref(), Some("key"));
    let content_type = received.properties.and_then(|properties| properties.content_type);
    assert_eq!(content_type, Some(Symbol::from("application/json")));
    assert_eq!((received.sequence_number, received.offset.as_str()), (0, "0"));
    assert!(received.enqueued_ms > 1_700_000_000_000);
}

#[tokio::test]
async fn a_key_keeps_to_its_partition_and_a_batch_stays_together() {
    let (stand_in, _folder) = start();
    let mut client = stand_in.client("devicedata").await;
    for _ in 0..4 {
        send(&mut client, &["k"], Some("device-1")).await;
    }
    send(&mut client, &["x", "y", "z"], None).await;
    send(&mut client, &["x", "y", "z"], None).await;
    client.sender(Some("1")).await.unwrap().send(&[NewEvent::new("p")], None).await.unwrap();
    let mut parts = Vec::new();
    for id in ["0", "1"] {
        let count = client.partition_properties(id).await.unwrap().last_sequence_number + 1;
        let events = receive_from_start(&mut client, id, count as usize).await;
        parts.push(events.iter().map(text).collect::<String>());
    }
    // `device-1` belongs to partition 1; turns start at 0.
    assert_eq!(parts, ["xyz", "kkkkxyzp"]);
    assert_eq!(client.event_count().await.unwrap(), 11);
}

#[tokio::test]
async fn names_have_no_case_and_unknown_ones_are_refused() {
    let (stand_in, _folder) = start();
    let position = StartPosition::Earliest;
    let mut client = stand_in.client("DEVICEDATA").await;
    send(&mut client, &["a"], Some("device-1")).await;
    let mut receiver = client.receiver("Normalize", "1", &position, None).await.unwrap();
    assert_eq!(text(&receive(&mut receiver, 1).await[0]), "a");
    assert_eq!(client.partition_ids(), ["0", "1"]);

    let refusals = [
        refusal(&mut client, "nobody", "0", None).await,
        refusal(&mut client, DEFAULT_GROUP, "2", None).await,
        client.sender(Some("2")).await.unwrap_err(),
        client.partition_properties("2").await.unwrap_err(),
        Client::connect(&stand_in.address, "other").await.unwrap_err(),
    ];
    for refusal in refusals {
        assert!(
            matches!(&refusal, ClientError::Refused { condition, .. } if condition == "amqp:not-found"),
            "{refusal:?}"
        );
        assert!(!refusal.is_away());
    }
    // Refused links leave the others of their session alone.
    send(&mut client, &["b"], Some("device-1")).await;
    assert_eq!(text(&receive(&mut receiver, 1).await[0]), "b");
}

#[tokio::test]
async fn a_higher_or_equal_epoch_takes_the_partition() {
    let (stand_in, _folder) = start();
    let position = StartPosition::Earliest;
    let mut client = stand_in.client("one").await;
    let mut other = stand_in.client("one").await;
    let mut first = client.receiver(DEFAULT_GROUP, "0", &position, Some(1)).await.unwrap();
    let mut second = other.receiver(DEFAULT_GROUP, "0", &position, Some(1)).await.unwrap();
    let stolen = first.receive(1, SOON).await.unwrap_err();
    assert!(stolen.is_stolen(), "{stolen}");

    for epoch in [Some(0), None] {
        let refused = refusal(&mut client, DEFAULT_GROUP, "0", epoch).await;
        assert!(refused.is_stolen(), "{refused:?}");
    }
    let _third = client.receiver("$default", "0", &position, Some(2)).await.unwrap();
    assert!(second.receive(1, SOON).await.unwrap_err().is_stolen());
}

#[tokio::test]
async fn a_place_is_free_when_its_connection_is_gone() {
    let (stand_in, _folder) = start();
    let position = StartPosition::Earliest;
    let mut first = stand_in.client("one").await;
    let receiver = first.receiver(DEFAULT_GROUP, "0", &position, Some(7)).await.unwrap();
    drop((receiver, first));
    let mut client = stand_in.client("one").await;
    send(&mut client, &["a"], None).await;
    let freed = async {
        loop {
            let mut receiver = client.receiver(DEFAULT_GROUP, "0", &position, None).await.unwrap();
            match receiver.receive(1, SOON).await {
                Ok(events) => return events,
                Err(error) => assert!(error.is_stolen(), "{error:?}"),
            }
        }
    };
    assert_eq!(tokio::time::timeout(SOON, freed).await.unwrap().len(), 1);
}

/// A receiver as the AMQP library makes it, with nothing of our client.
async fn raw_receiver(stand_in: &StandIn, builder: impl FnOnce(RawBuilder) -> RawBuilder) -> Raw {
    let url = format!("amqp://{}", stand_in.address);
    let mut connection = Connection::builder()
        .container_id("raw")
        .sasl_profile(fe2o3_amqp::sasl_profile::SaslProfile::Anonymous)
        .open(url.as_str())
        .await
        .unwrap();
    let mut session = Session::begin(&mut connection).await.unwrap();
    let address = "sb://localhost/one/ConsumerGroups/$Default/Partitions/0";
    let source = Source::builder().address(address).build();
    let receiver = Receiver::builder().name("raw").source(source).credit_mode(CreditMode::Manual);
    let receiver = builder(receiver).attach(&mut session).await.unwrap();
    Raw { receiver, _session: session, _connection: connection }
}

type RawBuilder = fe2o3_amqp::link::builder::Builder<
    fe2o3_amqp::link::role::ReceiverMarker,
    fe2o3_amqp::types::messaging::Target,
    fe2o3_amqp::link::builder::WithName,
    fe2o3_amqp::link::builder::WithSource,
    fe2o3_amqp::link::builder::WithTarget,
>;

struct Raw {
    receiver: Receiver,
    _session: fe2o3_amqp::session::SessionHandle<()>,
    _connection: fe2o3_amqp::connection::ConnectionHandle<()>,
}

#[tokio::test]
async fn deliveries_are_settled_and_wait_for_credit() {
    let (stand_in, _folder) = start();
    let mut client = stand_in.client("one").await;
    send(&mut client, &["a", "b", "c", "d"], None).await;
    let mut raw = raw_receiver(&stand_in, |builder| builder).await;
    raw.receiver.set_credit(3).await.unwrap();
    for expected in ["a", "b", "c"] {
        let delivery = raw.receiver.recv::<Body<Value>>().await.unwrap();
        let Body::Data(data) = delivery.body() else { panic!("no data") };
        assert_eq!(data.iter().next().unwrap().0.as_ref(), expected.as_bytes());
    }
    // Whatever else was sent would be here by the time another client has had answers.
    send(&mut client, &["e"], None).await;
    receive_from_start(&mut client, "0", 5).await;
    assert!(raw.receiver.recv::<Body<Value>>().now_or_never().is_none());
    raw.receiver.set_credit(1).await.unwrap();
    raw.receiver.recv::<Body<Value>>().await.unwrap();
}

#[tokio::test]
async fn runtime_metrics_come_with_the_events_when_desired() {
    let (stand_in, _folder) = start();
    let mut client = stand_in.client("one").await;
    send(&mut client, &["a", "b"], None).await;
    let desired = "com.microsoft:enable-receiver-runtime-metric";
    let mut raw = raw_receiver(&stand_in, |builder| builder.add_desired_capabilities(desired)).await;
    raw.receiver.set_credit(1).await.unwrap();
    let message = raw.receiver.recv::<Body<Value>>().await.unwrap().into_message();
    let metrics = message.delivery_annotations.unwrap().0;
    let metric = |name: &str| metrics.iter().find(|(key, _)| **key == name.into()).map(|(_, value)| value.clone());
    assert_eq!(metric("last_enqueued_sequence_number"), Some(Value::Long(1)));
    assert!(matches!(metric("last_enqueued_offset"), Some(Value::String(offset)) if offset != "0"));
    assert!(matches!(metric("last_enqueued_time_utc"), Some(Value::Timestamp(_))));
    assert!(matches!(metric("runtime_info_retrieval_time_utc"), Some(Value::Timestamp(_))));
}

#[tokio::test]
async fn many_events_come_in_order_and_once() {
    let (stand_in, _folder) = start();
    let mut client = stand_in.client("one").await;
    // More than the credit of any link and than one read, with some in between
    // that take several frames.
    let zeros = |number| match number % 1_000 {
        0 => 500_000,
        n if n % 100 == 0 => 70_000,
        _ => 0,
    };
    let text_of = |number| format!("{}{number}", "0".repeat(zeros(number)));
    let events: Vec<NewEvent> = (0..3_000).map(|number| NewEvent::new(text_of(number))).collect();
    client.sender(None).await.unwrap().send(&events, None).await.unwrap();
    let received = receive_from_start(&mut client, "0", events.len()).await;
    for (number, event) in received.iter().enumerate() {
        assert_eq!((event.sequence_number, text(event).parse()), (number as i64, Ok(number)));
    }
}
