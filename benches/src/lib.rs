//! What the benchmarks share: corpora made by a seeded generator, measuring in
//! turns with the yardstick, and the rows that are printed.

pub mod corpus;
pub mod invocation;
pub mod measure;
pub mod process;
pub mod window;

pub use corpus::Corpus;
pub use measure::{Turns, in_turns, median, peak_rss_mib, yardstick_is_plain};
pub use process::{CpuTime, HandlerProcess};
pub use window::Window;
