//! Reading a hub by connection string, against the Event Hubs stand-in with
//! keys: it verifies every signature, closes links whose token ended, and knows
//! epochs.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use azure::{ConnectionString, SasHub, SasHubConfig};
use delivery::away::error_chain;
use delivery::{Bounds, Hub, ReadError, Reader, Start};
use hub_client::{Client, NewEvent, SimpleValue};
use local::event_hubs::SharedAccessKeys;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::stand_in::StandIn;

const KEY: &str = "a2V5IG9mIHRoZSB0ZXN0cw==";
/// Events that may be on their way.
const CREDIT: usize = 4;
const WAIT: Duration = Duration::from_secs(20);

fn start(state: &Path) -> StandIn {
    StandIn::start(state, "devicedata", SharedAccessKeys::new([("read".to_owned(), KEY.to_owned())]))
}

fn connection(address: SocketAddr, key: &str) -> ConnectionString {
    let emulator = "UseDevelopmentEmulator=true;EntityPath=devicedata";
    format!("Endpoint=sb://{address};SharedAccessKeyName=read;SharedAccessKey={key};{emulator}").parse().unwrap()
}

fn config(connection: ConnectionString) -> SasHubConfig {
    SasHubConfig::new(connection, None, "$default").unwrap()
}

fn hub(address: SocketAddr) -> SasHub {
    SasHub::new(config(connection(address, KEY))).unwrap()
}

async fn send(address: SocketAddr, events: &[NewEvent]) {
    let connection = connection(address, KEY);
    let audience = connection.audience("devicedata");
    let token = connection.token(&audience, SystemTime::now(), Duration::from_secs(60));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = Client::over(stream, "localhost", "devicedata", WAIT).await.unwrap();
    client.put_token("servicebus.windows.net:sastoken", &audience, &token.token, 0).await.unwrap();
    client.hub_properties().await.unwrap();
    client.sender(Some("1")).await.unwrap().send(events, Some("k")).await.unwrap();
    client.close().await.unwrap();
}

/// The sequence number and body of the next event.
async fn next(reader: &mut impl Reader) -> Result<(i64, String), ReadError> {
    let event = tokio::time::timeout(WAIT, reader.next()).await.expect("an event or an error in time")?;
    Ok((event.sequence_number, String::from_utf8(event.body).unwrap()))
}

fn chain(error: ReadError) -> String {
    match error {
        ReadError::Displaced => "displaced".to_owned(),
        ReadError::Away(away) => error_chain(&away),
    }
}

#[tokio::test]
async fn reads_a_hub_that_its_key_opens() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let typed = NewEvent { application_properties: vec![("n".to_owned(), SimpleValue::Int(7))], ..NewEvent::new("c") };
    send(stand_in.address, &[NewEvent::new("a"), NewEvent::new("b"), typed]).await;
    let hub = hub(stand_in.address);

    assert_eq!(hub.partitions().await.unwrap(), ["0", "1", "2", "3"]);
    assert_eq!(hub.bounds("1").await.unwrap(), Bounds { first: 0, last: 2 });
    assert_eq!(hub.bounds("0").await.unwrap(), Bounds { first: 0, last: -1 });
    assert_eq!(hub.source("1").hub, "devicedata");

    let mut reader = hub.open("1", Start::Beginning, CREDIT).await.unwrap();
    for expected in [(0, "a"), (1, "b"), (2, "c")] {
        assert_eq!(next(&mut reader).await.unwrap(), (expected.0, expected.1.to_owned()));
    }
    let mut reader = hub.open("1", Start::After(-1), CREDIT).await.unwrap();
    assert_eq!(next(&mut reader).await.unwrap().0, 0);
    let mut reader = hub.open("1", Start::After(1), CREDIT).await.unwrap();
    let event = reader.next().await.unwrap();
    assert_eq!(event.sequence_number, 2);
    assert!(matches!(&event.properties[..], [(name, delivery::Property::Integer(7))] if name == "n"));
    let names: Vec<&str> = event.system_properties.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-opt-sequence-number", "x-opt-offset", "x-opt-partition-key", "x-opt-enqueued-time"]);
}

#[tokio::test]
async fn a_wrong_key_or_group_is_refused_and_said_without_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let wrong = SasHub::new(config(connection(stand_in.address, "d3Jvbmcga2V5"))).unwrap();
    let error = error_chain(&wrong.open("1", Start::Beginning, CREDIT).await.unwrap_err());
    assert_eq!(
        error,
        "the input hub is away: the key or signature of the connection string does not open the hub: the hub refused \
         showing a token: `amqp:unauthorized-access`, the signature is not valid"
    );
    assert_eq!(error_chain(&wrong.partitions().await.unwrap_err()), error);

    let no_group = SasHubConfig { consumer_group: "none".to_owned(), ..config(connection(stand_in.address, KEY)) };
    let opened = SasHub::new(no_group).unwrap().open("1", Start::Beginning, CREDIT).await;
    let error = match opened {
        Ok(mut reader) => chain(next(&mut reader).await.unwrap_err()),
        Err(away) => error_chain(&away),
    };
    assert!(error.contains("hub `devicedata` has no consumer group `none`"), "{error}");
}

