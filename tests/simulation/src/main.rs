//! `simulate [--seeds A..B] [--plant NAME] [--keep-going]`: runs the seeds from
//! A to B, B excluded; see `cargo xtask simulate`.
//!
//! Exits 1 when a promise was broken, with the seed and what happened, at the
//! first one unless it is to keep going; 2 when it was called wrongly.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use simulation::process::Mappings;
use simulation::world::Fault;
use simulation::{Outcome, mappings, run};

const USAGE: &str = "usage: simulate [--seeds A..B] [--plant NAME] [--keep-going]";
/// What is run when nobody says otherwise.
const SEEDS: Range<u64> = 0..10_000;
/// Lines of a trace that are shown, from its end.
const TRACE_LINES: usize = 2000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = read(&arguments).and_then(simulate);
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

/// What the command line asks for.
struct Wanted {
    seeds: Range<u64>,
    /// A bug by name.
    planted: Option<String>,
    keep_going: bool,
}

fn read(arguments: &[String]) -> Result<Wanted, String> {
    let (mut seeds, mut planted, mut keep_going) = (SEEDS, None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--keep-going" {
            keep_going = true;
            continue;
        }
        let value = arguments.next().ok_or(USAGE)?;
        match argument.as_str() {
            "--seeds" => {
                let (from, to) = value.split_once("..").ok_or(USAGE)?;
                seeds = from.parse().map_err(|_| USAGE)?..to.parse().map_err(|_| USAGE)?;
            }
            "--plant" => {
                plant(value)?;
                planted = Some(value.clone());
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    if seeds.is_empty() {
        Err("there is no seed in this range".to_owned())
    } else {
        Ok(Wanted { seeds, planted, keep_going })
    }
}

#[cfg(feature = "planted-bugs")]
fn plant(name: &str) -> Result<(), String> {
    let bugs = delivery::planted::Bug::ALL;
    let bug = bugs.iter().find(|bug| bug.0 == name);
    let names = || bugs.map(|bug| bug.0).join(", ");
    bug.ok_or_else(|| format!("there is no bug `{name}`; there are {}", names()))?.1.plant();
    Ok(())
}

#[cfg(not(feature = "planted-bugs"))]
fn plant(_: &str) -> Result<(), String> {
    Err("bugs can be planted only when it is built with the feature `planted-bugs`".to_owned())
}

/// What all threads found.
#[derive(Default)]
struct Totals {
    passed: u64,
    failed: Vec<(u64, Outcome)>,
    faults: BTreeMap<Fault, u64>,
    events: usize,
    measurements: usize,
}

/// A panic breaks a promise like any other.
fn run_caught(seed: u64, mappings: &Mappings, traced: bool) -> Outcome {
    let ran = catch_unwind(AssertUnwindSafe(|| run(seed, mappings, traced)));
    ran.unwrap_or_else(|_| Outcome { broken: vec!["it panicked; see above".to_owned()], ..Outcome::default() })
}

fn simulate(Wanted { seeds, planted, keep_going }: Wanted) -> Result<ExitCode, String> {
    let mappings = mappings()?;
    let (next, totals) = (AtomicU64::new(seeds.start), Mutex::new(Totals::default()));
    let lock = || totals.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            if !keep_going && !lock().failed.is_empty() {
                return;
            }
            // The last number of all has none behind it.
            let taken =
                next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seed| (seed < seeds.end).then(|| seed + 1));
            let Ok(seed) = taken else { return };
            let outcome = run_caught(seed, &mappings, false);
            let mut totals = lock();
            for (fault, count) in &outcome.faults {
                *totals.faults.entry(*fault).or_default() += count;
            }
            totals.events += outcome.events;
            totals.measurements += outcome.measurements;
            if outcome.broken.is_empty() { totals.passed += 1 } else { totals.failed.push((seed, outcome)) }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| _ = scope.spawn(work));
    });
    let Totals { passed, mut failed, faults, events, measurements } = std::mem::take(&mut *lock());
    failed.sort_by_key(|(seed, _)| *seed);
    if let Some((seed, outcome)) = failed.first() {
        let again = run_caught(*seed, &mappings, true);
        let skipped = again.trace.len().saturating_sub(TRACE_LINES);
        println!("seed {seed}; the last {} of {} lines of its trace:", again.trace.len() - skipped, again.trace.len());
        again.trace.iter().skip(skipped).for_each(|line| println!("{line}"));
        outcome.broken.iter().for_each(|what| println!("broken: {what}"));
        if again.broken != outcome.broken {
            println!("broken, too: the same seed gave another run, with {:?}", again.broken);
        }
        for (seed, outcome) in failed.iter().skip(1) {
            println!("seed {seed} broke, too: {}", outcome.broken.join("; "));
        }
        let planted = planted.map(|name| format!(" --plant {name}")).unwrap_or_default();
        println!("again: cargo xtask simulate --seeds {seed}..{}{planted}", seed + 1);
    }
    println!("{events} events, {measurements} measurements");
    faults.iter().for_each(|(fault, count)| println!("{count:>9} {fault:?}"));
    println!("{passed} passed, {} failed", failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
