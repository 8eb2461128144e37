//! Faults on command: throttling and closed links, as a client sees them.

use local::event_hubs::client::{Client, ClientError, EventReceiver, NewEvent};
use local::event_hubs::{Config, DEFAULT_GROUP, EventHubs, Fault, Faults, HubConfig, StartPosition};
use tempfile::TempDir;

use crate::stand_in::{SOON, receive};

/// A stand-in in this process, whose faults are commanded without a pipe.
struct Here {
    address: String,
    faults: Faults,
    _folder: TempDir,
}

impl Here {
    async fn start() -> Here {
        let folder = tempfile::tempdir().unwrap();
        let hubs = EventHubs::start(Config {
            listen: ([127, 0, 0, 1], 0).into(),
            state: folder.path().to_owned(),
            hubs: vec![HubConfig { name: "one".to_owned(), partitions: None, consumer_groups: Vec::new() }],
            default_partitions: 1,
            latency: Config::LATENCY,
        });
        let hubs = hubs.await.unwrap();
        let (address, faults) = (hubs.address().to_string(), hubs.faults());
        tokio::spawn(hubs.run(std::future::pending()));
        Here { address, faults, _folder: folder }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.address, "one").await.unwrap()
    }
}

async fn receiver(client: &mut Client) -> EventReceiver {
    client.receiver(DEFAULT_GROUP, "0", &StartPosition::Earliest, Some(0)).await.unwrap()
}

#[track_caller]
fn condition<T: std::fmt::Debug>(refused: Result<T, ClientError>) -> String {
    match refused {
        Err(ClientError::Refused { condition, .. }) => condition,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_throttled_hub_takes_and_gives_nothing_until_it_is_released() {
    let here = Here::start().await;
    let (mut client, mut other) = (here.client().await, here.client().await);
    let mut sender = client.sender(None).await.unwrap();
    sender.send(&[NewEvent::new("a")], None).await.unwrap();
    let mut reading = receiver(&mut other).await;
    assert_eq!(receive(&mut reading, 1).await.len(), 1);

    here.faults.inject(Fault::Throttle);
    let busy = "com.microsoft:server-busy";
    assert_eq!(condition(sender.send(&[NewEvent::new("b")], None).await), busy);
    assert_eq!(condition(reading.receive(1, SOON).await), busy);
    assert_eq!(condition(receiver(&mut other).await.receive(1, SOON).await), busy, "a new receiver");

    here.faults.inject(Fault::Release);
    sender.send(&[NewEvent::new("c")], None).await.unwrap();
    let bodies: Vec<Vec<u8>> =
        receive(&mut receiver(&mut other).await, 2).await.into_iter().map(|event| event.body).collect();
    assert_eq!(bodies, [b"a", b"c"], "what was refused is not there");
}

#[tokio::test]
async fn links_are_closed_once_and_opened_again() {
    let here = Here::start().await;
    let (mut client, mut other) = (here.client().await, here.client().await);
    let mut sender = client.sender(None).await.unwrap();
    sender.send(&[NewEvent::new("a")], None).await.unwrap();
    let mut reading = receiver(&mut other).await;
    assert_eq!(receive(&mut reading, 1).await.len(), 1);

    here.faults.inject(Fault::Detach);
    assert_eq!(condition(reading.receive(1, SOON).await), "amqp:link:detach-forced");
    assert!(sender.send(&[NewEvent::new("b")], None).await.is_err());
    client.sender(None).await.unwrap().send(&[NewEvent::new("c")], None).await.unwrap();
    assert_eq!(receive(&mut receiver(&mut other).await, 2).await.len(), 2);
}

#[test]
fn faults_have_names() {
    let read = ["throttle", " release\r", "detach", "kill"].map(|line| line.parse::<Fault>().ok());
    assert_eq!(read, [Some(Fault::Throttle), Some(Fault::Release), Some(Fault::Detach), None]);
}
