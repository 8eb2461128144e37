//! `iotc up`: the whole path on this machine.
//!
//! ```text
//! input --> event-hubs --> functions-host(normalize) --> event-hubs --> functions-host(group-convert) --> fhir-server
//! ```
//!
//! With `--front native` the functions read the hubs themselves, without the
//! host. With `--with-provider` there are no functions at first: the resource
//! provider makes connectors, when it is asked to ([`provider`]). Each is a process of its own over a state folder, so that any of them can be
//! killed at any time and goes on where it was.

mod apps;
mod input;
mod provider;
mod stack;
mod summary;
mod supervisor;

use std::fs::TryLockError;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use local::functions_host::Answered;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::output::{note, print};
use input::{Input, Line, Lines};
use stack::{Plan, Stack};
use summary::Summary;
use supervisor::Said;

/// How often the live summary is renewed.
const SUMMARY_PERIOD: Duration = Duration::from_secs(1);
/// Errors that are not shown again while they are among the last so many.
const ERRORS_REMEMBERED: usize = 50;
/// How long the samples may take to the other end.
const SAMPLES_PATIENCE: Duration = Duration::from_secs(120);

/// Who reads the hubs for the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Front {
    /// The Functions host (its stand-in), as on Azure.
    Host,
    /// The functions themselves, as processes of their own.
    Native,
}

/// Arguments of `iotc up`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The device mapping; with none of the two mappings, the samples'.
    #[arg(long, requires = "fhir_mapping")]
    device_mapping: Option<PathBuf>,
    /// The FHIR mapping.
    #[arg(long, requires = "device_mapping")]
    fhir_mapping: Option<PathBuf>,
    /// A FHIR R4 server to write to, instead of the stand-in.
    #[arg(long, value_parser = fhir_url)]
    fhir_url: Option<url::Url>,
    /// Events to send, one a line; `-` for standard input.
    #[arg(long)]
    input: Option<String>,
    /// Where everything is kept, so that a later start goes on from here.
    #[arg(long, default_value = ".iotc")]
    state: PathBuf,
    /// How Device and Patient are found.
    #[arg(long, default_value = "Create", ignore_case = true, value_parser = ["Create", "Lookup", "LookupWithEncounter"])]
    resource_identity: String,
    /// A device to register on the FHIR server, with a patient of its own; may
    /// be given several times.
    #[arg(long)]
    register_device: Vec<String>,
    /// Who reads the hubs: the Functions host, or the functions themselves.
    #[arg(long, value_enum, default_value_t = Front::Host)]
    front: Front,
    /// How the FHIR stand-in behaves at the edges.
    #[arg(long, default_value = "hapi", value_parser = ["hapi", "azure", "uuid"])]
    fhir_personality: String,
    /// Port of the Event Hubs stand-in; another when it is taken.
    #[arg(long, default_value_t = 5672)]
    event_hubs_port: u16,
    /// Port for HTTPS ingest (plain HTTP here); another when it is taken.
    #[arg(long, default_value_t = 7071)]
    http_port: u16,
    /// Port of the FHIR stand-in; another when it is taken.
    #[arg(long, default_value_t = 8080)]
    fhir_port: u16,
    /// Start the resource provider in the place of the functions: connectors are
    /// made by requests to it, as to Azure Resource Manager.
    #[arg(long, conflicts_with_all = ["device_mapping", "resource_identity", "front", "http_port", "demo"])]
    with_provider: bool,
    /// Port of the resource provider; another when it is taken.
    #[arg(long, default_value_t = 8443, requires = "with_provider")]
    provider_port: u16,
    /// A folder with `tls.crt` and `tls.key`, for clients that want https of the
    /// resource provider, as Azure's do.
    #[arg(long, requires = "with_provider", value_name = "FOLDER")]
    provider_tls: Option<PathBuf>,
    /// Send the samples, show one Observation, say the counts, and end.
    #[arg(long, conflicts_with_all = ["device_mapping", "input", "fhir_url"])]
    demo: bool,
}

