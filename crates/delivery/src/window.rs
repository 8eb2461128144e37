//! Cuts the events of a partition into windows.
//!
//! ```text
//! events in order --push, idle, due--> Closed { why, events }, Closed …
//! ```
//!
//! The result of merging depends on where windows are cut, so the rules are
//! the reference connector's (fhir-conversion.md 2.2), by the times at which
//! the hub enqueued the events: a backlog is cut as it would have been while it
//! came in. Three are ours (design.md D4): the bytes of a window are bounded, a
//! timer closes it one span after its first event arrived, where the reference
//! connector waits for up to 65 s more, and a window that was begun before is
//! cut where it was cut then.

use std::time::Duration;

use expressions::UtcTime;

/// How far past its end a window has to be, by our clock, before an idle
/// partition closes it: the clock of the hub may be behind.
const GUARD_TICKS: i64 = 5 * TICKS_A_SECOND;
const TICKS_A_SECOND: i64 = 10_000_000;

/// When a window closes; `EventBatching__…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRules {
    /// After so many events; at least 1.
    pub max_events: usize,
    /// A bound for the events of all partitions that a process reads: it is
    /// shared out, but no partition gets less than `max_events`
    /// (fhir-conversion.md 2.3).
    pub max_events_all_partitions: Option<usize>,
    /// Before it holds more than so many bytes.
    pub max_bytes: usize,
    /// So long after its first event; at least a second.
    pub span: Duration,
}

impl Default for WindowRules {
    fn default() -> WindowRules {
        WindowRules {
            max_events: 1000,
            max_events_all_partitions: None,
            max_bytes: 8 * 1024 * 1024,
            span: Duration::from_secs(300),
        }
    }
}

impl WindowRules {
    /// How many events a window may hold when a process reads so many
    /// partitions.
    pub fn limit(&self, partitions: usize) -> usize {
        let shared = self.max_events_all_partitions.map_or(0, |all| all / partitions.max(1));
        shared.max(self.max_events)
    }
}

/// What a window holds.
pub trait Queued {
    /// The place in the partition.
    fn sequence_number(&self) -> i64;
    /// When the hub received it.
    fn enqueued_time(&self) -> UtcTime;
    /// How much memory it takes, in bytes.
    fn size(&self) -> usize;
}

/// Why a window closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An event came that belongs to a later one.
    Time,
    /// It holds as many events as it may.
    Count,
    /// Another event would be too many bytes.
    Bytes,
    /// Its time is over.
    Wait,
    /// It was begun before and is complete again.
    Resumed,
    /// The process stops, or the front gives no more.
    Stop,
}

impl Why {
    /// A name for logs and metrics; where the reference connector has one, that
    /// (fhir-conversion.md 10).
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Time => "ThresholdTimeReached",
            Why::Count => "ThresholdCountReached",
            Why::Bytes => "ThresholdBytesReached",
            Why::Wait => "ThresholdWaitReached",
            Why::Resumed => "WindowResumed",
            Why::Stop => "Stopped",
        }
    }
}

/// A window that is to be worked on now.
#[derive(Debug)]
pub struct Closed<E> {
    /// Why it closed.
    pub why: Why,
    /// Its events, in order; none when its time passed without any.
    pub events: Vec<E>,
}

/// The open window of one partition.
#[derive(Debug)]
pub struct Window<E> {
    rules: WindowRules,
    events: Vec<E>,
    bytes: usize,
    /// Once an event came.
    end: Option<UtcTime>,
    /// When the first of `events` arrived, by the runtime's `elapsed`.
    opened: Duration,
    /// The last sequence number of a window that was begun before, until it is
    /// complete.
    resume_until: Option<i64>,
}

impl<E: Queued> Window<E> {
    /// An open window without events. With `resume_until` the first one ends
    /// there, whatever the rules say.
    pub fn new(rules: WindowRules, resume_until: Option<i64>) -> Window<E> {
        let (events, opened) = (Vec::new(), Duration::ZERO);
        Window { rules, events, bytes: 0, end: None, opened, resume_until }
    }

