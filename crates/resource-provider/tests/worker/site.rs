//! An API, a worker and a cloud.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arm::operation::OperationStatus;
use jiff::SignedDuration;
use resource_provider::local::{Gate, LocalCloud};
use resource_provider::worker::{Worker, WorkerSettings};
use serde_json::Value;

use super::bodies::{CONNECTOR, connector, destination, workspace};
use super::provider::{Answered, NEWEST, Provider};

pub const DESTINATION: &str = "workspaces/ws1/iotconnectors/iot1/fhirdestinations/dest1";

pub struct Site {
    pub provider: Provider,
    pub cloud: Arc<LocalCloud>,
    workers: AtomicUsize,
}

impl Site {
    pub async fn behind(gate: Arc<dyn Gate>) -> Site {
        Site { provider: Provider::start().await, cloud: LocalCloud::behind(gate), workers: AtomicUsize::new(0) }
    }

    /// Another worker.
    pub fn worker(&self) -> Worker {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        Worker {
            store: self.provider.store.clone(),
            platform: self.cloud.platform(self.provider.fhir_services.clone()),
            settings: WorkerSettings {
                lease: SignedDuration::from_millis(600),
                poll: Duration::from_millis(5),
                backoff: (Duration::from_millis(1), Duration::from_millis(4)),
                tries_max: 3,
                ready_limit: Duration::from_millis(50),
                ..WorkerSettings::default()
            },
            name: format!("worker {number}").into(),
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

    /// Carries out an operation by workers one after the other, until it has
    /// ended: a lease of one that was killed has to lapse first.
    pub async fn until_ended(&self, answer: &Answered) -> Value {
        let url = answer.header("azure-asyncoperation").unwrap().to_owned();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let running = tokio::spawn(self.worker().run(stopped));
        let ended = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let status = self.provider.follow(&url).await.is(200).body;
                let word: OperationStatus = serde_json::from_value(status["status"].clone()).unwrap();
                if word.is_terminal() {
                    return status;
                }
            }
        });
        let status = ended.await.expect("it ends");
        stop.send(true).unwrap();
        running.await.unwrap();
        status
    }
}
