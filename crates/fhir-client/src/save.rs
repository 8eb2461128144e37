//! Saves a window's Observations (design.md D6).
//!
//! ```text
//! drafts --same id together--> jobs
//!   each round:  read by id (memory first) --> merge --> PUT by id --> look at what came back
//!   until every job is settled --> one SaveOutcome for each draft
//! ```
//!
//! A write that is not answered may have been done: it is not repeated, but the
//! Observation is read again, and merged and written if it has to be.
//!
//! A write says what it expects: `If-Match` when the Observation is there,
//! `If-None-Match: *` when it is not. Servers ignore or bend both
//! (crates-and-components.md 6), so what comes back decides: after 409, 412 or
//! a 404 to an `If-Match` the job is read, merged and written again; and when
//! the answer shows that another writer's version was overwritten, that version
//! is read from the history and merged back.
//!
//! Nothing here knows a mapping: a [`Draft`] makes and merges itself.

mod job;
mod read;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use delivery::planted::Bug;
use delivery::{Reason, SaveOutcome, Turn, Unfenced};
use mapping::observation::Observation;
use moka::future::Cache;

use self::job::Job;
use crate::client::{Client, ServerAway, Until, spread};
use crate::version::Version;

/// An Observation to be made or changed.
pub trait Draft: Sync {
    /// Its id on the server.
    fn id(&self) -> &str;

    /// The value of its identifier, whose system is the service's.
    fn identifier(&self) -> &str;

    /// What is to be written where there is none.
    fn create(&self) -> Result<Observation, Reason>;

    /// What is to be written in place of `existing`; none when it holds
    /// everything already.
    fn merge(&self, existing: &Observation) -> Result<Option<Observation>, Reason>;

    /// `existing` with everything of `lost` that it has no room taken for:
    /// missing samples, values and components. None when nothing is missing.
    /// `lost` is a version of the same Observation that was overwritten.
    fn absorb(&self, existing: &Observation, lost: &Observation) -> Result<Option<Observation>, Reason>;
}

/// How a [`Saver`] works.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// Bytes of Observations kept in memory to spare reads; 0 keeps none.
    /// Defaults to 16 MiB, some thousands of Observations.
    pub cache_bytes: u64,
    /// How many of them; 0 keeps none. Defaults to 5000, as in the reference
    /// connector.
    pub cache_entries: u64,
    /// How long one is kept. Defaults to an hour, as in the reference
    /// connector.
    pub cache_for: Duration,
    /// Rounds of reading, merging and writing one Observation, conflicts and
    /// overwrites counted. Defaults to 10; each takes another writer who was
    /// faster.
    pub rounds_max: u32,
    /// `Compatibility__LegacyIds`: where no Observation has the computed id, one
    /// with the identifier is searched for, as connectors before 2021 let the
    /// server choose ids. Defaults to false.
    pub legacy_ids: bool,
    /// A deleted Observation is made anew instead of being rejected. Defaults
    /// to false.
    pub recreate_deleted: bool,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 16 * 1024 * 1024,
            cache_entries: 5000,
            cache_for: Duration::from_secs(3600),
            rounds_max: 10,
            legacy_ids: false,
            recreate_deleted: false,
        }
    }
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaveCounts {
    /// Answers that meant "somebody else was faster".
    pub conflicts: u64,
    /// Versions of other writers that were overwritten and merged back.
    pub overwrites: u64,
}

/// Reads, merges and writes Observations on one server. Shared by all
/// partitions.
pub struct Saver {
    client: Arc<Client>,
    options: SaveOptions,
    /// Each with the term of ownership in which it was seen.
    cache: Option<Cache<String, (u64, Arc<Stored>)>>,
    conflicts: AtomicU64,
    overwrites: AtomicU64,
}

/// An Observation as the server holds it.
struct Stored {
    /// None where the server names no versions.
    version: Option<Version>,
    observation: Observation,
    bytes: usize,
}

