//! `iotc up` as a process, in a folder and on ports of its own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::fhir::{Fhir, Observations, difference};
use crate::poll::{try_until, until};
use crate::process::{Running, Started, descendants, free_port, is_running, signal};

/// How long the stack may take to start, with debug binaries on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long events may take from one end to the other, restarts included.
pub const ARRIVAL_LIMIT: Duration = Duration::from_secs(90);
/// How long the stack may take to end.
pub const STOP_LIMIT: Duration = Duration::from_secs(15);

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    mappings: Option<(String, String)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// The mappings and the devices of the samples.
    pub fn samples() -> Setup {
        Setup::default()
    }

    /// Mappings of the test's own.
    pub fn with_mappings(device_mapping: &str, fhir_mapping: &str) -> Setup {
        Setup { mappings: Some((device_mapping.to_owned(), fhir_mapping.to_owned())), ..Setup::default() }
    }

    /// One more argument of `iotc up`.
    #[must_use]
    pub fn argument(mut self, name: &str, value: &str) -> Setup {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// One more argument of `iotc up`, without a value.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Setup {
        self.arguments.push(name.to_owned());
        self
    }

    /// A variable in the environment of `iotc` and of all that it starts.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the stack and waits until it is ready; it takes events from
    /// [`Stack::send`].
    ///
    /// # Panics
    /// When it does not become ready.
    #[track_caller]
    pub fn start(mut self) -> Stack {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for the stack: {error}"));
        if let Some((device_mapping, fhir_mapping)) = self.mappings.take() {
            for (argument, name, text) in [
                ("--device-mapping", "devicecontent.json", device_mapping),
                ("--fhir-mapping", "fhirmapping.json", fhir_mapping),
            ] {
                let path = folder.path().join(name);
                write(&path, &text);
                self = self.argument(argument, &path.display().to_string());
            }
        }
        let (iotc, ready) = start(folder.path(), &self.arguments, &self.environment);
        Stack { iotc, ready, folder, arguments: self.arguments, environment: self.environment }
    }
}

/// A running `iotc up`. Dropping it kills it; its parts end by themselves then.
#[derive(Debug)]
pub struct Stack {
    iotc: Running,
    ready: Ready,
    /// Outlives the processes that write into it.
    folder: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What `iotc up` says when it is ready, and the way to give it events.
#[derive(Debug)]
struct Ready {
    fhir: Fhir,
    ingest_url: String,
    provider_url: String,
    connection_string: String,
    input: Option<ChildStdin>,
}

/// The counts of one side of the summary: the total, and the fates as named.
pub type Counts = Vec<(String, usize)>;

impl Stack {
    /// The folder with the state and the mappings.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The FHIR server that it writes to.
    pub fn fhir(&self) -> &Fhir {
        &self.ready.fhir
    }

    /// Where events are posted.
    pub fn ingest_url(&self) -> &str {
        &self.ready.ingest_url
    }

    /// Where the resource provider answers, of a stack that has one.
    pub fn provider_url(&self) -> &str {
        &self.ready.provider_url
    }

    /// What an Event Hubs SDK needs to reach the hub of device events.
    pub fn connection_string(&self) -> &str {
        &self.ready.connection_string
    }

    /// Where the Event Hubs stand-in listens.
    pub fn event_hubs_address(&self) -> String {
        let endpoint = self.connection_string().split(';').next().unwrap_or_default();
        format!("amqp://127.0.0.1:{}", endpoint.rsplit(':').next().unwrap_or_default())
    }

    /// The token for ingest.
    ///
    /// # Panics
    /// When there is none.
    pub fn ingest_token(&self) -> String {
        read(&self.folder().join("state/ingest-token"))
    }

    /// Sends events, one a line, through the hub's partition 0.
    ///
    /// # Panics
    /// When `iotc` is gone.
    #[track_caller]
    pub fn send(&mut self, lines: &[impl AsRef<str>]) {
        let text: String = lines.iter().map(|line| format!("{}\n", line.as_ref())).collect();
        let input = self.ready.input.as_mut();
        let written = input.map(|input| input.write_all(text.as_bytes()).and_then(|()| input.flush()));
        assert!(matches!(written, Some(Ok(()))), "iotc takes no events: {written:?}\n{}", self.iotc.printed());
    }

    /// Waits until the server has an Observation, and gives all.
    ///
    /// # Panics
    /// When that takes too long; the text has the logs.
    #[track_caller]
    pub fn wait_for_an_observation(&self) -> Observations {
        let some = || self.fhir().try_observations().filter(|observations| !observations.is_empty());
        try_until(ARRIVAL_LIMIT, some).unwrap_or_else(|| panic!("no Observation\n{}", self.logs()))
    }

