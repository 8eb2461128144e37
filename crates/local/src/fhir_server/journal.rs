//! The file that makes the state survive: one line per commit, synced before
//! anything that depends on it is answered.
//!
//! A thread of its own writes and syncs; commits that arrive while it syncs
//! share the next sync. A line that a crash cut short is dropped when the file
//! is opened again: it was never answered.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use tokio::sync::watch;

/// How far the file is synced, or why it no longer can be.
#[derive(Clone, Debug)]
enum Synced {
    UpTo(u64),
    Failed(String),
}

/// The append-only file.
#[derive(Debug)]
pub(super) struct Journal {
    lines: mpsc::Sender<(u64, Vec<u8>)>,
    synced: watch::Receiver<Synced>,
    last: u64,
}

/// A commit's place in the journal, to wait for.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    number: u64,
    synced: watch::Receiver<Synced>,
}

/// The journal could not be written; the server's memory is ahead of it.
#[derive(Debug, thiserror::Error)]
#[error("the state file cannot be written: {0}")]
pub(super) struct JournalFailed(String);

impl Journal {
    /// Opens or makes the file, gives each whole line to `replay`, and starts
    /// the writer. A second process on the same file is refused.
    pub(super) fn open(path: &Path, replay: impl FnMut(&str) -> io::Result<()>) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.try_lock()
            .map_err(|_| io::Error::new(io::ErrorKind::AddrInUse, "another server uses this state folder"))?;
        let whole = read_lines(&mut file, replay)?;
        file.set_len(whole)?;
        file.sync_all()?;
        let (lines, queue) = mpsc::channel();
        let (report, synced) = watch::channel(Synced::UpTo(0));
        thread::Builder::new().name("fhir-journal".to_owned()).spawn(move || write_all(file, &queue, &report))?;
        Ok(Self { lines, synced, last: 0 })
    }

    /// Queues one line, without its line end.
    pub(super) fn append(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.last += 1;
        // The writer ends only after it has reported a failure, which every
        // ticket then shows.
        let _ = self.lines.send((self.last, line));
    }

    /// Everything appended so far.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket { number: self.last, synced: self.synced.clone() }
    }
}

impl Ticket {
    /// Waits until everything up to the ticket is on disk.
    pub(super) async fn durable(mut self) -> Result<(), JournalFailed> {
        let number = self.number;
        let reached = |synced: &Synced| match synced {
            Synced::UpTo(done) => *done >= number,
            Synced::Failed(_) => true,
        };
        let outcome = match self.synced.wait_for(reached).await {
            Ok(synced) => (*synced).clone(),
            Err(_) => Synced::Failed("its writer has ended".to_owned()),
        };
        match outcome {
            Synced::UpTo(_) => Ok(()),
            Synced::Failed(reason) => Err(JournalFailed(reason)),
        }
    }
}

/// Reads whole lines and gives the length they fill.
fn read_lines(file: &mut File, mut replay: impl FnMut(&str) -> io::Result<()>) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let mut whole = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(whole);
        }
        let text = std::str::from_utf8(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        replay(text)?;
        whole += length as u64;
    }
}

fn write_all(mut file: File, queue: &mpsc::Receiver<(u64, Vec<u8>)>, report: &watch::Sender<Synced>) {
    while let Ok((mut last, mut lines)) = queue.recv() {
        while let Ok((number, line)) = queue.try_recv() {
            last = number;
            lines.extend_from_slice(&line);
        }
        let outcome = match file.write_all(&lines).and_then(|()| file.sync_data()) {
            Ok(()) => Synced::UpTo(last),
            Err(error) => Synced::Failed(error.to_string()),
        };
        let failed = matches!(outcome, Synced::Failed(_));
        report.send_replace(outcome);
        if failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lines_of(path: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        Journal::open(path, |line| {
            lines.push(line.to_owned());
            Ok(())
        })
        .unwrap();
        lines
    }

    #[tokio::test]
    async fn what_is_durable_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, |_| Ok(())).unwrap();
        journal.append(b"one".to_vec());
        journal.append(b"two".to_vec());
        journal.ticket().durable().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_line_cut_short_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(lines_of(&path), ["one"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
    }

    #[test]
    fn a_second_server_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let _first = Journal::open(&path, |_| Ok(())).unwrap();
        assert_eq!(Journal::open(&path, |_| Ok(())).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