/// Runs the stack until Ctrl-C, or until the demo is done.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // The demo's counts are those of its events alone, so it starts from nothing.
    let fresh = arguments.demo.then(tempfile::tempdir).transpose().context("cannot make a folder for the demo")?;
    let state = fresh.as_ref().map_or(arguments.state.as_path(), tempfile::TempDir::path);
    // Held until the end: a second stack would write over what this one reads.
    let _lock = lock(state)?;
    // Before anything is started.
    let source = arguments.input.as_deref().map(input::open).transpose()?;
    let plan = Plan::new(&arguments, state)?;
    let (said, mut heard) = mpsc::channel(256);
    let (stop, stopping) = watch::channel(false);
    let mut children = JoinSet::new();
    for program in plan.programs() {
        children.spawn(supervisor::supervise(program, plan.logs(), said.clone(), stopping.clone()));
    }
    drop(said);
    let mut session = Session {
        plan: &plan,
        arguments: &arguments,
        source,
        summary: Summary::default(),
        sent: 0,
        errors: Vec::new(),
    };
    let done = tokio::select! {
        done = session.run(&mut heard) => done,
        Some(ended) = children.join_next() => match ended {
            Ok(Ok(())) => Err(anyhow::anyhow!("a part of the stack stopped")),
            Ok(Err(error)) => Err(error.context(format!("see {}", plan.logs().display()))),
            // Not with the error, which has the message of a panic.
            Err(_) => Err(anyhow::anyhow!("a part of the stack broke off")),
        },
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    let summary = session.summary;
    if arguments.with_provider {
        note("\nstopping");
    } else if !arguments.demo {
        note(format_args!("\n{summary}\nstopping"));
    }
    // Whoever still runs gets the sign to stop; nobody left is as good.
    let _ = stop.send(true);
    let ending = async {
        while let Some(ended) = children.join_next().await {
            if let Ok(Err(error)) = ended {
                note(format_args!("{error:#}"));
            }
        }
    };
    // They go on talking until they end, and must be heard for that.
    let hearing = async { while heard.recv().await.is_some() {} };
    tokio::join!(ending, hearing);
    if let Ok(ExitCode::SUCCESS) = done
        && arguments.demo
    {
        print(&closing_line(&summary))?;
    }
    done
}

struct Session<'s> {
    plan: &'s Plan,
    arguments: &'s Arguments,
    /// What `--input` names, until it is read.
    source: Option<Box<dyn Read + Send>>,
    summary: Summary,
    /// Events sent by us.
    sent: usize,
    /// Errors shown lately.
    errors: Vec<String>,
}

