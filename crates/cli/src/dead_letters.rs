//! `iotc dead-letters`: looks at what was rejected, and gives it again.
//!
//! ```text
//! place (folder | container | hub) --filter--> list | show | replay --> internal hub
//! ```
//!
//! What an event holds is a patient's: it is printed by `show --body` and by
//! nothing else.

mod filter;
mod list;
pub mod place;
mod replay;
mod show;

use std::process::ExitCode;

pub use filter::{Filter, stage};
pub use list::Listed;

/// What to do with dead letters.
#[derive(Debug, clap::Subcommand)]
pub enum DeadLetters {
    /// Say what was rejected, where and why; never what it holds.
    List(list::Arguments),
    /// Say everything about one letter.
    Show(show::Arguments),
    /// Give rejected events again, with the mapping as it is now.
    Replay(replay::Arguments),
}

/// Runs one of them.
pub async fn run(command: DeadLetters) -> anyhow::Result<ExitCode> {
    match command {
        DeadLetters::List(arguments) => list::run(arguments).await,
        DeadLetters::Show(arguments) => show::run(arguments).await,
        DeadLetters::Replay(arguments) => replay::run(arguments).await,
    }
}
