//! What this package's tests stand on: dependencies that are a list.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use expressions::{Properties, UtcTime};

use crate::away::Away;
use crate::batch::{Batch, BatchEvent, Source};
use crate::current_mapping::Compiled;
use crate::dead_letter::{DeadLetter, DeadLetters};

/// Runs a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waited"),
    }
}

/// A batch of partition 3 with these bodies, from sequence number 40 on.
pub(crate) fn batch<'b>(source: &'b Source, bodies: &'b [&str]) -> Batch<'b> {
    let events = bodies.iter().enumerate().map(|(index, body)| BatchEvent {
        body: body.as_bytes(),
        properties: Properties::NONE,
        system_properties: Properties::NONE,
        sequence_number: Some(40 + index as i64),
        enqueued_time: UtcTime::from_unix_milliseconds(1_604_232_000_000).expect("a time"),
    });
    Batch { source, events: events.collect() }
}

/// A mapping with version `v1`.
pub(crate) fn compiled<M>(mapping: M) -> Compiled<M> {
    Compiled { version: "v1".to_owned(), mapping }
}

/// Dead letters as lines: stage, sequence number, measurement, reason, body.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) away: bool,
}

impl DeadLetters for &Letters {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        if self.away {
            return Err(Away::new("the dead letters", "disk full"));
        }
        let line = |letter: &DeadLetter<'_>| {
            let number = letter.position.sequence_number.unwrap_or(-1);
            let body = String::from_utf8_lossy(letter.body);
            format!("{} {number} {} {} {body}", letter.stage.as_str(), letter.measurement, letter.reason.code)
        };
        self.lines.lock().expect("one thread").extend(letters.iter().map(line));
        Ok(())
    }
}
