//! Programs that a test runs to their end.

use std::io::Write;
use std::process::{Command, Stdio};

/// A program that did not do what it was asked, with its own words.
#[derive(Debug, thiserror::Error)]
#[error("{command}: {said}")]
pub struct ToolError {
    /// What was run.
    pub command: String,
    /// What it printed.
    pub said: String,
}

/// Runs it, and gives what it prints to standard output.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String, ToolError> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let name = format!("{} {}", command.get_program().to_string_lossy(), words.join(" "));
    let failed = |said: String| ToolError { command: name.clone(), said };
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input says what is wrong itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    Err(failed(format!("{}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr))))
}
