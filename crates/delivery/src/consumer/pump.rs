//! Reads one partition for as long as it is ours.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::FutureExt;
use futures::{pin_mut, select_biased};

use super::credit::Credit;
use super::shared::{Shared, backoff, within};
use super::term::{Ended, Term};
use super::{Flush, Processor, WindowState};
use crate::away::{Away, error_chain};
use crate::batch::Source;
use crate::hub::{Bounds, Hub, HubEvent, ReadError, Reader, Start};
use crate::hub_batch::HubBatch;
use crate::planted::Bug;
use crate::positions::{Checkpoint, Positions, Version};
use crate::runtime::Runtime;
use crate::turn::{Fence, Turn, not_ours};
use crate::window::{Closed, Queued, Why, Window};
use crate::window_log::WindowLog;

/// How long no event has come before a window whose time is over by its
/// events' own times is closed: the end of a backlog.
const QUIET: Duration = Duration::from_secs(1);

/// How often it is told how many events wait while there are some.
const LAG_EVERY: Duration = Duration::from_secs(30);

/// How long events wait for that answer.
const LAG_LIMIT: Duration = Duration::from_secs(5);

/// How often a hub that seems to be a new one is asked again before that is
/// believed, and how long is waited in between.
const SECOND_LOOKS: u32 = 3;
const SECOND_LOOK_AFTER: Duration = Duration::from_secs(10);

/// How reading a partition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is another's, or may be.
    Lost,
    /// The process stops.
    Stopped,
    /// Events wait and none arrives.
    Stuck,
}

/// Why the loop is left.
enum Break {
    End(End),
    /// To be tried again after a while.
    Away(Away),
    /// To be opened anew at once.
    Restart,
}

impl From<Away> for Break {
    fn from(away: Away) -> Break {
        Break::Away(away)
    }
}

impl From<End> for Break {
    fn from(end: End) -> Break {
        Break::End(end)
    }
}

enum Input {
    Event(HubEvent),
    Wake,
    Stop,
}

pub(super) struct Pump<H, P, R, S> {
    shared: Arc<Shared<H, P, R, S>>,
    term: Arc<Term<P, R>>,
    stop: Ended,
    source: Source,
    window: Window<HubEvent>,
    /// The last event received; none before the position is known.
    received: Option<i64>,
    /// Where to begin while nothing was received.
    start: Start,
    checkpoint: Option<(Checkpoint, Version)>,
    log: WindowLog,
    /// When the last event came, or the hub was asked whether there is one.
    active: Duration,
    credit: Credit,
    /// When it was last told how many events wait.
    lag_told: Duration,
    failures: u32,
    restarts: u32,
}

impl<H: Hub, P: Positions, R: Runtime, S: Processor> Pump<H, P, R, S> {
    pub(super) fn new(shared: Arc<Shared<H, P, R, S>>, term: Arc<Term<P, R>>, stop: Ended) -> Pump<H, P, R, S> {
        let source = shared.hub.source(&term.partition);
        let window = Window::new(shared.options.rules, None);
        let active = shared.runtime.elapsed();
        let lag_told = active;
        let credit = Credit::new(shared.in_flight_bytes());
        let (checkpoint, log, start) = (None, WindowLog::default(), Start::Beginning);
        let (received, failures, restarts) = (None, 0, 0);
        Pump {
            shared,
            term,
            stop,
            source,
            window,
            received,
            start,
            checkpoint,
            log,
            active,
            credit,
            lag_told,
            failures,
            restarts,
        }
    }

    /// Reads until it ends; begins after `delay`.
    pub(super) async fn run(mut self, delay: Duration) -> End {
        let end = match self.pause(delay).await {
            Err(end) => end,
            Ok(()) => self.read_on().await,
        };
        self.shared.unbuffer(self.window.bytes());
        self.window = Window::new(self.shared.options.rules, None);
        self.show_window();
        end
    }

