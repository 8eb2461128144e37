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
        components::require_all(components::IMAGES)?;
        Ok(Buildah { work: work.to_owned() })
    }

    /// Builds an image into an OCI archive, and leaves nothing else behind.
    pub fn build(&self, plan: &Plan, archive: &Path, name: &str) -> Result<(), String> {
        let storage = self.work.join("storage");
        let mut command = Command::new("buildah");
        if std::env::var_os("STORAGE_DRIVER").is_none() {
            // The one that works everywhere, also in a container.
            command.env("STORAGE_DRIVER", "vfs");
        }
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
            .arg(format!("oci-archive:{}:{name}", archive.display()));
        command.arg(&plan.context);
        // An archive is not written a second time.
        if archive.exists() {
            fs::remove_file(archive).map_err(|error| format!("`{}`: {error}", archive.display()))?;
        }
        run_quietly(&mut command)?;
        fs::remove_dir_all(&storage).map_err(|error| format!("`{}`: {error}", storage.display()))
    }
}
