//! `iotc dead-letters list`.

use std::fmt;
use std::process::ExitCode;

use delivery::stored_letter::LetterKey;
use delivery::{Stage, StoredDeadLetter};
use serde::Serialize;

use super::filter::Filter;
use super::place::{PlaceArguments, READ_AT_ONCE};
use crate::output;

/// Arguments of `iotc dead-letters list`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON object for each letter, one a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    filter: Filter,
}

/// What may be said of a letter: nothing that its event holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    key: String,
    replayed: bool,
    stage: Stage,
    /// The stable code of the reason.
    pub reason: String,
    message: String,
    mapping_version: String,
    namespace: String,
    hub: String,
    consumer_group: String,
    partition: String,
    sequence_number: Option<i64>,
    measurement: usize,
    enqueued_time: String,
    recorded_time: String,
    /// None when the event was left out, since it was too large for its place.
    body_bytes: Option<usize>,
}

impl Listed {
    /// What may be said of this letter.
    pub fn new(key: &LetterKey, letter: &StoredDeadLetter) -> Listed {
        Listed {
            key: key.text.clone(),
            replayed: key.replayed,
            stage: letter.stage,
            reason: letter.reason.clone(),
            message: letter.message.clone(),
            mapping_version: letter.mapping_version.clone(),
            namespace: letter.namespace.clone(),
            hub: letter.hub.clone(),
            consumer_group: letter.consumer_group.clone(),
            partition: letter.partition.clone(),
            sequence_number: letter.sequence_number,
            measurement: letter.measurement,
            enqueued_time: letter.enqueued_time.clone(),
            recorded_time: letter.recorded_time.clone(),
            body_bytes: letter.body_bytes().map(|body| body.len()),
        }
    }
}

/// Several lines, the first with the key.
impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replayed = if self.replayed { "  (replayed)" } else { "" };
        writeln!(f, "{}{replayed}", self.key)?;
        writeln!(f, "  {}: {}", self.reason, self.message)?;
        write!(f, "  received {}", self.enqueued_time)?;
        if !self.recorded_time.is_empty() {
            write!(f, ", rejected {}", self.recorded_time)?;
        }
        write!(f, ", mapping {}", self.mapping_version)?;
        match self.body_bytes {
            Some(bytes) => write!(f, ", {bytes} bytes"),
            None => write!(f, ", without its event: it was too large for its place"),
        }
    }
}

/// Prints the letters that fit, and how many they are.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let place = arguments.place.open().await?;
    let mut count = 0;
    for keys in arguments.filter.keys(&place).await?.chunks(READ_AT_ONCE) {
        for (key, letter) in keys.iter().zip(place.read_some(keys).await?) {
            if !arguments.filter.fits(&letter) {
                continue;
            }
            count += 1;
            let listed = Listed::new(key, &letter);
            if arguments.json {
                output::print(&serde_json::to_string(&listed)?)?;
            } else {
                output::print(&listed)?;
            }
        }
    }
    if !arguments.json {
        eprintln!("{count} dead {}", if count == 1 { "letter" } else { "letters" });
    }
    Ok(ExitCode::SUCCESS)
}
