//! `cargo xtask bench NAME`: the benchmarks, each beside its yardstick.

use std::process::ExitCode;

use crate::run::{cargo, run};

/// Runs a benchmark; what follows its name is for the benchmark.
pub fn bench(arguments: &[String]) -> Result<ExitCode, String> {
    match arguments.split_first() {
        Some((name, rest)) if name == "normalize" => {
            run(cargo().args(["bench", "-q", "-p", "benches", "--bench", "normalize", "--"]).args(rest))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err("usage: cargo xtask bench normalize [--json]".to_owned()),
    }
}
