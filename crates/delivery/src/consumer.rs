//! Reads a hub natively: this process's share of its partitions, each in its
//! order, with positions that move only behind what is done (design.md D1, D4,
//! D13).
//!
//! ```text
//! Positions --balance--> Term of a partition --Pump--> windows --Processor--> checkpoint
//! ```
//!
//! A term is one time of owning a partition and the fence of everything
//! that is written meanwhile; a pump reads the partition, cuts windows,
//! hands them to the [`Processor`] until they are done, and stores the position.

mod balance;
mod credit;
mod observer;
mod pump;
mod shared;
mod term;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{FutureExt, join_all, ready};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{pin_mut, select_biased};

use crate::away::{Away, error_chain};
use crate::batch::Batch;
use crate::hub::Hub;
use crate::positions::{Checkpoint, Positions};
use crate::runtime::Runtime;
use crate::turn::Turn;
use crate::window::WindowRules;

pub use balance::{Claim, claims};
pub use observer::{Flush, Observer, Unobserved, WindowState};
use pump::{End, Pump};
use shared::{Shared, backoff, within};
use term::{Claimed, Ended, Term};

/// What is done with the events of a batch.
pub trait Processor: Send + Sync + 'static {
    /// Works through the whole batch: `Ok` when every event has its fate. An
    /// error makes it come again, unchanged, until it is done.
    fn process(&self, batch: &Batch<'_>, turn: Turn<'_>) -> impl Future<Output = Result<(), Away>> + Send;
}

impl<T: Processor> Processor for Arc<T> {
    async fn process(&self, batch: &Batch<'_>, turn: Turn<'_>) -> Result<(), Away> {
        (**self).process(batch, turn).await
    }
}

/// How a hub is read.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// What this process calls itself among the others. After a restart under
    /// the same name it goes on with what was its own; no two that run have one.
    pub owner: String,
    /// When a window closes. Without `windowed` it bounds a batch.
    pub rules: WindowRules,
    /// Whether events are gathered into windows, whose limits are stored before
    /// they are begun; otherwise a batch is what has arrived.
    pub windowed: bool,
    /// How often ownership is renewed and the partitions are shared out anew.
    pub renew_every: Duration,
    /// How long after its last renewal an ownership counts.
    pub expiry: Duration,
    /// How long the slowest request of the processor takes until it has ended one
    /// way or the other. No write is begun so long before ownership expires.
    pub longest_request: Duration,
    /// How many bytes the open windows of all partitions may hold together.
    pub window_bytes_max: usize,
    /// How many bytes of events may be on their way from all partitions
    /// together, as long as they are as large as they were lately.
    pub in_flight_bytes_max: usize,
    /// After how long without an event a partition counts as idle: its hub is
    /// asked whether there is something after all.
    pub idle_after: Duration,
    /// How often a partition in which events wait and none arrives is opened
    /// anew before the process gives up.
    pub restarts_max: u32,
}

impl ConsumerOptions {
    /// The defaults for a process that calls itself `owner`: windows, ownership
    /// renewed every 10 s and expired after two minutes, requests of up to a
    /// minute.
    pub fn new(owner: impl Into<String>) -> ConsumerOptions {
        ConsumerOptions {
            owner: owner.into(),
            rules: WindowRules::default(),
            windowed: true,
            renew_every: Duration::from_secs(10),
            expiry: Duration::from_secs(120),
            longest_request: Duration::from_secs(60),
            window_bytes_max: 32 * 1024 * 1024,
            in_flight_bytes_max: 32 * 1024 * 1024,
            idle_after: Duration::from_secs(60),
            restarts_max: 3,
        }
    }

    /// How long after its last renewal a write may be begun under an ownership.
    /// One renewal may fail. It is also how long whoever takes a partition
    /// from another waits: by then the other has learned of it or writes no more.
    fn writable(&self) -> Duration {
        self.expiry.saturating_sub(self.longest_request).min(self.renew_every * 5 / 2)
    }
}

/// How often the hub is asked whether it has more partitions by now.
const PARTITIONS_EVERY: Duration = Duration::from_secs(300);

/// Why reading ended although nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Opening it anew did not help.
    #[error("events wait in partition `{partition}` and none arrives")]
    Stuck {
        /// The partition.
        partition: String,
    },
}

