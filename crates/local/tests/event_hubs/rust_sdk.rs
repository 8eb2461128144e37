//! The Event Hubs SDK for Rust against the stand-in.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use azure_messaging_eventhubs::models::{EventData, ReceivedEventData};
use azure_messaging_eventhubs::{
    ConsumerClient, EventDataBatchOptions, EventReceiver, OpenReceiverOptions, ProducerClient, RetryOptions,
    StartLocation, StartPosition,
};
use futures::StreamExt;
use tokio::time::timeout;

use crate::stand_in::{SOON, StandIn, receive_from_start};

const NAMESPACE: &str = "test.servicebus.windows.net";

#[derive(Debug)]
struct AnyToken;

#[async_trait::async_trait]
impl TokenCredential for AnyToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new("any", OffsetDateTime::now_utc() + Duration::from_secs(3600)))
    }
}

fn one_try() -> RetryOptions {
    RetryOptions { max_retries: 0, ..RetryOptions::default() }
}

async fn producer(stand_in: &StandIn, hub: &str) -> ProducerClient {
    ProducerClient::builder()
        .with_custom_endpoint(format!("amqp://{}", stand_in.address))
        .with_retry_options(one_try())
        .open(NAMESPACE, hub, Arc::new(AnyToken))
        .await
        .unwrap()
}

async fn consumer(stand_in: &StandIn, hub: &str) -> ConsumerClient {
    ConsumerClient::builder()
        .with_custom_endpoint(format!("amqp://{}", stand_in.address))
        .with_retry_options(one_try())
        .open(NAMESPACE, hub.to_owned(), Arc::new(AnyToken))
        .await
        .unwrap()
}

async fn first(receiver: &EventReceiver) -> ReceivedEventData {
    let mut events = pin!(receiver.stream_events());
    timeout(SOON, events.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_batches_and_receives_from_every_position() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path());
    let producer = producer(&stand_in, "devicedata").await;
    assert_eq!(producer.get_eventhub_properties().await.unwrap().partition_ids, ["0", "1"]);
    let options = EventDataBatchOptions { partition_key: Some("device-1".to_owned()), ..Default::default() };
    let batch = producer.create_batch(Some(options)).await.unwrap();
    for body in ["a", "b", "c"] {
        let event = EventData::builder()
            .with_body(body.as_bytes().to_vec())
            .with_content_type("application/json".to_owned())
            .add_property("unit".to_owned(), "bpm")
            .build();
        assert!(batch.try_add_event_data(event, None).unwrap());
    }
    timeout(SOON, producer.send_batch(batch, None)).await.unwrap().unwrap();

    let consumer = consumer(&stand_in, "devicedata").await;
    let properties = consumer.get_partition_properties("1").await.unwrap();
    assert_eq!((properties.last_enqueued_sequence_number, properties.is_empty), (2, false));
    let number = |number| StartLocation::SequenceNumber(number);
    let offset = |offset: &str| StartLocation::Offset(offset.to_owned());
    let epoch = StartLocation::EnqueuedTime(std::time::SystemTime::UNIX_EPOCH);
    let last = properties.last_enqueued_offset.as_str();
    let cases = [
        (StartLocation::Earliest, false, "a"),
        (number(0), false, "b"),
        (number(2), true, "c"),
        (offset("0"), false, "b"),
        (offset(last), true, "c"),
        (epoch, true, "a"),
    ];
    for (location, inclusive, expected) in cases {
        let name = format!("{location:?}");
        let start_position = Some(StartPosition { location, inclusive });
        let options = OpenReceiverOptions { start_position, ..Default::default() };
        let receiver = consumer.open_receiver_on_partition("1".to_owned(), Some(options)).await.unwrap();
        let event = first(&receiver).await;
        assert_eq!(event.event_data().body(), Some(expected.as_bytes()), "{name}");
        assert_eq!(event.partition_key().as_deref(), Some("device-1"));
        assert_eq!(event.event_data().properties().map(|properties| properties.len()), Some(1));
        receiver.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_send_returns() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path());
    let producer = producer(&stand_in, "one").await;
    for number in 0..200 {
        let sending = producer.send_event(vec![b'x'; number], None);
        timeout(SOON, sending).await.unwrap_or_else(|_| panic!("send {number} hangs")).unwrap();
    }
    let mut client = stand_in.client("one").await;
    let received = receive_from_start(&mut client, "0", 200).await;
    assert!(received.iter().enumerate().all(|(number, event)| event.body.len() == number));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_hub_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path());
    let producer = producer(&stand_in, "nosuchhub").await;
    let error = timeout(SOON, producer.send_event("a", None)).await.unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("NotFound"), "{error:?}");
    assert!(timeout(SOON, producer.get_eventhub_properties()).await.unwrap().is_err());
}
