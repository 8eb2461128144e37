//! Renders a chart, with Helm as a process that reaches no cluster.
//!
//! ```text
//! values --> helm template NAME CHART --namespace NAMESPACE -f - --> documents
//! ```
//!
//! Helm's own text is what a user gets to read of values that the chart
//! refuses. Nothing is installed with Helm: the operator applies what comes out.

use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Rendering takes one or two tenths of a second of a processor, and a second on
/// a machine that is busy.
const RENDER_LIMIT: Duration = Duration::from_secs(30);
/// How many Helms run at once in this process, however many namespaces and kinds
/// are looked at: each takes up to 66 MB, and the container has 512.
const HELMS: usize = 3;

/// Who may run a Helm. The time that somebody waits for it is none of Helm's.
static TURN: Semaphore = Semaphore::const_new(HELMS);

const SCHEMA: &str = "values don't meet the specifications of the schema";
/// What Helm says when a chart does not take its values: the schema, `fail` and
/// `required`, a template that cannot work with a value, and a value that makes a
/// document which is no YAML. All else is about Helm or the chart.
const REFUSALS: [&str; 4] = [SCHEMA, "execution error at (", ": executing \"", "YAML parse error on "];
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
    #[error("{message}")]
    Refused {
        /// Helm's own text.
        message: String,
        /// Whether the schema does, which looks at each value by itself.
        by_schema: bool,
    },
    /// Helm could not be run to its end.
    #[error("cannot run helm")]
    Helm(#[source] std::io::Error),
    /// Helm ended for a reason that the values have nothing to do with.
    #[error("helm failed ({status}): {message}")]
    Failed {
        /// Its exit code or signal.
        status: ExitStatus,
        /// What it printed.
        message: String,
    },
    /// No chart of ours does that.
    #[error("the chart renders bytes that are no text")]
    NoText,
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
        // Never closed, so there is always a turn to wait for.
        let turn = TURN.acquire().await;
        let output = timeout(RENDER_LIMIT, run(command, values.to_string())).await;
        drop(turn);
        let output = output.map_err(|_| RenderError::TimedOut)?.map_err(RenderError::Helm)?;
        if !output.status.success() {
            return Err(failure(output.status, &output.stderr));
        }
        String::from_utf8(output.stdout).map_err(|_| RenderError::NoText)
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

/// Whether the chart refused its values, or Helm did not come so far: killed for
/// want of memory, it says nothing at all.
fn failure(status: ExitStatus, stderr: &[u8]) -> RenderError {
    let message = own_text(stderr);
    if status.code().is_some() && REFUSALS.iter().any(|refusal| message.contains(refusal)) {
        return RenderError::Refused { by_schema: message.contains(SCHEMA), message };
    }
    RenderError::Failed { status, message }
}

/// Helm's own text, without what is about running it.
fn own_text(stderr: &[u8]) -> String {
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
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn gives_helms_own_text() {
        let stderr = b"Error: execution error at (c/templates/x.yaml:1:2): source.eventHub.name: is needed\n\nUse --debug flag to render out invalid YAML\n";
        assert_eq!(own_text(stderr), "execution error at (c/templates/x.yaml:1:2): source.eventHub.name: is needed");
        assert_eq!(own_text("ä".repeat(3000).as_bytes()).chars().count(), TEXT_MAX + 1);
    }

    #[test]
    fn tells_a_refusal_from_a_failure() {
        let (code, killed) = (ExitStatus::from_raw(1 << 8), ExitStatus::from_raw(9));
        let schema = "Error: values don't meet the specifications of the schema(s) in the following chart(s):\niot-connector:\n- at '': additional properties 'bogus' not allowed\n";
        let cases = [
            ("schema", code, schema, true),
            ("fail", code, "Error: execution error at (c/templates/x.yaml:1:2): needed\n", true),
            (
                "template",
                code,
                "Error: template: c/templates/x.yaml:1:2: executing \"x\" at <.a.b>: nil pointer\n",
                true,
            ),
            ("document", code, "Error: YAML parse error on c/templates/x.yaml: yaml: line 2\n", true),
            ("killed", killed, "", false),
            ("killed while it refused", killed, schema, false),
            ("nothing said", code, "", false),
            ("no chart", code, "Error: repo helm not found\n", false),
            ("out of memory", ExitStatus::from_raw(2 << 8), "runtime: cannot allocate memory\n", false),
        ];
        for (name, status, stderr, expected) in cases {
            let found = failure(status, stderr.as_bytes());
            let (is_refused, by_schema) = match found {
                RenderError::Refused { by_schema, .. } => (true, by_schema),
                _ => (false, false),
            };
            assert_eq!((is_refused, by_schema), (expected, name == "schema"), "{name}");
        }
    }

    /// A program in Helm's place, as a folder that holds it.
    fn charts(script: &str) -> (tempfile::TempDir, Charts) {
        let folder = tempfile::tempdir().unwrap();
        let helm = folder.path().join("helm");
        std::fs::write(&helm, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&helm, std::fs::Permissions::from_mode(0o755)).unwrap();
        let charts = Charts { helm, folder: folder.path().to_owned(), kube_version: None };
        (folder, charts)
    }

    /// One test: a file that is being written for another cannot be run.
    #[tokio::test]
    async fn runs_few_helms_at_once_and_sees_one_killed() {
        let (_killed, killed) = charts("kill -9 $$");
        // Each leaves a file while it runs, and prints how many it saw.
        let script =
            "cat >/dev/null; f=${0%/*}; : >$f/run.$$; /bin/ls $f | /bin/grep -c run; /bin/sleep 0.2; /bin/rm $f/run.$$";
        let (_folder, charts) = charts(script);
        let renders = (0..HELMS * 3).map(|_| charts.render("c", "ns1", "c1", &Value::Null));
        let seen = futures::future::join_all(renders).await;
        let most = seen.into_iter().map(|text| text.unwrap().trim().parse::<usize>().unwrap()).max();
        assert!(most.is_some_and(|most| most <= HELMS), "{most:?} at once");

        let rendered = killed.render("c", "ns1", "c1", &Value::Null).await;
        assert!(matches!(rendered, Err(RenderError::Failed { .. })), "{rendered:?}");
    }
}
