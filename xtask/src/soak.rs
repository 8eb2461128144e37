//! `cargo xtask soak`: the release binaries for half an hour at a steady rate.

use std::process::ExitCode;

use crate::run::{cargo, run, target};

/// Builds the release binaries and has `tests/soak` drive them; what follows is
/// for it. Draws `docs/reliability/soak.svg`; the figures, which are printed, are
/// for `docs/reliability.md`.
pub fn soak(arguments: &[String]) -> Result<ExitCode, String> {
    run(cargo().args(["build", "--release", "-p", "iotc", "-p", "normalize", "-p", "group-convert"]))?;
    let mut soak = cargo();
    soak.args(["test", "-p", "end-to-end", "--test", "soak", "--"]).args(arguments);
    let status = soak.env("IOTC_TEST_BIN", target().join("release")).status();
    let status = status.map_err(|error| format!("cannot start cargo: {error}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
