//! What is in an image or an app: its SBOM, as CycloneDX.
//!
//! Debian packages are known by the image's package database, crates by the list
//! that `cargo auditable` puts into a program: what was linked, not what
//! `Cargo.lock` could have brought.

use std::path::Path;
use std::process::Command;

use crate::components;
use crate::run::run_quietly;

/// Writes the SBOM of an OCI archive.
pub fn of_image(archive: &Path, sbom: &Path) -> Result<(), String> {
    syft(&format!("oci-archive:{}", archive.display()), &[], sbom)
}

/// Writes the SBOM of a folder with programs.
pub fn of_folder(folder: &Path, sbom: &Path) -> Result<(), String> {
    let crates = ["--override-default-catalogers", "cargo-auditable-binary-cataloger"];
    syft(&format!("dir:{}", folder.display()), &crates, sbom)
}

fn syft(source: &str, options: &[&str], sbom: &Path) -> Result<(), String> {
    let program = components::named("images")?.folder()?.join("venv/bin/syft");
    let mut command = Command::new(program);
    command.env("SYFT_CHECK_FOR_APP_UPDATE", "false").args(["scan", "--quiet"]).args(options);
    command.arg("--output").arg(format!("cyclonedx-json={}", sbom.display())).arg(source);
    run_quietly(&mut command)
}
