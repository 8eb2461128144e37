//! `cargo xtask test [TIER]`: the tests, in tiers by what they need.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::components;
use crate::package;
use crate::run::{cargo, root, run, target};

/// A part of the tests.
struct Tier {
    name: &'static str,
    about: &'static str,
    /// What has to be installed for it.
    components: &'static [&'static str],
    /// Whether it starts our binaries.
    needs_binaries: bool,
    /// Whether it looks at what `cargo xtask package` makes.
    needs_package: bool,
    /// The arguments of `cargo test`, for each run.
    runs: &'static [&'static [&'static str]],
}

/// How much of a tier is run that has a short selection for every day.
#[derive(Clone, Copy)]
enum Selection {
    /// With all others.
    Short,
    /// By itself.
    Full,
}

/// What tells the tests of the tier `faults`, unless the environment says it
/// already; see `tests/tests/faults/selection.rs`.
const FAULTS: &str = "IOTC_FAULTS";

/// What tells them when and in which order things are to break.
const FAULTS_SEED: &str = "IOTC_FAULTS_SEED";

const TIERS: [Tier; 14] = [
    Tier {
        name: "quick",
        about: "all packages, without other processes' help",
        components: &[],
        needs_binaries: false,
        needs_package: false,
        runs: &[
            &["--workspace", "--exclude", "end-to-end", "--exclude", "simulation", "--exclude", "kubernetes-tests"],
            &["-p", "end-to-end", "--lib", "--test", "packages", "--test", "samples"],
        ],
    },
    Tier {
        name: "charts",
        about: "the charts, rendered by helm and judged without a cluster",
        components: &["helm", "manifests"],
        needs_binaries: true,
        needs_package: false,
        runs: &[&["-p", "end-to-end", "--test", "charts"]],
    },
    Tier {
        name: "provider",
        about: "the resource provider on PostgreSQL: its store, API and worker; its ports on Azure over Azurite; connectors that it makes on this machine",
        components: &["postgres", "azurite", "python", "arm-python"],
        needs_binaries: true,
        needs_package: false,
        runs: &[
            &["-p", "resource-provider", "--test", "store", "--test", "api", "--test", "worker", "--test", "azure"],
            &["-p", "end-to-end", "--test", "provider"],
        ],
    },
    Tier {
        name: "provider-sdk",
        about: "Azure's management clients and schemathesis before the resource provider",
        components: &["arm-python", "arm-python-1", "arm-node", "schemathesis", "postgres"],
        needs_binaries: false,
        needs_package: false,
        // They wait more than they work.
        runs: &[&["-p", "resource-provider", "--test", "sdk", "--", "--test-threads", "8"]],
    },
    Tier {
        name: "simulation",
        about: "the whole path in simulated time under seeded faults, with and without planted bugs",
        components: &[],
        needs_binaries: false,
        needs_package: false,
        runs: &[&["-p", "simulation", "--features", "planted-bugs"]],
    },
    Tier {
        name: "stack",
        about: "our binaries as processes, over the stand-ins",
        components: &[],
        needs_binaries: true,
        needs_package: false,
        runs: &[&["-p", "end-to-end", "--test", "stack", "--test", "functions"]],
    },
    Tier {
        name: "clients",
        about: "Event Hubs clients of other languages",
        components: &["python", "node", "java"],
        needs_binaries: true,
        needs_package: false,
        runs: &[&["-p", "end-to-end", "--test", "clients"]],
    },
    Tier {
        name: "storage",
        about: "Azurite, for mappings, positions and dead letters in blobs",
        components: &["azurite"],
        needs_binaries: true,
        needs_package: false,
        runs: &[&["-p", "end-to-end", "--test", "storage"]],
    },
    Tier {
        name: "native",
        about: "functions that read their hubs themselves, over Azurite, HAPI FHIR and sekmet-fhir; the canary of patient data",
        components: &["azurite", "hapi", "sekmet"],
        needs_binaries: true,
        needs_package: false,
        runs: &[&["-p", "end-to-end", "--test", "native", "--test", "canary"]],
    },
    Tier {
        name: "fhir",
        about: "HAPI FHIR and sekmet-fhir",
        components: &["hapi", "sekmet"],
        needs_binaries: true,
        needs_package: false,
        runs: &[&["-p", "end-to-end", "--test", "fhir"]],
    },
    Tier {
        name: "images",
        about: "images, built and run; Function App ZIPs, charts, and a registry that they are pushed to",
        components: &["images", "helm", "bases"],
        needs_binaries: true,
        needs_package: true,
        runs: &[&["-p", "end-to-end", "--test", "images"]],
    },
    Tier {
        name: "kubernetes",
        about: "a real control plane, KEDA and helm, with a kubelet of our own",
        components: &["kubernetes", "keda", "helm", "azurite", "hapi", "postgres"],
        needs_binaries: true,
        needs_package: false,
        runs: &[
            &[
                "-p",
                "kubernetes-tests",
                "--lib",
                "--bins",
                "--test",
                "harness",
                "--test",
                "operator",
                "--test",
                "pipeline",
                "--test",
                "clusters",
            ],
            &["-p", "kubernetes-tests", "--doc"],
        ],
    },
    Tier {
        name: "whole",
        about: "the whole system on a cluster: Azure's client, the resource provider, the operator, KEDA, pods, two FHIR servers",
        components: &["kubernetes", "keda", "helm", "azurite", "hapi", "sekmet", "arm-python"],
        needs_binaries: true,
        needs_package: false,
        runs: &[&["-p", "kubernetes-tests", "--test", "whole"]],
    },
    Tier {
        name: "faults",
        about: "what breaks while events flow: all of it by itself, a short selection among all tiers",
        components: &["azurite", "hapi", "sekmet"],
        needs_binaries: true,
        needs_package: false,
        // They wait more than they work.
        runs: &[&["-p", "end-to-end", "--test", "faults", "--", "--test-threads", "4"]],
    },
];

