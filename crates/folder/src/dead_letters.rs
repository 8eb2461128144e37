//! Dead letters as files, one each.
//!
//! ```text
//! <folder>/<stage>/<hub>/<partition>/<sequence number>-<measurement>-<reason>-<identity>.json
//! ```
//!
//! `<identity>` is a hash over the event's origin and body, so the same letter
//! written again is the same file and another letter never is: not that of a
//! hub that was made anew and counts from 0 again, nor of another namespace.
//! A file appears whole or not at all and is on the disk when
//! [`DeadLetters::record`] returns.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delivery::{Away, DeadLetter, DeadLetters};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::hex;

/// How much of the hash is in a name, in bytes: enough that no two letters of
/// one place meet.
const IDENTITY_BYTES: usize = 8;

/// A folder of dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetterFolder {
    path: PathBuf,
}

/// A dead letter as it lies in its file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredDeadLetter {
    /// `normalize` or `group-convert`.
    pub stage: String,
    /// The stable code of the reason.
    pub reason: String,
    /// What was wrong, and where in the mapping.
    pub message: String,
    /// The version of the mapping that was in use.
    pub mapping_version: String,
    /// The hub's namespace.
    pub namespace: String,
    /// The hub.
    pub hub: String,
    /// The consumer group that read.
    pub consumer_group: String,
    /// The partition.
    pub partition: String,
    /// The place in the partition; absent for what came by HTTP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sequence_number: Option<i64>,
    /// Of an event with several measurements, which.
    pub measurement: usize,
    /// When the hub received it.
    pub enqueued_time: String,
    /// The event's bytes, in base64.
    pub body: String,
    /// The application properties as JSON text.
    pub properties: String,
    /// The system properties as JSON text.
    pub system_properties: String,
}

/// Without what the event holds: that is a patient's.
impl fmt::Debug for StoredDeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredDeadLetter")
            .field("stage", &self.stage)
            .field("reason", &self.reason)
            .field("hub", &self.hub)
            .field("partition", &self.partition)
            .field("sequence_number", &self.sequence_number)
            .field("measurement", &self.measurement)
            .finish_non_exhaustive()
    }
}

impl DeadLetterFolder {
    /// The letters below `path`; it is made when the first is written.
    pub fn new(path: impl Into<PathBuf>) -> DeadLetterFolder {
        DeadLetterFolder { path: path.into() }
    }

    /// All letters, sorted by path. What is not a letter is an error with its
    /// path.
    pub fn read_all(&self) -> io::Result<Vec<StoredDeadLetter>> {
        let mut files = Vec::new();
        collect(&self.path, &mut files)?;
        files.sort();
        files.iter().map(|file| read(file)).collect()
    }

    fn write(&self, name: &Path, letter: &StoredDeadLetter) -> io::Result<()> {
        let path = self.path.join(name);
        if path.exists() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        // Another writer of the same letter has a draft of its own.
        let mut draft = NamedTempFile::new_in(folder)?;
        draft.write_all(&serde_json::to_vec_pretty(letter)?)?;
        draft.as_file().sync_all()?;
        draft.persist(path)?;
        Ok(())
    }

    /// Makes the names of the letters durable, those too that another writer
    /// has just made.
    fn sync(&self, names: &[PathBuf]) -> io::Result<()> {
        let folders: BTreeSet<&Path> = names.iter().flat_map(|name| name.ancestors().skip(1)).collect();
        folders.into_iter().try_for_each(|folder| fs::File::open(self.path.join(folder))?.sync_all())
    }

    async fn write_all(&self, letters: &[DeadLetter<'_>]) -> io::Result<()> {
        let mut names = Vec::with_capacity(letters.len());
        // One at a time: the base64 of a whole batch is large.
        for letter in letters {
            let (folder, name, letter) = (self.clone(), name(letter), store(letter));
            names.push(name.clone());
            spawn_blocking(move || folder.write(&name, &letter)).await??;
        }
        let folder = self.clone();
        spawn_blocking(move || folder.sync(&names)).await?
    }
}

impl DeadLetters for DeadLetterFolder {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        self.write_all(letters).await.map_err(|error| Away::new("the dead-letter folder", error))
    }
}

/// Hub and partition come from outside, so nothing but plain characters of
/// them gets into a path.
fn name(letter: &DeadLetter<'_>) -> PathBuf {
    let plain = |text: &str| -> String {
        let text: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        if text.is_empty() { "_".to_owned() } else { text }
    };
    let place = match letter.position.sequence_number {
        Some(number) => format!("{number:020}"),
        None => "http".to_owned(),
    };
    let file = format!("{place}-{}-{}-{}.json", letter.measurement, plain(&letter.reason.code), identity(letter));
    [letter.stage.as_str(), &plain(&letter.position.source.hub), &plain(&letter.position.source.partition), &file]
        .iter()
        .collect()
}

/// Tells apart what the plain characters of a name do not.
fn identity(letter: &DeadLetter<'_>) -> String {
    let (position, source) = (&letter.position, &letter.position.source);
    let mut hash = Sha256::new();
    for text in [&source.namespace, &source.hub, &source.consumer_group, &source.partition] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    // What came by HTTP has no place, and its time is that of one attempt: the
    // same body posted again is the same letter.
    if let Some(number) = position.sequence_number {
        let mut time = String::new();
        position.enqueued_time.write_iso(&mut time);
        hash.update(number.to_be_bytes());
        hash.update(time);
    }
    hash.update(letter.body);
    hex(&hash.finalize()[..IDENTITY_BYTES])
}

