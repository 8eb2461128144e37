//! The cache folder: what is installed once and found by the next clone.
//!
//! It lies outside the checkout and may be deleted at any time.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::root;

/// `$XDG_CACHE_HOME/iot-connector-for-fhir`, else below `~/.cache`.
pub fn folder() -> Result<PathBuf, String> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let base = base.or_else(home).ok_or("neither XDG_CACHE_HOME nor HOME is set: there is no place for a cache")?;
    Ok(base.join("iot-connector-for-fhir"))
}

/// Gives the folder `<name>-<hash of the defining files>`, made by `install`
/// when it is not there in full. Two processes do not install at once.
pub fn installed(
    name: &str,
    defined_by: &[&str],
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in defined_by {
        let bytes = fs::read(root().join(file)).map_err(|error| format!("`{file}`: {error}"))?;
        hash = bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    }
    let components = folder()?.join("components");
    let place = components.join(format!("{name}-{hash:016x}"));
    let done = place.join("installed");
    let made = |error: std::io::Error| format!("`{}`: {error}", place.display());
    fs::create_dir_all(&components).map_err(made)?;
    let lock = fs::File::create(components.join(format!("{name}.lock"))).map_err(made)?;
    lock.lock().map_err(made)?;
    if done.exists() {
        return Ok(place);
    }
    eprintln!("installing {name} into {}", place.display());
    if place.exists() {
        fs::remove_dir_all(&place).map_err(made)?;
    }
    fs::create_dir_all(&place).map_err(made)?;
    install(&place)?;
    fs::write(&done, "").map_err(made)?;
    Ok(place)
}
