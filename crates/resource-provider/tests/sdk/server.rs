//! The provider that clients talk to: the program, over TLS, for those who show a
//! token of its issuer.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arm::ErrorCode;
use async_trait::async_trait;
use reqwest::{Client, RequestBuilder};
use resource_provider::local::{Gate, LocalCloud, Moment};
use resource_provider::platform_file::PlatformFile;
use resource_provider::ports::{ErrorClass, PortError};
use resource_provider::store::Store;
use resource_provider::worker::{Pulse, Worker, WorkerSettings};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::authority::Authority;
use super::issuer::{AUDIENCE, ISSUER, Issuer};
use super::places::Postgres;
use super::process::Process;
use super::{GROUP, SUBSCRIPTION};

/// A program that answers; stopped when dropped.
pub struct Server {
    pub url: String,
    /// What clients show.
    pub token: String,
    /// Whom they trust, PEM.
    pub authority: PathBuf,
    store: String,
    platform: PathBuf,
    client: Client,
    // In the order in which they end.
    process: Process,
    runtime: Runtime,
    _postgres: Option<Postgres>,
    _folder: TempDir,
}

impl Server {
    /// Starts one whose subscription is registered, on SQLite.
    pub fn start() -> Server {
        let server = Server::unregistered("all");
        server.register();
        server
    }

    /// The same on PostgreSQL.
    pub fn on_postgres() -> Server {
        let postgres = Postgres::start().expect("`IOTC_TEST_POSTGRES` is set by `cargo xtask test provider-sdk`");
        let server = Server::launch("all", Some(postgres));
        server.register();
        server
    }

    /// Starts one that only accepts; the test has the worker.
    pub fn with_worker_here() -> (Server, Worked) {
        let server = Server::unregistered("api");
        server.register();
        let worked = server.worker();
        worked.work();
        (server, worked)
    }

    /// Starts one that no subscription is registered with.
    pub fn unregistered(role: &str) -> Server {
        Server::launch(role, None)
    }

    fn launch(role: &str, postgres: Option<Postgres>) -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).expect("a file");
            file
        };
        let certificates = Authority::new();
        let authority = write("ca.pem", &certificates.pem());
        let (certificate, key) = certificates.server();
        write("tls.crt", &certificate);
        write("tls.key", &key);
        let services =
            json!({ format!("{GROUP}/services/fhir1"): { "location": "westus2", "url": "https://fhir.example" } });
        // Some send as fast as they can.
        let unthrottled = json!({ "writesPerSecond": 100_000, "burst": 100_000 });
        let platform =
            write("platform.yaml", &json!({ "fhirServices": services, "throttle": unthrottled }).to_string());
        let sqlite = || format!("sqlite://{}", folder.path().join("store.db").display());
        let store = postgres.as_ref().map_or_else(sqlite, |postgres| postgres.url.clone());
        let issuer = runtime.block_on(Issuer::start());
        let process = Process::start(
            folder.path(),
            &[
                ("ROLE", role),
                ("LISTEN_ADDRESS", "127.0.0.1:0"),
                ("HEALTH_ADDRESS", "127.0.0.1:0"),
                ("STORE_URL", &store),
                ("TLS_PATH", &folder.path().display().to_string()),
                ("PLATFORM_FILE", &platform.display().to_string()),
                ("RETRY_AFTER_SECONDS", "1"),
                ("FRONT_DOOR", "true"),
                ("DRY_RUN", "true"),
                ("TOKEN_ISSUERS", ISSUER),
                ("TOKEN_AUDIENCES", AUDIENCE),
                ("TOKEN_KEYS_URL", &issuer.keys),
                ("FRONT_DOOR_APP_IDS", "arm"),
            ],
        );
        let trusted = reqwest::Certificate::from_pem(&fs::read(&authority).expect("a file")).expect("a certificate");
        let client = Client::builder().tls_certs_only([trusted]).build().expect("a client");
        let address = runtime.block_on(process.is_ready());
        // Longer than any test takes.
        let expiry = jiff::Timestamp::now().as_second() + 3600;
        Server {
            url: format!("https://{address}"),
            token: issuer.token(&json!({ "exp": expiry })),
            authority,
            store,
            platform,
            client,
            process,
            runtime,
            _postgres: postgres,
            _folder: folder,
        }
    }

    /// As Azure Resource Manager says it.
    fn register(&self) {
        let path = format!("/subscriptions/{SUBSCRIPTION}?api-version=2.0");
        let body = json!({ "state": "Registered", "registrationDate": "today", "properties": { "tenantId": "t" } });
        let request = self.client.put(format!("{}{path}", self.url)).header("content-type", "application/json");
        let status = self.status(request.body(body.to_string()));
        assert_eq!(status, 200, "{}", self.process.printed());
    }

    fn status(&self, request: RequestBuilder) -> u16 {
        let answered = self.runtime.block_on(request.bearer_auth(&self.token).send());
        answered.unwrap_or_else(|error| panic!("{error:?}\n{}", self.process.printed())).status().as_u16()
    }

    fn worker(&self) -> Worked {
        let file = PlatformFile::read(Some(&self.platform)).expect("a platform's file");
        let gate = Arc::new(Refusal::default());
        let platform = LocalCloud::behind(gate.clone()).platform(Arc::new(file.named_fhir_services()));
        let store = self.runtime.block_on(Store::open(&self.store)).expect("a store");
        let settings = WorkerSettings { poll: Duration::from_millis(50), ..WorkerSettings::default() };
        let worker = Worker { store, platform, settings, name: "of the test".into(), pulse: Pulse::default() };
        Worked { worker, gate, stop: watch::channel(false).0, runtime: self.runtime.handle().clone() }
    }
}

/// A worker of the test's own, beside a program that has none.
pub struct Worked {
    worker: Worker,
    gate: Arc<Refusal>,
    stop: watch::Sender<bool>,
    runtime: tokio::runtime::Handle,
}

/// Refuses to make hubs, while it is told to.
#[derive(Debug, Default)]
struct Refusal(AtomicBool);

#[async_trait]
impl Gate for Refusal {
    async fn pass(&self, call: &str, _: Moment) -> Result<(), PortError> {
        if self.0.load(Ordering::SeqCst) && call.starts_with("hub ") {
            let (code, message) = (ErrorCode::EventHubProvisioningFailed, "the test says no".to_owned());
            return Err(PortError { code, class: ErrorClass::Permanent, message });
        }
        Ok(())
    }
}

impl Worked {
    /// Lets the worker begin.
    pub fn work(&self) {
        self.runtime.spawn(self.worker.clone().run(self.stop.subscribe()));
    }

    /// Stops it.
    pub fn rest(&self) {
        self.stop.send_replace(true);
        self.runtime.block_on(self.stop.closed());
        self.stop.send_replace(false);
    }

    /// Whether hubs can be made.
    pub fn has_hubs(&self, has: bool) {
        self.gate.0.store(!has, Ordering::SeqCst);
    }
}