/// What a save is about, beside its drafts.
#[derive(Clone, Copy, Debug)]
pub struct Window<'w> {
    /// Who may write, and whether the window may have been begun before. Then
    /// Observations written since are checked against their history, so that
    /// whatever came between an overwrite and its repair loses nothing.
    pub turn: Turn<'w>,
    /// Everything ends before this.
    pub deadline: Instant,
}

impl Window<'static> {
    /// A window that is saved for the first time, by its only owner.
    pub fn until(deadline: Instant) -> Window<'static> {
        Window { turn: Turn::UNFENCED, deadline }
    }
}

impl<'w> Window<'w> {
    /// For the requests of this window.
    fn limits(&self) -> Until<'w> {
        Until::new(self.deadline, self.turn.fence)
    }
}

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saver").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Saver {
    /// A saver with an empty memory.
    pub fn new(client: Arc<Client>, options: SaveOptions) -> Saver {
        let keeps = options.cache_bytes > 0 && options.cache_entries > 0;
        // Each weighs at least its share, so that both limits hold.
        let share = u32::try_from(options.cache_bytes / options.cache_entries.max(1)).unwrap_or(u32::MAX);
        let cache = keeps.then(|| {
            Cache::builder()
                .max_capacity(options.cache_bytes)
                .weigher(move |id: &String, (_, stored): &(u64, Arc<Stored>)| {
                    let bytes = u32::try_from(id.len() + 2 * stored.bytes).unwrap_or(u32::MAX);
                    bytes.max(share)
                })
                .time_to_live(options.cache_for)
                .build()
        });
        Saver { client, options, cache, conflicts: AtomicU64::new(0), overwrites: AtomicU64::new(0) }
    }

    /// Forgets every Observation. What was seen in another term of ownership
    /// counts no more in any case.
    pub fn clear_cache(&self) {
        if let Some(cache) = &self.cache {
            cache.invalidate_all();
        }
    }

    /// The clock that deadlines are read from.
    pub(crate) fn now(&self) -> Instant {
        self.client.clock().now()
    }

    /// What was counted since the start.
    pub fn counts(&self) -> SaveCounts {
        SaveCounts {
            conflicts: self.conflicts.load(Ordering::Relaxed),
            overwrites: self.overwrites.load(Ordering::Relaxed),
        }
    }

    /// Saves `drafts` and gives the outcome of each, in their order. Several of
    /// one id are merged in their order and written once. When the server is
    /// away the whole window is to be given again; what was written by then
    /// comes out unchanged.
    pub async fn save<D: Draft>(&self, drafts: &[D], window: Window<'_>) -> Result<Vec<SaveOutcome>, ServerAway> {
        let mut outcomes: Vec<Option<SaveOutcome>> = vec![None; drafts.len()];
        let jobs = jobs(drafts);
        let mut away = None;
        // Slices bound what is in memory; four bundles keep a server busy.
        let slice = self.client.options().bundle_entries_max.max(1) * 4;
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            let mut part: Vec<Job<'_, D>> = jobs.by_ref().take(slice).collect();
            let result = self.settle(&mut part, &window).await;
            for job in part {
                job.report(&mut outcomes);
            }
            if let Err(error) = result {
                away = Some(error);
                break;
            }
        }
        match (away, outcomes.into_iter().collect::<Option<Vec<_>>>()) {
            (None, Some(outcomes)) => Ok(outcomes),
            (Some(away), _) => Err(away),
            (None, None) => Err(ServerAway::DeadlinePassed),
        }
    }

    /// Works on `jobs` until each is settled or the server is away for it. A
    /// job for which it is away does not stop the others, which may have an
    /// overwrite to repair.
    async fn settle<D: Draft>(&self, jobs: &mut [Job<'_, D>], window: &Window<'_>) -> Result<(), ServerAway> {
        let mut away = None;
        loop {
            let mut open: Vec<&mut Job<'_, D>> = jobs.iter_mut().filter(|job| job.is_open()).collect();
            let Some(tries) = open.iter().map(|job| job.tries()).max() else { break };
            if tries > 0 {
                let unanswered = open.iter().map(|job| job.unanswered).max().unwrap_or_default();
                self.pause(tries, unanswered, window.deadline).await?;
            }
            keep_first(&mut away, self.read(&mut open, window).await);
            for job in &mut open {
                keep_first(&mut away, self.recognize(job, window).await);
            }
            // After the read: what was read was then read by the owner.
            if tries > 0 && !window.turn.fence.confirm().await.map_err(ServerAway::OwnerUnknown)? {
                self.put_back(&mut open, window).await?;
                return Err(ServerAway::NotOwner);
            }
            for job in &mut open {
                job.merge();
            }
            keep_first(&mut away, self.write(&mut open, window).await);
        }
        away.map_or(Ok(()), Err)
    }

    /// The partition is another's, who may have written what one of our writes
    /// replaced, and will not look for it: that is put back, and nothing else is
    /// written. The fence is not asked: each write is for just the version that
    /// shows the loss.
    async fn put_back<D: Draft>(&self, jobs: &mut [&mut Job<'_, D>], window: &Window<'_>) -> Result<(), ServerAway> {
        let turn = Turn { fence: &Unfenced, begun_before: None, ..window.turn };
        let window = Window { turn, deadline: window.deadline };
        for _ in 0..self.options.rounds_max {
            let mut open: Vec<&mut Job<'_, D>> =
                jobs.iter_mut().map(|job| &mut **job).filter(|job| job.repair && job.is_open()).collect();
            if open.is_empty() {
                break;
            }
            self.read(&mut open, &window).await?;
            open.iter_mut().for_each(|job| job.restore());
            self.write(&mut open, &window).await?;
        }
        Ok(())
    }

    /// Writers that met must not meet again at once, and a server that did not
    /// answer is given time.
    async fn pause(&self, tries: u32, unanswered: u32, deadline: Instant) -> Result<(), ServerAway> {
        let clock = self.client.clock();
        let retry = self.client.options().retry;
        let patience = retry.delay_first.saturating_mul((1 << unanswered.min(16)) >> 1).min(retry.delay_max);
        let wait = patience / 2 + spread(patience / 2 + Duration::from_millis(20) * (1 << tries.min(6)), clock);
        if clock.now() + wait >= deadline {
            return Err(ServerAway::DeadlinePassed);
        }
        self.client.sleep(wait).await;
        Ok(())
    }

    async fn remember(&self, id: &str, term: u64, stored: Arc<Stored>) {
        if let Some(cache) = &self.cache {
            cache.insert(id.to_owned(), (term, stored)).await;
        }
    }

    async fn forget(&self, id: &str) {
        if let Some(cache) = &self.cache {
            cache.invalidate(id).await;
        }
    }

    /// What was seen in this term: in another one somebody else may have
    /// written since (design.md D13).
    async fn remembered(&self, id: &str, term: u64) -> Option<Arc<Stored>> {
        let (seen, stored) = self.cache.as_ref()?.get(id).await?;
        (seen == term || Bug::StaleCache.is_planted()).then_some(stored)
    }
}

/// One job for each Observation, in the order in which their ids first occur.
fn jobs<D: Draft>(drafts: &[D]) -> Vec<Job<'_, D>> {
    let mut jobs: Vec<Job<'_, D>> = Vec::with_capacity(drafts.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(drafts.len());
    for (position, draft) in drafts.iter().enumerate() {
        let place = *places.entry(draft.id()).or_insert_with(|| {
            jobs.push(Job::new(draft));
            jobs.len() - 1
        });
        jobs[place].add(position, draft);
    }
    jobs
}

fn keep_first(away: &mut Option<ServerAway>, result: Result<(), ServerAway>) {
    if let (None, Err(error)) = (&away, result) {
        *away = Some(error);
    }
}
