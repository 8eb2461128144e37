//! `iotc`: the local stack, validation of mappings, and the conformance cases.
//!
//! Results go to standard output, everything else to standard error.

mod conformance;
mod output;
mod stand_in;
mod up;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// IoT Connector for FHIR: the command line.
#[derive(Debug, Parser)]
#[command(name = "iotc", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole path on this machine, over stand-ins for Azure.
    Up(up::Arguments),
    /// Try mappings, and what they make of samples.
    Validate(validate::Arguments),
    /// Run the language-neutral cases of a folder.
    Conformance(conformance::Arguments),
    /// One of the stand-ins, as `iotc up` starts it.
    #[command(hide = true, subcommand)]
    StandIn(stand_in::StandIn),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(arguments) => up::run(arguments).await,
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::StandIn(which) => stand_in::run(which).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
