//! One partition: the writer that groups appends, and what receivers read.
//!
//! ```text
//! senders --batches--> writer --one write and fsync for a group--> log --entries--> receivers
//! ```
//!
//! Each partition has one writing task. What senders hand over while it waits
//! for the disk becomes the next group, so many senders share one `fsync`.
//! Events are seen by receivers, and settled to senders, only after it. In
//! memory are 16 bytes for each event, not the events.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hub_client::StartPosition;
use tokio::sync::{mpsc, oneshot, watch};

use super::log::{Entry, Log, LogError, LogReader, StoredEvent};
use super::position::first_sequence_number;
use super::store::now_ms;

/// Batches that may wait for a partition's writer; senders wait beyond it.
const WAITING_BATCHES_MAX: usize = 256;
/// A group is written once it holds this many bytes, so that its copy in
/// memory stays small next to the largest message (1 MiB).
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a receiver reads at once: enough to keep a link busy, little to hold.
const READ_EVENTS_MAX: usize = 64;
const READ_BYTES_MAX: u64 = 1024 * 1024;

/// Events could not be stored; none of the batch is.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk refused.
    #[error("events can't be written to disk")]
    Io(#[source] Arc<io::Error>),
    /// The partition's writer has ended.
    #[error("the partition is closed")]
    Closed,
}

/// One partition of a hub.
#[derive(Debug)]
pub struct Partition {
    stored: Arc<Stored>,
    writer: mpsc::Sender<Batch>,
}

/// What is on disk.
#[derive(Debug)]
struct Stored {
    path: PathBuf,
    /// By sequence number.
    entries: RwLock<Vec<Entry>>,
    /// The length of `entries`; receivers wait on it.
    count: watch::Sender<u64>,
    /// The number of the first event that has not expired.
    first: AtomicU64,
}

#[derive(Debug)]
struct Batch {
    events: Vec<Vec<u8>>,
    done: oneshot::Sender<Result<(), AppendError>>,
}

/// A batch on its way to the disk.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<(), AppendError>>);

impl Pending {
    /// Waits until the disk has the batch.
    pub async fn stored(self) -> Result<(), AppendError> {
        self.0.await.unwrap_or(Err(AppendError::Closed))
    }
}

/// Where a partition ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    last: Option<Entry>,
    /// Of the oldest event that is there; when none is, of the next one.
    pub first_sequence_number: i64,
    /// -1 when nothing was ever sent.
    pub last_sequence_number: i64,
}

impl PartitionStatus {
    /// The offset of the last event, `-1` when nothing was ever sent.
    pub fn last_offset(&self) -> String {
        self.last.map_or_else(|| "-1".to_owned(), |entry| entry.offset.to_string())
    }

    /// Milliseconds since 1970; 0 when nothing was ever sent.
    pub fn last_enqueued_ms(&self) -> i64 {
        self.last.map_or(0, |entry| entry.enqueued_ms)
    }

    /// Whether no event is there.
    pub fn is_empty(&self) -> bool {
        self.first_sequence_number > self.last_sequence_number
    }
}

impl Partition {
    /// Opens the partition's file and starts its writer on the current tokio
    /// runtime.
    pub fn open(path: &Path, hub: &str, id: u16) -> Result<Self, LogError> {
        let opened = Log::open(path)?;
        if opened.cut_bytes > 0 {
            tracing::warn!(hub, partition = id, bytes = opened.cut_bytes, "Cut an unfinished write off a partition");
        }
        let (count, _) = watch::channel(opened.entries.len() as u64);
        let stored = Arc::new(Stored {
            path: path.to_owned(),
            entries: RwLock::new(opened.entries),
            count,
            first: AtomicU64::new(0),
        });
        let (writer, batches) = mpsc::channel(WAITING_BATCHES_MAX);
        tokio::spawn(write_groups(opened.log, batches, stored.clone()));
        Ok(Self { stored, writer })
    }

