//! The charts below `helm/`, as archives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::components;
use crate::run::{root, run_quietly};

/// Packs every chart, as `version` of itself and of the programs that it starts.
pub fn package(out: &Path, version: &str) -> Result<(), String> {
    for chart in charts()? {
        let mut command = helm()?;
        command.arg("package").arg(chart).args(["--version", version, "--app-version", version]);
        run_quietly(command.arg("--destination").arg(out))?;
    }
    Ok(())
}

/// The folders of all charts.
fn charts() -> Result<Vec<PathBuf>, String> {
    let folder = root().join("helm");
    let entries = fs::read_dir(&folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    let mut charts: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    charts.retain(|chart| chart.join("Chart.yaml").is_file());
    charts.sort();
    Ok(charts)
}

/// The helm that `HELM` names, else the one that tests use too.
pub fn helm() -> Result<Command, String> {
    match std::env::var_os("HELM").filter(|program| !program.is_empty()) {
        Some(program) => Ok(Command::new(program)),
        None => Ok(Command::new(components::named("helm")?.folder()?.join("bin/helm"))),
    }
}
