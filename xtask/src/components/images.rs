//! What building, packing and running images needs.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Need, named};
use crate::run::{cargo, root, run_quietly};

/// To build images, and to push them.
pub const IMAGES: &[Need] = &[
    Need { probe: &["buildah", "--version"], package: "buildah" },
    Need { probe: &["skopeo", "--version"], package: "skopeo" },
];
/// To make Function App ZIPs.
pub const ZIP: &[Need] = &[Need { probe: &["zip", "-v"], package: "zip" }];
/// To make base images, and to run containers and a registry.
pub const CONTAINERS: &[Need] = &[
    Need { probe: &["buildah", "--version"], package: "buildah" },
    Need { probe: &["skopeo", "--version"], package: "skopeo" },
    Need { probe: &["mmdebstrap", "--version"], package: "mmdebstrap" },
    Need { probe: &["umoci", "--version"], package: "umoci" },
    Need { probe: &["runc", "--version"], package: "runc" },
    Need { probe: &["docker-registry", "--version"], package: "docker-registry" },
    Need { probe: &["unzip", "-v"], package: "unzip" },
];

/// Cargo's subcommand that lists a program's crates within the program.
pub fn install_auditable(place: &Path) -> Result<(), String> {
    let file = root().join("tests/components/auditable/version");
    let version = fs::read_to_string(&file).map_err(|error| format!("`{}`: {error}", file.display()))?;
    let mut install = cargo();
    // Not in our own target folder: these are other crates, built once.
    install.args(["install", "cargo-auditable", "--locked", "--version", version.trim()]);
    install.arg("--root").arg(place).arg("--target-dir").arg(place.join("target"));
    run_quietly(&mut install)?;
    fs::remove_dir_all(place.join("target")).map_err(|error| format!("`{}`: {error}", place.display()))
}

/// Base images of the layout of the real ones.
pub fn install_bases(place: &Path) -> Result<(), String> {
    let helm = named("helm")?.folder()?.join("bin/helm");
    run_quietly(Command::new(root().join("tests/components/bases/make-bases.sh")).arg(place).arg(helm))
}