#[tokio::test]
async fn a_newer_reader_displaces() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let hub = hub(stand_in.address);
    let mut first = hub.open("1", Start::Beginning, CREDIT).await.unwrap();
    let mut second = hub.open("1", Start::Beginning, CREDIT).await.unwrap();
    assert_eq!(chain(next(&mut first).await.unwrap_err()), "displaced");
    send(stand_in.address, &[NewEvent::new("a")]).await;
    assert_eq!(next(&mut second).await.unwrap(), (0, "a".to_owned()));
}

#[tokio::test]
async fn a_token_is_renewed_without_losing_the_link() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let lifetime = Duration::from_secs(5);
    let short = SasHubConfig { token_lifetime: lifetime, ..config(connection(stand_in.address, KEY)) };
    let mut reader = SasHub::new(short).unwrap().open("1", Start::Beginning, CREDIT).await.unwrap();
    // The first token ends in the meantime, and the stand-in would close the link.
    let waited = tokio::time::timeout(2 * lifetime, reader.next()).await;
    assert!(waited.is_err(), "{:?}", waited.map(|event| event.map_err(chain)));
    send(stand_in.address, &[NewEvent::new("a")]).await;
    assert_eq!(next(&mut reader).await.unwrap(), (0, "a".to_owned()));
}

#[tokio::test]
async fn a_signature_that_ends_ends_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let signing = connection(stand_in.address, KEY);
    let signed = |lifetime| {
        let token = signing.token(&signing.audience("devicedata"), SystemTime::now(), lifetime).token;
        let token = secrecy::ExposeSecret::expose_secret(&token).to_owned();
        let text = format!("Endpoint=sb://{};SharedAccessSignature={token}", stand_in.address);
        format!("{text};UseDevelopmentEmulator=true;EntityPath=devicedata").parse().unwrap()
    };
    let hub = SasHub::new(config(signed(Duration::from_secs(5)))).unwrap();
    let mut reader = hub.open("1", Start::Beginning, CREDIT).await.unwrap();
    let error = chain(next(&mut reader).await.unwrap_err());
    assert!(error.ends_with("`amqp:unauthorized-access`, the token has ended"), "{error}");
    let hub = SasHub::new(config(signed(Duration::ZERO))).unwrap();
    let error = error_chain(&hub.open("1", Start::Beginning, CREDIT).await.unwrap_err());
    assert_eq!(error, "the input hub is away: the shared access signature of the connection string has ended");
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_away_in_time() {
    // Accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let config = SasHubConfig { step_timeout: Duration::from_millis(200), ..config(connection(address, KEY)) };
    let hub = SasHub::new(config).unwrap();
    let error = tokio::time::timeout(WAIT, hub.partitions()).await.expect("an answer in time").unwrap_err();
    assert_eq!(error_chain(&error), "the input hub is away: the hub did not answer in time while connecting");
    drop(silent);
    let error = error_chain(&hub.partitions().await.unwrap_err());
    assert!(error.starts_with(&format!("the input hub is away: `{address}` cannot be reached")), "{error}");
}

/// What is on its way or waits in a reader is counted on the wire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_stays_within_the_budget() {
    const EVENTS: usize = 40;
    const EVENT_BYTES: usize = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let stand_in = start(folder.path());
    let events: Vec<NewEvent> = (0..EVENTS).map(|_| NewEvent::new(vec![b'x'; EVENT_BYTES])).collect();
    send(stand_in.address, &events).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let proxy = CountingProxy::start(stand_in.address, taken.clone()).await;
    let hub = SasHub::new(config(connection(proxy.address, KEY))).unwrap();
    let mut reader = hub.open("1", Start::Beginning, CREDIT).await.unwrap();
    let mut bytes = proxy.bytes.clone();
    for event in 0..EVENTS {
        // All that it may send so far has come; with more credit more would have.
        let due = (event + 2).min(EVENTS) * EVENT_BYTES;
        tokio::time::timeout(WAIT, bytes.wait_for(|bytes| *bytes >= due)).await.unwrap().unwrap();
        assert_eq!(reader.next().await.unwrap().body.len(), EVENT_BYTES);
        taken.fetch_add(EVENT_BYTES, Ordering::SeqCst);
    }
    let most = proxy.in_flight_max.load(Ordering::SeqCst);
    // Beside the four a fifth may just have been taken; frames and handshakes are small.
    assert!(most < 5 * EVENT_BYTES + EVENT_BYTES / 2, "{most} bytes were in flight");
}

struct CountingProxy {
    address: SocketAddr,
    /// All that went to clients.
    bytes: watch::Receiver<usize>,
    in_flight_max: Arc<AtomicUsize>,
}

impl CountingProxy {
    async fn start(behind: SocketAddr, taken: Arc<AtomicUsize>) -> CountingProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, bytes) = watch::channel(0);
        let in_flight_max = Arc::new(AtomicUsize::new(0));
        let most = in_flight_max.clone();
        tokio::spawn(async move {
            let (client, _) = listener.accept().await?;
            let server = TcpStream::connect(behind).await?;
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = from_server.read(&mut buffer).await?;
                if read == 0 {
                    return Ok::<(), io::Error>(());
                }
                count.send_modify(|bytes| *bytes += read);
                let sent = *count.borrow();
                most.fetch_max(sent.saturating_sub(taken.load(Ordering::SeqCst)), Ordering::SeqCst);
                to_client.write_all(&buffer[..read]).await?;
            }
        });
        CountingProxy { address, bytes, in_flight_max }
    }
}