    async fn read_on(&mut self) -> End {
        loop {
            let away = match self.read().await {
                Err(Break::End(end)) => return end,
                Err(Break::Away(away)) => away,
                Err(Break::Restart) => continue,
            };
            self.failures += 1;
            self.report(&away, "Cannot read a partition");
            // What has come does not wait for a hub that is away.
            let due = self.window.due(self.shared.runtime.elapsed());
            if let Err(Break::End(end)) = self.work_all(due).await {
                return end;
            }
            if let Err(end) = self.pause(backoff(self.failures, &*self.shared.runtime)).await {
                return end;
            }
        }
    }

    /// Opens the partition and reads it.
    async fn read(&mut self) -> Result<Infallible, Break> {
        let (shared, partition) = (self.shared.clone(), self.term.partition.clone());
        if self.received.is_none() {
            self.unless_ended(std::future::ready(())).await?;
            self.find_position().await?;
        }
        // What had come before the partition is opened anew does not wait for more.
        self.work_at_hand().await?;
        let start = self.received.map_or(self.start, Start::After);
        let mut reader = self.unless_ended(Box::pin(shared.hub.open(&partition, start, self.credit.now()))).await??;
        self.active = shared.runtime.elapsed();
        loop {
            self.show_window();
            match self.input(&mut reader).await? {
                Input::Stop => return Err(self.finish().await?.into()),
                Input::Wake => self.wake().await?,
                Input::Event(event) => {
                    self.take(event).await?;
                    while self.window.len() < shared.limit() && !self.is_to_end() {
                        let Some(event) = reader.next().now_or_never() else { break };
                        self.take(self.received_or_broken(event)?).await?;
                    }
                    self.work_at_hand().await?;
                }
            }
        }
    }

    fn is_to_end(&self) -> bool {
        self.term.is_over() || self.stop.clone().now_or_never().is_some()
    }

    /// Without windows, what is at hand is a batch.
    async fn work_at_hand(&mut self) -> Result<(), Break> {
        if self.shared.options.windowed {
            return Ok(());
        }
        let closed = self.window.stop(Why::Stop);
        self.work_all(closed).await
    }

    async fn input(&self, reader: &mut H::Reader) -> Result<Input, Break> {
        let next = reader.next().fuse();
        let sleep = self.shared.runtime.sleep(self.until_woken()).fuse();
        pin_mut!(next, sleep);
        select_biased! {
            () = self.term.ended.clone() => Err(End::Lost.into()),
            () = self.stop.clone() => Ok(Input::Stop),
            event = next => Ok(Input::Event(self.received_or_broken(event)?)),
            () = sleep => Ok(Input::Wake),
        }
    }

    fn received_or_broken(&self, event: Result<HubEvent, ReadError>) -> Result<HubEvent, Break> {
        match event {
            Ok(event) => Ok(event),
            Err(ReadError::Displaced) => Err(not_ours().into()),
            Err(ReadError::Away(away)) => Err(away.into()),
        }
    }

    /// Where to begin: behind the checkpoint, in a window that was begun before
    /// if there is one.
    async fn find_position(&mut self) -> Result<(), Break> {
        let (shared, partition) = (self.shared.clone(), self.term.partition.clone());
        let stored = shared.positions.checkpoint(&partition).await?;
        let mut bounds = Box::pin(shared.hub.bounds(&partition)).await?;
        let position = stored.as_ref().map(|(checkpoint, _)| checkpoint.sequence_number);
        // What the hub says of itself can be somewhat old.
        for _ in 0..SECOND_LOOKS {
            if position.is_none_or(|position| position <= bounds.last) {
                break;
            }
            self.pause(SECOND_LOOK_AFTER).await?;
            bounds = Box::pin(shared.hub.bounds(&partition)).await?;
        }
        self.start = self.start_at(position, bounds);
        let next = match self.start {
            Start::After(last) => last + 1,
            Start::Beginning => bounds.first,
        };
        self.checkpoint = stored;
        if shared.options.windowed {
            self.log = WindowLog::load(&*shared.positions, &partition).await?;
        }
        let resumed = self.log.resumed(next).filter(|last| *last <= bounds.last);
        shared.unbuffer(self.window.bytes());
        self.window = Window::new(shared.options.rules, resumed);
        Ok(())
    }

