//! `iotc dead-letters replay`: gives rejected events again.
//!
//! ```text
//! letter of normalize     --device mapping, here--> measurements --> internal hub
//! letter of group-convert --its event as it was-------------------> internal hub
//! ```
//!
//! Everything is sent with the mark of a replay, so it fills gaps and
//! overwrites nothing (design.md D7): to do it twice changes nothing. A letter
//! whose events the hub has accepted no longer waits; one that fails again
//! stays as it is.

mod target;

use std::process::ExitCode;

use anyhow::Context;
use delivery::stored_letter::LetterKey;
use delivery::{EventFate, Stage, StoredDeadLetter};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::target::{Target, TargetArguments};
use super::filter::Filter;
use super::place::{Place, PlaceArguments, READ_AT_ONCE};
use crate::output;

/// How many events are given at once, and about how many bytes: as much as a
/// window of the functions has.
const EVENTS_MAX: usize = 100;
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Arguments of `iotc dead-letters replay`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Say what would become of each event, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON object for each event, one a line, and one with the counts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    target: TargetArguments,
}

/// An event and all the letters that are about it.
pub struct Event {
    keys: Vec<LetterKey>,
    letter: StoredDeadLetter,
}

/// How the replay of an event ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// The hub has it.
    Replayed {
        /// How many events were sent for it: its measurements, or itself again.
        sent: usize,
    },
    /// It fails again.
    Rejected {
        /// The stable code.
        reason: String,
        /// What is wrong.
        message: String,
    },
    /// No template matches it any more.
    Unmatched,
    /// The letter has no event.
    Impossible,
}

impl From<EventFate> for Outcome {
    fn from(fate: EventFate) -> Outcome {
        match fate {
            EventFate::Normalized { measurements } => Outcome::Replayed { sent: measurements },
            EventFate::Unmatched => Outcome::Unmatched,
            EventFate::Rejected { reason, .. } => {
                Outcome::Rejected { reason: reason.code.into_owned(), message: reason.message }
            }
        }
    }
}

/// How many events ended how.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    events: usize,
    replayed: usize,
    rejected: usize,
    unmatched: usize,
    impossible: usize,
    /// Events that the internal hub got, or would get.
    sent: usize,
}

/// Replays the letters that fit; fails when one does not get through.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let place = arguments.place.open().await?;
    let keys = arguments.filter.keys(&place).await?;
    let normalizes = keys.iter().any(|key| key.parts().is_some_and(|key| key.stage == Stage::Normalize.as_str()));
    let target = Target::open(&arguments.target, normalizes, arguments.dry_run).await?;
    let bar = ProgressBar::new(keys.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} letters, {eta} left")?);
    let mut replay = Replay { arguments: &arguments, place, target, bar, counts: Counts::default() };
    let done = replay.all(&keys).await;
    replay.bar.finish_and_clear();
    replay.report()?;
    done?;
    let Counts { events, replayed, .. } = replay.counts;
    Ok(if replayed == events { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Replay<'a> {
    arguments: &'a Arguments,
    place: Place,
    target: Target,
    /// Shown on a terminal only.
    bar: ProgressBar,
    counts: Counts,
}

impl Replay<'_> {
    async fn all(&mut self, keys: &[LetterKey]) -> anyhow::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        let mut bytes = 0;
        for keys in keys.chunks(READ_AT_ONCE) {
            for (key, letter) in keys.iter().zip(self.place.read_some(keys).await?) {
                if !self.arguments.filter.fits(&letter) {
                    self.bar.inc(1);
                    continue;
                }
                self.target.check(&letter)?;
                // The letters of one event stand side by side.
                if let Some(last) = events.last_mut()
                    && last.is_of(key)
                {
                    last.keys.push(key.clone());
                    continue;
                }
                if events.len() == EVENTS_MAX || bytes >= BYTES_MAX {
                    self.some(std::mem::take(&mut events)).await?;
                    bytes = 0;
                }
                bytes += letter.body.len();
                events.push(Event { keys: vec![key.clone()], letter });
            }
        }
        self.some(events).await
    }

    /// Gives some events and takes note of how each ended.
    async fn some(&mut self, events: Vec<Event>) -> anyhow::Result<()> {
        let outcomes = self.target.replay(&events).await.context("the events that were left are as they were")?;
        for (event, outcome) in events.iter().zip(outcomes) {
            let is_sent = matches!(outcome, Outcome::Replayed { .. }) && !self.arguments.dry_run;
            for key in event.keys.iter().filter(|key| is_sent && !key.replayed) {
                self.place.mark_replayed(&key.text).await?;
            }
            self.bar.inc(event.keys.len() as u64);
            self.count(event, &outcome)?;
        }
        Ok(())
    }

    fn count(&mut self, event: &Event, outcome: &Outcome) -> anyhow::Result<()> {
        self.counts.events += 1;
        match outcome {
            Outcome::Replayed { sent } => {
                self.counts.replayed += 1;
                self.counts.sent += sent;
            }
            Outcome::Rejected { .. } => self.counts.rejected += 1,
            Outcome::Unmatched => self.counts.unmatched += 1,
            Outcome::Impossible => self.counts.impossible += 1,
        }
        let shown = if self.arguments.json { Some(event.json(outcome)?) } else { event.text(outcome) };
        match shown {
            Some(text) => Ok(self.bar.suspend(|| output::print(&text))?),
            None => Ok(()),
        }
    }

    fn report(&self) -> anyhow::Result<()> {
        if self.arguments.json {
            return Ok(output::print(&serde_json::to_string(&self.counts)?)?);
        }
        let Counts { events, replayed, rejected, unmatched, impossible, sent } = self.counts;
        let did = if self.arguments.dry_run { "would be replayed" } else { "replayed" };
        Ok(output::print(&format!(
            "events {events} = {replayed} {did} + {rejected} rejected again + {unmatched} unmatched \
             + {impossible} without their event\nsent   {sent} to the internal hub"
        ))?)
    }
}

impl Event {
    fn is_of(&self, key: &LetterKey) -> bool {
        let event = |key: &LetterKey| key.parts().map(|parts| (parts.stage.to_owned(), parts.identity.to_owned()));
        self.keys.last().is_some_and(|last| event(last).is_some() && event(last) == event(key))
    }

    fn json(&self, outcome: &Outcome) -> anyhow::Result<String> {
        let mut shown = serde_json::to_value(outcome)?;
        shown["keys"] = self.keys.iter().map(|key| key.text.clone()).collect();
        Ok(shown.to_string())
    }

    /// What a person has to know: of what got through, the count is enough.
    fn text(&self, outcome: &Outcome) -> Option<String> {
        let why = match outcome {
            Outcome::Replayed { .. } => return None,
            Outcome::Rejected { reason, message } => format!("{reason}: {message}"),
            Outcome::Unmatched => "no template of the device mapping matches it".to_owned(),
            Outcome::Impossible => "its event was left out, since it was too large for its place".to_owned(),
        };
        let keys: Vec<&str> = self.keys.iter().map(|key| key.text.as_str()).collect();
        Some(format!("{}\n  {why}", keys.join("\n")))
    }
}
