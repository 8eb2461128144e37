//! Keeps a process running and reads what it says.
//!
//! A child's standard input is held open and never written to: it ends when we
//! end, however that happens, and the child takes that for its sign to stop. A
//! child that ends by itself is started again with the same arguments; all of
//! them keep their state on disk, so nothing is lost by it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use crate::output::note;

/// A child that ends this often within [`RESTART_WINDOW`] has a defect that
/// starting it again does not mend.
const RESTARTS_MAX: usize = 10;
const RESTART_WINDOW: Duration = Duration::from_secs(60);
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// How long a child may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A process to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// For people and log files.
    pub name: &'static str,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What its environment has besides ours.
    pub environment: Vec<(String, String)>,
}

/// What a child said, or what became of it.
#[derive(Clone, Debug)]
pub enum Said {
    /// A line on standard output.
    Line {
        /// Its name.
        name: &'static str,
        /// The line.
        line: String,
    },
    /// It ended and is started again.
    Ended {
        /// Its name.
        name: &'static str,
        /// How, for a person.
        how: String,
    },
    /// It ends again and again.
    GivenUp {
        /// Its name.
        name: &'static str,
    },
}

/// Runs `program` until `stop` is true. Lines of its standard output go to
/// `said`; both its outputs go to `<logs>/<name>.log`.
pub async fn supervise(
    program: Program,
    logs: PathBuf,
    said: mpsc::Sender<Said>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut ends: Vec<Instant> = Vec::new();
    while !*stop.borrow() {
        let mut child = start(&program).with_context(|| format!("cannot start {}", program.name))?;
        // Kept out of the child's hands: waiting for it would close its input.
        let input = child.stdin.take();
        read_output(&mut child, &program, &logs, &said);
        let how = tokio::select! {
            status = child.wait() => status?.to_string(),
            () = stopped(&mut stop) => {
                drop(input);
                stop_child(child).await?;
                break;
            }
        };
        ends.retain(|end| end.elapsed() < RESTART_WINDOW);
        ends.push(Instant::now());
        if ends.len() > RESTARTS_MAX {
            // Nobody listens any more when the stack is being torn down.
            let _ = said.send(Said::GivenUp { name: program.name }).await;
            anyhow::bail!("{} ended {} times within a minute, last with {how}", program.name, ends.len());
        }
        let _ = said.send(Said::Ended { name: program.name, how }).await;
        tokio::time::sleep(RESTART_PAUSE).await;
    }
    Ok(())
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A closed channel means that whoever would say so is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn start(program: &Program) -> std::io::Result<Child> {
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).envs(program.environment.iter().cloned());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C in a terminal goes to a whole group; only we are to get it.
    command.process_group(0);
    command.spawn()
}

async fn stop_child(mut child: Child) -> std::io::Result<()> {
    if tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}

fn read_output(child: &mut Child, program: &Program, logs: &Path, said: &mpsc::Sender<Said>) {
    let log = logs.join(format!("{}.log", program.name));
    let name = program.name;
    let (output, errors, said) = (child.stdout.take(), child.stderr.take(), said.clone());
    // Ends by itself when the child's outputs do.
    tokio::spawn(async move {
        let (of_output, of_errors) =
            tokio::join!(copy_lines(output, &log, Some((name, &said))), copy_lines(errors, &log, None));
        if let Err(error) = of_output.and(of_errors) {
            // A log that cannot be written does not stop the path.
            note(format_args!("cannot write `{}`: {error}", log.display()));
        }
    });
}

async fn copy_lines(
    from: Option<impl AsyncRead + Unpin>,
    log: &Path,
    said: Option<(&'static str, &mpsc::Sender<Said>)>,
) -> std::io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut log = OpenOptions::new().create(true).append(true).open(log).await?;
    let mut lines = BufReader::new(from).lines();
    while let Some(line) = lines.next_line().await? {
        log.write_all(format!("{line}\n").as_bytes()).await?;
        log.flush().await?;
        if let Some((name, said)) = said
            && said.send(Said::Line { name, line }).await.is_err()
        {
            break;
        }
    }
    Ok(())
}
