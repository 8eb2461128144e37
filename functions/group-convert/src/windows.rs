//! Cuts what the Functions host gives into the windows that the native front
//! would have cut, and knows which may have been begun before.
//!
//! ```text
//! Batch --cut--> windows, each: its limits stored --> worked on
//! ```
//!
//! Where the app settings name no place for the limits of windows nothing is
//! kept beyond the process: the first batch of each partition, and each that
//! does not follow upon the last one that was finished here, may have been begun
//! before.
//!
//! The host does not say when a partition was another's in between. A batch
//! that does not follow upon the last one begins another term.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use delivery::window::Why;
use delivery::{Away, Batch, BatchEvent, Source, Window, WindowLog};
use expressions::UtcTime;
use settings::{EitherPositions, PositionOptions};

use crate::function::NAME;

/// The windows of all partitions.
#[derive(Debug)]
pub struct Windows {
    options: PositionOptions,
    partitions: Mutex<HashMap<Source, Partition>>,
    terms: AtomicU64,
}

/// What is known of a partition.
#[derive(Debug, Default)]
struct Partition {
    /// The last sequence number that was finished.
    finished: Option<i64>,
    term: u64,
    stored: Option<(EitherPositions, WindowLog)>,
}

/// The partition of a batch that is being worked on. Unless it is
/// [finished](Turns::finish), the next batch may have been begun before.
#[derive(Debug)]
pub struct Turns<'w> {
    windows: &'w Windows,
    source: Source,
    finished: Option<i64>,
    term: u64,
    stored: Option<(EitherPositions, WindowLog)>,
}

/// The turn of a window.
#[derive(Clone, Copy, Debug)]
pub struct WindowTurn {
    /// Since when it may have been begun before.
    pub begun_before: Option<SystemTime>,
    /// Of which term it is.
    pub term: u64,
}

impl Windows {
    /// Nothing is known yet.
    pub fn new(options: PositionOptions) -> Windows {
        Windows { options, partitions: Mutex::default(), terms: AtomicU64::new(0) }
    }

    /// To be called before a batch is worked on.
    pub async fn begin(&self, source: &Source) -> Result<Turns<'_>, Away> {
        // Taken out, so that a batch that fails leaves nothing behind.
        let Partition { finished, term, stored } = self.partitions().remove(source).unwrap_or_default();
        let stored = match (stored, &self.options.place) {
            (None, Some(place)) => {
                let positions = place.of(source, NAME).map_err(|error| Away::new("the checkpoint storage", error))?;
                let log = WindowLog::load(&positions, &source.partition).await?;
                Some((positions, log))
            }
            (stored, _) => stored,
        };
        Ok(Turns { windows: self, source: source.clone(), finished, term, stored })
    }

    fn partitions(&self) -> MutexGuard<'_, HashMap<Source, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns<'_> {
    /// Cuts a batch into windows.
    pub fn cut<'b>(&self, batch: &Batch<'b>) -> Vec<Batch<'b>> {
        let rules = self.windows.options.rules;
        let first = batch.events.first().and_then(|event| event.sequence_number);
        let log = self.stored.as_ref().map(|(_, log)| log);
        let mut window = Window::new(rules, first.zip(log).and_then(|(first, log)| log.resumed(first)));
        let mut closed = Vec::new();
        for event in &batch.events {
            closed.extend(window.push(*event, Duration::ZERO, rules.limit(1)));
        }
        closed.extend(window.stop(Why::Stop));
        let windows = closed.into_iter().map(|closed| closed.events).filter(|events| !events.is_empty());
        windows.map(|events| Batch { source: batch.source, events }).collect()
    }

    /// To be called before a window is worked on.
    pub async fn window(&mut self, window: &Batch<'_>, now: UtcTime) -> Result<WindowTurn, Away> {
        let number = |event: Option<&BatchEvent<'_>>| event.and_then(|event| event.sequence_number);
        let limits = number(window.events.first()).zip(number(window.events.last()));
        let follows = self.finished.zip(limits).is_some_and(|(last, (first, _))| last.checked_add(1) == Some(first));
        if !follows {
            self.term = self.windows.terms.fetch_add(1, Ordering::Relaxed) + 1;
        }
        // Until it is finished.
        self.finished = None;
        let begun_before = match (&mut self.stored, limits) {
            (Some((positions, log)), Some(limits)) => {
                log.begin(positions, &window.source.partition, limits, now).await?
            }
            _ if follows => None,
            _ => Some(oldest(window)),
        };
        Ok(WindowTurn { begun_before, term: self.term })
    }

    /// Everything of a window has its fate.
    pub fn finish_window(&mut self, window: &Batch<'_>) {
        self.finished = window.events.last().and_then(|event| event.sequence_number);
    }

    /// Everything of the batch has its fate.
    pub fn finish(self) {
        let Turns { windows, source, finished, term, stored } = self;
        windows.partitions().insert(source, Partition { finished, term, stored });
    }
}

