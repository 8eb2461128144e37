//! The hub as the delivery loop reads it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use azure::credentials::CredentialSettings;
use azure::{HubConfig, HubProducer, SdkHub};
use delivery::{Bounds, Hub, HubEvent, ReadError, Reader, Start, Unfenced};
use local::event_hubs::SharedAccessKeys;
use tokio::time::timeout;

use crate::stand_in::StandIn;

fn start(state: &Path) -> StandIn {
    StandIn::start(state, "normalized", SharedAccessKeys::default())
}

const SOON: Duration = Duration::from_secs(20);

fn config(address: SocketAddr, hub: &str) -> HubConfig {
    HubConfig {
        custom_endpoint: Some(format!("amqp://{address}").parse().unwrap()),
        ..HubConfig::new("test.servicebus.windows.net", hub)
    }
}

fn hub(address: SocketAddr, name: &str) -> SdkHub {
    SdkHub::new(config(address, name), "$Default", &CredentialSettings::Development).unwrap()
}

async fn next(reader: &mut impl Reader) -> HubEvent {
    timeout(SOON, reader.next()).await.expect("in time").expect("an event")
}

/// The one partition that holds this: that of the key everything was sent with.
async fn partition_with(hub: &SdkHub, bounds: Bounds) -> String {
    let mut used = Vec::new();
    for partition in hub.partitions().await.unwrap() {
        if hub.bounds(&partition).await.unwrap() == bounds {
            used.push(partition);
        }
    }
    assert_eq!(used.len(), 1, "one partition for one key");
    used.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_a_partition_from_any_place_and_goes_on_with_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let producer = HubProducer::new(config(stand_in.address, "normalized"), &CredentialSettings::Development).unwrap();
    let hub = hub(stand_in.address, "normalized");
    let partitions = hub.partitions().await.unwrap();
    assert_eq!(partitions, ["0", "1", "2", "3"]);
    for partition in &partitions {
        assert_eq!(hub.bounds(partition).await.unwrap().last, -1);
    }
    producer.send("a key", &["one", "two", "three"], &Unfenced).await.unwrap();
    let used = partition_with(&hub, Bounds { first: 0, last: 2 }).await;
    let mut reader = hub.open(&used, Start::Beginning, 8).await.unwrap();
    let first = next(&mut reader).await;
    assert_eq!((first.body.as_slice(), first.sequence_number), (b"one".as_slice(), 0));
    let names: Vec<&str> = first.system_properties.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"x-opt-partition-key") && names.contains(&"x-opt-enqueued-time"), "{names:?}");
    assert_eq!(next(&mut reader).await.body, b"two");
    let third = next(&mut reader).await;
    let mut later = hub.open(&used, Start::After(1), 8).await.unwrap();
    assert_eq!(next(&mut later).await, third);
    // What comes later comes to both.
    producer.send("a key", &["four"], &Unfenced).await.unwrap();
    assert_eq!(next(&mut reader).await.body, b"four");
    assert_eq!(next(&mut later).await.body, b"four");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_was_given_up_loses_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let producer = HubProducer::new(config(stand_in.address, "normalized"), &CredentialSettings::Development).unwrap();
    let hub = hub(stand_in.address, "normalized");
    producer.send("k", &(0..200).map(|number| number.to_string()).collect::<Vec<_>>(), &Unfenced).await.unwrap();
    let used = partition_with(&hub, Bounds { first: 0, last: 199 }).await;
    let mut reader = hub.open(&used, Start::Beginning, 8).await.unwrap();
    let mut numbers = Vec::new();
    while numbers.len() < 200 {
        // Given up at once, most of the time.
        let event = timeout(Duration::ZERO, reader.next()).await;
        match event {
            Ok(event) => numbers.push(event.expect("an event").sequence_number),
            Err(_) => numbers.push(next(&mut reader).await.sequence_number),
        }
    }
    assert_eq!(numbers, (0..200).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_goes_away_ends_the_reader_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let hub = hub(stand_in.address, "normalized");
    let mut reader = hub.open("0", Start::Beginning, 8).await.unwrap();
    drop(stand_in);
    let ended = timeout(SOON, reader.next()).await.expect("in time");
    assert!(matches!(ended, Err(ReadError::Away(_))), "{ended:?}");
    let error = hub.bounds("0").await.map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "the hub is away");
}
