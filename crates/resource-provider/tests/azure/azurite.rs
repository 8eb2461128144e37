//! Azurite, a blob storage, over TLS and with tokens.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use local::identity::PrivateCa;
use tempfile::TempDir;

/// A running one; its process is killed when it is dropped.
pub struct Azurite {
    url: String,
    process: Child,
    _folder: TempDir,
}

impl Azurite {
    /// Starts one; none when the environment names no component.
    pub fn start(ca: &PrivateCa) -> Option<Azurite> {
        let component = PathBuf::from(std::env::var_os("IOTC_TEST_AZURITE")?);
        let folder = tempfile::tempdir().unwrap();
        let files = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let server = ca.server_certificate().unwrap();
        std::fs::write(&files[0], &server.certificate).unwrap();
        std::fs::write(&files[1], &server.key).unwrap();
        let mut serve = Command::new(component.join("node_modules/.bin/azurite-blob"));
        // The crate speaks a newer version of the protocol than this Azurite knows.
        serve.args(["--disableTelemetry", "--skipApiVersionCheck", "--oauth", "basic"]);
        serve.args(["--blobHost", "127.0.0.1", "--blobPort", "0"]);
        serve.arg("--cert").arg(&files[0]).arg("--key").arg(&files[1]).arg("--location").arg(folder.path());
        let mut process = serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut azurite = Azurite { url: String::new(), process, _folder: folder };
        // It says which port the system chose, and then each request.
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in said.map_while(Result::ok) {
                if let Some((_, port)) = line.split_once(" listens on https://127.0.0.1:") {
                    // Whoever waited may have given up.
                    let _ = tell.send(port.to_owned());
                }
            }
        });
        let port = told.recv_timeout(Duration::from_secs(60)).expect("Azurite listens");
        azurite.url = format!("https://localhost:{port}/devstoreaccount1");
        Some(azurite)
    }

    /// The address of its one account, which is everybody's.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
