//! Dead letters as files, one each, under their keys.
//!
//! ```text
//! <folder>/<stage>/<hub>/<partition>/<sequence number>-<measurement>-<reason>-<identity>.json
//! <folder>/replayed/…                 those that were replayed, for the record
//! ```
//!
//! Form and key are those of [`delivery::stored_letter`]. A file appears whole
//! or not at all and is on the disk when [`DeadLetters::record`] returns.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use delivery::stored_letter::LetterKey;
use delivery::{Away, DeadLetter, DeadLetters, Parking, StoredDeadLetter};
use expressions::UtcTime;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

/// Where letters lie that were replayed.
const REPLAYED: &str = "replayed";

/// A folder of dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetterFolder {
    path: PathBuf,
}

impl DeadLetterFolder {
    /// The letters below `path`; it is made when the first is written.
    pub fn new(path: impl Into<PathBuf>) -> DeadLetterFolder {
        DeadLetterFolder { path: path.into() }
    }

    /// Whether another is this folder, by whatever path.
    pub fn is_same_place(&self, other: &DeadLetterFolder) -> bool {
        let found = |folder: &DeadLetterFolder| folder.path.canonicalize().unwrap_or_else(|_| folder.path.clone());
        found(self) == found(other)
    }

    /// The keys of all letters, sorted.
    pub fn keys(&self) -> io::Result<Vec<LetterKey>> {
        let mut files = Vec::new();
        collect(&self.path, &mut files)?;
        let mut keys: Vec<LetterKey> = files.iter().filter_map(|file| self.key_of(file)).collect();
        keys.sort();
        Ok(keys)
    }

    /// The letter with this key. What is not a letter is an error with its path.
    pub fn read(&self, key: &LetterKey) -> io::Result<StoredDeadLetter> {
        let file = self.path.join(if key.replayed { replayed(&key.text) } else { pending(&key.text) });
        let letter = serde_json::from_slice(&fs::read(&file)?);
        letter.map_err(|error| not_a_letter(&file, &error))
    }

    /// Moves a letter out of those that wait. It does not come back when its
    /// batch is given again.
    pub fn mark_replayed(&self, key: &str) -> io::Result<()> {
        let (from, to) = (pending(key), replayed(key));
        let path = self.path.join(&to);
        fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
        fs::rename(self.path.join(&from), path)?;
        self.sync(&[from, to])
    }

