//! `iotc validate`: tries mappings, and what they make of samples.
//!
//! The rules are those of [`mapping::validate()`]; here are files and arguments.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use expressions::UtcTime;
use mapping::Compatibility;
use mapping::validate::{Request, Sample, Validation, validate};

use crate::output;

/// Arguments of `iotc validate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The device mapping.
    #[arg(long, value_name = "FILE", required_unless_present = "fhir_mapping")]
    device_mapping: Option<PathBuf>,
    /// The FHIR mapping.
    #[arg(long, value_name = "FILE")]
    fhir_mapping: Option<PathBuf>,
    /// A sample, one JSON document; in a file `*.jsonl`, one a line. May be
    /// given several times.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    sample: Vec<PathBuf>,
    /// The samples are what devices send: put each into `{"Body": …}`, as the
    /// connector does. Without it a sample is the whole document.
    #[arg(long)]
    wrap: bool,
    /// Show only what goes wrong, each message once, with how often it came.
    #[arg(long)]
    aggregate: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Behave as the reference connector does where there is a choice
    /// (`Compatibility__Profile=reference`).
    #[arg(long)]
    reference: bool,
}

/// Prints what was found; fails when there is an error in a mapping, or with a
/// sample.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let validation = try_files(arguments)?;
    if arguments.json {
        output::print(&serde_json::to_string_pretty(&validation)?)?;
    } else {
        output::print(&validation)?;
    }
    Ok(if validation.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn try_files(arguments: &Arguments) -> anyhow::Result<Validation> {
    let device = arguments.device_mapping.as_deref().map(read_mapping).transpose()?;
    let fhir = arguments.fhir_mapping.as_deref().map(read_mapping).transpose()?;
    ensure!(
        arguments.sample.is_empty() || device.is_some(),
        "`--sample` needs a `--device-mapping`, which says what in it is a measurement"
    );
    let mut texts = Vec::new();
    for file in &arguments.sample {
        texts.extend(samples(file, read(file)?));
    }
    let form = if arguments.wrap { Sample::Body } else { Sample::Document };
    let samples: Vec<Sample<'_>> = texts.iter().map(|text| form(text)).collect();
    let request = Request {
        device_mapping: device.as_deref(),
        fhir_mapping: fhir.as_deref(),
        samples: &samples,
        aggregate: arguments.aggregate,
        compatibility: if arguments.reference { Compatibility::reference() } else { Compatibility::default() },
        issued: UtcTime::from(SystemTime::now()),
    };
    validate(&request).context("the files are empty")
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))
}

/// A file of no bytes is a blank mapping, not one that was left out.
fn read_mapping(file: &Path) -> anyhow::Result<Vec<u8>> {
    let text = read(file)?;
    Ok(if text.is_empty() { b"\n".to_vec() } else { text })
}

/// The samples in a file: one, or one a line.
fn samples(file: &Path, text: Vec<u8>) -> Vec<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "jsonl") {
        return vec![text];
    }
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}
