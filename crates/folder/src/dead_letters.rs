//! Dead letters as files, one each.
//!
//! ```text
//! <folder>/<stage>/<hub>/<partition>/<sequence number>-<measurement>-<reason>.json
//! ```
//!
//! The name is the letter's identity, so the same letter written again is the
//! same file. A file appears whole or not at all and is on the disk when
//! [`DeadLetters::record`] returns.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delivery::{Away, DeadLetter, DeadLetters};
use serde::{Deserialize, Serialize};

use crate::sha256_hex;

/// A folder of dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetterFolder {
    path: PathBuf,
}

/// A dead letter as it lies in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        let folder = path.parent().unwrap_or(&self.path);
        if path.exists() {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        // A second process may write the same letter: each has its own name for the draft.
        let draft = path.with_extension(format!("{}.draft", std::process::id()));
        let mut file = fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(letter)?)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        fs::File::open(folder)?.sync_all()
    }
}

impl DeadLetters for DeadLetterFolder {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        let stored: Vec<_> = letters.iter().map(|letter| (name(letter), store(letter))).collect();
        let folder = self.clone();
        let write = move || stored.iter().try_for_each(|(name, letter)| folder.write(name, letter));
        let done = tokio::task::spawn_blocking(write).await.map_err(io::Error::other);
        done.flatten().map_err(|error| Away::new("the dead-letter folder", error))
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
        None => sha256_hex(letter.body),
    };
    let file = format!("{place}-{}-{}.json", letter.measurement, plain(letter.reason.code));
    [letter.stage.as_str(), &plain(&letter.position.source.hub), &plain(&letter.position.source.partition), &file]
        .iter()
        .collect()
}

fn store(letter: &DeadLetter<'_>) -> StoredDeadLetter {
    let position = &letter.position;
    let mut enqueued_time = String::new();
    position.enqueued_time.write_iso(&mut enqueued_time);
    StoredDeadLetter {
        stage: letter.stage.as_str().to_owned(),
        reason: letter.reason.code.to_owned(),
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

    #[tokio::test]
    async fn fails_when_it_cannot_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("taken");
        fs::write(&file, "").expect("a file");
        let failed = DeadLetterFolder::new(&file).record(&[letter(b"a", Some(1))]).await;
        assert_eq!(failed.map_err(|away| away.to_string()), Err("the dead-letter folder is away".to_owned()));
    }
}