impl Session<'_> {
    async fn run(&mut self, heard: &mut mpsc::Receiver<Said>) -> anyhow::Result<ExitCode> {
        let stack = Stack::ready(self.plan, heard).await?;
        let are_samples = self.arguments.device_mapping.is_none() && !self.arguments.with_provider;
        // With a provider the samples may come some day; a server of somebody's own is not
        // given their devices for that.
        let may_be_samples = self.arguments.with_provider && self.arguments.fhir_url.is_none();
        stack.register(&self.arguments.register_device, are_samples || may_be_samples).await?;
        if !self.arguments.demo {
            note(self.plan.welcome());
        }
        let mut input = Input::new(self.plan.event_hubs_address(), "devicedata");
        let lines = self.source.take().map(input::lines);
        if lines.is_none() && are_samples {
            self.send_samples(&mut input, heard).await?;
        }
        if self.arguments.demo { self.show_demo(&stack).await } else { self.watch(heard, input, lines).await }
    }

    /// Sends the samples in two parts, the second when the first has arrived,
    /// so that it is seen how readings join an Observation that is there.
    async fn send_samples(&mut self, input: &mut Input, heard: &mut mpsc::Receiver<Said>) -> anyhow::Result<()> {
        let lines = apps::SAMPLE_EVENTS.lines().enumerate();
        let lines: Vec<Line> = lines.map(|(index, line)| (index + 1, line.as_bytes().to_vec())).collect();
        let (first, rest) = lines.split_at(lines.len().min(6));
        for part in [first, rest] {
            self.sent += input.send_lines(part).await?;
            self.until_done(heard).await?;
        }
        Ok(())
    }

    async fn until_done(&mut self, heard: &mut mpsc::Receiver<Said>) -> anyhow::Result<()> {
        let arrive = async {
            while !self.summary.is_done(self.sent) {
                let Some(said) = heard.recv().await else { bail!("all parts of the stack stopped") };
                self.hear(said)?;
            }
            Ok(())
        };
        let in_time = tokio::time::timeout(SAMPLES_PATIENCE, arrive).await;
        in_time.with_context(|| format!("not all events arrived in time, see {}", self.plan.logs().display()))?
    }

    /// Sends lines as they come, if any are to come, and shows the summary
    /// whenever it has changed.
    async fn watch(
        &mut self,
        heard: &mut mpsc::Receiver<Said>,
        mut input: Input,
        mut lines: Option<Lines>,
    ) -> anyhow::Result<ExitCode> {
        let mut tick = tokio::time::interval(SUMMARY_PERIOD);
        let mut shown = String::new();
        loop {
            tokio::select! {
                said = heard.recv() => match said {
                    Some(said) => self.hear(said)?,
                    None => bail!("all parts of the stack stopped"),
                },
                read = next_lines(&mut lines) => {
                    let ended = read.is_empty() || read.last().is_some_and(Result::is_err);
                    let failed = read.iter().find_map(|read| read.as_ref().err()).map(ToString::to_string);
                    let read: Vec<Line> = read.into_iter().flatten().collect();
                    self.sent += input.send_lines(&read).await?;
                    if let Some(error) = failed {
                        note(format_args!("error: the input cannot be read on: {error}"));
                    }
                    if ended {
                        note(format_args!("sent {} events", self.sent));
                        lines = None;
                    }
                }
                _ = tick.tick() => {
                    let summary = self.summary.to_string();
                    // The fates of a connector's events are in its own log.
                    if summary != shown && !self.arguments.with_provider {
                        note(format_args!("{summary}\n"));
                        shown = summary;
                    }
                }
            }
        }
    }

    async fn show_demo(&mut self, stack: &Stack) -> anyhow::Result<ExitCode> {
        print(&format_args!("{}\n", stack.observation("bloodpressure").await?))?;
        print(&self.summary)?;
        stack.check(&self.summary).await?;
        Ok(ExitCode::SUCCESS)
    }

    /// Shows what a part logs as an error, once: what is away is tried, and
    /// fails, again and again.
    fn show_error(&mut self, name: &str, line: &str) {
        if let Some(error) = error_of(line)
            && !self.errors.iter().any(|shown| shown == error)
        {
            note(format_args!("{name}: {error}"));
            self.errors.push(error.to_owned());
            if self.errors.len() > ERRORS_REMEMBERED {
                self.errors.remove(0);
            }
        }
    }

    fn hear(&mut self, said: Said) -> anyhow::Result<()> {
        match said {
            Said::Line { name, line } => {
                if let Ok(answered) = serde_json::from_str::<Answered>(&line) {
                    let counted = self.summary.add(&answered);
                    counted.with_context(|| format!("{} does not return fates", answered.function))?;
                } else {
                    self.show_error(name, &line);
                }
            }
            Said::Ended { name, how } => note(format_args!("{name} ended ({how}); starting it again")),
            Said::GivenUp { name } => {
                bail!("{name} ends again and again, see {}", self.plan.logs().join(format!("{name}.log")).display())
            }
        }
        Ok(())
    }
}

/// What a log line says behind its level, when that is ERROR.
fn error_of(line: &str) -> Option<&str> {
    line.split_once(" ERROR ").map(|(_, said)| said.trim())
}

/// The lines that have come since the last time, a batch at the most; none at
/// the end of the input. Without an input it never returns.
async fn next_lines(lines: &mut Option<Lines>) -> Vec<std::io::Result<Line>> {
    let Some(lines) = lines else { return std::future::pending().await };
    let mut read = Vec::new();
    lines.recv_many(&mut read, input::BATCH_EVENTS_MAX).await;
    read
}

/// The last line of the demo: it starts with what others read, and goes on with
/// what makes the counts add up.
fn closing_line(summary: &Summary) -> String {
    let (n, c) = (&summary.normalize, &summary.convert);
    format!(
        "demo: {} events, {} measurements, {} created, {} merged, {} rejected ({} of the events, {} of the measurements; \
         {} events unmatched, {} measurements unchanged, {} superseded)",
        n.events,
        c.measurements,
        c.created,
        c.merged,
        summary.rejected(),
        n.rejected,
        c.rejected,
        n.unmatched,
        c.unchanged,
        c.superseded
    )
}

fn fhir_url(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| "expected an absolute URL with http or https".to_owned())
}

/// Takes a state folder for this process; the system gives it back with it.
fn lock(state: &Path) -> anyhow::Result<std::fs::File> {
    let path = made(state)?.join("up.lock");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("cannot use `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another `iotc up` runs over `{}`; stop it, or choose another folder with --state", state.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
    }
}

/// The folder of a path, made when missing.
fn made(path: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make `{}`", path.display()))?;
    path.canonicalize().with_context(|| format!("cannot use `{}`", path.display()))
}
