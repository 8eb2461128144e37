//! Azurite, the blob storage stand-in.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::Url;

use crate::poll::until;
use crate::process::{Running, free_port};

/// An account SAS for Azurite's well-known account, good until 2035, signed
/// with its well-known key.
pub const SAS: &str = "sv=2022-11-02&ss=b&srt=sco&sp=rwdlacuptf&se=2035-01-01T00%3A00%3A00Z&spr=https%2Chttp&sig=zzsL%2FbJ7IrNGWDFRAGaim6Mv6k%2Fjo1C2Hamj47SurgA%3D";

/// Azurite's well-known account and key, as connection strings have them.
pub const ACCOUNT: &str = "AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running Azurite.
#[derive(Debug)]
pub struct Azurite {
    port: u16,
    http: reqwest::blocking::Client,
    command: Command,
    process: Running,
    folder: tempfile::TempDir,
}

impl Azurite {
    /// Starts it over a folder of its own.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start() -> Azurite {
        let component = crate::folder("IOTC_TEST_AZURITE", "storage");
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for Azurite: {error}"));
        let port = free_port();
        let mut serve = Command::new(component.join("node_modules/.bin/azurite-blob"));
        // The crate speaks a newer version of the protocol than this Azurite knows.
        serve.args(["--disableTelemetry", "--skipApiVersionCheck", "--silent", "--blobHost", "127.0.0.1"]);
        serve.arg("--blobPort").arg(port.to_string()).arg("--location").arg(folder.path());
        let process = listening(&mut serve, port);
        // It ends idle connections after five seconds; a request must not meet that.
        let http = reqwest::blocking::Client::builder().pool_max_idle_per_host(0).build();
        let http = http.unwrap_or_else(|error| panic!("no client for Azurite: {error}"));
        Azurite { port, http, command: serve, process, folder }
    }

    /// The port on loopback where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps what it has.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills it. It writes its index to disk from time to time only: what it has
    /// just answered may be lost, which a storage account does not do.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on its port and over its folder.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = listening(&mut self.command, self.port);
    }

    /// The address of a container, with a SAS.
    ///
    /// # Panics
    /// When the name makes no address.
    pub fn container(&self, name: &str) -> Url {
        self.container_at(self.port, name)
    }

    /// The same where something on another port of loopback stands in front.
    ///
    /// # Panics
    /// When the name makes no address.
    pub fn container_at(&self, port: u16, name: &str) -> Url {
        let address = format!("http://127.0.0.1:{port}/devstoreaccount1/{name}?{SAS}");
        Url::parse(&address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Makes a container and gives its address.
    ///
    /// # Panics
    /// When it cannot be made.
    #[track_caller]
    pub fn make(&self, name: &str) -> Url {
        let container = self.container(name);
        self.put(self.http.put(format!("{container}&restype=container")).header("content-length", "0"));
        container
    }

    /// Puts a blob into a container, over the one that was there.
    ///
    /// # Panics
    /// When it cannot be put.
    #[track_caller]
    pub fn upload(&self, container: &Url, name: &str, text: &'static str) {
        self.put(self.http.put(blob(container, name)).header("x-ms-blob-type", "BlockBlob").body(text));
    }

    /// Deletes a blob.
    ///
    /// # Panics
    /// When it was not there.
    #[track_caller]
    pub fn delete(&self, container: &Url, name: &str) {
        let answer = self.http.delete(blob(container, name)).send();
        let answer = answer.unwrap_or_else(|error| panic!("Azurite: {error}"));
        assert_eq!(answer.status(), 202, "{name}");
    }

    /// What the storage says of a blob.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn head(&self, container: &Url, name: &str) -> reqwest::blocking::Response {
        self.find(container, name).unwrap_or_else(|| panic!("there is no blob {name}"))
    }

    /// The same of a blob that may not be there, or of a storage that may be
    /// away.
    pub fn find(&self, container: &Url, name: &str) -> Option<reqwest::blocking::Response> {
        self.http.head(blob(container, name)).send().ok().filter(|answer| answer.status() == 200)
    }

    #[track_caller]
    fn put(&self, request: reqwest::blocking::RequestBuilder) {
        let answer = request.send().unwrap_or_else(|error| panic!("Azurite: {error}"));
        assert_eq!(answer.status(), 201, "{:?}", answer.text());
    }
}

#[track_caller]
fn listening(command: &mut Command, port: u16) -> Running {
    let mut process = Running::start("azurite", command);
    until("Azurite listens", Duration::from_secs(60), || {
        process.check_running();
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    process
}

fn blob(container: &Url, name: &str) -> Url {
    let mut url = container.clone();
    match url.path_segments_mut() {
        Ok(mut segments) => segments.extend(name.split('/')),
        Err(()) => panic!("{container} has no path"),
    };
    url
}