    fn start_at(&self, position: Option<i64>, bounds: Bounds) -> Start {
        let Some(position) = position else { return Start::Beginning };
        if position > bounds.last.max(bounds.first - 1) {
            tracing::warn!(
                partition = self.term.partition,
                "The hub ends before the stored position: it was made anew, and is read from its beginning"
            );
            return Start::Beginning;
        }
        let expired = bounds.first - position - 1;
        if expired > 0 {
            tracing::error!(
                partition = self.term.partition,
                events = expired,
                "EVENTS ARE LOST: the hub deleted them before they were read; it keeps them for too short a time"
            );
            self.shared.observer.expired(&self.source, expired as u64);
        }
        if position < 0 { Start::Beginning } else { Start::After(position) }
    }

    /// Takes an event in, and works through the windows that it closes.
    async fn take(&mut self, event: HubEvent) -> Result<(), Break> {
        let shared = self.shared.clone();
        let now = shared.runtime.elapsed();
        (self.active, self.failures, self.restarts) = (now, 0, 0);
        if self.received.is_some_and(|received| event.sequence_number <= received) {
            // A hub gives none twice; one that did would have it counted twice.
            return Ok(());
        }
        self.received = Some(event.sequence_number);
        let bytes = event.size();
        let fits = shared.buffer(bytes);
        let mut closed = self.window.push(event, now, shared.limit());
        if !fits && !self.window.is_resuming() {
            closed.extend(self.window.stop(Why::Bytes));
        }
        self.work_all(closed).await?;
        // What is on its way is thrown away and comes again.
        if self.credit.see(bytes, shared.in_flight_bytes()) { Err(Break::Restart) } else { Ok(()) }
    }

    /// How long until something is to be looked at without an event.
    fn until_woken(&self) -> Duration {
        let (runtime, options) = (&self.shared.runtime, &self.shared.options);
        let now = runtime.elapsed();
        let idle = (self.active + options.idle_after).saturating_sub(now);
        let (Some(opened), Some(end)) = (self.window.opened(), self.window.end()) else { return idle };
        if self.window.is_resuming() {
            return idle;
        }
        let due = (opened + options.rules.span).saturating_sub(now);
        let quiet = (self.active + QUIET).saturating_sub(now);
        let over = Window::<HubEvent>::is_over_in(end, runtime.now()).max(quiet);
        idle.min(due).min(over)
    }

    async fn wake(&mut self) -> Result<(), Break> {
        let runtime = self.shared.runtime.clone();
        let now = runtime.elapsed();
        let is_idle = self.active + self.shared.options.idle_after <= now;
        let due = self.window.due(now);
        let is_quiet = !self.window.is_empty() && self.active + QUIET <= now;
        let over = if due.is_none() && (is_quiet || is_idle) { self.window.idle(runtime.now()) } else { None };
        self.work_all(due.into_iter().chain(over)).await?;
        if is_idle {
            self.active = now;
            self.look_whether_events_wait().await?;
        }
        Ok(())
    }

    /// An idle partition in which events wait is opened anew: a client was seen
    /// to receive nothing any more without an error.
    async fn look_whether_events_wait(&mut self) -> Result<(), Break> {
        let (shared, partition) = (self.shared.clone(), self.term.partition.clone());
        let bounds = self.unless_ended(Box::pin(shared.hub.bounds(&partition))).await??;
        self.lag_behind(bounds);
        self.lag_told = shared.runtime.elapsed();
        let seen = match (self.received, self.start) {
            (Some(received), _) => received,
            (None, Start::After(last)) => last,
            (None, Start::Beginning) => bounds.first - 1,
        };
        if bounds.last <= seen {
            self.restarts = 0;
            return Ok(());
        }
        self.restarts += 1;
        let waiting = bounds.last - seen;
        tracing::error!(partition, waiting, restarts = self.restarts, "Events wait and none arrives; opening anew");
        shared.observer.restarted(&self.source);
        if self.restarts > shared.options.restarts_max {
            return Err(End::Stuck.into());
        }
        Err(Break::Restart)
    }

