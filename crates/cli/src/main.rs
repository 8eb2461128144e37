//! `iotc`: the local stack, validation of mappings, the conformance cases, dead
//! letters, fates and FHIR servers.
//!
//! Results go to standard output, everything else to standard error.

mod app_settings;
mod conformance;
mod dead_letters;
mod fate;
mod fhir;
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
    /// Look at rejected events and measurements, and give them again.
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Say what became of one event.
    Fate(fate::Arguments),
    /// Make, show and remove FHIR servers of a cluster.
    #[command(subcommand)]
    Fhir(fhir::Command),
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
        Command::DeadLetters(command) => dead_letters::run(command).await,
        Command::Fate(arguments) => fate::run(arguments).await,
        Command::Fhir(command) => Box::pin(fhir::run(command)).await,
        Command::StandIn(which) => stand_in::run(which).await,
    };
    done.unwrap_or_else(|error| {
        output::note(format_args!("error: {error:#}"));
        ExitCode::from(2)
    })
}
