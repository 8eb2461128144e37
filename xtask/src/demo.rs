//! `cargo xtask demo`: the main job, on one machine.

use std::process::{Command, ExitCode};

use crate::run::{cargo, root, run, target};

/// Builds the release binaries and sends the samples through them.
pub fn demo(arguments: &[String]) -> Result<ExitCode, String> {
    let stay = match arguments {
        [] => false,
        [flag] if flag == "--stay" => true,
        _ => return Err("usage: cargo xtask demo [--stay]".to_owned()),
    };
    eprintln!("building the release binaries; the first time takes some minutes");
    run(cargo().args(["build", "--release", "-p", "iotc", "-p", "normalize", "-p", "group-convert"]))?;
    let mut iotc = Command::new(target().join("release/iotc"));
    iotc.arg("up").current_dir(root());
    if !stay {
        iotc.arg("--demo");
    }
    let status = iotc.status().map_err(|error| format!("cannot start iotc: {error}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
