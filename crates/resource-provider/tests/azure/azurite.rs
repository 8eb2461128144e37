//! Azurite, a blob storage, over TLS and with tokens.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut serve = Command::new(component.join("node_modules/.bin/azurite-blob"));
        // The crate speaks a newer version of the protocol than this Azurite knows.
        serve.args(["--disableTelemetry", "--skipApiVersionCheck", "--silent", "--oauth", "basic"]);
        serve.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        serve.arg("--cert").arg(&files[0]).arg("--key").arg(&files[1]).arg("--location").arg(folder.path());
        let process = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let url = format!("https://localhost:{port}/devstoreaccount1");
        let azurite = Azurite { url, process, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Azurite does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
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