impl Selection {
    fn name(self) -> &'static str {
        match self {
            Selection::Short => "short",
            Selection::Full => "full",
        }
    }
}

/// How many tests ended how, and what those said that failed.
#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
    failures: Vec<String>,
}

/// Every run tries the same random cases, unless the environment says
/// otherwise: whether main is green is not left to chance. New cases are for
/// plain `cargo test`, and for docs/fuzzing.md.
const RANDOM_SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20261126");

/// Runs one tier, or all.
pub fn test(arguments: &[String]) -> Result<ExitCode, String> {
    let tiers: Vec<&Tier> = match arguments {
        // What is shipped is built with all optimisations, which takes longer than all tests together.
        [] => TIERS.iter().filter(|tier| !tier.needs_package).collect(),
        [name] => TIERS.iter().filter(|tier| tier.name == *name).collect(),
        _ => return Err("test takes one tier at the most".to_owned()),
    };
    if tiers.is_empty() {
        let names: Vec<_> = TIERS.iter().map(|tier| format!("{} ({})", tier.name, tier.about)).collect();
        return Err(format!("there is no such tier; there are {}", names.join(", ")));
    }
    let selection = if arguments.is_empty() { Selection::Short } else { Selection::Full };
    let mut counts = Counts::default();
    let run = tiers.into_iter().try_for_each(|tier| {
        eprintln!("== {}: {}", tier.name, tier.about);
        run_tier(tier, selection, &mut counts)
    });
    counts.failures.iter().for_each(|line| println!("{line}"));
    run?;
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.ignored);
    Ok(if counts.failed == 0 && counts.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_tier(tier: &Tier, selection: Selection, counts: &mut Counts) -> Result<(), String> {
    let mut environment: Vec<(&str, PathBuf)> = Vec::new();
    for name in tier.components {
        let component = components::named(name)?;
        match component.folder() {
            Ok(folder) => environment.push((component.variable, folder)),
            Err(error) => {
                eprintln!("error: tier `{}` cannot run: {error}", tier.name);
                counts.failed += 1;
                return Ok(());
            }
        }
    }
    if tier.needs_binaries {
        let programs = ["iotc", "normalize", "group-convert", "operator", "resource-provider"];
        run(cargo().arg("build").args(programs.iter().flat_map(|program| ["-p", program])))?;
        environment.push(("IOTC_TEST_BIN", target().join("debug")));
    }
    if tier.needs_package {
        environment.push(("IOTC_TEST_PACKAGE", package::for_tests()?));
        let xtask = std::env::current_exe().map_err(|error| format!("cannot tell where xtask is: {error}"))?;
        environment.push(("IOTC_TEST_XTASK", xtask));
    }
    for arguments in tier.runs {
        let mut command = cargo();
        command.args(["test", "--no-fail-fast"]).args(*arguments).envs(environment.iter().cloned());
        if std::env::var_os(RANDOM_SEED.0).is_none() {
            command.env(RANDOM_SEED.0, RANDOM_SEED.1);
        }
        if std::env::var_os(FAULTS).is_none() {
            command.env(FAULTS, selection.name());
        }
        if tier.components.contains(&"kubernetes") {
            command.env(runner_variable()?, root().join("tests/kubernetes/isolated.sh"));
        }
        // The full selection has another seed each time, and says which.
        if matches!(selection, Selection::Short) && std::env::var_os(FAULTS_SEED).is_none() {
            command.env(FAULTS_SEED, RANDOM_SEED.1);
        }
        count(&mut command, counts)?;
    }
    Ok(())
}

/// The variable that says through which program cargo starts tests.
fn runner_variable() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|error| format!("cannot start rustc: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let host = printed.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_")))
}