/// Reads a hub.
#[derive(Debug)]
pub struct Consumer<H, P, R, S> {
    shared: Arc<Shared<H, P, R, S>>,
}

/// A partition that is being read.
struct Running<P, R> {
    term: Arc<Term<P, R>>,
    /// Gives how it ended; nothing when its task was dropped.
    done: oneshot::Receiver<End>,
}

/// In their order, so that a run depends on nothing but what happens.
type Pumps<P, R> = BTreeMap<String, Running<P, R>>;

/// The partitions of the hub, and what is known of them.
#[derive(Debug, Default)]
struct Partitions {
    all: Vec<String>,
    /// Those that are new: they had no position before ours, and we have seen no
    /// owner since.
    fresh: BTreeSet<String>,
    /// Those that we tried to take from somebody and were not told that we did.
    unanswered: BTreeSet<String>,
}

impl<H: Hub, P: Positions, R: Runtime, S: Processor> Consumer<H, P, R, S> {
    /// A consumer that has not begun.
    pub fn new(
        (hub, positions, runtime): (H, P, Arc<R>),
        processor: S,
        observer: Arc<dyn Observer>,
        options: ConsumerOptions,
    ) -> Consumer<H, P, R, S> {
        Consumer { shared: Arc::new(Shared::new(hub, positions, runtime, (processor, observer), options)) }
    }