    /// Waits until the first Observation, one of SampledData, has these readings
    /// in this order; the hub may give them one after the other.
    ///
    /// # Panics
    /// When that takes too long; the text has the logs.
    #[track_caller]
    pub fn wait_for_readings(&self, expected: &[&str]) {
        let found = try_until(ARRIVAL_LIMIT, || {
            let observations = self.wait_for_an_observation();
            let observation: Value = serde_json::from_str(observations.values().next()?).ok()?;
            let data = observation["valueSampledData"]["data"].as_str()?;
            data.split(' ').filter(|slot| *slot != "E").eq(expected.iter().copied()).then_some(())
        });
        assert!(found.is_some(), "no {expected:?} in an Observation\n{}", self.logs());
    }

    /// Waits until the server has just these Observations.
    ///
    /// # Panics
    /// When that takes too long; the text has the difference and the logs.
    #[track_caller]
    pub fn wait_for_observations(&self, expected: &Observations) {
        let mut last = Observations::new();
        let equal = try_until(ARRIVAL_LIMIT, || {
            last = self.fhir().try_observations()?;
            (last == *expected).then_some(())
        });
        assert!(equal.is_some(), "Observations differ:\n{}\n{}", difference(expected, &last), self.logs());
    }

    /// Waits until `events` events have their fates and all their measurements
    /// too; gives the counts of both lines of the summary.
    ///
    /// # Panics
    /// When that takes too long.
    #[track_caller]
    pub fn wait_for_fates(&mut self, events: usize) -> (Counts, Counts) {
        self.iotc.wait_for(&format!("{events} events have their fates"), ARRIVAL_LIMIT, |_, printed| {
            let (line, measurements) = summary(printed)?;
            let is_done = counts(line)[0].1 >= events && !measurements.contains("under way");
            is_done.then(|| (counts(line), counts(measurements)))
        })
    }

    /// The counts of both lines of the summary as they stand; none before the
    /// first. Measurements that have no fate yet are `under` way.
    pub fn fates(&self) -> Option<(Counts, Counts)> {
        let printed = self.iotc.stderr();
        let (events, measurements) = summary(&printed)?;
        Some((counts(events), counts(measurements)))
    }

    /// Waits until group-convert has given so many measurements their fates,
    /// replayed ones included; gives the counts.
    ///
    /// # Panics
    /// When that takes too long.
    #[track_caller]
    pub fn wait_for_measurements(&mut self, measurements: usize) -> Counts {
        self.iotc.wait_for(&format!("{measurements} measurements have their fates"), ARRIVAL_LIMIT, |_, printed| {
            let counts = counts(printed.iter().rev().find(|line| line.starts_with("measurements "))?);
            (counts[0].1 >= measurements).then_some(counts)
        })
    }

    /// Runs another `iotc` command to its end; gives whether it succeeded, and
    /// what it printed to standard output.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn iotc(&self, arguments: &[&str]) -> (bool, String) {
        let iotc = crate::folder("IOTC_TEST_BIN", "stack").join("iotc");
        let done = Command::new(iotc).args(arguments).current_dir(self.folder()).output();
        let done = done.unwrap_or_else(|error| panic!("cannot start iotc: {error}"));
        eprint!("{}", String::from_utf8_lossy(&done.stderr));
        (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// The process of a part: `event-hubs`, `fhir-server`, `normalize` or
    /// `group-convert` for the handlers, `normalize host` and `group-convert
    /// host` for the hosts that run them.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn part(&self, name: &str) -> Started {
        until(name, START_LIMIT, || {
            let all = descendants(self.iotc.pid());
            all.into_iter().find(|process| match name.split_once(' ') {
                Some((function, _)) => process.command.contains(&format!("/apps/{function} ")),
                None if name == "event-hubs" || name == "fhir-server" => {
                    process.command.contains(&format!("stand-in {name}"))
                }
                None => process.command.ends_with(&format!("/{name}")),
            })
        })
    }

    /// Kills a part, and waits until it is there again.
    ///
    /// # Panics
    /// When it is not there, before or after.
    #[track_caller]
    pub fn kill(&self, name: &str) {
        let part = self.part(name);
        signal(part.pid, "KILL");
        until(&format!("{name} is there again"), START_LIMIT, || {
            (!is_running(&part) && self.part(name) != part).then_some(())
        });
    }

    /// All processes of the stack but `iotc` itself.
    pub fn parts(&self) -> Vec<Started> {
        descendants(self.iotc.pid())
    }

    /// Sends a signal to `iotc` itself.
    pub fn signal(&self, name: &str) {
        signal(self.iotc.pid(), name);
    }

    /// Sends a signal to `iotc` and waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn end(&mut self, with: &str) -> ExitStatus {
        self.signal(with);
        self.iotc.wait(STOP_LIMIT)
    }

