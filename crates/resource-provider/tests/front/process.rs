//! The program, started with a folder of its own.

use std::fs::File;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

use super::listens::addresses;

/// Above what anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A running program; killed when it is dropped.
pub struct Program {
    child: Child,
    pub address: String,
    pub health: String,
    pub metrics: String,
    pub folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub struct Pair {
    pub certificate: rcgen::Certificate,
    pub pem: String,
}

/// A certificate for a client.
pub fn client_certificate() -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["arm.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    Pair { certificate, pem }
}

impl Program {
    /// Starts it over TLS with these arguments, and waits until it is ready.
    pub async fn start(arguments: &[&str]) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        std::fs::write(folder.path().join("tls.crt"), server.pem()).unwrap();
        std::fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
        let store = format!("sqlite://{}", folder.path().join("store.db").display());
        let child = Program::command()
            .args(["--listen", "127.0.0.1:0", "--health", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .args(["--store", &store, "--retry-after-seconds", "1"])
            .arg("--tls")
            .arg(folder.path())
            .arg("--audit")
            .arg(folder.path().join("audit.log"))
            .args(arguments)
            .stdout(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let [address, health, metrics] = [const { String::new() }; 3];
        let mut program = Program { child, address, health, metrics, folder, authority };
        program.is_ready().await;
        program
    }

    /// The program, with nothing of this process's environment that it reads.
    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resource-provider"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Waits until it takes requests; the system has chosen its ports.
    async fn is_ready(&mut self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let printed = self.printed();
            if let [health, metrics, address] = addresses(&printed)[..] {
                (self.health, self.metrics, self.address) = (health.to_owned(), metrics.to_owned(), address.to_owned());
                let probed = reqwest::get(format!("http://{health}/readyz")).await;
                if probed.is_ok_and(|answer| answer.status() == 200) {
                    return;
                }
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {printed}");
            assert!(Instant::now() < deadline, "it is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client that trusts it, and shows a certificate where there is one.
    pub fn client(&self, shows: Option<&Pair>) -> Client {
        let authority = reqwest::Certificate::from_der(self.authority.der()).unwrap();
        let client = Client::builder().tls_certs_only([authority]);
        let client = match shows {
            Some(pair) => client.identity(reqwest::Identity::from_pem(pair.pem.as_bytes()).unwrap()),
            None => client,
        };
        client.build().unwrap()
    }

    pub fn request(&self, client: &Client, method: Method, path: &str) -> RequestBuilder {
        client.request(method, format!("https://{}{path}", self.address))
    }

    /// What it has printed.
    fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The lines of the audit log.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Tells it to stop, and gives what it printed and whether it ended well.
    pub fn stop(mut self) -> (String, bool) {
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(stopped.success());
        let status = self.child.wait().unwrap();
        (self.printed(), status.success())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already when a test went well.
        if let Ok(None) = self.child.try_wait() {
            let killed = self.child.kill().and_then(|()| self.child.wait());
            assert!(killed.is_ok() || std::thread::panicking(), "it could not be killed");
        }
    }
}