/// When the oldest event reached the hub. A time before 1970 is no clock's.
fn oldest(batch: &Batch<'_>) -> SystemTime {
    let times = batch.events.iter().map(|event| event.enqueued_time.unix_milliseconds());
    let milliseconds = times.min().and_then(|time| u64::try_from(time).ok()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use delivery::WindowRules;
    use expressions::Properties;
    use settings::PositionPlace;

    use super::*;

    fn windows(folder: Option<&Path>, max_events: usize) -> Windows {
        let place = folder.map(|folder| PositionPlace::Folder(folder.to_owned()));
        let rules = WindowRules { max_events, ..WindowRules::default() };
        Windows::new(PositionOptions { place, rules, ..PositionOptions::default() })
    }

    /// What becomes of events with these sequence numbers, each enqueued as many
    /// milliseconds after 1970: the windows, each with since when it may have
    /// been begun before. With the window `fails` the batch fails.
    async fn work(windows: &Windows, partition: &str, numbers: &[i64], fails: Option<usize>) -> String {
        let name = |name: &str| name.to_owned();
        let source =
            Source { namespace: name("ns"), hub: name("h"), consumer_group: name("g"), partition: name(partition) };
        let events = numbers.iter().map(|number| BatchEvent {
            body: b"",
            properties: Properties::NONE,
            system_properties: Properties::NONE,
            sequence_number: Some(*number),
            enqueued_time: UtcTime::from_unix_milliseconds(*number).expect("a time"),
        });
        let batch = Batch { source: &source, events: events.collect() };
        let mut turns = windows.begin(&source).await.expect("the folder is there");
        let cut = turns.cut(&batch);
        let mut shown = Vec::new();
        for (index, window) in cut.iter().enumerate() {
            let now = UtcTime::from_unix_milliseconds(1_000_000).expect("a time");
            let begun = turns.window(window, now).await.expect("the folder is there").begun_before;
            let numbers: Vec<_> = window.events.iter().map(|event| event.sequence_number.unwrap_or(-1)).collect();
            let begun = begun.map(|time| time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis());
            shown.push(match begun {
                Some(begun) => format!("{numbers:?} since {begun}"),
                None => format!("{numbers:?}"),
            });
            if fails == Some(index) {
                return shown.join(", ");
            }
            turns.finish_window(window);
        }
        turns.finish();
        shown.join(", ")
    }

    #[tokio::test]
    async fn without_a_place_only_what_follows_upon_a_finished_batch_is_new_for_certain() {
        let windows = windows(None, 1000);
        let cases = [
            ("the first since the start", "0", &[40, 41][..], None, "[40, 41] since 40"),
            ("the next", "0", &[42], None, "[42]"),
            ("the first of another partition", "1", &[43], None, "[43] since 43"),
            ("it fails", "0", &[43, 44], Some(0), "[43, 44]"),
            ("it is given again", "0", &[43, 44], Some(0), "[43, 44] since 43"),
            ("and again", "0", &[43, 44], None, "[43, 44] since 43"),
            ("the next", "0", &[45], None, "[45]"),
            ("finished, and given again all the same", "0", &[45], None, "[45] since 45"),
            ("another process had the partition in between", "0", &[60], None, "[60] since 60"),
            ("the other partition went on", "1", &[44], None, "[44]"),
        ];
        for (name, partition, numbers, fails, expected) in cases {
            assert_eq!(work(&windows, partition, numbers, fails).await, expected, "{name}");
        }
    }

    /// design.md D4: in both fronts.
    #[tokio::test]
    async fn a_redelivery_is_cut_at_the_same_place_in_another_process_and_batch() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = windows(Some(folder.path()), 3);
        let numbers: Vec<i64> = (40..47).collect();
        assert_eq!(work(&first, "0", &numbers, Some(1)).await, "[40, 41, 42], [43, 44, 45]");
        // The host gives it again from where it stored its position, here after 42,
        // to a process with other limits.
        let second = windows(Some(folder.path()), 5);
        let expected = "[43, 44, 45] since 1000000, [46, 47, 48, 49, 50], [51]";
        assert_eq!(work(&second, "0", &(43..52).collect::<Vec<_>>(), None).await, expected);
    }

    /// design.md D13: what was seen of the server counts within one term only.
    #[tokio::test]
    async fn a_batch_that_does_not_follow_begins_another_term() {
        let windows = windows(None, 1000);
        let source = Source::default();
        let mut terms = Vec::new();
        for number in [40, 41, 42, 42, 43, 60] {
            let event = BatchEvent {
                body: b"",
                properties: Properties::NONE,
                system_properties: Properties::NONE,
                sequence_number: Some(number),
                enqueued_time: UtcTime::MIN,
            };
            let window = Batch { source: &source, events: vec![event] };
            let mut turns = windows.begin(&source).await.expect("nothing is stored");
            terms.push(turns.window(&window, UtcTime::MIN).await.expect("nothing is stored").term);
            turns.finish_window(&window);
            turns.finish();
        }
        assert_eq!(terms, [1, 1, 1, 2, 2, 3]);
    }
}
