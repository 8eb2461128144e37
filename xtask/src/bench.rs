//! `cargo xtask bench NAME`: the benchmarks, each beside its yardstick.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::components;
use crate::run::{cargo, run, target};

/// The benchmarks, each a bench target of the package `benches`.
const NAMES: [&str; 6] = ["normalize", "handler", "convert", "start", "save", "provider"];

/// The FHIR servers that `save` starts.
const SERVERS: [&str; 2] = ["hapi", "sekmet"];

/// Runs a benchmark; what follows its name is for the benchmark.
pub fn bench(arguments: &[String]) -> Result<ExitCode, String> {
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| NAMES.contains(&name.as_str())) else {
        return Err(format!("usage: cargo xtask bench {} [--json]", NAMES.join("|")));
    };
    let binaries = match name.as_str() {
        "handler" => vec![counting_normalize()?],
        "start" => functions()?,
        _ => Vec::new(),
    };
    let rest = with_whole_paths(rest);
    let binaries = binaries.into_iter().flat_map(|binary| [OsString::from("--binary"), binary.into_os_string()]);
    let bench = ["bench", "--quiet", "--package", "benches", "--bench", name];
    let mut command = cargo();
    command.args(bench);
    if name == "save" {
        command.args(["--features", "save"]);
        for server in SERVERS {
            let component = components::named(server)?;
            command.env(component.variable, component.folder()?);
        }
    }
    if name == "provider" {
        command.args(["--features", "provider"]);
        let postgres = components::named("postgres")?;
        command.env(postgres.variable, postgres.folder()?);
    }
    run(command.arg("--").args(binaries).args(rest))?;
    Ok(ExitCode::SUCCESS)
}

/// The benchmark runs in another folder than we do, so the files that are named
/// for it get their whole paths.
fn with_whole_paths(words: &[String]) -> Vec<OsString> {
    let is_file = |at: usize| matches!(words[at].as_str(), "--corpus" | "--mapping" | "--properties");
    let whole = |(at, word): (usize, &String)| match Path::new(word).canonicalize() {
        Ok(path) if at > 0 && is_file(at - 1) => path.into_os_string(),
        _ => word.into(),
    };
    words.iter().enumerate().map(whole).collect()
}

/// Builds both functions as they are shipped.
fn functions() -> Result<Vec<PathBuf>, String> {
    run(cargo().args(["build", "--quiet", "--profile", "dist", "-p", "normalize", "-p", "group-convert"]))?;
    Ok(["normalize", "group-convert"].map(|name| target().join("dist").join(name)).to_vec())
}

/// Builds normalize as it is shipped but for its output, which counts. The
/// binary gets a place of its own: nobody is to find it among those to ship.
fn counting_normalize() -> Result<PathBuf, String> {
    let features = ["--features", "normalize/counting-output"];
    run(cargo().args(["build", "--quiet", "--profile", "dist", "-p", "normalize"]).args(features))?;
    let (built, folder) = (target().join("dist").join("normalize"), target().join("bench-handler"));
    let binary = folder.join("normalize-counting");
    let failed = |error: std::io::Error| format!("`{}`: {error}", binary.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::rename(&built, &binary).map_err(failed)?;
    Ok(binary)
}
