//! Every input of `fuzz/corpus` goes through its target, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("the folder can be listed").path()).collect()
}

fn stems(folder: &str) -> BTreeSet<String> {
    entries(folder).iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

#[test]
fn replays_the_corpora() {
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let inputs = entries(&format!("corpus/{name}"));
        assert!(inputs.len() >= 10, "{name} has {} inputs", inputs.len());
        for path in inputs {
            let input = fs::read(&path).expect("an input can be read");
            if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "these inputs failed: {failed:#?}");
}

#[test]
fn every_target_has_a_program_and_a_dictionary() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for folder in ["fuzz_targets", "dictionaries", "corpus"] {
        assert_eq!(stems(folder), names, "{folder}");
    }
}
