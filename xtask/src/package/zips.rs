//! A Function App as the ZIP that Azure deploys: the app root at its top, with
//! the modes of its files.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::components;

/// Packs what is in a folder. The same content gives the same bytes: names are
/// in order, and all files are of one time.
pub fn zip(folder: &Path, zip: &Path, timestamp: u64) -> Result<(), String> {
    components::require_all(components::images::ZIP)?;
    let mut names = Vec::new();
    list(folder, Path::new(""), &mut names)?;
    names.sort();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(timestamp);
    for name in &names {
        let file = fs::File::open(folder.join(name)).and_then(|file| file.set_modified(time));
        file.map_err(|error| format!("`{name}`: {error}"))?;
    }
    let said = |error: std::io::Error| format!("zip: {error}");
    if zip.exists() {
        fs::remove_file(zip).map_err(said)?;
    }
    let mut command = Command::new("zip");
    // The archive's times know no zone.
    command.env("TZ", "UTC").current_dir(folder).args(["-X", "-q", "-@"]).arg(std::path::absolute(zip).map_err(said)?);
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(said)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all((names.join("\n") + "\n").as_bytes()).map_err(said)?;
    }
    let status = child.wait().map_err(said)?;
    if status.success() { Ok(()) } else { Err(format!("`zip` ended with {status}")) }
}

/// The files below a folder, with `/` between folders.
fn list(folder: &Path, below: &Path, names: &mut Vec<String>) -> Result<(), String> {
    let here = folder.join(below);
    let said = |error: std::io::Error| format!("`{}`: {error}", here.display());
    for entry in fs::read_dir(&here).map_err(said)? {
        let entry = entry.map_err(said)?;
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            list(folder, &name, names)?;
        } else {
            names.push(name.display().to_string());
        }
    }
    Ok(())
}
