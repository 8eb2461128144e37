//! Works through one partition: batches, tries, checkpoints
//! (functions-eventhubs-keda.md 2.3, 2.4).
//!
//! Batches follow one another. When the last try of a batch has ended, well or
//! not, its position is checkpointed; when the host is stopping, or the
//! partition has become another's, it is not, and the batch comes again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::functions_host::answered::{Answered, Audience};
use crate::functions_host::checkpoints::{Checkpoint, Checkpoints, PartitionKey};
use crate::functions_host::function::{Cardinality, EventHubTrigger};
use crate::functions_host::invocation::Invocation;
use crate::functions_host::invoker::{Invoker, member};
use crate::functions_host::retry::RetryPolicy;
use crate::functions_host::settings::EventHubsOptions;
use crate::functions_host::sharing::Sharing;
use crate::functions_host::source::{EventSource, From, HostEvent, PartitionReceiver, SourceError};

/// How long one wait for events lasts; then the host looks around and waits on.
const RECEIVE_WAIT: Duration = Duration::from_secs(60);
/// Rest after the source was away.
const SOURCE_PAUSE: Duration = Duration::from_secs(1);

/// What all partitions of a function share.
pub(super) struct Shared {
    pub(super) function: String,
    pub(super) trigger: EventHubTrigger,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) options: EventHubsOptions,
    pub(super) source: Arc<dyn EventSource>,
    pub(super) checkpoints: Arc<dyn Checkpoints>,
    pub(super) invoker: Invoker,
    /// Becomes true when the host stops.
    pub(super) stopping: watch::Receiver<bool>,
    /// Whose the partitions are; `None`: all are this host's.
    pub(super) sharing: Option<Arc<dyn Sharing>>,
    /// Who wants to know what the function answered.
    pub(super) answered: Option<Arc<dyn Audience>>,
}

/// One partition of a function's hub, for as long as it is this host's.
pub(super) struct Partition {
    shared: Arc<Shared>,
    key: PartitionKey,
    cancel: Cancel,
    /// Batches since the last checkpoint.
    batches: usize,
    /// Where the next receiver begins; `None`: at the stored checkpoint.
    position: Option<Checkpoint>,
}

/// The host is stopping, or the partition is another's: nothing more is to be
/// done or stored.
struct Cancelled;

/// Tells when work on a partition is to end.
#[derive(Clone, Debug)]
struct Cancel {
    stopping: watch::Receiver<bool>,
    /// Becomes true when the partition is another's.
    lost: Option<watch::Receiver<bool>>,
}

impl Cancel {
    fn is_set(&self) -> bool {
        *self.stopping.borrow() || self.lost.as_ref().is_some_and(|lost| *lost.borrow())
    }

    async fn wait(&mut self) {
        // A closed channel means that whoever held it is gone altogether.
        let lost = async {
            match &mut self.lost {
                Some(lost) => _ = lost.wait_for(|lost| *lost).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
            () = lost => {}
        }
    }

    /// Waits for `work`, or gives up.
    async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Cancelled> {
        tokio::select! {
            () = self.wait() => Err(Cancelled),
            outcome = work => Ok(outcome),
        }
    }
}

/// Works through a partition whenever it is this host's, until the host stops.
pub(super) async fn run(shared: Arc<Shared>, key: PartitionKey) {
    let mut stopping = Cancel { stopping: shared.stopping.clone(), lost: None };
    while !stopping.is_set() {
        let lost = match &shared.sharing {
            None => None,
            Some(sharing) => match stopping.or(sharing.own(&key)).await {
                Ok(lost) => Some(lost),
                Err(Cancelled) => return,
            },
        };
        let cancel = Cancel { stopping: shared.stopping.clone(), lost };
        // Anew each time: another may have worked on it since, so what counts is the stored checkpoint.
        Partition { shared: shared.clone(), key: key.clone(), cancel, batches: 0, position: None }.run().await;
    }
}

impl Partition {
    /// Works until it is cancelled.
    async fn run(mut self) {
        let mut cancel = self.cancel.clone();
        while !cancel.is_set() {
            // A batch in work ends by itself; only waiting is cut short.
            if let Err(error) = self.work().await {
                tracing::warn!(partition = self.key.partition, error, "A partition cannot be read; trying again");
                cancel.or(tokio::time::sleep(SOURCE_PAUSE)).await.ok();
            }
        }
    }

    /// Reads with one receiver, until it fails or is cancelled.
    async fn work(&mut self) -> Result<(), SourceError> {
        let mut cancel = self.cancel.clone();
        let opening = async {
            let from = self.from().await?;
            self.shared.source.open(&self.key.partition, from).await
        };
        let Ok(receiver) = cancel.or(opening).await else { return Ok(()) };
        let mut receiver = receiver?;
        loop {
            let receiving = receive(receiver.as_mut(), &self.shared.options, self.shared.trigger.cardinality);
            let Ok(events) = cancel.or(receiving).await else { return Ok(()) };
            let events = events?;
            if events.is_empty() {
                continue;
            }
            if self.execute(&events).await.is_err() {
                return Ok(());
            }
            self.checkpoint(&events).await?;
        }
    }