    /// Removes a letter for good; that it is gone already is as good.
    fn remove(&self, key: &str) -> io::Result<()> {
        let name = pending(key);
        match fs::remove_file(self.path.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.sync(&[name])),
        }
    }

    fn key_of(&self, file: &Path) -> Option<LetterKey> {
        let path = file.strip_prefix(&self.path).ok()?.with_extension("");
        let mut parts = path.iter().map(|part| part.to_str()).collect::<Option<Vec<_>>>()?;
        let is_replayed = parts.first() == Some(&REPLAYED);
        if is_replayed {
            parts.remove(0);
        }
        Some(LetterKey { text: parts.join("/"), replayed: is_replayed })
    }

    fn write(&self, key: &str, letter: &StoredDeadLetter) -> io::Result<()> {
        let path = self.path.join(pending(key));
        if path.exists() || self.path.join(replayed(key)).exists() {
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
        let synced = |folder| match fs::File::open(self.path.join(folder)) {
            // All of its letters were replayed before it was ever made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            file => file?.sync_all(),
        };
        folders.into_iter().try_for_each(synced)
    }

    async fn write_all(&self, letters: &[DeadLetter<'_>]) -> io::Result<()> {
        let mut names = Vec::with_capacity(letters.len());
        // One at a time: the base64 of a whole batch is large.
        for letter in letters {
            let key = letter.key();
            names.push(pending(&key));
            let letter = StoredDeadLetter::new(letter, UtcTime::from(SystemTime::now()));
            let folder = self.clone();
            spawn_blocking(move || folder.write(&key, &letter)).await??;
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

const PARKING: &str = "the parking folder";

/// The same as a place to wait in; a folder of dead letters is another one.
impl Parking for DeadLetterFolder {
    async fn park(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        self.write_all(letters).await.map_err(|error| Away::new(PARKING, error))
    }

    async fn parked(&self) -> Result<Vec<String>, Away> {
        let folder = self.clone();
        let keys = on_another_thread(move || folder.keys()).await?;
        Ok(keys.into_iter().map(|key| key.text).collect())
    }

    async fn read_parked(&self, key: &str) -> Result<Option<StoredDeadLetter>, Away> {
        let (folder, key) = (self.clone(), LetterKey { text: key.to_owned(), replayed: false });
        on_another_thread(move || match folder.read(&key) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            letter => letter.map(Some),
        })
        .await
    }

    async fn remove_parked(&self, key: &str) -> Result<(), Away> {
        let (folder, key) = (self.clone(), key.to_owned());
        on_another_thread(move || folder.remove(&key)).await
    }
}

async fn on_another_thread<R: Send + 'static>(
    work: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Result<R, Away> {
    let done = spawn_blocking(work).await.map_err(io::Error::from).flatten();
    done.map_err(|error| Away::new(PARKING, error))
}

/// Says where it goes wrong, and not what is there: that may be a patient's.
fn not_a_letter(file: &Path, error: &serde_json::Error) -> io::Error {
    let place = format!("line {}, column {}", error.line(), error.column());
    let text = format!("`{}` is not a dead letter: {place}", file.display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn pending(key: &str) -> PathBuf {
    PathBuf::from(format!("{key}.json"))
}

fn replayed(key: &str) -> PathBuf {
    Path::new(REPLAYED).join(pending(key))
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

#[cfg(test)]
mod tests {
    use delivery::{KeptProperties, Position, Reason, Source, Stage};

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
            properties: KeptProperties::default(),
            system_properties: KeptProperties::default(),
        }
    }

    fn read_all(letters: &DeadLetterFolder) -> Vec<StoredDeadLetter> {
        letters.keys().expect("keys").iter().map(|key| letters.read(key).expect("a whole letter")).collect()
    }

    #[tokio::test]
    async fn keeps_each_letter_once_with_its_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let letters = DeadLetterFolder::new(folder.path().join("letters"));
        assert_eq!(letters.keys().expect("no folder is no letters"), []);
        for _ in 0..2 {
            letters.record(&[letter(b"\xff", Some(7)), letter(b"b", None)]).await.expect("written");
        }
        let stored = read_all(&letters);
        let bodies: Vec<_> = stored.iter().map(|letter| (letter.body.as_str(), letter.sequence_number)).collect();
        assert_eq!(bodies, [("/w==", Some(7)), ("Yg==", None)]);
        assert!(folder.path().join("letters/normalize/___devicedata/0").is_dir());
    }

    #[tokio::test]
    async fn a_replayed_letter_is_kept_and_does_not_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let letters = DeadLetterFolder::new(folder.path());
        let both = [letter(b"a", Some(7)), letter(b"b", Some(8))];
        letters.record(&both).await.expect("written");
        letters.mark_replayed(&both[0].key()).expect("moved");
        let expected = [(both[0].key(), true), (both[1].key(), false)];
        let keys = || letters.keys().expect("keys").into_iter().map(|key| (key.text, key.replayed)).collect::<Vec<_>>();
        assert_eq!(keys(), expected);
        assert_eq!(read_all(&letters).len(), 2, "both can be read");
        letters.record(&both).await.expect("given again");
        assert_eq!(keys(), expected);
        letters.mark_replayed(&both[0].key()).expect_err("it is not there to be moved");
    }

    #[test]
    fn what_is_no_letter_is_named_without_a_word_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("other.json"), r#"{"stage":"mark4711"}"#).expect("a file");
        let letters = DeadLetterFolder::new(folder.path());
        let key = &letters.keys().expect("keys")[0];
        let error = letters.read(key).expect_err("it is no letter").to_string();
        assert!(error.contains("other.json") && error.contains("line 1") && !error.contains("mark4711"), "{error}");
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
        let stored = read_all(&letters);
        assert_eq!(stored.len(), 1);
        let names: Vec<_> = fs::read_dir(folder.path().join("normalize/___devicedata/0")).expect("a folder").collect();
        assert_eq!(names.len(), 1, "no draft is left");
    }

    #[tokio::test]
    async fn what_is_parked_is_there_once_until_it_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let parking = DeadLetterFolder::new(folder.path().join("parked"));
        simulator::contract::check_parking(&parking).await;
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
