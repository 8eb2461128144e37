//! The file of one partition: events one behind the other, only ever appended.
//!
//! ```text
//! record = length u32 | checksum u32 | sequence number u64 | enqueued time i64 | encoded AMQP message
//! ```
//!
//! Numbers are little-endian. The length counts what follows the checksum and
//! the checksum (CRC-32) covers the same bytes. The offset of an event is the
//! position of its record in the file, so it need not be written. Sequence
//! numbers start at 0 and have no gaps. There is no retention by time: a
//! development machine keeps its events until the folder is deleted.
//!
//! An append returns once the records are on disk. What a crash left half
//! written is cut off when the file is opened again; a record that was damaged
//! later, with others behind it, is an error and never dropped in silence.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes in front of the message: length, checksum, sequence number, time.
const HEADER_BYTES: usize = 4 + 4 + 8 + 8;
/// What the length counts besides the message.
const COVERED_HEADER_BYTES: usize = 8 + 8;
/// Longer than any message that a link lets in (1 MiB), with room for the
/// annotations that are added; a length above it is a damaged record.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a partition's file can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Reading or writing failed.
    #[error("`{}` can't be read or written", path.display())]
    Io {
        /// The partition's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record in the middle of the file does not have its checksum, so events
    /// that were accepted are lost.
    #[error("`{}` is damaged at byte {position}; accepted events can't be read", path.display())]
    Damaged {
        /// The partition's file.
        path: PathBuf,
        /// Where the damaged record starts.
        position: u64,
    },
}

/// Where an event is in the file, and when it was enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position of the record: the event's offset.
    pub offset: u64,
    /// Milliseconds since 1970; never less than the entry before it.
    pub enqueued_ms: i64,
}

/// An event as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Counted from 0 in the partition, without gaps.
    pub sequence_number: u64,
    /// Position of the record in the file.
    pub offset: u64,
    /// Milliseconds since 1970.
    pub enqueued_ms: i64,
    /// The encoded AMQP message.
    pub message: Vec<u8>,
}

/// The writing end of a partition's file. There is one.
#[derive(Debug)]
pub struct Log {
    file: File,
    end: u64,
    next_sequence_number: u64,
    last_enqueued_ms: i64,
    /// Set when an append failed and its bytes could not be taken back: what
    /// is at the end of the file is then unknown.
    broken: bool,
}

/// What opening a file found.
#[derive(Debug)]
pub struct Opened {
    /// The writing end.
    pub log: Log,
    /// One entry for each event, by sequence number.
    pub entries: Vec<Entry>,
    /// Bytes of an unfinished append that were cut off.
    pub cut_bytes: u64,
}

impl Log {
    /// Opens or makes the file, reads it through once, and cuts a torn tail.
    pub fn open(path: &Path) -> Result<Opened, LogError> {
        let failed = |source| LogError::Io { path: path.to_owned(), source };
        let file = File::options().read(true).append(true).create(true).open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let (entries, end) = scan(&file, length, path)?;
        let cut_bytes = length - end;
        if cut_bytes > 0 {
            file.set_len(end).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let log = Self {
            file,
            end,
            next_sequence_number: entries.len() as u64,
            last_enqueued_ms: entries.last().map_or(i64::MIN, |entry| entry.enqueued_ms),
            broken: false,
        };
        Ok(Opened { log, entries, cut_bytes })
    }

    /// Writes `messages` behind each other and waits until the disk has them.
    ///
    /// All or none are stored: after a failure the file is cut back, so that
    /// the events that the sender will send again are not there twice.
    pub fn append<'m>(&mut self, messages: impl Iterator<Item = &'m [u8]>, now_ms: i64) -> io::Result<Vec<Entry>> {
        if self.broken {
            return Err(io::Error::other("an earlier append failed and could not be undone"));
        }
        // A clock that was set back must not disorder the enqueued times:
        // receivers may start by them.
        let enqueued_ms = now_ms.max(self.last_enqueued_ms);
        let mut bytes = Vec::new();
        let mut entries = Vec::new();
        for message in messages {
            entries.push(Entry { offset: self.end + bytes.len() as u64, enqueued_ms });
            put_record(&mut bytes, self.next_sequence_number + entries.len() as u64 - 1, enqueued_ms, message);
        }
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            self.broken = self.file.set_len(self.end).and_then(|()| self.file.sync_all()).is_err();
            return Err(error);
        }
        self.end += bytes.len() as u64;
        self.next_sequence_number += entries.len() as u64;
        self.last_enqueued_ms = enqueued_ms;
        Ok(entries)
    }
}