    /// Reads until `stop` is done: then what was begun is finished, positions
    /// are stored, and ownership is given back.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ConsumerError> {
        let (give_up, gave_up) = oneshot::channel::<()>();
        let gave_up = gave_up.map(|_| ());
        let stop: Ended = futures::future::select(stop.boxed(), gave_up).map(|_| ()).boxed().shared();
        let Some(mut partitions) = self.prepare(&stop).await else { return Ok(()) };
        self.shared.observer.ready();
        let mut pumps = Pumps::new();
        let mut terms = 0;
        let mut asked = self.shared.runtime.elapsed();
        let stuck = loop {
            self.shared.observer.came_round();
            if self.shared.runtime.elapsed() >= asked + PARTITIONS_EVERY {
                asked = self.shared.runtime.elapsed();
                self.look_for_more(&mut partitions).await;
            }
            self.round(&mut partitions, &mut pumps, &mut terms, &stop).await;
            if let Some(stuck) = self.wait(&mut pumps, &stop).await {
                break Some(stuck);
            }
            if stop.clone().now_or_never().is_some() {
                break None;
            }
        };
        drop(give_up);
        self.finish(pumps).await;
        stuck.map_or(Ok(()), |partition| Err(ConsumerError::Stuck { partition }))
    }

    /// The partitions, once they all have a position; none when it is to stop
    /// before that.
    async fn prepare(&self, stop: &Ended) -> Option<Partitions> {
        let mut failures = 0;
        loop {
            self.shared.observer.came_round();
            let preparing = self.positions_of_all().fuse();
            pin_mut!(preparing);
            let away = select_biased! {
                () = stop.clone() => return None,
                prepared = preparing => match prepared {
                    Ok(partitions) => return Some(partitions),
                    Err(away) => away,
                },
            };
            failures += 1;
            tracing::error!(failures, error = error_chain(&away), "Cannot begin to read");
            let pause = self.shared.runtime.sleep(backoff(failures, &*self.shared.runtime)).fuse();
            pin_mut!(pause);
            select_biased! { () = stop.clone() => return None, () = pause => {} }
        }
    }

    /// Looks for partitions that were added since. Nothing waits for a hub that
    /// does not answer: what is owned has to be renewed.
    async fn look_for_more(&self, partitions: &mut Partitions) {
        let limit = self.shared.options.renew_every / 2;
        match within(limit, &*self.shared.runtime, Box::pin(self.positions_of_all())).await {
            Some(Ok(Partitions { all, fresh, .. })) => {
                // One that was there and has no position any more may be worked on.
                partitions.fresh.extend(fresh.into_iter().filter(|partition| !partitions.all.contains(partition)));
                partitions.all = all;
            }
            Some(Err(away)) => {
                tracing::warn!(error = error_chain(&away), "Cannot see whether there are more partitions");
            }
            None => tracing::warn!("Cannot see whether there are more partitions: no answer in time"),
        }
    }

    /// The partitions; then forgets the positions of other hubs (design.md D14).
    /// Not before this one has answered, and none that is read: a name that is
    /// misspelt, or a process that is about to be replaced, costs no positions.
    async fn positions_of_all(&self) -> Result<Partitions, Away> {
        let shared = &self.shared;
        let partitions = self.partitions().await?;
        let forgotten = shared.positions.forget_others(shared.options.expiry).await?;
        if !forgotten.is_empty() {
            tracing::warn!(
                positions = forgotten.join(", "),
                "The source changed: positions of the one before are forgotten"
            );
        }
        Ok(partitions)
    }

    /// The partitions. Every one that has no position is given a first one, before
    /// its oldest event: without it a scaler takes the partition for empty
    /// (design.md D13).
    async fn partitions(&self) -> Result<Partitions, Away> {
        let shared = &self.shared;
        let all = shared.hub.partitions().await?;
        let mut fresh = BTreeSet::new();
        for partition in &all {
            if shared.positions.checkpoint(partition).await?.is_none() {
                let before_first = shared.hub.bounds(partition).await?.first - 1;
                let checkpoint = Checkpoint { sequence_number: before_first, offset: String::new() };
                // Whoever else did it meanwhile did the same.
                if shared.positions.write_checkpoint(partition, &checkpoint, None).await?.is_some() {
                    fresh.insert(partition.clone());
                }
            }
        }
        Ok(Partitions { all, fresh, unanswered: BTreeSet::new() })
    }

    /// Renews what is ours, and claims what ought to be.
    async fn round(&self, partitions: &mut Partitions, pumps: &mut Pumps<P, R>, terms: &mut u64, stop: &Ended) {
        renew(pumps).await;
        let shared = &self.shared;
        let ownerships = match shared.positions.ownerships().await {
            Ok(ownerships) => ownerships,
            Err(away) => {
                tracing::warn!(error = error_chain(&away), "Cannot see who owns which partition");
                return;
            }
        };
        let held = |partition: &str| pumps.contains_key(partition);
        let options = &shared.options;
        let random = || shared.runtime.random();
        ownerships.iter().for_each(|ownership| _ = partitions.fresh.remove(&ownership.partition));
        let mut claims = claims(&partitions.all, &ownerships, (&options.owner, &held), options.expiry, random);
        for claim in &mut claims {
            // Somebody deleted its ownership, whoever may still be at work on it.
            let is_missing = claim.expected.is_none() && !partitions.fresh.contains(&claim.partition);
            claim.is_taken |= is_missing || partitions.unanswered.contains(&claim.partition);
        }
        let first = *terms + 1;
        *terms += claims.len() as u64;
        let claimed = join_all((first..).zip(&claims).map(|(number, claim)| self.claim(claim, number))).await;
        let mut begun = Vec::with_capacity(claims.len());
        for (claim, claimed) in claims.iter().zip(claimed) {
            partitions.fresh.remove(&claim.partition);
            // A store that is asked again after an answer got lost says no.
            if claim.is_taken && !matches!(claimed, Ok(Some(_))) {
                partitions.unanswered.insert(claim.partition.clone());
            } else {
                partitions.unanswered.remove(&claim.partition);
            }
            match claimed {
                Ok(term) => begun.extend(term.map(|term| (term, claim.is_taken))),
                Err(away) => {
                    tracing::warn!(partition = claim.partition, error = error_chain(&away), "Cannot claim a partition");
                }
            }
        }
        // Before they begin, for each takes its part of what all may hold.
        shared.own(pumps.len() + begun.len());
        for (term, is_taken) in begun {
            self.start(term, is_taken, pumps, stop);
        }
    }

    async fn claim(&self, claim: &Claim, number: u64) -> Result<Option<Term<P, R>>, Away> {
        let Shared { positions, runtime, options, owner, .. } = &*self.shared;
        let at = runtime.elapsed();
        let version = positions.claim(&claim.partition, Some(owner), claim.expected.as_ref()).await?;
        Ok(version.map(|version| {
            let claimed = Claimed { partition: &claim.partition, number, at, version, writable: options.writable() };
            Term::new(claimed, owner.clone(), positions.clone(), runtime.clone())
        }))
    }

    fn start(&self, term: Term<P, R>, is_taken: bool, pumps: &mut Pumps<P, R>, stop: &Ended) {
        let (partition, term) = (term.partition.clone(), Arc::new(term));
        tracing::info!(partition, term = term.number, "Owns a partition");
        let (report, done) = oneshot::channel();
        let pump = Pump::new(self.shared.clone(), term.clone(), stop.clone());
        let delay = if is_taken { self.shared.options.writable() } else { Duration::ZERO };
        let task = async move {
            let end = pump.run(delay).await;
            // The consumer may be gone already.
            report.send(end).unwrap_or_default();
        };
        self.shared.runtime.spawn(task.boxed());
        if let Some(replaced) = pumps.insert(partition, Running { term, done }) {
            replaced.term.end();
        }
    }

    /// Waits until the next round is due, and takes away pumps that ended.
    /// Gives a partition that is stuck.
    async fn wait(&self, pumps: &mut Pumps<P, R>, stop: &Ended) -> Option<String> {
        let shared = &self.shared;
        // Processes that started together do not stay together.
        let spread = shared.options.renew_every.as_millis().max(1) as u64 / 5;
        let jitter = Duration::from_millis(shared.runtime.random() % spread.max(1));
        let pause = shared.runtime.sleep(shared.options.renew_every.saturating_sub(jitter)).fuse();
        pin_mut!(pause);
        loop {
            let ended = {
                let mut running: FuturesUnordered<_> = pumps
                    .iter_mut()
                    .map(|(name, running)| (&mut running.done).map(move |end| (name.clone(), end)))
                    .collect();
                let ended = async {
                    match running.next().await {
                        Some(ended) => ended,
                        None => futures::future::pending().await,
                    }
                };
                let ended = ended.fuse();
                pin_mut!(ended);
                select_biased! {
                    () = stop.clone() => return None,
                    ended = ended => ended,
                    () = pause => return None,
                }
            };
            let (partition, end) = ended;
            if end == Ok(End::Stuck) {
                // Given back with the others, for another process to try.
                return Some(partition);
            }
            if end.is_err() {
                tracing::error!(partition, "The task of a partition was dropped");
            }
            if let Some(running) = pumps.remove(&partition) {
                running.term.end();
            }
            shared.own(pumps.len());
            tracing::info!(partition, "Does not own a partition any more");
        }
    }

    /// Waits for what was begun, renewing meanwhile, and gives everything back.
    async fn finish(&self, mut pumps: Pumps<P, R>) {
        let runtime = &self.shared.runtime;
        let terms: Vec<_> = pumps.values().map(|running| running.term.clone()).collect();
        let done: Vec<_> = pumps.values_mut().map(|running| &mut running.done).collect();
        let all = join_all(done).fuse();
        pin_mut!(all);
        loop {
            let pause = runtime.sleep(self.shared.options.renew_every).fuse();
            pin_mut!(pause);
            select_biased! {
                _ = all => break,
                () = pause => renew_all(&terms).await,
            }
            self.shared.observer.came_round();
        }
        let released = join_all(terms.iter().map(|term| term.release())).await;
        for (term, released) in terms.iter().zip(released) {
            if let Err(away) = released {
                let error = error_chain(&away);
                tracing::warn!(partition = term.partition, error, "Cannot give a partition back; it will expire");
            }
        }
        self.shared.own(0);
    }
}

async fn renew<P: Positions, R: Runtime>(pumps: &Pumps<P, R>) {
    let terms: Vec<_> = pumps.values().map(|running| running.term.clone()).collect();
    renew_all(&terms).await;
}

async fn renew_all<P: Positions, R: Runtime>(terms: &[Arc<Term<P, R>>]) {
    let renewals = terms.iter().filter(|term| !term.is_over()).map(|term| {
        term.renew().then(move |renewed| {
            if let Err(away) = renewed {
                let error = error_chain(&away);
                tracing::warn!(partition = term.partition, error, "Cannot renew the ownership of a partition");
            }
            ready(())
        })
    });
    join_all(renewals).await;
}
