//! Mappings and dead letters in blobs, on Azurite.

use std::process::Command;
use std::time::Duration;

use azure::{BlobPositions, CredentialSettings, DeadLetterBlobs, MappingBlob};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delivery::away::error_chain;
use delivery::{Checkpoint, DeadLetters, Load, MappingSource, Positions, Source};
use end_to_end::azurite::Azurite;
use end_to_end::poll::until;
use end_to_end::process::{Running, free_port};
use end_to_end::stack::{Setup, Stack};
use serde_json::json;
use settings::{Checks, HostStorageSettings};
use simulator::contract::{check_forgetting, check_parking, check_positions, letter};
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
    let all: Vec<_> = (0..40).map(|number| letter("0", number, b"\xff")).collect();
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
    let both = [letter("0", 1, b"a"), letter("0", 2, b"b")];
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
    run(check_parking(&parking));
}

/// Nothing of the SAS gets into an error, wherever it comes from.
#[test]
fn what_cannot_be_stored_is_away_and_names_no_sas() {
    let azurite = Azurite::start();
    let refused = azurite.container("no such name").to_string().replace("sig=", "sig=x");
    let closed = format!("http://127.0.0.1:{}/a/letters?sig=s3cret", free_port());
    for container in [refused, closed] {
        let letters = letters(&Url::parse(&container).expect("an address"));
        let failed = run(letters.record(&[letter("0", 1, b"a")])).map_err(|away| error_chain(&away));
        let error = failed.expect_err("it cannot be stored");
        assert!(error.starts_with("the dead-letter container is away: "), "{error}");
        assert!(!error.contains("sig=") && !error.contains("127.0.0.1"), "{error}");
    }
}

fn positions(container: &Url, hub: &str, group: &str) -> BlobPositions {
    read_by(container, hub, group, "normalize")
}

fn read_by(container: &Url, hub: &str, group: &str, reader: &'static str) -> BlobPositions {
    let (namespace, hub) = ("ns1.servicebus.windows.net".to_owned(), hub.to_owned());
    let source = Source { namespace, hub, consumer_group: group.to_owned(), partition: String::new() };
    BlobPositions::new(container, (&source, reader), None).expect("names")
}

#[test]
fn positions_in_blobs_do_what_every_store_does() {
    let azurite = Azurite::start();
    let container = azurite.container("positions");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        check_positions(&positions(&container, "hub", "$Default")).await;
        let other = read_by(&container, "internal", "g", "group-convert");
        let (a, b) = (positions(&container, "a", "g"), positions(&container, "b", "g"));
        check_forgetting(&a, &b, &other).await;
    });
}

/// functions-eventhubs-keda.md 4.1 and 4.3.
#[test]
fn positions_lie_where_the_functions_host_and_keda_look_for_them() {
    let azurite = Azurite::start();
    let container = azurite.container("positions");
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

const DEVICE_MAPPING: &str = r#"{ "templateType": "CollectionContent", "template": [
    { "templateType": "JsonPathContent", "template": {
        "typeName": "heartrate", "typeMatchExpression": "$..[?(@heartrate)]",
        "deviceIdExpression": "$.device", "patientIdExpression": "$.device", "timestampExpression": "$.at",
        "values": [ { "required": true, "valueExpression": "$.heartrate.bpm", "valueName": "hr" } ] } } ] }"#;

const FHIR_MAPPING: &str = r#"{ "templateType": "CollectionFhirTemplate", "template": [
    { "templateType": "CodeValueFhir", "template": {
        "typeName": "heartrate", "codes": [ { "code": "8867-4", "system": "http://loinc.org" } ],
        "value": { "valueType": "Quantity", "valueName": "hr", "unit": "count/min" } } } ] }"#;

/// Normalize beside the stack's own, with its letters in a container; gives its
/// address.
fn normalize(stack: &Stack, container: &Url) -> (Running, String) {
    let port = free_port();
    let mapping = stack.folder().join("devicecontent.json").display().to_string();
    let settings = [
        ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
        ("DeadLetters__BlobStorageContainerUri", container.to_string()),
        ("Template__DeviceContent", mapping),
        ("NormalizationEventHub__EventHubNamespaceFQDN", "localhost".to_owned()),
        ("NormalizationEventHub__EventHubName", "normalizeddata".to_owned()),
        ("NormalizationEventHub__AuthenticationType", "Development".to_owned()),
        ("NormalizationEventHub__CustomEndpoint", stack.event_hubs_address()),
    ];
    let mut command = Command::new(end_to_end::folder("IOTC_TEST_BIN", "storage").join("normalize"));
    let mut process = Running::start("normalize", command.env_clear().envs(settings));
    let address = format!("http://127.0.0.1:{port}");
    until("normalize answers", Duration::from_secs(30), || {
        process.check_running();
        reqwest::blocking::get(&address).ok()
    });
    (process, address)
}

/// One event, as the Functions host hands it over.
fn invocation(body: &str) -> serde_json::Value {
    let context = json!({
        "IsCheckpointingAfterInvocation": true, "FullyQualifiedNamespace": "localhost", "EventHubName": "devicedata",
        "ConsumerGroup": "$Default", "PartitionId": "0",
    });
    json!({
        "Data": { "events": json!([BASE64_STANDARD.encode(body)]).to_string() },
        "Metadata": {
            "TriggerPartitionContext": context,
            "PartitionContext": context,
            "PartitionKeyArray": "[null]",
            "OffsetArray": "[\"0\"]",
            "SequenceNumberArray": "[7]",
            "EnqueuedTimeUtcArray": "[\"2026-11-20T12:00:00.123\"]",
            "PropertiesArray": "[{}]",
            "SystemPropertiesArray": "[{}]",
        },
    })
}

