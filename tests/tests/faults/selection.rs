//! How much of the faults is tried, and what a test says of them.

use std::fmt::Display;
use std::io::Write;

/// Whether everything is tried, on all servers (`IOTC_FAULTS=full`), or each
/// fault once, where it bites most (`IOTC_FAULTS=short`, or nothing).
/// `cargo xtask test faults` sets the one, `cargo xtask test` the other.
///
/// # Panics
/// When it says something else.
pub fn is_full() -> bool {
    match std::env::var("IOTC_FAULTS").as_deref() {
        Ok("full") => true,
        Ok("short") | Err(_) => false,
        Ok(other) => panic!("`IOTC_FAULTS` is `{other}`; expected `short` or `full`"),
    }
}

/// Says what was done and seen, a line for the table of docs/reliability.md.
/// It is written past the test harness, which shows only what failing tests
/// print.
///
/// # Panics
/// When it cannot be written.
pub fn report(fault: &str, server: &str, injected: usize, seen: impl Display) {
    let line = format!("FAULT {fault} | {server} | injected {injected} | seen {seen}\n");
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    assert!(written.is_ok(), "{written:?}");
}
