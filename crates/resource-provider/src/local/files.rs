//! Files that hold what has to survive a restart: each is whole, or not there.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use arm::ErrorCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ports::PortError;

/// Reads a file of JSON; none when it is not there.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file of JSON.
pub fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write_text(path, &serde_json::to_vec_pretty(value)?)
}

/// Writes a file, and makes the folders above it: for nobody else to read.
pub fn write_text(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    // Beside it, so that whoever reads meanwhile reads the old one or the new.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Makes a folder and those above it, for nobody else to look into: dead letters
/// hold what devices sent.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

/// Removes a folder with what is in it, if it is there.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What a port says when the disk does not do it; it may the next time.
pub fn failed(path: &Path, error: &io::Error) -> PortError {
    let message = format!("`{}` cannot be used: {error}", path.display());
    PortError::transient(ErrorCode::StorageProvisioningFailed, message)
}
