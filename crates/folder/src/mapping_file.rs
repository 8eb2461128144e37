//! A mapping in a file, read again for each batch; an edit takes effect with
//! the next one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use delivery::current_mapping::version_of;
use delivery::{Away, Load, MappingSource};

/// The file that holds a mapping. Its version is the hash of its text, so
/// that a file that was only touched is not loaded again.
#[derive(Clone, Debug)]
pub struct MappingFile {
    path: PathBuf,
    /// What was read last, so that the same text is not hashed again.
    last: Arc<Mutex<Option<Load>>>,
}

impl MappingFile {
    /// The mapping at `path`; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> MappingFile {
        MappingFile { path: path.into(), last: Arc::default() }
    }
}

impl MappingSource for MappingFile {
    async fn load(&self, known: Option<&str>) -> Result<Option<Load>, Away> {
        // Not handed to another thread: that costs several times what reading
        // the few KB does, and this is done for each batch.
        let text = std::fs::read(&self.path);
        let text =
            text.map_err(|error| Away::new("the mapping file", format!("`{}`: {error}", self.path.display())))?;
        let version = self.version(&text);
        Ok((known != Some(&version)).then_some(Load { version, text }))
    }
}

impl MappingFile {
    fn version(&self, text: &[u8]) -> String {
        // What is inside is replaced whole, so a panic elsewhere leaves it good.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.text == text) {
            return last.version.clone();
        }
        let version = version_of(text);
        *last = Some(Load { version: version.clone(), text: text.to_vec() });
        version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sees_an_edit_at_once_and_nothing_new_in_a_file_that_was_only_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mapping.json");
        let file = MappingFile::new(&path);
        assert!(file.load(None).await.is_err());
        let mut known: Option<String> = None;
        for (text, is_new) in [("one", true), ("one", false), ("two", true), ("one", true)] {
            std::fs::write(&path, text).expect("a file");
            let load = file.load(known.as_deref()).await.expect("it is there");
            assert_eq!(load.is_some(), is_new, "{text}");
            if let Some(load) = load {
                assert_eq!(load.text, text.as_bytes());
                known = Some(load.version);
            }
        }
    }
}