    /// Hands a batch to the writer. Batches are stored in the order in which
    /// they are handed over, each without others in between.
    pub async fn append(&self, events: Vec<Vec<u8>>) -> Result<Pending, AppendError> {
        let (done, pending) = oneshot::channel();
        self.writer.send(Batch { events, done }).await.map_err(|_| AppendError::Closed)?;
        Ok(Pending(pending))
    }

    /// How many events are on disk.
    pub fn count(&self) -> u64 {
        *self.stored.count.borrow()
    }

    /// Lets all but the last `kept` events expire, until the stand-in is started
    /// again. Readers that have begun read on.
    pub fn expire(&self, kept: u64) {
        self.stored.first.fetch_max(self.count().saturating_sub(kept), Ordering::Relaxed);
    }

    /// Where the partition begins and ends.
    pub fn status(&self) -> PartitionStatus {
        self.stored.with_entries(|entries| PartitionStatus {
            last: entries.last().copied(),
            first_sequence_number: self.stored.first.load(Ordering::Relaxed) as i64,
            last_sequence_number: entries.len() as i64 - 1,
        })
    }

    /// Starts to read at `position`, as the partition is now.
    pub fn read_from(&self, position: &StartPosition) -> PartitionReader {
        let next = self.stored.with_entries(|entries| first_sequence_number(position, entries));
        let next = next.max(self.stored.first.load(Ordering::Relaxed));
        PartitionReader { stored: self.stored.clone(), count: self.stored.count.subscribe(), next, file: None }
    }
}

impl Stored {
    fn with_entries<T>(&self, read: impl FnOnce(&[Entry]) -> T) -> T {
        // A panic while the lock is held leaves a vector that is still whole.
        read(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Neighbouring entries from `next` on, as many as one read takes.
    fn entries_to_read(&self, next: u64) -> Vec<Entry> {
        self.with_entries(|entries| {
            let Some(rest) = entries.get(next as usize..) else { return Vec::new() };
            let Some(first) = rest.first() else { return Vec::new() };
            let near = |entry: &&Entry| entry.offset - first.offset < READ_BYTES_MAX;
            rest.iter().take(READ_EVENTS_MAX).take_while(near).copied().collect()
        })
    }
}

/// Reads on from a position, in order and without end.
#[derive(Debug)]
pub struct PartitionReader {
    stored: Arc<Stored>,
    count: watch::Receiver<u64>,
    next: u64,
    file: Option<LogReader>,
}

impl PartitionReader {
    /// Waits until there is an event to read. May be dropped at any time.
    pub async fn ready(&mut self) {
        let next = self.next;
        // The sender lives in `stored`, which this holds, so it can't be closed.
        let _ = self.count.wait_for(|count| *count > next).await;
    }

    /// The next events, at most about 1 MiB of them; none when all are read.
    /// May be dropped at any time: it moves on only when it has read.
    pub async fn read(&mut self) -> io::Result<Vec<StoredEvent>> {
        let entries = self.stored.entries_to_read(self.next);
        let (stored, file) = (self.stored.clone(), self.file.take());
        let (file, events) = tokio::task::spawn_blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => LogReader::open(&stored.path)?,
            };
            let events = file.read(&entries)?;
            io::Result::Ok((file, events))
        })
        .await
        .map_err(io::Error::other)??;
        self.file = Some(file);
        self.next += events.len() as u64;
        Ok(events)
    }
}

/// Writes what is handed over, in groups, until the partition is dropped.
async fn write_groups(mut log: Log, mut batches: mpsc::Receiver<Batch>, stored: Arc<Stored>) {
    while let Some(first) = batches.recv().await {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while bytes < GROUP_BYTES_MAX
            && let Ok(next) = batches.try_recv()
        {
            bytes += next.bytes();
            group.push(next);
        }
        let written = tokio::task::spawn_blocking(move || {
            let events = group.iter().flat_map(|batch| batch.events.iter().map(Vec::as_slice));
            let entries = log.append(events, now_ms());
            (log, group, entries)
        });
        // Only a runtime that shuts down gives an error; then nobody waits.
        let Ok((returned, group, entries)) = written.await else { return };
        log = returned;
        let outcome = match entries {
            Ok(entries) => {
                stored.add(&entries);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "Events can't be written to disk");
                Err(AppendError::Io(Arc::new(error)))
            }
        };
        for batch in group {
            // A sender that went away meanwhile needs no answer.
            let _ = batch.done.send(outcome.clone());
        }
    }
}