#[test]
fn letters_in_a_container_are_replayed_from_there() {
    let azurite = Azurite::start();
    let mut stack = Setup::with_mappings(DEVICE_MAPPING, FHIR_MAPPING).start();
    let container = azurite.container("letters");
    let (_normalize, address) = normalize(&stack, &container);
    let event = invocation(r#"{"device":"d1","at":"2020-11-01T12:00:00Z","heartrate":78}"#);
    // Given again, as after a crash, its rejection is no second letter.
    for _ in 0..2 {
        let post = reqwest::blocking::Client::new().post(format!("{address}/normalize")).json(&event).send();
        assert_eq!(post.expect("an answer").status(), 200);
    }
    let place = ["--container", container.as_str()];
    let list = |stack: &Stack, more: &[&str]| {
        let (done, printed) = stack.iotc(&[&["dead-letters", "list"], &place[..], more].concat());
        assert!(done && !printed.contains("sig="), "{printed}");
        printed.lines().filter(|line| !line.starts_with(' ')).count()
    };
    assert_eq!(list(&stack, &["--reason", "IncompatibleData", "--first", "7"]), 1);

    let better = DEVICE_MAPPING.replace("$.heartrate.bpm", "$.heartrate");
    std::fs::write(stack.folder().join("devicecontent.json"), better).expect("written");
    let endpoint = stack.event_hubs_address();
    let target = ["--internal-hub", "normalizeddata", "--internal-namespace", "localhost"];
    let access = ["--internal-authentication", "Development", "--internal-endpoint", &endpoint];
    let command = ["dead-letters", "replay", "--device-mapping", "devicecontent.json"];
    let replay = [&command[..], &place, &target, &access].concat();
    let (done, printed) = stack.iotc(&replay);
    assert!(done && printed.contains("events 1 = 1 replayed"), "{printed}");
    let observations = stack.wait_for_an_observation();
    assert_eq!((list(&stack, &[]), list(&stack, &["--replayed"])), (0, 1));
    let (done, printed) = stack.iotc(&[&replay[..], &["--replayed"]].concat());
    assert!(done && printed.contains("events 1 = 1 replayed"), "{printed}");
    stack.wait_for_measurements(2);
    assert_eq!(stack.fhir().observations(), observations);
}

/// design.md D13, in the Functions front.
#[test]
fn the_fence_of_an_invocation_holds_as_long_as_the_host_owns_the_partition() {
    let azurite = Azurite::start();
    let container = azurite.make("azure-webjobs-eventhub");
    let mut service = container.clone();
    service.path_segments_mut().expect("a path").pop();
    let pairs = [("AzureWebJobsStorage__blobServiceUri".to_owned(), service.to_string())];
    let settings: HostStorageSettings = settings::read(pairs.into_iter()).expect("settings");
    let mut checks = Checks::default();
    let ownership = settings.check(&mut checks);
    let source = Source {
        namespace: "NS1.servicebus.windows.net".to_owned(),
        hub: "normalizeddata".to_owned(),
        consumer_group: "$Default".to_owned(),
        partition: "0".to_owned(),
    };
    let host = positions(&container, "normalizeddata", "$default");
    run(async {
        let version = host.claim("0", Some("host a"), None).await.expect("written").expect("nobody had it");
        let fence = ownership.fence(&source).await.expect("the storage is there");
        assert_eq!(fence.confirm().await.ok(), Some(true));
        let renewed = host.claim("0", Some("host a"), Some(&version)).await.expect("written");
        assert_eq!(fence.confirm().await.ok(), Some(true), "a renewal is no change");
        host.claim("0", Some("host b"), renewed.as_ref()).await.expect("written").expect("as expected");
        assert_eq!(fence.confirm().await.ok(), Some(false));
    });
}

#[test]
fn a_fate_is_told_by_letters_and_checkpoint() {
    let azurite = Azurite::start();
    let (container, checkpoints) = (azurite.container("letters"), azurite.make("azure-webjobs-eventhub"));
    let checkpoint = Checkpoint { sequence_number: 41, offset: String::new() };
    run(async {
        letters(&container).record(&[letter("0", 40, b"mark4711")]).await.expect("stored");
        let positions = positions(&checkpoints, "devicedata", "$Default");
        positions.write_checkpoint("0", &checkpoint, None).await.expect("the storage is there");
    });
    let fate = |sequence: &str| {
        let mut iotc = Command::new(end_to_end::folder("IOTC_TEST_BIN", "storage").join("iotc"));
        iotc.args(["fate", "--partition", "0", "--sequence", sequence, "--event-hub", "DeviceData"]);
        iotc.args(["--event-namespace", "ns1.servicebus.windows.net", "--event-consumer-group", "$Default"]);
        iotc.args(["--checkpoints", checkpoints.as_str(), "--container", container.as_str()]);
        let output = iotc.output().expect("iotc");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let rejected = fate("40");
    assert!(rejected.starts_with("rejected; the checkpoint is at 41\n"), "{rejected}");
    assert!(rejected.contains("InvalidDataFormat: not JSON") && rejected.contains("mapping v1"), "{rejected}");
    assert_eq!(fate("41"), "worked through: normalized or unmatched; the checkpoint is at 41\n");
    assert_eq!(fate("42"), "not yet; the checkpoint is at 41\n");
}
