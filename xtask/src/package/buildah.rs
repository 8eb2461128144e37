//! Images by buildah, which needs no daemon and no privileges of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::components;
use crate::run::run_quietly;

/// Buildah with a storage of its own, which nobody needs afterwards.
pub struct Buildah {
    /// A folder for what comes and goes.
    pub work: PathBuf,
}

/// How to build one image.
pub struct Plan {
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// What it copies from.
    pub context: PathBuf,
    /// The stage to build; the last one by default.
    pub target: Option<&'static str>,
    /// Build arguments.
    pub arguments: Vec<(String, String)>,
    /// More labels, each `NAME=VALUE`.
    pub labels: Vec<String>,
    /// When it was made, in seconds.
    pub timestamp: u64,
}

impl Buildah {
    /// One that keeps its storage below `work`.
    pub fn new(work: &Path) -> Result<Buildah, String> {
        components::require_all(components::images::IMAGES)?;
        Ok(Buildah { work: absolute(work)? })
    }

    /// How a base is said to buildah. A local OCI layout, `oci:DIR`, gets a plain
    /// name: buildah takes the folder's for that of a repository, in which a part
    /// does not begin with a dot.
    pub fn base(&self, name: &str, image: &str) -> Result<String, String> {
        let Some(folder) = image.strip_prefix("oci:") else { return Ok(image.to_owned()) };
        let link = self.work.join(name);
        let said = |error: std::io::Error| format!("`{}`: {error}", link.display());
        if !link.is_symlink() {
            std::os::unix::fs::symlink(absolute(Path::new(folder))?, &link).map_err(said)?;
        }
        Ok(format!("oci:{name}:latest"))
    }

    /// Builds an image into an OCI archive, and leaves nothing else behind.
    pub fn build(&self, plan: &Plan, archive: &Path, name: &str) -> Result<(), String> {
        let storage = self.work.join("storage");
        let mut command = Command::new("buildah");
        // Where the links of `base` are.
        command.current_dir(&self.work);
        // The one that works everywhere, also in a container, and mounts nothing
        // that would be in the way of who removes the storage. Said by its flag:
        // beside `--root`, buildah does not look at STORAGE_DRIVER.
        let driver = std::env::var_os("STORAGE_DRIVER").unwrap_or_else(|| "vfs".into());
        command.arg("--storage-driver").arg(driver);
        command.arg("--root").arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
        command.args(["build", "--isolation", "chroot", "--format", "oci", "--disable-compression=false"]);
        command.args(["--timestamp", &plan.timestamp.to_string()]);
        command.args(plan.target.iter().flat_map(|target| ["--target", target]));
        command.args(
            plan.arguments.iter().flat_map(|(name, value)| ["--build-arg".to_owned(), format!("{name}={value}")]),
        );
        command.args(plan.labels.iter().flat_map(|label| ["--label", label]));
        command
            .arg("--file")
            .arg(&plan.dockerfile)
            .arg("--tag")
            .arg(format!("oci-archive:{}:{name}", absolute(archive)?.display()));
        command.arg(absolute(&plan.context)?);
        // An archive is not written a second time.
        if archive.exists() {
            fs::remove_file(archive).map_err(|error| format!("`{}`: {error}", archive.display()))?;
        }
        run_quietly(&mut command)?;
        fs::remove_dir_all(&storage).map_err(|error| format!("`{}`: {error}", storage.display()))
    }
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("`{}`: {error}", path.display()))
}
