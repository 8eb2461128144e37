//! The positions of a hub in a folder, for one machine.
//!
//! ```text
//! <folder>/<namespace>/<hub>/<group>/checkpoint/0    {"version":7,"sequence_number":41,…}
//! ```
//!
//! Names are those of the blobs ([`Layout`]). Processes of the machine that use
//! the folder at the same time wait for each other.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use delivery::positions::{Kind, Layout, Listed, NoName, checkpointed, to_forget};
use delivery::{Away, Checkpoint, Ownership, Positions, Source, Version, WindowMark};
use expressions::UtcTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

const WHAT: &str = "the folder of positions";

/// A folder with positions.
#[derive(Clone, Debug)]
pub struct PositionFolder {
    path: PathBuf,
    layout: Layout,
    reader: &'static str,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u64,
    /// The function that stored it.
    reader: String,
    #[serde(flatten)]
    stored: T,
}

#[derive(Serialize, Deserialize)]
struct StoredOwnership {
    owner: Option<String>,
    /// Milliseconds since 1970.
    claimed: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredCheckpoint {
    sequence_number: i64,
    offset: String,
}

#[derive(Serialize, Deserialize)]
struct StoredWindow {
    first: i64,
    last: i64,
    /// Ticks of 100 ns since the year 1.
    begun: i64,
}

/// Of whatever kind: who owns it, if it is an ownership.
#[derive(Deserialize)]
struct AnyStored {
    owner: Option<String>,
    #[serde(default)]
    claimed: u64,
}

impl PositionFolder {
    /// The positions of `source` below `path`; folders are made as they are
    /// needed. `reader` is the function that reads.
    pub fn new(path: impl Into<PathBuf>, source: &Source, reader: &'static str) -> Result<PositionFolder, NoName> {
        Ok(PositionFolder { path: path.into(), layout: Layout::new(source)?, reader })
    }

