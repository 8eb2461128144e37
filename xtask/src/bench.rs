//! `cargo xtask bench NAME`: the benchmarks, each beside its yardstick.

use std::path::Path;
use std::process::ExitCode;

use crate::run::{cargo, run};

/// The benchmarks, each a bench target of the package `benches`.
const NAMES: [&str; 3] = ["normalize", "handler", "convert"];

/// Runs a benchmark; what follows its name is for the benchmark.
pub fn bench(arguments: &[String]) -> Result<ExitCode, String> {
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| NAMES.contains(&name.as_str())) else {
        return Err(format!("usage: cargo xtask bench {} [--json]", NAMES.join("|")));
    };
    // The benchmark runs in another folder than we do.
    let rest = rest.iter().map(|word| match Path::new(word).canonicalize() {
        Ok(path) => path.into_os_string(),
        Err(_) => word.into(),
    });
    run(cargo().args(["bench", "--quiet", "--package", "benches", "--bench", name, "--"]).args(rest))?;
    Ok(ExitCode::SUCCESS)
}
