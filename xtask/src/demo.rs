//! `cargo xtask demo`: the main job, on one machine.

use std::os::unix::process::CommandExt;
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
    // Takes our place, so that a signal to this process reaches it.
    Err(format!("cannot start iotc: {}", iotc.exec()))
}
