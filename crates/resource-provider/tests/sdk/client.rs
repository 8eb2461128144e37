//! A client of Azure's, as a process: commands go in, and what went over the
//! network and what came of it come out (`tests/clients/arm`).

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::server::Server;
use super::{CLIENTS, SUBSCRIPTION};

/// How long a client may say nothing: they poll each second, and one of them
/// waits ten when it registers a subscription.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// `azure-mgmt-healthcareapis` 2.1.0, and `azure-mgmt-resource` for resources
    /// by their id.
    Python,
    /// `azure-mgmt-healthcareapis` 1.1.0, of another generation of generated
    /// clients.
    OldPython,
    /// `@azure/arm-healthcareapis`.
    Node,
}

/// A client that runs, killed when dropped.
pub struct Client {
    pub package: Package,
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    errors: Arc<Mutex<String>>,
    /// The server's.
    url: String,
    /// What has gone over the network since the last command.
    pub exchanges: Vec<Exchange>,
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub status: u16,
}

/// What a client made of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It worked.
    Done(Value),
    /// It did not: status, code and message, as far as the client gives them.
    Failed { status: Option<u64>, code: Option<String>, message: String },
}

/// The folder of something that `cargo xtask` installs.
pub fn component(variable: &str) -> PathBuf {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    folder.unwrap_or_else(|| panic!("`{variable}` is not set; run this with `cargo xtask test provider-sdk`"))
}

impl Package {
    fn command(self) -> Command {
        let python = |variable: &str| {
            let mut command = Command::new(component(variable).join("venv/bin/python"));
            command.arg(format!("{CLIENTS}/python/client.py"));
            command
        };
        match self {
            Package::Python => python("IOTC_TEST_ARM_PYTHON"),
            Package::OldPython => python("IOTC_TEST_ARM_PYTHON_1"),
            Package::Node => {
                let mut command = Command::new("node");
                command.arg(format!("{CLIENTS}/node/client.cjs"));
                command.env("NODE_PATH", component("IOTC_TEST_ARM_NODE").join("node_modules"));
                command
            }
        }
    }
}

impl Client {
    /// Starts one that talks to a server.
    pub fn start(package: Package, server: &Server) -> Client {
        let mut command = package.command();
        command.args([&server.url, SUBSCRIPTION]).env("ARM_TOKEN", &server.token);
        // Of Python and of Node.
        command.env("SSL_CERT_FILE", &server.authority).env("NODE_EXTRA_CA_CERTS", &server.authority);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{package:?}: {error}"));
        let input = process.stdin.take().expect("a pipe");
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        // Both end with the process.
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let errors = Arc::new(Mutex::new(String::new()));
        let (mut stderr, all) = (process.stderr.take().expect("a pipe"), errors.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                all.lock().expect("no panic").push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Client { package, process, input, lines, errors, url: server.url.clone(), exchanges: Vec::new() }
    }

    /// Gives it a command, and does not wait for what comes of it.
    pub fn send(&mut self, command: &Value) {
        self.exchanges.clear();
        writeln!(self.input, "{command}").unwrap_or_else(|error| panic!("{}: {error}", self.said()));
    }

    /// Waits for an exchange of the last command.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, is_it: impl Fn(&Exchange) -> bool) {
        while !self.exchanges.iter().any(&is_it) {
            if let Some(outcome) = self.read() {
                panic!("not before the end, {outcome:?}: {what}\n{:#?}", self.exchanges);
            }
        }
    }

    /// Waits for what comes of the last command.
    #[track_caller]
    pub fn outcome(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.read() {
                return outcome;
            }
        }
    }

    /// Gives it a command and waits.
    #[track_caller]
    pub fn run(&mut self, command: &Value) -> Outcome {
        self.send(command);
        self.outcome()
    }

    /// The methods and statuses of what went over the network, without the looks
    /// at an operation, whose number depends on how long it takes.
    pub fn exchanged(&self) -> Vec<String> {
        let others = self.exchanges.iter().filter(|exchange| !exchange.is_poll());
        others.map(|exchange| format!("{} {}", exchange.method, exchange.status)).collect()
    }

    /// The operation that was looked at.
    #[track_caller]
    pub fn operation(&self) -> String {
        let poll = self.exchanges.iter().find(|exchange| exchange.is_poll()).expect("it was looked at");
        poll.path.split('?').next().unwrap_or_default().to_owned()
    }

    /// Reads a line: an exchange, or what came of the command.
    #[track_caller]
    fn read(&mut self) -> Option<Outcome> {
        let line = self.lines.recv_timeout(SILENCE_MAX);
        let line = line.unwrap_or_else(|error| panic!("{:?}: {error}\n{}", self.package, self.said()));
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        if let Some(done) = line.get("done") {
            return Some(Outcome::Done(done.clone()));
        }
        if let Some(failed) = line.get("failed") {
            return Some(Outcome::Failed {
                status: failed["status"].as_u64(),
                code: failed["code"].as_str().map(str::to_owned),
                message: failed["message"].as_str().unwrap_or_default().to_owned(),
            });
        }
        // Wherever a URL was given back, it has to be the server's.
        let path = line["url"].as_str().and_then(|url| url.strip_prefix(&self.url));
        self.exchanges.push(Exchange {
            method: line["method"].as_str().expect("a method").to_owned(),
            path: path.unwrap_or_else(|| panic!("{line} is not at {}", self.url)).to_owned(),
            status: line["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status"),
        });
        None
    }

    fn said(&self) -> String {
        self.errors.lock().expect("no panic").clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Exchange {
    /// Whether it is a look at how an operation goes.
    pub fn is_poll(&self) -> bool {
        self.path.contains("/operationresults/")
    }
}

impl Outcome {
    /// What was given back.
    #[track_caller]
    pub fn done(self) -> Value {
        match self {
            Outcome::Done(value) => value,
            Outcome::Failed { .. } => panic!("{self:?}"),
        }
    }

    /// Checks the code of an error, which some clients put into the message only.
    #[track_caller]
    pub fn is_error(&self, status: u64, code: &str) {
        let Outcome::Failed { status: got, code: got_code, message } = self else { panic!("{self:?}") };
        assert_eq!((*got, got_code.as_deref()), (Some(status), Some(code)), "{message}");
    }
}
