//! `iotc conformance DIR`: runs the language-neutral cases.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use conformance::corpus;
use conformance::report::Report;

use crate::output;

/// Arguments of `iotc conformance`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder with the suites (`*.json`).
    folder: PathBuf,
    /// A list of cases that are known to fail, `suite/id  # rule` a line.
    #[arg(long)]
    known: Option<PathBuf>,
}

/// Prints the report; fails when a case fails that is not known to, or one
/// that is known to passes.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let suites = corpus::read(&arguments.folder)?;
    let known = arguments.known.as_deref().map(corpus::read_known).transpose();
    let known = known.context("cannot use the list of known failures")?.unwrap_or_default();
    let report = Report::run(&suites, &known);
    output::print(&report)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
