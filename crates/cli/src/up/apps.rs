//! The files that the stack is made of: app roots for the two functions, and
//! the samples. They are part of the binary, so that it runs anywhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Lays out the app root of `function` below `state`; the handler's path goes
/// into the environment.
pub fn lay_out(state: &Path, function: &str) -> anyhow::Result<PathBuf> {
    let root = state.join("apps").join(function);
    let files: &[(&str, &str)] = match function {
        "normalize" => &[
            ("host.json", HOST),
            ("normalize/function.json", include_str!("../../../../functions/normalize/app/normalize/function.json")),
            ("ingest/function.json", include_str!("../../../../functions/normalize/app/ingest/function.json")),
        ],
        _ => &[
            ("host.json", HOST),
            (
                "group-convert/function.json",
                include_str!("../../../../functions/group-convert/app/group-convert/function.json"),
            ),
        ],
    };
    for (name, text) in files {
        write(&root.join(name), text)?;
    }
    Ok(root)
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

const HOST: &str = include_str!("../../../../host.json");

/// The device mapping of the samples.
pub const SAMPLE_DEVICE_MAPPING: &str = include_str!("../../../../samples/demo/devicecontent.json");
/// The FHIR mapping of the samples.
pub const SAMPLE_FHIR_MAPPING: &str = include_str!("../../../../samples/demo/fhirmapping.json");
/// The events of the samples, one a line.
pub const SAMPLE_EVENTS: &str = include_str!("../../../../samples/demo/events.jsonl");
/// The devices of the samples that a hospital has registered.
pub const SAMPLE_DEVICES: [&str; 7] = ["d1", "d2", "d9", "th-1", "ox-1", "ox-2", "hub-dev-01"];