    async fn from(&self) -> Result<From, SourceError> {
        if let Some(position) = &self.position {
            return Ok(From::After(position.clone()));
        }
        let (checkpoints, key) = (self.shared.checkpoints.clone(), self.key.clone());
        let stored = tokio::task::spawn_blocking(move || checkpoints.read(&key)).await??;
        Ok(stored.map_or(From::Initial(self.shared.options.initial_offset), From::After))
    }

    /// Hands a batch over, whole or one by one.
    async fn execute(&self, events: &[HostEvent]) -> Result<(), Cancelled> {
        match self.shared.trigger.cardinality {
            Cardinality::Many => self.invoke(events).await,
            Cardinality::One => {
                for event in events {
                    self.invoke(std::slice::from_ref(event)).await?;
                }
                Ok(())
            }
        }
    }

    /// One invocation with all its tries. Its failure is logged, not returned:
    /// the partition goes on behind it.
    async fn invoke(&self, events: &[HostEvent]) -> Result<(), Cancelled> {
        let shared = &self.shared;
        let mut cancel = self.cancel.clone();
        let invocation = Invocation {
            function: &shared.function,
            trigger: &shared.trigger,
            partition: &self.key,
            is_checkpointing: shared.options.enable_checkpointing,
            events,
            retry: shared.retry,
        };
        let id = Uuid::new_v4();
        let mut retries = 0;
        loop {
            let call =
                async { shared.invoker.invoke(&shared.function, id, invocation.body(retries, retries > 0)?).await };
            let outcome = call.await;
            if cancel.is_set() {
                return Err(Cancelled);
            }
            let error = match outcome {
                Ok(answer) => {
                    log_lines(&shared.function, member(&answer, "Logs"));
                    self.report(events, &answer);
                    return Ok(());
                }
                Err(error) => error,
            };
            let function = &shared.function;
            let Some(policy) = shared.retry.filter(|policy| policy.goes_on(retries)) else {
                tracing::error!(function, error = %error, events = events.len(), "An invocation failed for good; its events are passed by");
                return Ok(());
            };
            let delay = policy.delay(retries);
            tracing::warn!(function, error = %error, retries, delay_ms = delay.as_millis(), "An invocation failed and is tried again");
            cancel.or(tokio::time::sleep(delay)).await?;
            retries += 1;
        }
    }

    fn report(&self, events: &[HostEvent], answer: &Value) {
        let Some(answered) = &self.shared.answered else { return };
        let report = Answered {
            function: self.shared.function.clone(),
            partition: self.key.partition.clone(),
            sequence_numbers: events.iter().map(|event| event.sequence_number).collect(),
            return_value: member(answer, "ReturnValue").cloned().unwrap_or_default(),
        };
        answered.hear(report);
    }

    async fn checkpoint(&mut self, events: &[HostEvent]) -> Result<(), SourceError> {
        let Some(last) = events.last() else { return Ok(()) };
        let checkpoint = Checkpoint { offset: last.offset.clone(), sequence_number: last.sequence_number };
        self.position = Some(checkpoint.clone());
        self.batches += 1;
        if !self.shared.options.enable_checkpointing || self.batches < self.shared.options.batch_checkpoint_frequency {
            return Ok(());
        }
        self.batches = 0;
        let (checkpoints, key) = (self.shared.checkpoints.clone(), self.key.clone());
        Ok(tokio::task::spawn_blocking(move || checkpoints.write(&key, &checkpoint)).await??)
    }
}

/// The next batch: what is there, or with `minEventBatchSize` as many events,
/// though no longer than `maxWaitTime` after the first.
async fn receive(
    receiver: &mut dyn PartitionReceiver,
    options: &EventHubsOptions,
    cardinality: Cardinality,
) -> Result<Vec<HostEvent>, SourceError> {
    let max = options.max_event_batch_size;
    let mut events = receiver.receive(max, RECEIVE_WAIT).await?;
    // The settings are for many only (functions-eventhubs-keda.md 3.1).
    let min = if cardinality == Cardinality::Many { options.min_event_batch_size } else { 1 };
    let deadline = Instant::now() + options.max_wait_time;
    while !events.is_empty() && events.len() < min {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        events.extend(receiver.receive(max - events.len(), left).await?);
    }
    Ok(events)
}

fn log_lines(function: &str, logs: Option<&Value>) {
    for line in logs.and_then(Value::as_array).into_iter().flatten() {
        if let Some(line) = line.as_str() {
            tracing::info!(function, "{line}");
        }
    }
}
