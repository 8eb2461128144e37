//! A mapping in a file, read again for each batch; an edit takes effect with
//! the next one.

use std::path::PathBuf;

use delivery::{Away, Load, MappingSource};
use sha2::{Digest, Sha256};

use crate::hex;

/// The file that holds a mapping. Its version is the hash of its text, so
/// that a file that was only touched is not loaded again.
#[derive(Clone, Debug)]
pub struct MappingFile {
    path: PathBuf,
}

impl MappingFile {
    /// The mapping at `path`; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> MappingFile {
        MappingFile { path: path.into() }
    }
}

impl MappingSource for MappingFile {
    async fn load(&self, known: Option<&str>) -> Result<Option<Load>, Away> {
        let text = tokio::fs::read(&self.path).await;
        let text =
            text.map_err(|error| Away::new("the mapping file", format!("`{}`: {error}", self.path.display())))?;
        let version = format!("sha256:{}", hex(&Sha256::digest(&text)));
        Ok((known != Some(&version)).then_some(Load { version, text }))
    }
}
