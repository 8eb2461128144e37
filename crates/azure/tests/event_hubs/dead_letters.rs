//! Dead letters.

use azure::credentials::CredentialSettings;
use azure::dead_letter_hub::read_letters;
use azure::event_hubs::{HubConfig, HubProducer};
use azure::{DeadLetterHub, SdkHub};
use delivery::{DeadLetter, DeadLetters};
use local::event_hubs::SharedAccessKeys;
use simulator::contract::letter;

use crate::stand_in::StandIn;

fn config(stand_in: &StandIn) -> HubConfig {
    let endpoint = format!("amqp://{}", stand_in.address).parse().unwrap();
    HubConfig { custom_endpoint: Some(endpoint), ..HubConfig::new("test.servicebus.windows.net", "letters") }
}

fn letters(stand_in: &StandIn) -> (DeadLetterHub, SdkHub) {
    let producer = HubProducer::new(config(stand_in), &CredentialSettings::Development).unwrap();
    let hub = SdkHub::new(config(stand_in), "$Default", &CredentialSettings::Development);
    (DeadLetterHub::new(producer), hub.unwrap())
}

/// Recorded twice, as with a batch that is given again, each is there once for
/// whoever reads.
#[tokio::test]
async fn a_letter_that_is_recorded_again_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path(), "letters", SharedAccessKeys::default());
    let (hub, reader) = letters(&stand_in);
    assert!(read_letters(&reader).await.unwrap().letters.is_empty());
    let all = [letter("0", 7, b"\xff"), letter("0", 8, b"b"), letter("1", 7, b"c")];
    for _ in 0..2 {
        hub.record(&all[..2]).await.unwrap();
        hub.record(&all[2..]).await.unwrap();
    }
    let read = read_letters(&reader).await.unwrap();
    let keys: Vec<_> = read.letters.keys().cloned().collect();
    let mut expected: Vec<_> = all.iter().map(DeadLetter::key).collect();
    expected.sort();
    assert_eq!((keys, read.others, read.repeats), (expected, 0, 3));
    let first = &read.letters[&all[0].key()];
    assert_eq!((first.body_bytes().as_deref(), first.sequence_number), (Some(&b"\xff"[..]), Some(7)));
}

#[tokio::test]
async fn a_letter_that_is_too_large_is_kept_without_its_event() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path(), "letters", SharedAccessKeys::default());
    let (hub, reader) = letters(&stand_in);
    let large = vec![b'x'; 900_000];
    let both = [letter("0", 7, &large), letter("0", 8, b"small")];
    hub.record(&both).await.unwrap();
    let read = read_letters(&reader).await.unwrap();
    let omitted: Vec<_> = both.iter().map(|letter| read.letters[&letter.key()].payload_omitted).collect();
    assert_eq!(omitted, [true, false]);
}

#[tokio::test]
async fn fails_when_the_hub_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(folder.path(), "letters", SharedAccessKeys::default());
    let config = HubConfig { tries: 1, ..config(&stand_in) };
    drop(stand_in);
    let hub = DeadLetterHub::new(HubProducer::new(config, &CredentialSettings::Development).unwrap());
    let failed = hub.record(&[letter("0", 7, b"a")]).await;
    assert_eq!(failed.map_err(|away| away.to_string()), Err("the dead-letter hub is away".to_owned()));
}
