//! Mappings and dead letters in blobs, on Azurite.

use azure::{BlobPositions, CredentialSettings, DeadLetterBlobs, MappingBlob};
use delivery::away::error_chain;
use delivery::{
    Checkpoint, DeadLetter, DeadLetters, KeptProperties, Load, MappingSource, Parking, Position, Positions, Reason,
    Source, Stage,
};
use end_to_end::azurite::Azurite;
use end_to_end::process::free_port;
use expressions::UtcTime;
use url::Url;

fn load(source: &MappingBlob, known: Option<&str>) -> Result<Option<Load>, String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(source.load(known)).map_err(|away| delivery::away::error_chain(&away))
}

#[test]
fn a_mapping_blob_is_downloaded_only_when_it_changed() {
    let azurite = Azurite::start();
    let container = azurite.make("template");
    azurite.upload(&container, "devicecontent.json", "one");
    let source = MappingBlob::new(&container, "devicecontent.json", None).expect("a blob");
    let first = load(&source, None).expect("the storage is there").expect("something new");
    assert_eq!(first.text, b"one");
    assert_eq!(load(&source, Some(&first.version)), Ok(None));
    azurite.upload(&container, "devicecontent.json", "two");
    let second = load(&source, Some(&first.version)).expect("the storage is there").expect("something new");
    assert_eq!(second.text, b"two");
    assert_ne!(second.version, first.version);
}

#[test]
fn a_blob_that_is_not_there_is_named_without_the_sas() {
    let azurite = Azurite::start();
    let container = azurite.make("template");
    let source = MappingBlob::new(&container, "nope.json", None).expect("a blob");
    let error = load(&source, None).expect_err("there is no such blob");
    assert!(error.contains("the mapping blob is away") && error.contains("nope.json"), "{error}");
    assert!(!error.contains("sig=") && !format!("{source:?}").contains("sig="), "{error}");
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}

fn letter(sequence_number: i64, body: &[u8]) -> DeadLetter<'_> {
    let source = Source { hub: "devicedata".to_owned(), partition: "0".to_owned(), ..Source::default() };
    DeadLetter {
        stage: Stage::Normalize,
        reason: Reason::new("InvalidDataFormat", "not JSON"),
        mapping_version: "v1".to_owned(),
        position: Position { source, sequence_number: Some(sequence_number), index: 0, enqueued_time: UtcTime::MIN },
        measurement: 0,
        body,
        properties: KeptProperties::default(),
        system_properties: KeptProperties::default(),
    }
}

fn letters(container: &Url) -> DeadLetterBlobs {
    DeadLetterBlobs::new(container, &CredentialSettings::Development).expect("a container with a SAS")
}

/// The keys, and whether each was replayed.
async fn keys(letters: &DeadLetterBlobs) -> Vec<(String, bool)> {
    let keys = letters.keys("").await.expect("the storage is there");
    keys.into_iter().map(|key| (key.text, key.replayed)).collect()
}

#[test]
fn a_letter_is_kept_once_and_the_container_is_made_for_it() {
    let azurite = Azurite::start();
    let letters = letters(&azurite.container("letters"));
    let all: Vec<_> = (0..40).map(|number| letter(number, b"\xff")).collect();
    run(async {
        assert_eq!(keys(&letters).await, [], "a container that is not there has no letters");
        letters.record(&all).await.expect("stored");
        let first = letters.keys("normalize/devicedata/0/").await.expect("the storage is there");
        let read = letters.read(&first[7]).await.expect("a letter");
        letters.record(&all).await.expect("a repeat is no failure");
        assert_eq!(keys(&letters).await, all.iter().map(|letter| (letter.key(), false)).collect::<Vec<_>>());
        let again = letters.read(&first[7]).await.expect("a letter");
        assert_eq!(again, read, "the first stays, with the time of its recording");
        assert_eq!((read.sequence_number, read.body_bytes()), (Some(7), Some(vec![0xff])));
        assert_eq!(letters.keys("group-convert/").await, Ok(Vec::new()));
    });
}

