//! Positions in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delivery::{Away, Checkpoint, Ownership, Positions, Runtime, Source, Version, WindowMark};

use crate::machine::SimulatedRuntime;

/// The positions of a consumer group, with those of other hubs that it read
/// before; clones for another source are the same store.
#[derive(Clone)]
pub struct MemoryPositions {
    runtime: Arc<SimulatedRuntime>,
    source: Source,
    reader: &'static str,
    stored: Arc<Mutex<Stored>>,
}

/// What a store can say of something that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing.
    NoAnswer,
    /// That it was not done: its client asked once more by itself.
    Refused,
}

/// Namespace, hub, partition.
type Place = (String, String, String);

/// What is stored, each with the number of the write that put it there.
type Numbered<T> = BTreeMap<Place, (T, u64)>;

#[derive(Default)]
struct Stored {
    /// Who, and since when.
    ownerships: Numbered<(Option<String>, Duration)>,
    checkpoints: Numbered<Checkpoint>,
    windows: Numbered<WindowMark>,
    /// Who reads a hub, by namespace and name.
    readers: BTreeMap<(String, String), &'static str>,
    writes: u64,
    /// What is said to the next claim that is done, instead of that it is.
    lie: Option<Lie>,
}

impl fmt::Debug for MemoryPositions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPositions").field("source", &self.source).finish_non_exhaustive()
    }
}

impl MemoryPositions {
    /// An empty store, for a hub.
    pub fn new(runtime: Arc<SimulatedRuntime>, source: Source) -> MemoryPositions {
        MemoryPositions { runtime, source, reader: "normalize", stored: Arc::default() }
    }

    /// The same store for another hub.
    pub fn of(&self, source: Source) -> MemoryPositions {
        MemoryPositions { source, ..self.clone() }
    }

    /// The same store for another function.
    pub fn read_by(&self, reader: &'static str) -> MemoryPositions {
        MemoryPositions { reader, ..self.clone() }
    }

    /// The sequence number of a partition's checkpoint.
    pub fn sequence_number(&self, partition: &str) -> Option<i64> {
        self.lock().checkpoints.get(&self.place(partition)).map(|(checkpoint, _)| checkpoint.sequence_number)
    }

    /// Who owns a partition.
    pub fn owner(&self, partition: &str) -> Option<String> {
        self.lock().ownerships.get(&self.place(partition)).and_then(|((owner, _), _)| owner.clone())
    }

    /// Makes another the owner of a partition, whoever it was.
    pub fn steal(&self, partition: &str, owner: &str) {
        let at = self.runtime.elapsed();
        let mut stored = self.lock();
        stored.writes += 1;
        let version = stored.writes;
        stored.ownerships.insert(self.place(partition), ((Some(owner.to_owned()), at), version));
    }

    /// Makes nobody the owner of a partition.
    pub fn release(&self, partition: &str) {
        let at = self.runtime.elapsed();
        let mut stored = self.lock();
        stored.writes += 1;
        let version = stored.writes;
        stored.ownerships.insert(self.place(partition), ((None, at), version));
    }

    /// Deletes who owns a partition, as somebody does who clears a store.
    pub fn lose(&self, partition: &str) {
        self.lock().ownerships.remove(&self.place(partition));
    }

    /// The next claim that is done is answered like this.
    pub fn lie(&self, lie: Lie) {
        self.lock().lie = Some(lie);
    }

    /// Every checkpoint that is stored, of whichever hub, as
    /// `namespace/hub/partition` in lower case.
    pub fn checkpoints(&self) -> Vec<String> {
        let name = |(namespace, hub, partition): &Place| format!("{namespace}/{hub}/{partition}");
        self.lock().checkpoints.keys().map(name).collect()
    }

