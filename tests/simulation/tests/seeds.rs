//! A few hundred seeds, and that a seed means one run.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

use std::collections::BTreeSet;

use simulation::world::Fault;
use simulation::{mappings, run};

/// Other seeds than `cargo xtask simulate` runs by itself.
const SEEDS: std::ops::Range<u64> = 1_000_000..1_000_300;

#[test]
fn promises_are_kept_whatever_goes_wrong() {
    let mappings = mappings().unwrap();
    let mut seen = BTreeSet::new();
    let mut measurements = 0;
    for seed in SEEDS {
        let outcome = run(seed, &mappings, false);
        assert!(outcome.broken.is_empty(), "seed {seed}: {:#?}", outcome.broken);
        seen.extend(outcome.faults.into_keys());
        measurements += outcome.measurements;
    }
    assert_eq!(seen, Fault::ALL.into_iter().collect(), "every kind of fault was there");
    assert!(measurements > 5000, "{measurements}");
}

#[test]
fn a_seed_means_one_run() {
    let mappings = mappings().unwrap();
    for seed in SEEDS.take(10) {
        let (first, second) = (run(seed, &mappings, true), run(seed, &mappings, true));
        assert_eq!((&first.faults, first.measurements), (&second.faults, second.measurements), "seed {seed}");
        let differs = first.trace.iter().zip(&second.trace).find(|(first, second)| first != second);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
    }
}