#[test]
fn a_replayed_letter_stays_replayed() {
    let azurite = Azurite::start();
    let letters = letters(&azurite.container("letters"));
    let both = [letter(1, b"a"), letter(2, b"b")];
    run(async {
        letters.record(&both).await.expect("stored");
        letters.mark_replayed(&both[0].key()).await.expect("marked");
        letters.record(&both).await.expect("given again");
        assert_eq!(keys(&letters).await, [(both[0].key(), true), (both[1].key(), false)]);
    });
}

#[test]
fn what_is_parked_is_there_once_until_it_is_removed() {
    let azurite = Azurite::start();
    let parking = letters(&azurite.container("parked"));
    let both = [letter(2, b"a"), letter(1, b"b")];
    run(async {
        assert_eq!(parking.parked().await.expect("no container is nothing parked"), Vec::<String>::new());
        assert_eq!(parking.read_parked(&both[0].key()).await.expect("nothing"), None);
        parking.park(&both).await.expect("parked");
        let first = parking.read_parked(&both[0].key()).await.expect("read");
        parking.park(&both).await.expect("parked again");
        assert_eq!(parking.parked().await.expect("keys"), [both[1].key(), both[0].key()]);
        assert_eq!(parking.read_parked(&both[0].key()).await.expect("read"), first, "since it was parked first");
        for _ in 0..2 {
            parking.remove_parked(&both[0].key()).await.expect("removed, or gone already");
        }
        assert_eq!(parking.read_parked(&both[0].key()).await.expect("nothing"), None);
        assert_eq!(parking.parked().await.expect("keys"), [both[1].key()]);
    });
}

/// Nothing of the SAS gets into an error, wherever it comes from.
#[test]
fn what_cannot_be_stored_is_away_and_names_no_sas() {
    let azurite = Azurite::start();
    let refused = azurite.container("no such name").to_string().replace("sig=", "sig=x");
    let closed = format!("http://127.0.0.1:{}/a/letters?sig=s3cret", free_port());
    for container in [refused, closed] {
        let letters = letters(&Url::parse(&container).expect("an address"));
        let failed = run(letters.record(&[letter(1, b"a")])).map_err(|away| error_chain(&away));
        let error = failed.expect_err("it cannot be stored");
        assert!(error.starts_with("the dead-letter container is away: "), "{error}");
        assert!(!error.contains("sig=") && !error.contains("127.0.0.1"), "{error}");
    }
}

fn positions(container: &Url, hub: &str, group: &str) -> BlobPositions {
    let (namespace, hub) = ("ns1.servicebus.windows.net".to_owned(), hub.to_owned());
    let source = Source { namespace, hub, consumer_group: group.to_owned(), partition: String::new() };
    BlobPositions::new(container, &source, None).expect("names")
}

#[test]
fn positions_in_blobs_do_what_every_store_does() {
    let azurite = Azurite::start();
    let container = azurite.make("positions");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        simulator::contract::check_positions(&positions(&container, "hub", "$Default")).await;
        simulator::contract::check_forgetting(&positions(&container, "a", "g"), &positions(&container, "b", "g")).await;
    });
}

/// functions-eventhubs-keda.md 4.1 and 4.3.
#[test]
fn positions_lie_where_the_functions_host_and_keda_look_for_them() {
    let azurite = Azurite::start();
    let container = azurite.make("positions");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let checkpoint = Checkpoint { sequence_number: 41, offset: "4200".to_owned() };
    let written = runtime.block_on(positions(&container, "Hub1", "$Default").write_checkpoint("0", &checkpoint, None));
    assert!(written.expect("the storage is there").is_some());
    let answer = azurite.head(&container, "ns1.servicebus.windows.net/hub1/$default/checkpoint/0");
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(header("x-ms-meta-sequencenumber").as_deref(), Some("41"));
    assert_eq!(header("x-ms-meta-offset").as_deref(), Some("4200"));
    assert_eq!(header("content-length").as_deref(), Some("0"));
}