    fn place(&self, partition: &str) -> Place {
        (self.source.namespace.to_lowercase(), self.source.hub.to_lowercase(), partition.to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes if what is there is as expected, or nothing is when nothing is
/// expected.
fn write_if<T>(
    map: &mut Numbered<T>,
    writes: &mut u64,
    (place, value): (Place, T),
    expected: Option<&Version>,
) -> Option<Version> {
    if map.get(&place).map(|(_, number)| version(*number)).as_ref() != expected {
        return None;
    }
    *writes += 1;
    map.insert(place, (value, *writes));
    Some(version(*writes))
}

fn version(number: u64) -> Version {
    Version(number.to_string())
}

impl Positions for MemoryPositions {
    async fn ownerships(&self) -> Result<Vec<Ownership>, Away> {
        let now = self.runtime.elapsed();
        let ours = self.place("");
        let stored = self.lock();
        let ours = stored.ownerships.iter().filter(|(place, _)| (&place.0, &place.1) == (&ours.0, &ours.1));
        let ownership = |(place, ((owner, at), number)): (&Place, &((Option<String>, Duration), u64))| Ownership {
            partition: place.2.clone(),
            owner: owner.clone(),
            age: now.saturating_sub(*at),
            version: version(*number),
        };
        Ok(ours.map(ownership).collect())
    }

    async fn claim(
        &self,
        partition: &str,
        owner: Option<&str>,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let at = self.runtime.elapsed();
        let mut stored = self.lock();
        let place = self.place(partition);
        let Stored { ownerships, writes, lie, .. } = &mut *stored;
        let Some(version) = write_if(ownerships, writes, (place, (owner.map(str::to_owned), at)), expected) else {
            return Ok(None);
        };
        match lie.take() {
            None => Ok(Some(version)),
            Some(Lie::NoAnswer) => Err(Away::new("the checkpoint storage", "no answer")),
            Some(Lie::Refused) => Ok(None),
        }
    }

    async fn checkpoint(&self, partition: &str) -> Result<Option<(Checkpoint, Version)>, Away> {
        let stored = self.lock();
        let found = stored.checkpoints.get(&self.place(partition));
        Ok(found.map(|(checkpoint, number)| (checkpoint.clone(), version(*number))))
    }

    async fn write_checkpoint(
        &self,
        partition: &str,
        checkpoint: &Checkpoint,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let mut stored = self.lock();
        let place = self.place(partition);
        let Stored { checkpoints, readers, writes, .. } = &mut *stored;
        let hub = (place.0.clone(), place.1.clone());
        let written = write_if(checkpoints, writes, (place, checkpoint.clone()), expected);
        if written.is_some() {
            readers.insert(hub, self.reader);
        }
        Ok(written)
    }

    async fn window(&self, partition: &str) -> Result<Option<(WindowMark, Version)>, Away> {
        let stored = self.lock();
        let found = stored.windows.get(&self.place(partition));
        Ok(found.map(|(window, number)| (*window, version(*number))))
    }

    async fn write_window(
        &self,
        partition: &str,
        window: &WindowMark,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let mut stored = self.lock();
        let place = self.place(partition);
        let Stored { windows, writes, .. } = &mut *stored;
        Ok(write_if(windows, writes, (place, *window), expected))
    }

    async fn forget_others(&self, expiry: Duration) -> Result<Vec<String>, Away> {
        let ours = self.place("");
        let now = self.runtime.elapsed();
        let mut stored = self.lock();
        let readers = stored.readers.clone();
        let fresh = stored.ownerships.iter().filter(|(_, ((owner, at), _))| owner.is_some() && now < *at + expiry);
        let read: BTreeSet<(String, String)> = fresh.map(|(place, _)| (place.0.clone(), place.1.clone())).collect();
        let is_another_readers = |place: &Place| {
            readers.get(&(place.0.clone(), place.1.clone())).is_some_and(|reader| *reader != self.reader)
        };
        let is_read = |place: &Place| read.contains(&(place.0.clone(), place.1.clone()));
        let is_ours =
            |place: &Place| (&place.0, &place.1) == (&ours.0, &ours.1) || is_another_readers(place) || is_read(place);
        let forgotten: Vec<Place> = stored.checkpoints.keys().filter(|place| !is_ours(place)).cloned().collect();
        stored.checkpoints.retain(|place, _| is_ours(place));
        stored.ownerships.retain(|place, _| is_ours(place));
        stored.windows.retain(|place, _| is_ours(place));
        Ok(forgotten.into_iter().map(|(namespace, hub, partition)| format!("{namespace}/{hub}/{partition}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use expressions::UtcTime;

    use super::*;
    use crate::contract::{check_forgetting, check_positions};
    use crate::machine::Machine;

    #[test]
    fn does_what_every_store_does() {
        let runtime = Machine::new(UtcTime::MIN, 1).runtime();
        let source = |hub: &str| Source { hub: hub.to_owned(), ..Source::default() };
        futures::executor::block_on(async {
            check_positions(&MemoryPositions::new(runtime.clone(), source("a"))).await;
            let a = MemoryPositions::new(runtime, source("a"));
            let other = a.of(source("internal")).read_by("group-convert");
            check_forgetting(&a, &a.of(source("b")), &other).await;
        });
    }
}
