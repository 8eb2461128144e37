//! Dead letters as events of a hub.
//!
//! Each event is a letter in the form of [`delivery::stored_letter`] and
//! carries its key as message id and as the application property `key`. A hub
//! cannot refuse what it has already, so a letter that is recorded again is
//! there twice: whoever reads takes the first of each key, as
//! [`DeadLetterHubReader`] does.
//!
//! A letter that is larger than the hub takes is sent without body and
//! properties, and says so (`payloadOmitted`): it counts and names its event,
//! which has to be fetched from the hub that it came from. A container or a
//! folder has no such limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_core::credentials::TokenCredential;
use azure_messaging_eventhubs::{
    ConsumerClient, EventHubsError, OpenReceiverOptions, StartLocation, StartPosition,
    models::{MessageId, ReceivedEventData},
};
use delivery::{Away, DeadLetter, DeadLetters, StoredDeadLetter, Unfenced};
use expressions::UtcTime;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use crate::credentials::CredentialSettings;
use crate::event_hubs::{APPLICATION_ID, HubConfig, HubProducer, InvalidHub, SendError};
use crate::outgoing_event::PropertiedEvent;

const WHAT: &str = "the dead-letter hub";

/// The application property with a letter's key.
const KEY: &str = "key";

/// How long recording the letters of one call may take, tries included. What is
/// not there by then is given again with its batch.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// How long the hub may take for anything that a reader asks.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How many partitions are read at the same time.
const READERS_MAX: usize = 8;

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

/// A hub of dead letters, to be read.
pub struct DeadLetterHubReader {
    config: HubConfig,
    consumer_group: String,
    credential: Arc<dyn TokenCredential>,
}

impl std::fmt::Debug for DeadLetterHubReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterHubReader").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why letters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadHubError {
    /// The hub said no, or cannot be reached.
    #[error("the dead-letter hub cannot be read")]
    Hub(#[from] EventHubsError),
    /// The hub took too long.
    #[error("the dead-letter hub did not answer within {} s", ANSWER_LIMIT.as_secs())]
    TimedOut,
}

/// What a hub of dead letters holds.
#[derive(Debug, Default)]
pub struct HubLetters {
    /// The letters by key, of each the first.
    pub letters: BTreeMap<String, StoredDeadLetter>,
    /// Events that are no letters.
    pub others: usize,
}

impl DeadLetterHubReader {
    /// Reads as `consumer_group`. Connects to nothing yet.
    pub fn new(
        config: HubConfig,
        consumer_group: &str,
        credential: &CredentialSettings,
    ) -> Result<DeadLetterHubReader, InvalidHub> {
        config.check(credential)?;
        let credential =
            credential.credential().map_err(|error| InvalidHub::Credential { reason: error.to_string() })?;
        Ok(DeadLetterHubReader { config, consumer_group: consumer_group.to_owned(), credential })
    }

    /// Reads all letters that the hub still has, from the beginning of each
    /// partition to what is its end now.
    pub async fn read(&self) -> Result<HubLetters, ReadHubError> {
        let mut builder = ConsumerClient::builder()
            .with_application_id(APPLICATION_ID.to_owned())
            .with_consumer_group(self.consumer_group.clone());
        if let Some(endpoint) = &self.config.custom_endpoint {
            builder = builder.with_custom_endpoint(endpoint.to_string());
        }
        let opening = builder.open(&self.config.namespace, self.config.hub.clone(), self.credential.clone());
        let client = in_time(opening).await?;
        let partitions = in_time(client.get_eventhub_properties()).await?.partition_ids;
        let reads = partitions.into_iter().map(|partition| read_partition(&client, partition)).collect::<Vec<_>>();
        let read: Vec<HubLetters> = stream::iter(reads).buffered(READERS_MAX).try_collect().await?;
        let mut all = HubLetters::default();
        for HubLetters { letters, others } in read {
            for (key, letter) in letters {
                all.letters.entry(key).or_insert(letter);
            }
            all.others += others;
        }
        Ok(all)
    }
}

async fn read_partition(client: &ConsumerClient, partition: String) -> Result<HubLetters, ReadHubError> {
    let mut found = HubLetters::default();
    let properties = in_time(client.get_partition_properties(&partition)).await?;
    if properties.is_empty {
        return Ok(found);
    }
    let start = StartPosition { location: StartLocation::Earliest, inclusive: true };
    let options = OpenReceiverOptions { start_position: Some(start), ..Default::default() };
    let receiver = in_time(client.open_receiver_on_partition(partition, Some(options))).await?;
    let mut events = receiver.stream_events();
    let mut last = -1;
    while last < properties.last_enqueued_sequence_number {
        let Some(event) = in_time(events.try_next()).await? else { break };
        last = event.sequence_number().unwrap_or(i64::MAX);
        match letter(&event) {
            Some((key, letter)) => {
                found.letters.entry(key).or_insert(letter);
            }
            None => found.others += 1,
        }
    }
    Ok(found)
}

fn letter(event: &ReceivedEventData) -> Option<(String, StoredDeadLetter)> {
    let event = event.event_data();
    let key = match event.message_id()? {
        MessageId::String(key) => key.clone(),
        _ => return None,
    };
    Some((key, serde_json::from_slice(event.body()?).ok()?))
}

async fn in_time<T>(asked: impl Future<Output = Result<T, EventHubsError>>) -> Result<T, ReadHubError> {
    match timeout(ANSWER_LIMIT, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ReadHubError::TimedOut),
    }
}
