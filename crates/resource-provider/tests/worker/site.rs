//! An API, a worker and a cloud.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arm::{DocumentId, ResourceType, Route};
use jiff::{SignedDuration, Timestamp};
use resource_provider::documents::ResourceDocument;
use resource_provider::local::{Gate, LocalCloud};
use resource_provider::store::{Claim, Work};
use resource_provider::worker::{Pulse, Swept, Worker, WorkerSettings};
use serde_json::{Value, json};

use super::bodies::{CONNECTOR, connector, destination, device_mapping, fhir_mapping, workspace};
use super::provider::{Answered, GEN1, GROUP, NEWEST, Provider, SUBSCRIPTION};

pub const DESTINATION: &str = "workspaces/ws1/iotconnectors/iot1/fhirdestinations/dest1";

pub const GEN1_CONNECTOR: &str = "services/fhir1/iomtconnectors/c12";

pub struct Site {
    pub provider: Provider,
    pub cloud: Arc<LocalCloud>,
    workers: AtomicUsize,
}

impl Site {
    pub async fn behind(gate: Arc<dyn Gate>) -> Site {
        Site { provider: Provider::start().await, cloud: LocalCloud::behind(gate), workers: AtomicUsize::new(0) }
    }

    /// One whose store is at a URL.
    pub async fn on(url: &str, gate: Arc<dyn Gate>) -> Site {
        Site { provider: Provider::on(url).await, cloud: LocalCloud::behind(gate), workers: AtomicUsize::new(0) }
    }

    /// Another worker.
    pub fn worker(&self) -> Worker {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        Worker {
            store: self.provider.store.clone(),
            platform: self.cloud.platform(self.provider.fhir_services.clone()),
            settings: WorkerSettings {
                poll: Duration::from_millis(5),
                backoff: (Duration::from_millis(1), Duration::from_millis(4)),
                tries_max: 3,
                ready_limit: Duration::from_millis(50),
                ..WorkerSettings::default()
            },
            name: format!("worker {number}").into(),
            pulse: Pulse::default(),
        }
    }

    /// Carries out everything that is queued.
    pub async fn work(&self) {
        let worker = self.worker();
        while worker.work_once().await.unwrap() {}
    }

    /// Sends a request and carries it out; how its operation ended.
    pub async fn done(&self, answer: Answered) -> Value {
        self.work().await;
        self.status(&answer).await
    }

    /// How the operation of an answer goes.
    pub async fn status(&self, answer: &Answered) -> Value {
        let url = answer.header("azure-asyncoperation").unwrap_or_else(|| panic!("{answer:?}"));
        self.provider.follow(url).await.is(200).body
    }

    pub async fn with_workspace(&self) {
        let made = self.provider.put("workspaces/ws1", NEWEST, &workspace()).await.is(201);
        assert_eq!(self.done(made).await["status"], "Succeeded");
    }

    pub async fn with_connector(&self) {
        self.with_workspace().await;
        let made = self.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
        assert_eq!(self.done(made).await["status"], "Succeeded");
    }

    pub async fn with_destination(&self) {
        self.with_connector().await;
        let made = self.provider.put(DESTINATION, NEWEST, &destination()).await.is(201);
        assert_eq!(self.done(made).await["status"], "Succeeded");
    }

    /// A Gen1 connector that runs, with a connection.
    pub async fn with_gen1(&self) {
        for (below, body) in [
            ("", json!({})),
            ("/connections/conn1", json!({})),
            ("/mappings/device", json!({ "properties": { "content": device_mapping() } })),
            ("/mappings/fhir", json!({ "properties": { "content": fhir_mapping() } })),
        ] {
            let made = self.provider.put(&format!("{GEN1_CONNECTOR}{below}"), GEN1, &body).await.is(201);
            assert_eq!(self.done(made).await["status"], "Succeeded", "{below}");
        }
    }

    /// The document of a resource.
    pub async fn document(&self, path: &str) -> Option<ResourceDocument> {
        let Ok(Route::Resource(id)) = Route::of_path(&format!("{GROUP}/{path}")) else { panic!("{path}") };
        self.provider.store.resource(&id).await.unwrap()
    }

    /// The id of the document of a resource that is there.
    pub async fn document_id(&self, path: &str) -> DocumentId {
        self.document(path).await.unwrap_or_else(|| panic!("{path}")).id
    }

    /// How many resources the subscription has.
    pub async fn resource_count(&self) -> usize {
        let mut transaction = self.provider.store.begin().await.unwrap();
        let mut count = 0;
        for kind in ResourceType::ALL {
            count += transaction.ids_of(SUBSCRIPTION, kind).await.unwrap().len();
        }
        count
    }

    /// A pass of the sweeper, however long ago the last one was.
    pub async fn sweep(&self) -> Swept {
        let mut worker = self.worker();
        (worker.settings.sweep_period, worker.settings.upkeep_pause) = (Duration::ZERO, SignedDuration::ZERO);
        let swept = Box::pin(worker.sweep()).await;
        swept.expect("the store answers").expect("nobody else sweeps")
    }

    /// Lets the lease of a worker that was killed lapse, and its lock on what a
    /// workspace shares: whoever comes in an hour finds them lapsed, and this one
    /// holds them no longer than now.
    pub async fn let_leases_lapse(&self) {
        let (worker, until) = ("an hour later", Timestamp::now());
        let now = until + SignedDuration::from_hours(1);
        let store = &self.provider.store;
        store.claim(Claim { worker, now, until }, Work::All).await.unwrap();
        for path in ["workspaces/ws1", GEN1_CONNECTOR] {
            if let Some(workspace) = self.document(path).await {
                store.take_lock(workspace.id.as_str(), worker, now, until).await.unwrap();
                store.release_lock(workspace.id.as_str(), worker).await.unwrap();
            }
        }
    }

    /// Carries out what a killed worker has left; how the operation of an answer
    /// ended.
    pub async fn done_by_another(&self, answer: &Answered) -> Value {
        self.let_leases_lapse().await;
        self.work().await;
        self.status(answer).await
    }
}
