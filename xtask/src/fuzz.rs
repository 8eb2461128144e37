//! `cargo xtask fuzz [TARGET …] [--seconds N] [--jobs N]`: runs the fuzz
//! targets of `fuzz/`, one after the other (docs/fuzzing.md).
//!
//! Everything that is built, found or written lies in the cache folder. With a
//! nightly toolchain the targets are built with AddressSanitizer, without one
//! without.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use crate::cache;
use crate::components;
use crate::run::{root, run};

const USAGE: &str = "usage: cargo xtask fuzz [TARGET ...] [--seconds N] [--jobs N]";

/// How long a target may think about one input, in seconds, before that is a
/// finding. An input may reach the limits of docs/limits.md several times, and
/// with AddressSanitizer everything takes some five times as long.
const TIMEOUT_SECONDS: u32 = 60;

/// The most memory a target may take, in MiB, before that is a finding.
const MEMORY_MIB_MAX: u32 = 2048;

/// The longest input that is tried, in bytes.
const INPUT_BYTES_MAX: u32 = 16 * 1024;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// All when empty.
    targets: Vec<String>,
    /// For each target.
    seconds: u32,
    /// Processes at once.
    jobs: usize,
}

/// What came of a target.
#[derive(Default)]
struct Outcome {
    runs: u64,
    findings: Vec<PathBuf>,
}

/// Builds and runs the targets named, or all.
pub fn fuzz(arguments: &[String]) -> Result<ExitCode, String> {
    let wanted = read(arguments)?;
    let known = targets()?;
    if let Some(unknown) = wanted.targets.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no target `{unknown}`; there are {}", known.join(", ")));
    }
    let folder = cache::folder()?.join("fuzz");
    let programs = build(&folder.join("target"))?;
    let (mut runs, mut findings) = (0, 0);
    for target in known.iter().filter(|name| wanted.targets.is_empty() || wanted.targets.contains(name)) {
        let outcome = run_target(target, &programs.join(target), &folder, &wanted)?;
        println!("{target}: {} runs, {} findings", outcome.runs, outcome.findings.len());
        for finding in &outcome.findings {
            println!("  {}", finding.display());
        }
        runs += outcome.runs;
        findings += outcome.findings.len();
    }
    println!("{runs} runs, {findings} findings");
    Ok(if findings == 0 && runs > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(arguments: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted { targets: Vec::new(), seconds: 60, jobs: 1 };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number =
            || arguments.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0).ok_or(USAGE);
        match argument.as_str() {
            "--seconds" => wanted.seconds = number()?,
            "--jobs" => wanted.jobs = number()? as usize,
            flag if flag.starts_with('-') => return Err(USAGE.to_owned()),
            target => wanted.targets.push(target.to_owned()),
        }
    }
    Ok(wanted)
}

/// The names of the targets.
fn targets() -> Result<Vec<String>, String> {
    let names = files(&root().join("fuzz/fuzz_targets"))?;
    Ok(names.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect())
}

/// Builds all targets; gives the folder of the programs.
fn build(target: &Path) -> Result<PathBuf, String> {
    let cargo_fuzz = components::named("fuzz")?.folder()?.join("venv/bin/cargo-fuzz");
    let nightly = nightly_host();
    let has_nightly = nightly.is_some();
    let triple = match nightly {
        Some(triple) => triple,
        None => host(&mut Command::new("rustc"))?.0,
    };
    let sanitizer = if has_nightly { "address" } else { "none" };
    eprintln!("building the targets, sanitizer {sanitizer}; the first time takes some minutes");
    let mut command = Command::new(cargo_fuzz);
    command.args(["fuzz", "build", "--sanitizer", sanitizer, "--target", &triple, "--target-dir"]).arg(target);
    command.current_dir(root()).env_remove("CARGO").env_remove("CARGO_TARGET_DIR");
    if has_nightly {
        command.env("RUSTUP_TOOLCHAIN", "nightly");
    }
    run(&mut command)?;
    Ok(target.join(triple).join("release"))
}