fn put_record(bytes: &mut Vec<u8>, sequence_number: u64, enqueued_ms: i64, message: &[u8]) {
    let start = bytes.len();
    bytes.extend(((COVERED_HEADER_BYTES + message.len()) as u32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(sequence_number.to_le_bytes());
    bytes.extend(enqueued_ms.to_le_bytes());
    bytes.extend(message);
    let checksum = crc32fast::hash(&bytes[start + 8..]);
    bytes[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads record after record; gives the entries and where the last whole one ends.
fn scan(file: &File, length: u64, path: &Path) -> Result<(Vec<Entry>, u64), LogError> {
    let failed = |source| LogError::Io { path: path.to_owned(), source };
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    reader.rewind().map_err(failed)?;
    let mut entries = Vec::new();
    let mut position = 0;
    while position < length {
        match read_record(&mut reader, length - position).map_err(failed)? {
            Record::Whole { sequence_number, enqueued_ms, bytes, .. } if sequence_number == entries.len() as u64 => {
                entries.push(Entry { offset: position, enqueued_ms });
                position += bytes;
            }
            // Something whole behind it: this is no unfinished append.
            Record::Whole { .. } => return Err(LogError::Damaged { path: path.to_owned(), position }),
            Record::Bad { bytes: Some(bytes) } => {
                let rest = length - position - bytes;
                if matches!(read_record(&mut reader, rest).map_err(failed)?, Record::Whole { .. }) {
                    return Err(LogError::Damaged { path: path.to_owned(), position });
                }
                break;
            }
            Record::Bad { bytes: None } => break,
        }
    }
    Ok((entries, position))
}

enum Record {
    Whole {
        sequence_number: u64,
        enqueued_ms: i64,
        message: Vec<u8>,
        bytes: u64,
    },
    /// Not a record; `bytes` when its end is known and inside the file.
    Bad {
        bytes: Option<u64>,
    },
}

/// Reads one record of at most `rest` bytes.
fn read_record(reader: &mut impl Read, rest: u64) -> io::Result<Record> {
    if rest < HEADER_BYTES as u64 {
        return Ok(Record::Bad { bytes: None });
    }
    let mut front = [0; 8];
    reader.read_exact(&mut front)?;
    let (length, checksum) = (u32_at(&front, 0) as usize, u32_at(&front, 4));
    let bytes = 8 + length as u64;
    if !(COVERED_HEADER_BYTES..=RECORD_BYTES_MAX).contains(&length) || bytes > rest {
        return Ok(Record::Bad { bytes: None });
    }
    let mut covered = vec![0; length];
    reader.read_exact(&mut covered)?;
    if crc32fast::hash(&covered) != checksum {
        return Ok(Record::Bad { bytes: Some(bytes) });
    }
    Ok(Record::Whole {
        sequence_number: u64_at(&covered, 0),
        enqueued_ms: u64_at(&covered, 8) as i64,
        message: covered.split_off(COVERED_HEADER_BYTES),
        bytes,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A reading end of a partition's file. Each receiver has its own.
#[derive(Debug)]
pub struct LogReader {
    file: BufReader<File>,
}

impl LogReader {
    /// Opens the file of a [`Log`].
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(64 * 1024, File::open(path)?) })
    }

    /// Reads the records at `entries`, which must be neighbours in the file and
    /// already on disk.
    pub fn read(&mut self, entries: &[Entry]) -> io::Result<Vec<StoredEvent>> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        // Seeking drops the buffer, which may end in bytes read before they were written.
        self.file.seek(SeekFrom::Start(first.offset))?;
        entries.iter().map(|entry| self.read_one(entry)).collect()
    }

    fn read_one(&mut self, entry: &Entry) -> io::Result<StoredEvent> {
        match read_record(&mut self.file, u64::MAX)? {
            Record::Whole { sequence_number, enqueued_ms, message, .. } => {
                Ok(StoredEvent { sequence_number, offset: entry.offset, enqueued_ms, message })
            }
            Record::Bad { .. } => Err(io::Error::new(io::ErrorKind::InvalidData, "a stored event is damaged")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, messages: &[&str]) {
        let mut log = Log::open(path).unwrap().log;
        log.append(messages.iter().map(|message| message.as_bytes()), 1_000).unwrap();
    }

    /// The messages in the file after opening it again, and the bytes cut.
    fn reopened(path: &Path) -> (Vec<String>, u64) {
        let opened = Log::open(path).unwrap();
        let events = LogReader::open(path).unwrap().read(&opened.entries).unwrap();
        let numbers: Vec<u64> = events.iter().map(|event| event.sequence_number).collect();
        assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
        let texts = events.into_iter().map(|event| String::from_utf8(event.message).unwrap()).collect();
        (texts, opened.cut_bytes)
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        (folder, path)
    }

    #[test]
    fn keeps_what_was_appended() {
        let (_folder, path) = folder();
        write(&path, &["a", "bb"]);
        write(&path, &["", "dddd"]);
        assert_eq!(reopened(&path), (["a", "bb", "", "dddd"].map(str::to_owned).to_vec(), 0));
    }

    #[test]
    fn cuts_a_torn_tail_at_every_byte() {
        let (_folder, path) = folder();
        write(&path, &["first", "second"]);
        let whole = std::fs::read(&path).unwrap();
        let second = HEADER_BYTES + "first".len();
        for length in second..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(reopened(&path), (vec!["first".to_owned()], (length - second) as u64), "{length} bytes");
            write(&path, &["third"]);
            assert_eq!(reopened(&path).0, ["first", "third"], "{length} bytes");
        }
    }

    #[test]
    fn cuts_a_last_record_without_its_checksum_and_a_tail_of_zeros() {
        let (_folder, path) = folder();
        write(&path, &["first", "second"]);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(reopened(&path), (vec!["first".to_owned()], 30));
        bytes.truncate(HEADER_BYTES + "first".len());
        bytes.extend([0; 100]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(reopened(&path), (vec!["first".to_owned()], 100));
    }

    #[test]
    fn refuses_a_file_damaged_before_its_end() {
        let (_folder, path) = folder();
        write(&path, &["first", "second", "third"]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER_BYTES + "first".len() + HEADER_BYTES] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = Log::open(&path).unwrap_err();
        assert!(matches!(error, LogError::Damaged { position: 29, .. }), "{error}");
    }

    #[test]
    fn enqueued_times_never_go_back() {
        let (_folder, path) = folder();
        let mut log = Log::open(&path).unwrap().log;
        let times =
            [5_000, 4_000, 6_000].map(|now| log.append([b"x".as_slice()].into_iter(), now).unwrap()[0].enqueued_ms);
        assert_eq!(times, [5_000, 5_000, 6_000]);
    }
}
