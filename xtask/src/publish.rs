//! `cargo xtask publish`: every image and chart into a registry.
//!
//! ```text
//! REGISTRY/iot-connector-for-fhir/<image>:<version>
//! REGISTRY/charts/<chart>:<version>
//! ```
//!
//! Who may push is what `skopeo login` and `helm registry login` have stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::components;
use crate::flags::Flags;
use crate::package::{Package, VALUES, helm};
use crate::run::{output, run_quietly};

const USAGE: &str = "usage: cargo xtask publish --registry HOST[/PATH] [--plain-http] [--from DIR] \
                     and what `cargo xtask package` takes";

/// Packages and pushes; with `--from` it pushes what is there already.
pub fn publish(arguments: &[String]) -> Result<ExitCode, String> {
    let values: Vec<_> = VALUES.iter().copied().chain(["--registry", "--from"]).collect();
    let flags = Flags::read(arguments, &values, &["--plain-http", "--from-source"], USAGE)?;
    let registry = flags.value("--registry").ok_or(USAGE)?.trim_end_matches('/');
    let mut package = Package::plan(&flags)?;
    components::require_all(components::images::IMAGES)?;
    match flags.value("--from") {
        Some(folder) => package.out = folder.into(),
        None => package.make()?,
    }
    let registry = Registry { address: registry, plain_http: flags.has("--plain-http") };
    for image in &package.images {
        let address = format!("{registry}/{}", package.repository(image.name), registry = registry.address);
        let digest = registry.push_image(&package.archive(image.name), &format!("{address}:{}", package.version))?;
        println!("{address}:{}@{digest}", package.version);
    }
    for chart in charts(&package.out.join("charts"), &package.version)? {
        registry.push_chart(&chart)?;
        println!("oci://{}/charts/{}", registry.address, chart.file_name().unwrap_or_default().to_string_lossy());
    }
    Ok(ExitCode::SUCCESS)
}

struct Registry<'r> {
    address: &'r str,
    plain_http: bool,
}

impl Registry<'_> {
    /// Pushes an image as it lies there, to the byte, and gives its digest.
    fn push_image(&self, archive: &Path, address: &str) -> Result<String, String> {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--preserve-digests"]);
        command.arg(format!("--dest-tls-verify={}", !self.plain_http));
        run_quietly(command.arg(format!("oci-archive:{}", archive.display())).arg(format!("docker://{address}")))?;
        let mut command = Command::new("skopeo");
        command.args(["inspect", "--format", "{{.Digest}}"]).arg(format!("--tls-verify={}", !self.plain_http));
        output(command.arg(format!("docker://{address}")))
    }

    fn push_chart(&self, chart: &Path) -> Result<(), String> {
        let mut command = helm()?;
        command.arg("push").arg(chart).arg(format!("oci://{}/charts", self.address));
        run_quietly(command.args(self.plain_http.then_some("--plain-http")))
    }
}

/// The archives of charts of this version, if charts were packed.
fn charts(folder: &Path, version: &str) -> Result<Vec<PathBuf>, String> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    let mut charts: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    charts.retain(|chart| chart.to_string_lossy().ends_with(&format!("-{version}.tgz")));
    charts.sort();
    Ok(charts)
}
