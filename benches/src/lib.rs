//! What the benchmarks share: corpora made by a seeded generator, measuring in
//! turns with the yardstick, and the rows that are printed.

pub mod corpus;
pub mod invocation;
pub mod measure;
pub mod process;
pub mod window;

use std::process::ExitCode;

pub use corpus::Corpus;
pub use measure::{Turns, in_turns, median, peak_rss_mib, yardstick_is_plain};
pub use process::{CpuTime, HandlerProcess};
pub use window::Window;

/// A figure as it is printed, with one digit after the point.
pub fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// How the process of a benchmark ends; an error goes to standard error.
pub fn end_with(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
