//! `cargo xtask simulate [--seeds A..B] [--plant NAME] [--keep-going]`: the
//! whole path in simulated time, under faults that follow from a seed
//! (docs/reliability.md).

use std::process::ExitCode;

use crate::run::cargo;

/// Builds the simulator as fast code, and runs it; its exit code is ours.
pub fn simulate(arguments: &[String]) -> Result<ExitCode, String> {
    let mut simulate = cargo();
    simulate.args(["run", "--quiet", "--release", "-p", "simulation", "--features", "planted-bugs"]);
    simulate.args(["--bin", "simulate", "--"]).args(arguments);
    eprintln!("building the simulator; the first time takes some minutes, and 10,000 seeds take two to four more");
    let status = simulate.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
