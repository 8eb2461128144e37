//! Renders a chart, with Helm as a process that reaches no cluster.
//!
//! ```text
//! values --> helm template NAME CHART --namespace NAMESPACE -f - --> documents
//! ```
//!
//! Helm's own text is what a user gets to read of values that the chart
//! refuses. Nothing is installed with Helm: the operator applies what comes out.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// Rendering takes a tenth of a second; a machine may be busy.
const RENDER_LIMIT: Duration = Duration::from_secs(30);
/// What a condition's message takes.
const TEXT_MAX: usize = 2000;

/// Where Helm and the charts are.
#[derive(Clone, Debug)]
pub struct Charts {
    /// Helm's binary.
    pub helm: PathBuf,
    /// The folder that holds a folder for each chart.
    pub folder: PathBuf,
    /// The version of the cluster, for charts that differ by it.
    pub kube_version: Option<String>,
}

/// Why there are no documents.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The chart refuses the values.
    #[error("{0}")]
    Refused(String),
    /// Helm could not be run to its end.
    #[error("cannot run helm")]
    Helm(#[source] std::io::Error),
    /// Helm did not end.
    #[error("helm did not end within {} s", RENDER_LIMIT.as_secs())]
    TimedOut,
}

impl Charts {
    /// Renders `chart` as the release `name` with `values`.
    pub async fn render(
        &self,
        chart: &str,
        namespace: &str,
        name: &str,
        values: &Value,
    ) -> Result<String, RenderError> {
        let mut command = Command::new(&self.helm);
        command.arg("template").arg(name).arg(self.folder.join(chart));
        command.args(["--namespace", namespace, "--values", "-"]);
        if let Some(version) = &self.kube_version {
            command.args(["--kube-version", version]);
        }
        // It finds no cluster, no plugins and no repositories, whatever is set here.
        command.env_clear().env("KUBECONFIG", "/dev/null").env("HOME", "/nonexistent");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = timeout(RENDER_LIMIT, run(command, values.to_string())).await;
        let output = output.map_err(|_| RenderError::TimedOut)?.map_err(RenderError::Helm)?;
        if !output.status.success() {
            return Err(RenderError::Refused(refusal(&output.stderr)));
        }
        String::from_utf8(output.stdout)
            .map_err(|_| RenderError::Refused("the chart renders bytes that are no text".to_owned()))
    }
}

async fn run(mut command: Command, input: String) -> std::io::Result<Output> {
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    // Written beside reading: neither side waits with a full pipe for the other.
    let writing = async move {
        let Some(mut stdin) = stdin else { return Ok(()) };
        stdin.write_all(input.as_bytes()).await?;
        stdin.shutdown().await
    };
    let (written, output) = tokio::join!(writing, child.wait_with_output());
    let output = output?;
    // Helm that ended before it read everything says why.
    match written {
        Err(error) if output.status.success() => Err(error),
        _ => Ok(output),
    }
}

/// Helm's own text, without what is about running it.
fn refusal(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().filter(|line| !line.starts_with("Use --debug") && !line.trim().is_empty());
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = text.trim_start_matches("Error: ");
    match text.char_indices().nth(TEXT_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_helms_own_text() {
        let stderr = b"Error: execution error at (c/templates/x.yaml:1:2): source.eventHub.name: is needed\n\nUse --debug flag to render out invalid YAML\n";
        assert_eq!(refusal(stderr), "execution error at (c/templates/x.yaml:1:2): source.eventHub.name: is needed");
        assert_eq!(refusal("ä".repeat(3000).as_bytes()).chars().count(), TEXT_MAX + 1);
    }
}
