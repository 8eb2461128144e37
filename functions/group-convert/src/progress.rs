//! What has been finished of each partition, to know when a batch may have been
//! begun before.
//!
//! ```text
//! Batch --begin--> none                      it follows upon the last one that was finished here
//!                  or the oldest event's time   nothing of it was written earlier
//! ```
//!
//! A batch is given again after a failure, a crash, or a move of its partition,
//! and what was half done then has to be looked at (design.md D6). Nothing is
//! kept beyond the process: for the first batch of each partition nobody knows.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use delivery::Batch;

/// For each hub and partition the last sequence number that was finished.
#[derive(Debug, Default)]
pub struct Progress {
    finished: Mutex<HashMap<(String, String), i64>>,
}

impl Progress {
    /// To be called before a batch is worked on; gives since when it may have
    /// been begun before. Until [`Progress::finish`] its partition counts as
    /// unfinished.
    pub fn begin(&self, batch: &Batch<'_>) -> Option<SystemTime> {
        let last = self.finished().remove(&partition(batch));
        let first = batch.events.first()?.sequence_number;
        let follows = last.zip(first).is_some_and(|(last, first)| last.checked_add(1) == Some(first));
        if follows { None } else { Some(oldest(batch)) }
    }

    /// Everything of the batch has its fate.
    pub fn finish(&self, batch: &Batch<'_>) {
        if let Some(last) = batch.events.last().and_then(|event| event.sequence_number) {
            self.finished().insert(partition(batch), last);
        }
    }

    fn finished(&self) -> MutexGuard<'_, HashMap<(String, String), i64>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn partition(batch: &Batch<'_>) -> (String, String) {
    (batch.source.hub.clone(), batch.source.partition.clone())
}

/// When the oldest event reached the hub. A time before 1970 is no clock's.
fn oldest(batch: &Batch<'_>) -> SystemTime {
    let times = batch.events.iter().map(|event| event.enqueued_time.unix_milliseconds());
    let milliseconds = times.min().and_then(|time| u64::try_from(time).ok()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use delivery::{BatchEvent, Source};
    use expressions::{Properties, UtcTime};

    /// Events with these sequence numbers, each enqueued as many milliseconds
    /// after 1970.
    fn begin(progress: &Progress, partition: &str, numbers: &[i64], finish: bool) -> Option<u128> {
        let source = Source { hub: "h".to_owned(), partition: partition.to_owned(), ..Source::default() };
        let events = numbers.iter().map(|number| BatchEvent {
            body: b"",
            properties: Properties::NONE,
            system_properties: Properties::NONE,
            sequence_number: Some(*number),
            enqueued_time: UtcTime::from_unix_milliseconds(*number).unwrap(),
        });
        let batch = Batch { source: &source, events: events.collect() };
        let begun = progress.begin(&batch);
        if finish {
            progress.finish(&batch);
        }
        begun.map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis())
    }

    #[test]
    fn only_what_follows_upon_a_finished_batch_is_new_for_certain() {
        let progress = Progress::default();
        let cases = [
            ("the first since the start", "0", &[40, 41][..], true, Some(40)),
            ("the next", "0", &[42], true, None),
            ("the first of another partition", "1", &[43], true, Some(43)),
            ("it fails", "0", &[43, 44], false, None),
            ("it is given again", "0", &[43, 44], false, Some(43)),
            ("and again", "0", &[43, 44], true, Some(43)),
            ("the next", "0", &[45], true, None),
            ("finished, and given again all the same", "0", &[45], true, Some(45)),
            ("another process had the partition in between", "0", &[60], true, Some(60)),
            ("the other partition went on", "1", &[44], true, None),
        ];
        for (name, partition, numbers, finish, expected) in cases {
            assert_eq!(begin(&progress, partition, numbers, finish), expected, "{name}");
        }
    }
}
