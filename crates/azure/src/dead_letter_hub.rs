//! Dead letters as events of a hub.
//!
//! Each event is a letter in the form of [`delivery::stored_letter`] and
//! carries its key as message id and as the application property `key`. A hub
//! cannot refuse what it has already, so a letter that is recorded again is
//! there twice: whoever reads takes the first of each key, as
//! [`read_letters`] does.
//!
//! A letter that is larger than the hub takes is sent without body and
//! properties, and says so (`payloadOmitted`): it counts and names its event,
//! which has to be fetched from the hub that it came from. A container or a
//! folder has no such limit.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, SystemTime};

use delivery::{
    Away, DeadLetter, DeadLetters, Hub, HubEvent, Property, ReadError, Reader, Start, StoredDeadLetter, Unfenced,
};
use expressions::UtcTime;
use tokio::time::timeout;

use crate::event_hubs::{HubProducer, SendError};
use crate::outgoing_event::PropertiedEvent;

const WHAT: &str = "the dead-letter hub";

/// The application property with a letter's key.
const KEY: &str = "key";

/// How long recording the letters of one call may take, tries included. What is
/// not there by then is given again with its batch.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// How long the next event of a partition that is not at its end may take.
const EVENT_LIMIT: Duration = Duration::from_secs(30);

/// How many letters may be on their way to who reads them; one has 1 MiB at the
/// most.
const LETTERS_ON_THEIR_WAY: usize = 64;

/// A hub of dead letters, to be written to.
#[derive(Debug)]
pub struct DeadLetterHub {
    producer: HubProducer,
}

impl DeadLetterHub {
    /// The letters in the hub of `producer`.
    pub fn new(producer: HubProducer) -> DeadLetterHub {
        DeadLetterHub { producer }
    }

    async fn send(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        let Some(first) = letters.first() else { return Ok(()) };
        // Those of one batch come from one partition and stay together.
        let partition_key = &first.position.source.partition;
        let recorded = UtcTime::from(SystemTime::now());
        let letters: Vec<(String, StoredDeadLetter)> =
            letters.iter().map(|letter| (letter.key(), StoredDeadLetter::new(letter, recorded))).collect();
        let too_large = self.send_stored(partition_key, &letters).await?;
        if too_large.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            letters = too_large.len(),
            "Dead letters are larger than their hub takes and were stored without their events; \
             a blob container has no such limit"
        );
        let letters: Vec<_> = too_large
            .into_iter()
            .map(|index| (letters[index].0.clone(), letters[index].1.clone().without_payload()))
            .collect();
        match self.send_stored(partition_key, &letters).await?.as_slice() {
            [] => Ok(()),
            // Names and a message fill no hundred kilobytes.
            _ => Err(Away::new(WHAT, "a dead letter is larger than the hub takes, even without its event")),
        }
    }

    /// Gives the indexes of those that are too large; all others are stored.
    async fn send_stored(
        &self,
        partition_key: &str,
        letters: &[(String, StoredDeadLetter)],
    ) -> Result<Vec<usize>, Away> {
        let texts = letters.iter().map(|(_, letter)| serde_json::to_vec(letter)).collect::<Result<Vec<_>, _>>();
        let texts = texts.map_err(|error| Away::new(WHAT, error))?;
        let events: Vec<_> = letters
            .iter()
            .zip(&texts)
            .map(|((key, _), text)| {
                PropertiedEvent::new(text).message_id(key).content_type("application/json").property(KEY, key.as_str())
            })
            .collect();
        let sent = self.producer.send(partition_key, &events, &Unfenced).await;
        sent.map(|sent| sent.too_large).map_err(|error: SendError| Away::new(WHAT, error))
    }
}

impl DeadLetters for DeadLetterHub {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        match timeout(TIME_LIMIT, self.send(letters)).await {
            Ok(done) => done,
            Err(_) => Err(Away::new(WHAT, format!("not all letters were stored within {} s", TIME_LIMIT.as_secs()))),
        }
    }
}

/// What a hub of dead letters holds.
#[derive(Debug, Default)]
pub struct HubLetters {
    /// The letters by key, of each the first.
    pub letters: BTreeMap<String, StoredDeadLetter>,
    /// Letters that were there already.
    pub repeats: usize,
    /// Events that are no letters.
    pub others: usize,
}

impl HubLetters {
    fn add(&mut self, event: &HubEvent) {
        let key = event.properties.iter().find_map(|(name, value)| match value {
            Property::String(key) if name == KEY => Some(key.clone()),
            _ => None,
        });
        let letter = serde_json::from_slice(&event.body);
        match key.zip(letter.ok()) {
            None => self.others += 1,
            Some((key, letter)) => match self.letters.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(letter);
                }
                Entry::Occupied(_) => self.repeats += 1,
            },
        }
    }
}

/// Reads all letters that a hub still has, from the beginning of each partition
/// to what is its end now.
pub async fn read_letters(hub: &impl Hub) -> Result<HubLetters, ReadError> {
    let mut found = HubLetters::default();
    for partition in hub.partitions().await? {
        let bounds = hub.bounds(&partition).await?;
        if bounds.first > bounds.last {
            continue;
        }
        let mut reader = hub.open(&partition, Start::Beginning, LETTERS_ON_THEIR_WAY).await?;
        loop {
            let event = timeout(EVENT_LIMIT, reader.next()).await;
            let event = event.map_err(|_| Away::new(WHAT, "an event that is there does not come"))??;
            found.add(&event);
            if event.sequence_number >= bounds.last {
                break;
            }
        }
    }
    Ok(found)
}
