//! A hub in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use delivery::{Away, Bounds, Hub, HubEvent, ReadError, Reader, Source, Start};
use expressions::UtcTime;
use futures::channel::mpsc;
use futures::stream::StreamExt;

/// A hub whose events whoever holds it appends; clones are the same hub.
#[derive(Clone, Debug)]
pub struct MemoryHub {
    source: Source,
    partitions: Arc<Mutex<BTreeMap<String, Partition>>>,
}

#[derive(Debug, Default)]
struct Partition {
    /// Sequence number of the oldest event.
    first: i64,
    events: Vec<HubEvent>,
    /// Told of every event.
    readers: Vec<mpsc::UnboundedSender<()>>,
    /// Gives nothing to readers until they open it anew so many times.
    silent: u32,
    /// With what credit it was opened, each time.
    credits: Vec<usize>,
}

impl MemoryHub {
    /// A hub with empty partitions, each with its place in `partitions`.
    pub fn new(source: Source, partitions: &[&str]) -> MemoryHub {
        let partitions = partitions.iter().map(|partition| ((*partition).to_owned(), Partition::default()));
        MemoryHub { source, partitions: Arc::new(Mutex::new(partitions.collect())) }
    }

    /// Appends an event and gives its sequence number.
    pub fn append(&self, partition: &str, body: impl Into<Vec<u8>>, enqueued_time: UtcTime) -> i64 {
        let mut partitions = self.lock();
        let partition = partitions.entry(partition.to_owned()).or_default();
        let sequence_number = partition.first + partition.events.len() as i64;
        partition.events.push(HubEvent {
            body: body.into(),
            properties: Vec::new(),
            system_properties: Vec::new(),
            sequence_number,
            offset: (sequence_number * 100).to_string(),
            enqueued_time,
        });
        // Readers that are gone are told nothing.
        partition.readers.retain(|reader| reader.unbounded_send(()).is_ok());
        sequence_number
    }

    /// Deletes the oldest events, as a hub does when they are too old.
    pub fn expire(&self, partition: &str, events: usize) {
        if let Some(partition) = self.lock().get_mut(partition) {
            let gone = events.min(partition.events.len());
            partition.events.drain(..gone);
            partition.first += gone as i64;
        }
    }

    /// Deletes everything and begins to count anew, as a hub does that was made
    /// anew under its name.
    pub fn make_anew(&self) {
        for partition in self.lock().values_mut() {
            *partition = Partition::default();
        }
    }

    /// Readers of a partition get nothing until it was opened anew so many
    /// times.
    pub fn be_silent(&self, partition: &str, openings: u32) {
        if let Some(partition) = self.lock().get_mut(partition) {
            partition.silent = openings;
        }
    }

    /// What every partition holds.
    pub fn contents(&self) -> BTreeMap<String, Vec<HubEvent>> {
        self.lock().iter().map(|(name, partition)| (name.clone(), partition.events.clone())).collect()
    }

    /// With what credit a partition was opened, each time.
    pub fn credits(&self, partition: &str) -> Vec<usize> {
        self.lock().get(partition).map(|partition| partition.credits.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub for MemoryHub {
    type Reader = MemoryReader;

    fn source(&self, partition: &str) -> Source {
        Source { partition: partition.to_owned(), ..self.source.clone() }
    }

    async fn partitions(&self) -> Result<Vec<String>, Away> {
        Ok(self.lock().keys().cloned().collect())
    }

    async fn bounds(&self, partition: &str) -> Result<Bounds, Away> {
        let partitions = self.lock();
        let partition = partitions.get(partition).ok_or_else(|| no_partition(partition))?;
        Ok(Bounds { first: partition.first, last: partition.first + partition.events.len() as i64 - 1 })
    }

    async fn open(&self, partition: &str, from: Start, credit: usize) -> Result<MemoryReader, Away> {
        let mut partitions = self.lock();
        let opened = partitions.get_mut(partition).ok_or_else(|| no_partition(partition))?;
        let next = match from {
            Start::Beginning => opened.first,
            Start::After(last) => last + 1,
        };
        let (told, news) = mpsc::unbounded();
        let is_silent = opened.silent > 0;
        opened.silent = opened.silent.saturating_sub(1);
        opened.readers.push(told);
        opened.credits.push(credit);
        Ok(MemoryReader { hub: self.clone(), partition: partition.to_owned(), next, news, is_silent })
    }
}

fn no_partition(partition: &str) -> Away {
    Away::new("the hub", format!("it has no partition `{partition}`"))
}

/// Reads a partition of a [`MemoryHub`].
#[derive(Debug)]
pub struct MemoryReader {
    hub: MemoryHub,
    partition: String,
    next: i64,
    news: mpsc::UnboundedReceiver<()>,
    is_silent: bool,
}

impl MemoryReader {
    fn at_hand(&mut self) -> Option<HubEvent> {
        let partitions = self.hub.lock();
        let partition = partitions.get(&self.partition)?;
        self.next = self.next.max(partition.first);
        let event = partition.events.get((self.next - partition.first) as usize)?.clone();
        self.next += 1;
        Some(event)
    }
}

impl Reader for MemoryReader {
    async fn next(&mut self) -> Result<HubEvent, ReadError> {
        loop {
            if !self.is_silent
                && let Some(event) = self.at_hand()
            {
                return Ok(event);
            }
            if self.news.next().await.is_none() {
                return Err(Away::new("the hub", "the partition was made anew").into());
            }
        }
    }
}
