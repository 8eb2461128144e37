//! Azurite, the blob storage stand-in.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use reqwest::Url;

use crate::poll::until;
use crate::process::{Running, free_port};

/// An account SAS for Azurite's well-known account, good until 2035, signed
/// with its well-known key.
const SAS: &str = "sv=2022-11-02&ss=b&srt=sco&sp=rwdlacuptf&se=2035-01-01T00%3A00%3A00Z&spr=https%2Chttp&sig=zzsL%2FbJ7IrNGWDFRAGaim6Mv6k%2Fjo1C2Hamj47SurgA%3D";

/// A running Azurite.
#[derive(Debug)]
pub struct Azurite {
    port: u16,
    http: reqwest::blocking::Client,
    _process: Running,
    _folder: tempfile::TempDir,
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
        let mut process = Running::start("azurite", &mut serve);
        until("Azurite listens", Duration::from_secs(60), || {
            process.check_running();
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Azurite { port, http: reqwest::blocking::Client::new(), _process: process, _folder: folder }
    }

    /// The address of a container, with a SAS.
    ///
    /// # Panics
    /// When the name makes no address.
    pub fn container(&self, name: &str) -> Url {
        let address = format!("http://127.0.0.1:{}/devstoreaccount1/{name}?{SAS}", self.port);
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

    /// What the storage says of a blob.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn head(&self, container: &Url, name: &str) -> reqwest::blocking::Response {
        let answer = self.http.head(blob(container, name)).send();
        let answer = answer.unwrap_or_else(|error| panic!("Azurite: {error}"));
        assert_eq!(answer.status(), 200, "{name}");
        answer
    }

    #[track_caller]
    fn put(&self, request: reqwest::blocking::RequestBuilder) {
        let answer = request.send().unwrap_or_else(|error| panic!("Azurite: {error}"));
        assert_eq!(answer.status(), 201, "{:?}", answer.text());
    }
}

fn blob(container: &Url, name: &str) -> Url {
    let mut url = container.clone();
    match url.path_segments_mut() {
        Ok(mut segments) => segments.extend(name.split('/')),
        Err(()) => panic!("{container} has no path"),
    };
    url
}
