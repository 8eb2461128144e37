//! An API and a worker over Azure. The cluster and the allocation are in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use local::identity::ClientCertificate;
use local::resource_manager::{Fault, FaultKind};
use reqwest::Method;
use resource_provider::api::ApiSettings;
use resource_provider::local::{LocalCloud, Open};
use resource_provider::ports::Platform;
use resource_provider::worker::{Pulse, Worker, WorkerSettings};
use serde_json::{Value, json};

use super::cloud::Cloud;
use super::provider::{Answered, GEN1, NEWEST, Outside, Provider};

pub struct Site {
    pub cloud: Cloud,
    pub provider: Provider,
    pub cluster: Arc<LocalCloud>,
    /// Whether Azure is having a bad day.
    pub is_disturbed: bool,
    workers: AtomicUsize,
}

impl Site {
    /// None without a blob storage.
    pub async fn start(is_disturbed: bool) -> Option<Site> {
        let cloud = Cloud::with_storage().await?;
        let outside = Outside { fhir_services: cloud.ports.clone(), keys: cloud.ports.clone() };
        let settings = ApiSettings { retry_after_seconds: 1, ..ApiSettings::default() };
        let provider = Provider::start_over(settings, outside).await;
        provider.subscription_is("Registered").await;
        let cluster = LocalCloud::behind(Arc::new(Open));
        Some(Site { cloud, provider, cluster, is_disturbed, workers: AtomicUsize::new(0) })
    }

    fn worker(&self) -> Worker {
        let (ports, number) = (&self.cloud.ports, self.workers.fetch_add(1, Ordering::Relaxed));
        Worker {
            store: self.provider.store.clone(),
            platform: Platform {
                allocation: self.cluster.clone(),
                azure: ports.clone(),
                certificates: ports.clone(),
                blobs: ports.clone(),
                cluster: self.cluster.clone(),
                fhir_services: ports.clone(),
            },
            settings: WorkerSettings {
                poll: Duration::from_millis(5),
                backoff: (Duration::from_millis(1), Duration::from_millis(4)),
                ready_limit: Duration::from_secs(1),
                ..WorkerSettings::default()
            },
            name: format!("worker {number}").into(),
            pulse: Pulse::default(),
        }
    }

    fn disturb(&self) {
        let busy = FaultKind::Answer { status: 503, code: "ServerBusy", retry_after: None };
        let conflict = FaultKind::Answer { status: 409, code: "Conflict", retry_after: None };
        for (method, kind) in [
            ("GET", busy.clone()),
            ("PUT", FaultKind::CutAfter),
            ("PUT", conflict.clone()),
            ("PUT", FaultKind::CutBefore),
            ("DELETE", FaultKind::CutAfter),
            ("DELETE", conflict),
            ("DELETE", busy),
        ] {
            self.cloud.resource_manager.fail(Fault { method, path_has: "", kind, times: 1 });
        }
    }

    /// Carries out what an answer has begun, to its end.
    pub async fn done(&self, answer: Answered) {
        if self.is_disturbed {
            self.disturb();
        }
        let worker = self.worker();
        while worker.work_once().await.unwrap() {}
        self.cloud.resource_manager.calm();
        let url = answer.header("azure-asyncoperation").unwrap_or_else(|| panic!("{answer:?}"));
        let status = self.provider.follow(url).await.is(200).body;
        assert_eq!(status["status"], "Succeeded", "{status}");
    }

    /// A write to the end.
    pub async fn put(&self, path: &str, body: &Value) {
        let version = if path.starts_with("services/") { GEN1 } else { NEWEST };
        let answer = self.provider.put(path, version, body).await;
        assert!(matches!(answer.status.as_u16(), 200 | 201), "{answer:?}");
        self.done(answer).await;
    }

    /// A PUT as Resource Manager sends it: with the identity that it made.
    pub async fn put_with_identity(&self, path: &str, body: &Value, principal: &str) {
        let certificate = ClientCertificate::new(principal).unwrap();
        let url = self.cloud.credentials.give(principal, &certificate, "2098-01-01T00:00:00Z").unwrap();
        let headers = [
            ("x-ms-identity-principal-id", principal),
            ("x-ms-home-tenant-id", "t"),
            ("x-ms-identity-url", url.as_str()),
        ];
        let answer = self.provider.send(Method::PUT, path, NEWEST, &body.to_string(), &headers).await;
        assert!(matches!(answer.status.as_u16(), 200 | 201), "{answer:?}");
        self.done(answer).await;
    }

    pub async fn delete(&self, path: &str) {
        let version = if path.starts_with("services/") { GEN1 } else { NEWEST };
        let answer = self.provider.delete(path, version).await.is(202);
        self.done(answer).await;
        self.provider.get(path, version).await.is_error(404, "ResourceNotFound");
    }

    /// How many things of a type Azure has.
    pub fn count(&self, kind: &str) -> usize {
        let made = self.cloud.resource_manager.made();
        made.iter().filter(|id| id.rsplit('/').nth(1).is_some_and(|found| found.eq_ignore_ascii_case(kind))).count()
    }

    /// Nothing of ours is left anywhere.
    #[track_caller]
    pub fn is_empty(&self) {
        let made = self.cloud.resource_manager.made();
        assert!(made.is_empty(), "{made:?}");
        assert!(self.cloud.vault.certificates().is_empty() && self.cloud.vault.deleted().is_empty());
        assert_eq!(self.cluster.connector_count(), 0);
        assert!(self.cluster.things().is_empty(), "{:?}", self.cluster.things());
    }

    /// The roles of `deploy/azure` allow what was asked of Azure.
    #[track_caller]
    pub fn check_rights(&self) {
        let role = |text: &str| -> Vec<String> {
            let role: Value = serde_json::from_str(text).unwrap();
            serde_json::from_value(role["Actions"].clone()).unwrap()
        };
        let mut allowed = role(include_str!("../../../../deploy/azure/provider-role.json"));
        allowed.extend(role(include_str!("../../../../deploy/azure/customer-role.json")));
        // The API is in this process too.
        allowed.extend(role(include_str!("../../../../deploy/azure/api-role.json")));
        let is_allowed = |action: &String| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(action));
        let missing: Vec<String> =
            self.cloud.resource_manager.actions().into_iter().filter(|action| !is_allowed(action)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

/// A patch of a mapping.
pub fn other_mapping() -> Value {
    json!({ "properties": { "deviceMapping": { "content": { "templateType": "CollectionContent", "template": [] } } } })
}