/// The host triple of rustup's nightly toolchain, when it is there.
fn nightly_host() -> Option<String> {
    let mut rustc = Command::new("rustc");
    rustc.env("RUSTUP_TOOLCHAIN", "nightly").env("RUSTUP_AUTO_INSTALL", "0");
    host(&mut rustc).ok().filter(|(_, release)| release.contains("nightly")).map(|(triple, _)| triple)
}

/// The host triple and the version of a compiler.
fn host(rustc: &mut Command) -> Result<(String, String), String> {
    let output = rustc.arg("-vV").stderr(Stdio::null()).output().map_err(|error| format!("rustc: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    field("host: ").zip(field("release: ")).ok_or_else(|| "`rustc -vV` names no host".to_owned())
}

/// Runs one target in as many processes as wanted; they share what they find.
fn run_target(name: &str, program: &Path, folder: &Path, wanted: &Wanted) -> Result<Outcome, String> {
    let [corpus, artifacts, logs] = ["corpus", "artifacts", "logs"].map(|part| folder.join(part).join(name));
    for part in [&corpus, &artifacts, &logs] {
        fs::create_dir_all(part).map_err(|error| format!("`{}`: {error}", part.display()))?;
    }
    let before = files(&artifacts)?;
    let start = |job: usize| {
        let log = logs.join(format!("{job}.log"));
        let output = File::create(&log).map_err(|error| format!("`{}`: {error}", log.display()))?;
        let mut command = Command::new(program);
        // New inputs go to the first folder; the others are read.
        command.arg(&corpus).arg(root().join("fuzz/corpus").join(name));
        command.arg(format!("-dict={}", root().join("fuzz/dictionaries").join(format!("{name}.dict")).display()));
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.arg(format!("-max_total_time={}", wanted.seconds)).arg(format!("-timeout={TIMEOUT_SECONDS}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
        command.args(["-print_final_stats=1", "-reload=1"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let child = command.spawn().map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
        Ok((child, log))
    };
    let started: Vec<(Child, PathBuf)> = (0..wanted.jobs).map(start).collect::<Result<_, String>>()?;
    let mut outcome = Outcome::default();
    for (mut child, log) in started {
        let status = child.wait().map_err(|error| format!("`{name}`: {error}"))?;
        let printed = fs::read(&log).map_err(|error| format!("`{}`: {error}", log.display()))?;
        outcome.runs += executed(&String::from_utf8_lossy(&printed));
        if !status.success() {
            eprintln!("`{name}` ended with {status}; see {}", log.display());
        }
    }
    outcome.findings = files(&artifacts)?.into_iter().filter(|file| !before.contains(file)).collect();
    Ok(outcome)
}

/// How many inputs libfuzzer says it ran: in its statistics, else in its last
/// line of progress, which begins with the number.
fn executed(printed: &str) -> u64 {
    let statistics = printed.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let progress = || printed.lines().rev().find_map(|line| line.strip_prefix('#')?.split_whitespace().next());
    statistics.or_else(progress).and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("`{}`: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut files = entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<Vec<_>, String>>()?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{Wanted, executed, read};

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn reads_its_command_line() {
        let wanted = read(&words("reader --seconds 5 jsonpath --jobs 2"));
        assert_eq!(wanted, Ok(Wanted { targets: words("reader jsonpath"), seconds: 5, jobs: 2 }));
        for wrong in ["--seconds", "--seconds 0", "--jobs x", "--fast"] {
            assert!(read(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_libfuzzers_numbers() {
        assert_eq!(executed("#2\tINITED\n#900\tDONE\nstat::number_of_executed_units: 912\nstat::new: 1\n"), 912);
        assert_eq!(executed("#2\tINITED cov: 1\n#77\tNEW    cov: 2\n==1== ERROR\n"), 77);
        assert_eq!(executed(""), 0);
    }
}