/// Runs cargo's tests, shows what they print, and adds up their result lines.
fn count(command: &mut Command, counts: &mut Counts) -> Result<(), String> {
    let failed_before = counts.failed;
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start cargo: {error}"))?;
    let output = child.stdout.take().ok_or("cargo has no output")?;
    let mut failure = FailureText::default();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| format!("cargo's output: {error}"))?;
        failure.read(&line, &mut counts.failures);
        if let Some(result) = line.strip_prefix("test result: ") {
            counts.passed += number_before(result, " passed");
            counts.failed += number_before(result, " failed");
            counts.ignored += number_before(result, " ignored");
        }
        println!("{line}");
        std::io::stdout().flush().map_err(|error| format!("standard output: {error}"))?;
    }
    let status = child.wait().map_err(|error| format!("cargo: {error}"))?;
    if !status.success() && counts.failed == failed_before {
        // It did not get as far as running a test.
        counts.failed += 1;
    }
    Ok(())
}

/// Finds what a failed test said among all that tests print, so that the last
/// lines of a long run say why it failed.
#[derive(Default)]
struct FailureText {
    /// Within what failed tests said.
    is_failed: bool,
    lines_left: usize,
}

impl FailureText {
    /// Of each panic of a failed test.
    const LINES_MAX: usize = 12;
    /// Of each line.
    const CHARS_MAX: usize = 400;

    fn read(&mut self, line: &str, found: &mut Vec<String>) {
        let is_begin = line.starts_with("---- ") && line.ends_with(" stdout ----");
        if is_begin || (self.is_failed && line.contains(" panicked at ")) {
            self.is_failed = true;
            self.lines_left = Self::LINES_MAX;
        } else if line.starts_with("test result: ") {
            self.is_failed = false;
            self.lines_left = 0;
        } else if line == "stack backtrace:" || line == "failures:" || line.starts_with("note: ") {
            self.lines_left = 0;
        }
        if self.lines_left > 0 && !line.is_empty() {
            self.lines_left -= 1;
            found.push(line.chars().take(Self::CHARS_MAX).collect());
        }
    }
}

/// The number that stands right before `word`.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    if text.contains(word) { digits.parse().unwrap_or_default() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{FailureText, number_before};

    #[test]
    fn reads_cargos_result_lines() {
        let line = "FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(number_before(line, " passed"), 12);
        assert_eq!(number_before(line, " failed"), 3);
        assert_eq!(number_before(line, " ignored"), 1);
        assert_eq!(number_before(line, " skipped"), 0);
    }

    #[test]
    fn finds_what_failed_tests_said() {
        let printed = "running 2 tests\n\nfailures:\n\n---- life::is_long stdout ----\n\nthread 'x' panicked at a.rs:1:5:\n\
                       not long\nstack backtrace:\n   0: rust_begin_unwind\nnote: Some details are omitted\n\n\n\
                       thread 'x' panicked at b.rs:2:6:\nin all\nnote: run with\n\n\
                       ---- life::is_short stdout ----\nnot short\n\nfailures:\n    life::is_long\n    life::is_short\n";
        let (mut failure, mut found) = (FailureText::default(), Vec::new());
        printed.lines().for_each(|line| failure.read(line, &mut found));
        let expected = [
            "---- life::is_long stdout ----",
            "thread 'x' panicked at a.rs:1:5:",
            "not long",
            "thread 'x' panicked at b.rs:2:6:",
            "in all",
            "---- life::is_short stdout ----",
            "not short",
        ];
        assert_eq!(found, expected);
    }
}
