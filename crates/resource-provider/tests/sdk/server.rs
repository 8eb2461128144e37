//! The provider that clients talk to: an API, and a worker when a test lets it
//! begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arm::{ErrorCode, Location};
use async_trait::async_trait;
use resource_provider::api::{Api, ApiSettings, Limits};
use resource_provider::local::{Gate, LocalCloud, LocalIdentities, LocalKeys, Moment, NamedFhirServices};
use resource_provider::ports::{ErrorClass, FhirService, PortError};
use resource_provider::store::Store;
use resource_provider::worker::{Worker, WorkerSettings};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{GROUP, SUBSCRIPTION};

pub struct Server {
    pub url: String,
    gate: Arc<Refusal>,
    worker: Worker,
    stop: watch::Sender<bool>,
    runtime: Runtime,
    _folder: TempDir,
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

impl Server {
    /// Starts one whose subscription is registered, and which carries out what it
    /// accepts.
    pub fn start() -> Server {
        let server = Server::unregistered();
        server.register();
        server.work();
        server
    }

    /// Starts one that no subscription is registered with, and that only accepts.
    pub fn unregistered() -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let store = format!("sqlite://{}", folder.path().join("store.db").display());
        let (url, worker, gate) = runtime.block_on(async {
            let store = Store::open(&store).await.expect("a store");
            let fhir_services = Arc::new(NamedFhirServices::default());
            let url = "https://fhir.example".to_owned();
            let service = FhirService { location: Location::new("westus2"), is_ready: true, url };
            fhir_services.put(&format!("{GROUP}/services/fhir1"), service);
            let settings = ApiSettings {
                retry_after_seconds: 1,
                is_front_door: true,
                limits: Limits { workspaces: 100, ..Limits::default() },
                ..ApiSettings::default()
            };
            let api = Api {
                store: store.clone(),
                settings: Arc::new(settings),
                fhir_services: fhir_services.clone(),
                identities: Some(Arc::new(LocalIdentities)),
                keys: Arc::new(LocalKeys::of_host("devices.example")),
            };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}", listener.local_addr().expect("an address"));
            tokio::spawn(async move { axum::serve(listener, api.router()).await });
            let gate = Arc::new(Refusal::default());
            let platform = LocalCloud::behind(gate.clone()).platform(fhir_services);
            let settings = WorkerSettings { poll: Duration::from_millis(50), ..WorkerSettings::default() };
            (url, Worker { store, platform, settings, name: "worker".into() }, gate)
        });
        Server { url, gate, worker, stop: watch::channel(false).0, runtime, _folder: folder }
    }

    /// As Azure Resource Manager says it.
    pub fn register(&self) {
        let url = format!("{}/subscriptions/{SUBSCRIPTION}?api-version=2.0", self.url);
        let body = json!({ "state": "Registered", "registrationDate": "today", "properties": { "tenantId": "t" } });
        let request = reqwest::Client::new().put(url).header("content-type", "application/json").body(body.to_string());
        let answer = self.runtime.block_on(request.send()).expect("an answer");
        assert_eq!(answer.status(), 200);
    }

    /// Lets a worker begin.
    pub fn work(&self) {
        self.runtime.spawn(self.worker.clone().run(self.stop.subscribe()));
    }

    /// Stops the worker.
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
