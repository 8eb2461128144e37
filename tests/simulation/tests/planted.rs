//! The simulator finds the bugs that are planted for it.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

use std::process::Command;

/// What `simulate` prints and exits with.
fn simulate(arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[track_caller]
fn is_found(bug: &str) {
    let (code, printed) = simulate(&["--seeds", "0..2000", "--plant", bug]);
    assert_eq!(code, Some(1), "{bug} was not found\n{printed}");
    let last = printed.lines().last().unwrap();
    assert!(last.contains(" passed, ") && !last.ends_with(" 0 failed"), "{last}");
    assert!(printed.lines().any(|line| line.starts_with("broken: ")), "{printed}");
    let again = printed.lines().find(|line| line.starts_with("again: cargo xtask simulate --seeds "));
    assert!(again.is_some_and(|line| line.ends_with(&format!(" --plant {bug}"))), "{printed}");
}

#[test]
fn a_position_stored_before_the_work_is_found() {
    is_found("checkpoint-first");
}

#[test]
fn an_update_lost_to_a_conflict_is_found() {
    is_found("lost-update");
}

#[test]
fn a_window_cut_anew_is_found() {
    is_found("other-cut");
}

#[test]
fn an_owner_that_goes_on_is_found() {
    is_found("stale-owner");
}

#[test]
fn what_was_seen_in_another_term_is_found() {
    is_found("stale-cache");
}
