//! The producer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azure::credentials::CredentialSettings;
use azure::event_hubs::{HubConfig, HubProducer, SendError, TryError};
use delivery::Unfenced;
use local::event_hubs::client::{Client, Event};
use local::event_hubs::{DEFAULT_GROUP, SharedAccessKeys, StartPosition};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::stand_in::StandIn;

fn start(state: &Path) -> StandIn {
    StandIn::start(state, "normalized", SharedAccessKeys::default())
}

fn config(address: SocketAddr, hub: &str) -> HubConfig {
    HubConfig {
        custom_endpoint: Some(format!("amqp://{address}").parse().unwrap()),
        connections: 3,
        ..HubConfig::new("test.servicebus.windows.net", hub)
    }
}

fn producer(config: HubConfig) -> HubProducer {
    HubProducer::new(config, &CredentialSettings::Development).unwrap()
}

/// All events of the hub by partition, in order.
async fn received(address: SocketAddr) -> Vec<Vec<Event>> {
    let mut client = Client::connect(&address.to_string(), "normalized").await.unwrap();
    let mut partitions = Vec::new();
    for id in client.partition_ids().to_vec() {
        let count = client.partition_properties(&id).await.unwrap().last_sequence_number + 1;
        let mut receiver = client.receiver(DEFAULT_GROUP, &id, &StartPosition::Earliest, None).await.unwrap();
        let mut events = Vec::new();
        while events.len() < count as usize {
            events.extend(receiver.receive(1_000, Duration::from_secs(20)).await.unwrap());
        }
        partitions.push(events);
    }
    partitions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_keep_to_a_partition_and_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let producer = Arc::new(producer(config(stand_in.address, "normalized")));
    let sending = (0..12).map(|device| {
        let producer = producer.clone();
        tokio::spawn(async move {
            let key = format!("device-{device}");
            for round in 0..5 {
                let events: Vec<String> = (0..3).map(|event| format!("{key} {}", round * 3 + event)).collect();
                assert_eq!(producer.send(&key, &events, &Unfenced).await.unwrap().too_large, [0; 0]);
            }
        })
    });
    for sent in sending.collect::<Vec<_>>() {
        sent.await.unwrap();
    }
    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (partition, events) in received(stand_in.address).await.iter().enumerate() {
        for event in events {
            let key = event.partition_key.clone().unwrap();
            let text = String::from_utf8(event.body.clone()).unwrap();
            by_key.entry(format!("{key} in {partition}")).or_default().push(text);
        }
    }
    assert_eq!(by_key.len(), 12, "{:?}", by_key.keys());
    for (place, texts) in by_key {
        let key = place.split(' ').next().unwrap();
        assert_eq!(texts, (0..15).map(|number| format!("{key} {number}")).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_split_when_full_and_what_is_too_large_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let producer = producer(config(stand_in.address, "normalized"));
    // Small ones up to the very edge of a batch, two that no batch takes, large ones.
    let sizes: Vec<usize> = [vec![2_000_000], vec![90; 9_000], vec![2_000_000], vec![300_000; 8]].concat();
    let events: Vec<Vec<u8>> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
    let sent = producer.send("key", &events, &Unfenced).await.unwrap();
    assert_eq!(sent.too_large, [0, 9_001]);
    let stored: Vec<usize> = received(stand_in.address).await.concat().iter().map(|event| event.body.len()).collect();
    assert_eq!(stored, [vec![90; 9_000], vec![300_000; 8]].concat());
    assert_eq!(producer.send("key", &[] as &[&str], &Unfenced).await.unwrap().too_large, [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_does_not_exist_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let producer = producer(config(stand_in.address, "nosuchhub"));
    let error = producer.send("key", &["a"], &Unfenced).await.unwrap_err();
    assert!(matches!(error, SendError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_hub_that_nobody_serves_is_away() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let producer = producer(HubConfig { tries: 2, ..config(address, "normalized") });
    let error = producer.send("key", &["a"], &Unfenced).await.unwrap_err();
    assert!(error.is_away() && matches!(error, SendError::Away { source: TryError::Client(_), .. }), "{error:?}");
}

#[tokio::test]
async fn a_listener_that_says_nothing_is_away_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect_timeout = Duration::from_millis(200);
    let producer = producer(HubConfig { tries: 2, connect_timeout, ..config(address, "normalized") });
    let start = Instant::now();
    let error = producer.send("key", &["a"], &Unfenced).await.unwrap_err();
    assert!(matches!(error, SendError::Away { source: TryError::ConnectTimedOut, .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Passes connections on, but keeps back what the stand-in says to the first
/// one once it has said `bytes` bytes: the settlement that never comes.
async fn mute_first(stand_in: SocketAddr, bytes: usize) -> (SocketAddr, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (counted, connections) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(stand_in).await.unwrap();
            counted.send_modify(|count| *count += 1);
            let limit = if *counted.borrow() == 1 { bytes } else { usize::MAX };
            tokio::spawn(pass(client, server, limit));
        }
    });
    (address, connections)
}

async fn pass(client: TcpStream, server: TcpStream, limit: usize) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(|_| ()) };
    let down = async {
        let (mut said, mut buffer) = (0, [0; 4096]);
        loop {
            let count = from_server.read(&mut buffer).await?;
            said += count;
            if count == 0 {
                return to_client.shutdown().await;
            }
            if said <= limit {
                to_client.write_all(&buffer[..count]).await?;
            }
        }
    };
    // Either side may break off; that is what the test is about.
    let _ = tokio::join!(up, down);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_that_never_comes_is_sent_again_by_a_new_client() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    // Everything up to the sender's link is said in less than this and more than
    // this is never said to the first connection, whose batches go unanswered
    // at some point.
    let (address, connections) = mute_first(stand_in.address, 1_400).await;
    let send_timeout = Duration::from_secs(5);
    let producer = producer(HubConfig { connect_timeout: send_timeout, send_timeout, ..config(address, "normalized") });
    for number in 0..20 {
        producer.send("key", &[format!("{number}")], &Unfenced).await.unwrap();
    }
    assert_eq!(*connections.borrow(), 2);
    let mut texts: Vec<String> = received(stand_in.address)
        .await
        .concat()
        .iter()
        .map(|event| String::from_utf8(event.body.clone()).unwrap())
        .collect();
    // The one whose settlement was lost is there twice.
    assert_eq!(texts.len(), 21, "{texts:?}");
    texts.dedup();
    assert_eq!(texts, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
}