    /// Starts it again over its state, after [`Stack::end`].
    ///
    /// # Panics
    /// When it does not become ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        (self.iotc, self.ready) = start(self.folder.path(), &self.arguments, &self.environment);
    }

    /// What all its processes have printed or logged.
    ///
    /// # Panics
    /// When the logs cannot be read.
    pub fn printed(&self) -> String {
        format!("{}\n{}", self.iotc.printed(), self.log_files())
    }

    /// What its parts have logged, without the answers that are in the summary.
    ///
    /// # Panics
    /// When the logs cannot be read.
    pub fn logs(&self) -> String {
        let log = self.log_files();
        log.lines().filter(|line| !line.starts_with('{')).map(|line| format!("{line}\n")).collect()
    }

    fn log_files(&self) -> String {
        let mut files = Vec::new();
        collect_files(&self.folder().join("state/logs"), &mut files);
        files.sort();
        files.iter().map(|file| format!("== {}\n{}", file.display(), read(file))).collect()
    }

    /// The dead letters, sorted by path, with their bodies as text.
    ///
    /// # Panics
    /// When one cannot be read.
    pub fn dead_letters(&self) -> Vec<Value> {
        let mut files = Vec::new();
        collect_files(&self.folder().join("state/dead-letters"), &mut files);
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        let letter = |file: &PathBuf| serde_json::from_str(&read(file)).unwrap_or_else(|error| panic!("{error}"));
        files.iter().map(letter).collect()
    }
}

/// Whether a file, or one below a folder, holds the text.
///
/// # Panics
/// When a folder cannot be read.
pub fn files_hold(path: &Path, text: &str) -> bool {
    if path.is_dir() {
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return entries.iter().any(|entry| files_hold(&entry.path(), text));
    }
    // A file may be gone since its folder was read.
    let bytes = fs::read(path).unwrap_or_default();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Both lines of the newest summary that is there whole.
fn summary(printed: &[String]) -> Option<(&String, &String)> {
    let measurements = printed.iter().rposition(|line| line.starts_with("measurements "))?;
    let events = printed[..measurements].iter().rfind(|line| line.starts_with("events "))?;
    Some((events, &printed[measurements]))
}

fn start(folder: &Path, arguments: &[String], environment: &[(String, String)]) -> (Running, Ready) {
    let iotc = crate::folder("IOTC_TEST_BIN", "stack").join("iotc");
    let mut command = Command::new(iotc);
    // Those that the system would choose may be others' by the time it starts its parts.
    let port = || free_port().to_string();
    command.args(["up", "--event-hubs-port", &port(), "--fhir-port", &port(), "--input", "-"]);
    // The provider's functions take nothing by HTTP.
    if !arguments.iter().any(|argument| argument == "--with-provider") {
        command.args(["--http-port", &port()]);
    }
    command.arg("--state");
    command.arg(folder.join("state")).args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
    let mut iotc = Running::start("iotc up", &mut command);
    iotc.wait_for("is ready", START_LIMIT, |_, printed| {
        printed.iter().any(|line| line == "Ctrl-C ends it.").then_some(())
    });
    let said = iotc.stderr();
    let after = |mark: &str| said.iter().find_map(|line| Some(line.trim().strip_prefix(mark)?.trim().to_owned()));
    let ready = Ready {
        // What is said of it besides is behind a colon and a blank.
        fhir: Fhir::new(after("FHIR server").unwrap_or_default().split(": ").next().unwrap_or_default()),
        provider_url: after("provider ").unwrap_or_default(),
        ingest_url: after("http://127").map(|rest| format!("http://127{rest}")).unwrap_or_default(),
        connection_string: after("Endpoint=").map(|rest| format!("Endpoint={rest}")).unwrap_or_default(),
        input: iotc.take_stdin(),
    };
    (iotc, ready)
}

/// The numbers of a line of the summary, each with its name; the first is the
/// total: `events 3 = 1 normalized + 2 rejected`.
fn counts(line: &str) -> Counts {
    let (total, fates) = line.split_once('=').unwrap_or((line, ""));
    let mut words = total.split_whitespace();
    let mut counts = vec![(words.next().unwrap_or_default().to_owned(), number(words.next()))];
    for fate in fates.split(['+', ',']) {
        let mut words = fate.split_whitespace();
        let number = number(words.next());
        counts.push((words.next().unwrap_or_default().to_owned(), number));
    }
    counts
}

fn number(word: Option<&str>) -> usize {
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect_files(&path, files) } else { files.push(path) }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_of_the_summary() {
        let found = counts("events             3 = 1 normalized + 0 unmatched + 2 rejected");
        let expected = [("events", 3), ("normalized", 1), ("unmatched", 0), ("rejected", 2)];
        assert_eq!(found, expected.map(|(name, count)| (name.to_owned(), count)));
    }
}