    /// The process stops: what has arrived is worked through. A window that was
    /// begun before and is not complete again stays as it is.
    async fn finish(&mut self) -> Result<End, Break> {
        if !self.window.is_resuming() {
            let closed = self.window.stop(Why::Stop);
            self.work_all(closed).await?;
        }
        Ok(End::Stopped)
    }

    async fn work_all(&mut self, closed: impl IntoIterator<Item = Closed<HubEvent>>) -> Result<(), Break> {
        for closed in closed {
            let bytes = closed.events.iter().map(Queued::size).sum();
            let worked = Box::pin(self.work(closed)).await;
            self.shared.unbuffer(bytes);
            worked?;
        }
        Ok(())
    }

    /// Works through one window until it is done, and stores the position.
    async fn work(&mut self, closed: Closed<HubEvent>) -> Result<(), End> {
        let shared = self.shared.clone();
        let Closed { why, events } = closed;
        let started = shared.runtime.elapsed();
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            let flush = Flush {
                why,
                events: 0,
                duration: Duration::ZERO,
                checkpoint_duration: Duration::ZERO,
                checkpoint: None,
            };
            shared.observer.flushed(&self.source, flush);
            return Ok(());
        };
        let mut begun_before = self.begin(first.sequence_number, last.sequence_number).await?;
        let checkpoint = Checkpoint { sequence_number: last.sequence_number, offset: last.offset.clone() };
        if Bug::CheckpointFirst.is_planted() {
            self.store(checkpoint.clone()).await?;
        }
        let typed = HubBatch::new(&events);
        let batch = typed.batch(&self.source);
        let mut failures = 0;
        loop {
            if !self.term.holds() {
                return Err(End::Lost);
            }
            let turn = Turn { fence: &*self.term, term: self.term.number, begun_before };
            let Err(away) = Box::pin(shared.processor.process(&batch, turn)).await else { break };
            failures += 1;
            begun_before = begun_before.or_else(|| self.log.begun());
            self.wait_for(&away, failures, "A batch has to be worked on again").await?;
        }
        let done = shared.runtime.elapsed();
        self.store(checkpoint).await?;
        let flush = Flush {
            why,
            events: events.len(),
            duration: done.saturating_sub(started),
            checkpoint_duration: shared.runtime.elapsed().saturating_sub(done),
            checkpoint: Some(last.sequence_number),
        };
        shared.observer.flushed(&self.source, flush);
        self.tell_lag().await
    }

    /// Tells how many events wait, now and then: a busy partition is never
    /// idle, and asking costs a request.
    async fn tell_lag(&mut self) -> Result<(), End> {
        let (shared, partition) = (self.shared.clone(), self.term.partition.clone());
        let now = shared.runtime.elapsed();
        if now < self.lag_told + LAG_EVERY {
            return Ok(());
        }
        self.lag_told = now;
        let told = within(LAG_LIMIT, &*shared.runtime, Box::pin(shared.hub.bounds(&partition)));
        match self.unless_ended(told).await? {
            Some(Ok(bounds)) => self.lag_behind(bounds),
            Some(Err(away)) => {
                tracing::warn!(partition, error = error_chain(&away), "Cannot see how many events wait");
            }
            None => tracing::warn!(partition, "Cannot see how many events wait: the hub does not answer"),
        }
        Ok(())
    }

    fn lag_behind(&self, bounds: Bounds) {
        let done = self.checkpoint.as_ref().map_or(bounds.first - 1, |(checkpoint, _)| checkpoint.sequence_number);
        self.shared.observer.lag(&self.source, u64::try_from(bounds.last - done).unwrap_or_default());
    }

    /// Takes note of a window before anything of it is written; gives since
    /// when some of its events may have been worked on.
    async fn begin(&mut self, first: i64, last: i64) -> Result<Option<SystemTime>, End> {
        let shared = self.shared.clone();
        if !shared.options.windowed {
            return Ok(None);
        }
        let mut failures = 0;
        loop {
            if !self.term.holds() {
                return Err(End::Lost);
            }
            let now = shared.runtime.now();
            let begun = self.log.begin(&*shared.positions, &self.term.partition, (first, last), now).await;
            let away = match begun {
                Ok(begun_before) => return Ok(begun_before),
                Err(away) => away,
            };
            // Perhaps another owner was there.
            if matches!(self.term.confirm().await, Ok(false)) {
                return Err(End::Lost);
            }
            failures += 1;
            self.wait_for(&away, failures, "A window cannot be begun").await?;
        }
    }

    /// Stores a position, if the partition is still ours and nobody has gone
    /// further.
    async fn store(&mut self, checkpoint: Checkpoint) -> Result<(), End> {
        let mut failures = 0;
        loop {
            if !self.term.holds() {
                return Err(End::Lost);
            }
            let Err(away) = self.try_store(&checkpoint).await? else { return Ok(()) };
            failures += 1;
            self.wait_for(&away, failures, "A position cannot be stored").await?;
        }
    }

    async fn try_store(&mut self, checkpoint: &Checkpoint) -> Result<Result<(), Away>, End> {
        let (positions, partition) = (&self.shared.positions, &self.term.partition);
        let expected = self.checkpoint.as_ref().map(|(_, version)| version);
        let written = match positions.write_checkpoint(partition, checkpoint, expected).await {
            Ok(written) => written,
            Err(away) => return Ok(Err(away)),
        };
        if let Some(version) = written {
            self.checkpoint = Some((checkpoint.clone(), version));
            return Ok(Ok(()));
        }
        // Somebody wrote it: we, and the answer got lost, or another.
        let stored = match positions.checkpoint(partition).await {
            Ok(stored) => stored,
            Err(away) => return Ok(Err(away)),
        };
        let is_done = stored.as_ref().is_some_and(|(stored, _)| stored == checkpoint);
        let is_further = stored.as_ref().is_some_and(|(stored, _)| stored.sequence_number > checkpoint.sequence_number);
        self.checkpoint = stored;
        if is_done {
            return Ok(Ok(()));
        }
        match self.term.confirm().await {
            Ok(true) if !is_further => Ok(Err(Away::new("the position of the partition", "it was changed meanwhile"))),
            Ok(_) => Err(End::Lost),
            Err(away) => Ok(Err(away)),
        }
    }

    /// Waits before something is tried again.
    async fn wait_for(&self, away: &Away, failures: u32, what: &'static str) -> Result<(), End> {
        if !self.term.holds() {
            return Err(End::Lost);
        }
        self.report(away, what);
        self.pause(backoff(failures, &*self.shared.runtime)).await
    }

    fn report(&self, away: &Away, what: &'static str) {
        tracing::error!(partition = self.term.partition, error = error_chain(away), "{what}");
        self.shared.observer.waits(&self.source, away.dependency);
    }

    async fn pause(&self, duration: Duration) -> Result<(), End> {
        self.unless_ended(self.shared.runtime.sleep(duration)).await
    }

    /// Gives up waiting for something when the partition is lost or the process
    /// stops.
    async fn unless_ended<T>(&self, wanted: impl Future<Output = T>) -> Result<T, End> {
        let wanted = wanted.fuse();
        pin_mut!(wanted);
        select_biased! {
            () = self.term.ended.clone() => Err(End::Lost),
            () = self.stop.clone() => Err(End::Stopped),
            done = wanted => Ok(done),
        }
    }

    fn show_window(&self) {
        let age =
            self.window.opened().map_or(Duration::ZERO, |opened| self.shared.runtime.elapsed().saturating_sub(opened));
        let state = WindowState { end: self.window.end(), events: self.window.len(), limit: self.shared.limit(), age };
        self.shared.observer.window(&self.source, state);
    }
}