impl Batch {
    fn bytes(&self) -> usize {
        self.events.iter().map(Vec::len).sum()
    }
}

impl Stored {
    fn add(&self, new: &[Entry]) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.extend_from_slice(new);
        self.count.send_replace(entries.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Partition {
        Partition::open(&folder.join("0.log"), "h", 0).unwrap()
    }

    async fn append(partition: &Partition, texts: &[&str]) {
        let events = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        partition.append(events).await.unwrap().stored().await.unwrap();
    }

    async fn read_all(reader: &mut PartitionReader) -> Vec<String> {
        let events = reader.read().await.unwrap();
        events
            .into_iter()
            .map(|event| format!("{} {}", event.sequence_number, String::from_utf8_lossy(&event.message)))
            .collect()
    }

    #[tokio::test]
    async fn reads_from_a_position_and_on() {
        let folder = tempfile::tempdir().unwrap();
        let partition = open(folder.path());
        assert!(partition.status().is_empty());
        append(&partition, &["a", "b"]).await;
        let position = StartPosition::SequenceNumber { sequence_number: 0, inclusive: false };
        let mut reader = partition.read_from(&position);
        assert_eq!(read_all(&mut reader).await, ["1 b"]);
        assert_eq!(read_all(&mut reader).await, [""; 0]);
        append(&partition, &["c"]).await;
        reader.ready().await;
        assert_eq!(read_all(&mut reader).await, ["2 c"]);
        assert_eq!(partition.status().last_sequence_number, 2);
    }

    #[tokio::test]
    async fn what_has_expired_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let partition = open(folder.path());
        append(&partition, &["a", "b", "c"]).await;
        partition.expire(1);
        partition.expire(2);
        assert_eq!(read_all(&mut partition.read_from(&StartPosition::Earliest)).await, ["2 c"]);
        let numbers = |status: PartitionStatus| (status.first_sequence_number, status.last_sequence_number);
        assert_eq!((numbers(partition.status()), partition.status().is_empty()), ((2, 2), false));
        partition.expire(0);
        assert_eq!((numbers(partition.status()), partition.status().is_empty()), ((3, 2), true));
    }

    #[tokio::test]
    async fn one_read_is_bounded_in_events_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let partition = open(folder.path());
        let big = "x".repeat(400_000);
        append(&partition, &[big.as_str(); 5]).await;
        append(&partition, &["y"; 100]).await;
        let mut reader = partition.read_from(&StartPosition::Earliest);
        let mut sizes = Vec::new();
        loop {
            let events = reader.read().await.unwrap();
            if events.is_empty() {
                break;
            }
            sizes.push(events.len());
        }
        assert_eq!(sizes, [3, 64, 38]);
    }

    #[tokio::test]
    async fn concurrent_batches_stay_whole_and_numbered_without_gaps() {
        let folder = tempfile::tempdir().unwrap();
        let partition = open(folder.path());
        let mut pending = Vec::new();
        for batch in 0..50 {
            let events = (0..3).map(|event| format!("{batch}.{event}").into_bytes()).collect();
            pending.push(partition.append(events).await.unwrap());
        }
        for batch in pending {
            batch.stored().await.unwrap();
        }
        let mut reader = partition.read_from(&StartPosition::Earliest);
        let mut texts = Vec::new();
        while texts.len() < 150 {
            texts.extend(read_all(&mut reader).await);
        }
        let expected: Vec<String> = (0..150).map(|n| format!("{n} {}.{}", n / 3, n % 3)).collect();
        assert_eq!(texts, expected);
    }
}
