//! Our own FHIR server as a process: `iotc stand-in fhir-server`.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::fhir::Fhir;
use crate::poll::until;
use crate::process::{Running, free_port};

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server with an empty store.
#[derive(Debug)]
pub struct OwnServer {
    /// How it is reached.
    pub fhir: Fhir,
    command: Command,
    process: Running,
    _folder: TempDir,
}

impl OwnServer {
    /// Starts one with the habits of `hapi`, `azure` or `uuid`, and waits until
    /// it answers.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(personality: &str) -> OwnServer {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for the FHIR server: {error}"));
        let port = free_port();
        let mut command = Command::new(crate::folder("IOTC_TEST_BIN", "native").join("iotc"));
        command.args(["stand-in", "fhir-server", "--personality", personality, "--port", &port.to_string()]);
        command.arg("--state").arg(folder.path());
        let fhir = Fhir::new(&format!("http://127.0.0.1:{port}/fhir"));
        let process = answering(&mut command, &fhir);
        OwnServer { fhir, command, process, _folder: folder }
    }

    /// Kills it. What it has answered is on its disk.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on its port and over its store.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = answering(&mut self.command, &self.fhir);
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

#[track_caller]
fn answering(command: &mut Command, fhir: &Fhir) -> Running {
    let mut process = Running::start("the FHIR server", command);
    until("the FHIR server answers", START_LIMIT, || {
        process.check_running();
        fhir.metadata()
    });
    process
}