fn store(letter: &DeadLetter<'_>) -> StoredDeadLetter {
    let position = &letter.position;
    let mut enqueued_time = String::new();
    position.enqueued_time.write_iso(&mut enqueued_time);
    StoredDeadLetter {
        stage: letter.stage.as_str().to_owned(),
        reason: letter.reason.code.to_string(),
        message: letter.reason.message.clone(),
        mapping_version: letter.mapping_version.clone(),
        namespace: position.source.namespace.clone(),
        hub: position.source.hub.clone(),
        consumer_group: position.source.consumer_group.clone(),
        partition: position.source.partition.clone(),
        sequence_number: position.sequence_number,
        measurement: letter.measurement,
        enqueued_time,
        body: BASE64_STANDARD.encode(letter.body),
        properties: letter.properties.clone(),
        system_properties: letter.system_properties.clone(),
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> io::Result<StoredDeadLetter> {
    let letter = serde_json::from_slice(&fs::read(file)?);
    letter.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("`{}`: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use delivery::{Position, Reason, Source, Stage};
    use expressions::UtcTime;

    use super::*;

    fn letter(body: &[u8], sequence_number: Option<i64>) -> DeadLetter<'_> {
        let source = Source { hub: "../devicedata".to_owned(), partition: "0".to_owned(), ..Source::default() };
        DeadLetter {
            stage: Stage::Normalize,
            reason: Reason::new("InvalidDataFormat", "not JSON"),
            mapping_version: "sha256:1".to_owned(),
            position: Position { source, sequence_number, index: 0, enqueued_time: UtcTime::MIN },
            measurement: 0,
            body,
            properties: String::new(),
            system_properties: String::new(),
        }
    }

    #[tokio::test]
    async fn keeps_each_letter_once_with_its_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let letters = DeadLetterFolder::new(folder.path().join("letters"));
        assert_eq!(letters.read_all().expect("no folder is no letters"), []);
        for _ in 0..2 {
            letters.record(&[letter(b"\xff", Some(7)), letter(b"b", None)]).await.expect("written");
        }
        let stored = letters.read_all().expect("letters");
        let bodies: Vec<_> = stored.iter().map(|letter| (letter.body.as_str(), letter.sequence_number)).collect();
        assert_eq!(bodies, [("/w==", Some(7)), ("Yg==", None)]);
        assert!(folder.path().join("letters/normalize/___devicedata/0").is_dir());
    }

    /// How many letters lie in a folder after these were recorded, each by
    /// itself.
    async fn count(letters: &[DeadLetter<'_>]) -> usize {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = DeadLetterFolder::new(folder.path());
        for letter in letters {
            kept.record(std::slice::from_ref(letter)).await.expect("written");
        }
        kept.read_all().expect("letters").len()
    }

    #[tokio::test]
    async fn loses_no_letter_to_another_one() {
        let base = letter(b"a", Some(7));
        let source = |change: fn(&mut Source)| {
            let mut other = base.clone();
            change(&mut other.position.source);
            other
        };
        let later = UtcTime::from_unix_milliseconds(1_604_232_000_000).expect("a time");
        let cases = [
            ("a hub made anew", DeadLetter { position: at(&base, later), ..base.clone() }),
            ("another body", DeadLetter { body: b"b", ..base.clone() }),
            ("another namespace", source(|source| source.namespace = "ns2".to_owned())),
            ("another consumer group", source(|source| source.consumer_group = "second".to_owned())),
            ("a hub whose plain name is the same", source(|source| source.hub = "__/devicedata".to_owned())),
            ("another partition", source(|source| source.partition = "1".to_owned())),
        ];
        for (case, other) in cases {
            assert_eq!(count(&[base.clone(), other.clone(), base.clone(), other]).await, 2, "{case}");
        }
    }

    #[tokio::test]
    async fn keeps_one_letter_of_what_is_posted_again() {
        let base = letter(b"a", None);
        let later = UtcTime::from_unix_milliseconds(1_604_232_000_000).expect("a time");
        let again = DeadLetter { position: at(&base, later), ..base.clone() };
        assert_eq!(count(&[base.clone(), again]).await, 1);
        assert_eq!(count(&[base, letter(b"b", None)]).await, 2);
    }

    #[tokio::test]
    async fn takes_the_same_letter_from_many_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let letters = DeadLetterFolder::new(folder.path());
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let letters = letters.clone();
            writers.spawn(async move { letters.record(&[letter(&[0xff; 100_000], None)]).await });
        }
        for written in writers.join_all().await {
            written.expect("written");
        }
        let stored = letters.read_all().expect("whole letters");
        assert_eq!(stored.len(), 1);
        let names: Vec<_> = fs::read_dir(folder.path().join("normalize/___devicedata/0")).expect("a folder").collect();
        assert_eq!(names.len(), 1, "no draft is left");
    }

    fn at(letter: &DeadLetter<'_>, enqueued_time: UtcTime) -> Position {
        Position { enqueued_time, ..letter.position.clone() }
    }

    #[tokio::test]
    async fn fails_when_it_cannot_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("taken");
        fs::write(&file, "").expect("a file");
        let failed = DeadLetterFolder::new(&file).record(&[letter(b"a", Some(1))]).await;
        assert_eq!(failed.map_err(|away| away.to_string()), Err("the dead-letter folder is away".to_owned()));
    }
}