    /// The time of enqueuing up to which events belong to it; none before the
    /// first event.
    pub fn end(&self) -> Option<UtcTime> {
        self.end
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many bytes its events take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it was begun before and is not complete again.
    pub fn is_resuming(&self) -> bool {
        self.resume_until.is_some()
    }

    /// When its first event arrived, if it has one.
    pub fn opened(&self) -> Option<Duration> {
        (!self.is_empty()).then_some(self.opened)
    }

    /// Takes an event that arrived now and gives the windows that this closes.
    /// `limit` is how many events a window may hold now.
    pub fn push(&mut self, event: E, now: Duration, limit: usize) -> Vec<Closed<E>> {
        let mut closed = Vec::new();
        if let Some(last) = self.resume_until {
            return self.push_resuming(event, now, last, limit);
        }
        closed.extend(self.move_on(event.enqueued_time()));
        if !self.is_empty() && self.bytes + event.size() > self.rules.max_bytes {
            closed.push(self.close(Why::Bytes));
        }
        self.queue(event, now);
        if self.len() >= limit.max(1) {
            closed.push(self.close_first(limit.max(1)));
        }
        closed
    }

    /// Takes an event of a window that was begun before.
    fn push_resuming(&mut self, event: E, now: Duration, last: i64, limit: usize) -> Vec<Closed<E>> {
        if event.sequence_number() > last {
            // What it held is gone from the hub in part.
            self.resume_until = None;
            let mut closed = vec![self.close(Why::Resumed)];
            closed.retain(|closed| !closed.events.is_empty());
            closed.extend(self.push(event, now, limit));
            return closed;
        }
        let is_last = event.sequence_number() == last;
        self.advance(event.enqueued_time());
        self.queue(event, now);
        if !is_last {
            return Vec::new();
        }
        self.resume_until = None;
        vec![self.close(Why::Resumed)]
    }

    /// Closes the window when an event of this time belongs to a later one, and
    /// moves its end on in whole spans until it holds the event.
    fn move_on(&mut self, enqueued: UtcTime) -> Option<Closed<E>> {
        let end = *self.end.get_or_insert_with(|| later(enqueued, self.rules.span));
        if enqueued <= end {
            return None;
        }
        self.advance_from(end, enqueued);
        Some(self.close(Why::Time))
    }

    fn advance(&mut self, enqueued: UtcTime) {
        let end = *self.end.get_or_insert_with(|| later(enqueued, self.rules.span));
        if enqueued > end {
            self.advance_from(end, enqueued);
        }
    }

    /// By whole spans, and past an event that is exactly on an end
    /// (fhir-conversion.md 2.2).
    fn advance_from(&mut self, end: UtcTime, enqueued: UtcTime) {
        let span = ticks(self.rules.span);
        let spans = (enqueued.ticks() - end.ticks()) / span + 1;
        self.end = UtcTime::from_ticks(end.ticks().saturating_add(spans.saturating_mul(span))).or(Some(enqueued));
    }

    fn queue(&mut self, event: E, now: Duration) {
        if self.is_empty() {
            self.opened = now;
        }
        self.bytes += event.size();
        self.events.push(event);
    }

    /// To be called when a partition has been idle: closes a window whose end
    /// has passed for some time, with or without events.
    pub fn idle(&mut self, now: UtcTime) -> Option<Closed<E>> {
        let end = self.end?;
        let is_over = end.ticks() < now.ticks() - GUARD_TICKS;
        (is_over && self.resume_until.is_none()).then(|| self.close(Why::Wait))
    }

    /// How long until [`Window::idle`] closes a window with this end.
    pub fn is_over_in(end: UtcTime, now: UtcTime) -> Duration {
        let ticks = end.ticks() + GUARD_TICKS - now.ticks() + 1;
        Duration::from_nanos(u64::try_from(ticks).unwrap_or_default().saturating_mul(100))
    }

    /// Closes a window whose first event arrived a span ago.
    pub fn due(&mut self, now: Duration) -> Option<Closed<E>> {
        let is_due = self.resume_until.is_none() && self.opened()? + self.rules.span <= now;
        is_due.then(|| self.close(Why::Wait))
    }

    /// Closes the window if it holds events.
    pub fn stop(&mut self, why: Why) -> Option<Closed<E>> {
        (!self.is_empty()).then(|| self.close(why))
    }

    fn close(&mut self, why: Why) -> Closed<E> {
        self.bytes = 0;
        Closed { why, events: std::mem::take(&mut self.events) }
    }

    /// The first `count` events; a bound that got smaller leaves some behind.
    fn close_first(&mut self, count: usize) -> Closed<E> {
        let rest = self.events.split_off(count.min(self.events.len()));
        self.bytes = rest.iter().map(Queued::size).sum();
        Closed { why: Why::Count, events: std::mem::replace(&mut self.events, rest) }
    }
}

fn ticks(span: Duration) -> i64 {
    i64::try_from(span.as_nanos() / 100).unwrap_or(i64::MAX).max(1)
}

fn later(time: UtcTime, span: Duration) -> UtcTime {
    UtcTime::from_ticks(time.ticks().saturating_add(ticks(span))).unwrap_or(time)
}

#[cfg(test)]
mod tests;
