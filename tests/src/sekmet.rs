//! sekmet-fhir, a server that disagrees with HAPI at nearly every edge, as
//! installed by `cargo xtask components sekmet`.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::fhir::Fhir;
use crate::poll::until;
use crate::process::{Running, free_port};

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server with an empty database.
#[derive(Debug)]
pub struct Sekmet {
    /// How it is reached.
    pub fhir: Fhir,
    _process: Running,
    _folder: TempDir,
}

impl Sekmet {
    /// Starts one without authentication, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Sekmet {
        let component = crate::folder("IOTC_TEST_SEKMET", "fhir");
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for sekmet: {error}"));
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}/fhir");
        // The simulator would act on what it finds on the server.
        let settings = format!(
            "base_url: {url}\nhost: 127.0.0.1\nport: {port}\nlog_inbound: false\nsimulator: {{enabled: false}}\n"
        );
        let written = std::fs::write(folder.path().join("settings.yaml"), settings);
        written.unwrap_or_else(|error| panic!("sekmet's settings: {error}"));
        let mut serve = Command::new(component.join("venv/bin/sekmet"));
        // The database lies in its working folder.
        serve.args(["serve", "-c", "settings.yaml"]).current_dir(folder.path());
        let mut process = Running::start("sekmet", &mut serve);
        let fhir = Fhir::new(&url);
        until("sekmet answers", START_LIMIT, || {
            process.check_running();
            fhir.metadata()
        });
        Sekmet { fhir, _process: process, _folder: folder }
    }
}