    /// Does something with the folder while no other process changes it.
    async fn locked<T: Send + 'static>(
        &self,
        act: impl FnOnce(&PositionFolder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Away> {
        let folder = self.clone();
        let acting = spawn_blocking(move || {
            fs::create_dir_all(&folder.path)?;
            let lock = File::options().create(true).append(true).open(folder.path.join(".lock"))?;
            lock.lock()?;
            // Closing the file gives the lock back, whatever happened.
            act(&folder)
        });
        let acted = acting.await.map_err(io::Error::from).flatten();
        acted.map_err(|error| Away::new(WHAT, format!("`{}`: {error}", self.path.display())))
    }

    fn file(&self, kind: Kind, partition: &str) -> PathBuf {
        self.path.join(self.layout.name(kind, partition))
    }

    /// Writes if the file is as expected; `expected` none means that there is
    /// none.
    fn write<T: Serialize + DeserializeOwned>(
        &self,
        file: &Path,
        stored: T,
        expected: Option<&Version>,
    ) -> io::Result<Option<Version>> {
        let is: Option<Versioned<T>> = read(file)?;
        let is_version = is.as_ref().map(|is| version(is.version));
        if expected != is_version.as_ref() {
            return Ok(None);
        }
        let number = is.map_or(0, |is| is.version) + 1;
        let folder = file.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        let mut draft = NamedTempFile::new_in(folder)?;
        let reader = self.reader.to_owned();
        draft.write_all(&serde_json::to_vec(&Versioned { version: number, reader, stored })?)?;
        draft.as_file().sync_all()?;
        draft.persist(file)?;
        Ok(Some(version(number)))
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> io::Result<Option<Versioned<T>>> {
    match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(serde_json::from_slice(&text?)?)),
    }
}

fn version(number: u64) -> Version {
    Version(number.to_string())
}

fn age(claimed: u64) -> Duration {
    Duration::from_millis(milliseconds().saturating_sub(claimed))
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Positions for PositionFolder {
    async fn ownerships(&self) -> Result<Vec<Ownership>, Away> {
        self.locked(|folder| {
            let owned = folder.path.join(folder.layout.prefix(Kind::Ownership));
            let entries = match fs::read_dir(owned) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let mut ownerships = Vec::new();
            for entry in entries {
                let file = entry?.path();
                let Some(stored) = read::<StoredOwnership>(&file)? else { continue };
                let partition = file.file_name().map(|name| name.to_string_lossy().into_owned());
                ownerships.push(Ownership {
                    partition: partition.unwrap_or_default(),
                    age: age(stored.stored.claimed),
                    owner: stored.stored.owner,
                    version: version(stored.version),
                });
            }
            Ok(ownerships)
        })
        .await
    }

    async fn claim(
        &self,
        partition: &str,
        owner: Option<&str>,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let (file, expected) = (self.file(Kind::Ownership, partition), expected.cloned());
        let stored = StoredOwnership { owner: owner.map(str::to_owned), claimed: milliseconds() };
        self.locked(move |folder| folder.write(&file, stored, expected.as_ref())).await
    }

    async fn checkpoint(&self, partition: &str) -> Result<Option<(Checkpoint, Version)>, Away> {
        let file = self.file(Kind::Checkpoint, partition);
        let stored = self.locked(move |_| read::<StoredCheckpoint>(&file)).await?;
        Ok(stored.map(|Versioned { version: number, stored: StoredCheckpoint { sequence_number, offset }, .. }| {
            (Checkpoint { sequence_number, offset }, version(number))
        }))
    }

    async fn write_checkpoint(
        &self,
        partition: &str,
        checkpoint: &Checkpoint,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let (file, expected) = (self.file(Kind::Checkpoint, partition), expected.cloned());
        let Checkpoint { sequence_number, offset } = checkpoint.clone();
        let stored = StoredCheckpoint { sequence_number, offset };
        self.locked(move |folder| folder.write(&file, stored, expected.as_ref())).await
    }

    async fn window(&self, partition: &str) -> Result<Option<(WindowMark, Version)>, Away> {
        let file = self.file(Kind::Window, partition);
        let stored = self.locked(move |_| read::<StoredWindow>(&file)).await?;
        let mark = |stored: Versioned<StoredWindow>| {
            let StoredWindow { first, last, begun } = stored.stored;
            let begun = UtcTime::from_ticks(begun);
            let window = begun.map_or(WindowMark::UNREADABLE, |begun| WindowMark { first, last, begun });
            (window, version(stored.version))
        };
        Ok(stored.map(mark))
    }

    async fn write_window(
        &self,
        partition: &str,
        window: &WindowMark,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let (file, expected) = (self.file(Kind::Window, partition), expected.cloned());
        let stored = StoredWindow { first: window.first, last: window.last, begun: window.begun.ticks() };
        self.locked(move |folder| folder.write(&file, stored, expected.as_ref())).await
    }

    async fn forget_others(&self, expiry: Duration) -> Result<Vec<String>, Away> {
        self.locked(move |folder| {
            let mut files = Vec::new();
            collect(&folder.path, &mut files)?;
            let mut others = Vec::new();
            for file in files {
                let name = file.strip_prefix(&folder.path).unwrap_or(&file).to_string_lossy().into_owned();
                if folder.layout.is_of_another_hub(&name)
                    && let Some(Versioned { reader, stored: AnyStored { owner, claimed }, .. }) = read(&file)?
                {
                    others.push(Listed { name, reader: Some(reader), owned: owner.map(|_| age(claimed)) });
                }
            }
            let forgotten = to_forget(others, folder.reader, expiry);
            for name in &forgotten {
                fs::remove_file(folder.path.join(name))?;
            }
            Ok(forgotten.iter().filter_map(|name| checkpointed(name)).collect())
        })
        .await
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use simulator::contract::{check_forgetting, check_positions};

    use super::*;

    fn positions(folder: &Path, hub: &str) -> PositionFolder {
        read_by(folder, hub, "normalize")
    }

    fn read_by(folder: &Path, hub: &str, reader: &'static str) -> PositionFolder {
        let (namespace, hub, group) = ("ns1".to_owned(), hub.to_owned(), "$Default".to_owned());
        let source = Source { namespace, hub, consumer_group: group, partition: String::new() };
        PositionFolder::new(folder, &source, reader).expect("names")
    }

    #[tokio::test]
    async fn does_what_every_store_does() {
        let folder = tempfile::tempdir().expect("a folder");
        check_positions(&positions(folder.path(), "hub")).await;
        let folder = tempfile::tempdir().expect("a folder");
        let other = read_by(folder.path(), "internal", "group-convert");
        check_forgetting(&positions(folder.path(), "a"), &positions(folder.path(), "b"), &other).await;
    }

    #[tokio::test]
    async fn one_of_many_that_claim_at_once_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut claims = tokio::task::JoinSet::new();
        for owner in 0..16 {
            let positions = positions(folder.path(), "hub");
            claims.spawn(async move { positions.claim("0", Some(&owner.to_string()), None).await.expect("read") });
        }
        let claimed = claims.join_all().await.into_iter().flatten().count();
        assert_eq!(claimed, 1);
    }
}
