//! The provider, as its program.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use end_to_end::poll::until;
use end_to_end::process::{Running, free_port};
use serde_json::Value;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::site::{LIMIT, program};

/// A program that answers and works; killed when dropped.
pub struct Server {
    pub url: String,
    /// What clients show. Nobody looks at it: it listens on loopback.
    pub token: String,
    /// Whom they trust, PEM.
    pub authority: PathBuf,
    /// Where its store is.
    pub store: String,
    _process: Running,
    _folder: TempDir,
}

impl Server {
    /// Starts one over a platform.
    pub fn start(platform: &Value) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        let certificates = Authority::new();
        let authority = write("ca.pem", &certificates.pem());
        let (certificate, key) = certificates.server();
        write("tls.crt", &certificate);
        write("tls.key", &key);
        let platform = write("platform.json", &platform.to_string());
        let store = format!("sqlite://{}", folder.path().join("store.db").display());
        let (address, health) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let mut command = Command::new(program("resource-provider"));
        command.env_clear().env("LISTEN_ADDRESS", &address).env("HEALTH_ADDRESS", &health);
        command.env("STORE_URL", &store).env("TLS_PATH", folder.path()).env("PLATFORM_FILE", platform);
        command.env("RETRY_AFTER_SECONDS", "1").env("NO_AUTHENTICATION", "true");
        command.env("FRONT_DOOR", "true").env("REGISTER_ON_FIRST_USE", "true");
        let mut process = Running::start("the resource provider", &mut command);
        until("the provider is ready", LIMIT, || {
            process.check_running();
            let answer = reqwest::blocking::get(format!("http://{health}/readyz"));
            answer.is_ok_and(|answer| answer.status() == 200).then_some(())
        });
        let url = format!("https://{address}");
        Server { url, token: "t".to_owned(), authority, store, _process: process, _folder: folder }
    }
}
