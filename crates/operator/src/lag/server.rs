//! Serves the lag: `GET /lag/v1/namespaces/{namespace}/workloads/{workload}`.
//!
//! The token is that of the connector which the workload belongs to; a wrong
//! one and a workload that is not there get the same answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use azure::{BlobPositions, HubConfig, SasHub, SasHubConfig, SdkHub};
use delivery::{Hub, Source};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::timeout;

use super::TokenKey;
use super::identity::FederatedIdentity;
use super::reading::{READ_LIMIT, lag};
use super::workload::{Environment, Opening, Workload, secret_keys};
use crate::error_text::error_text;
use crate::metrics;
use crate::resources::GROUP;

/// Workloads whose readings are kept at the most.
const READINGS_MAX: usize = 10_000;

/// What the lag server needs.
#[derive(Clone)]
pub struct LagServer {
    client: Client,
    key: TokenKey,
    keep_for: Duration,
    default_tenant: Option<String>,
    readings: Arc<Mutex<HashMap<(String, String), Reading>>>,
}

/// A reading, and those that wait for it.
#[derive(Clone)]
struct Reading {
    at: Instant,
    /// Held while it is read, so that a workload is read once at a time.
    lag: Arc<tokio::sync::Mutex<Option<(Instant, u64)>>>,
}

impl LagServer {
    /// Readings are given again for as long as `keep_for`.
    pub fn new(client: Client, key: TokenKey, keep_for: Duration, default_tenant: Option<String>) -> LagServer {
        LagServer { client, key, keep_for, default_tenant, readings: Arc::default() }
    }

    /// Its routes.
    pub fn routes(self) -> Router {
        Router::new().route("/lag/v1/namespaces/{namespace}/workloads/{workload}", get(answer)).with_state(self)
    }

    /// The lag of a workload; none when the token does not open it.
    async fn lag(&self, namespace: &str, workload: &str, token: &str) -> anyhow::Result<Option<u64>> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let Some(deployment) = deployments.get_opt(workload).await.context("cannot read the Deployment")? else {
            return Ok(None);
        };
        let Some(connector) = connector(&deployment) else { return Ok(None) };
        if !self.key.opens(token, namespace, &connector) {
            return Ok(None);
        }
        let reading = self.reading(namespace, workload);
        let mut kept = reading.lag.lock().await;
        if let Some((_, lag)) = kept.as_ref().filter(|(at, _)| at.elapsed() < self.keep_for) {
            return Ok(Some(*lag));
        }
        let read = timeout(READ_LIMIT, self.read(namespace, &deployment)).await;
        let read = read.unwrap_or_else(|_| bail!("reading took longer than {} s", READ_LIMIT.as_secs()));
        metrics::count_lag_reading(read.is_ok());
        let lag = read?;
        *kept = Some((Instant::now(), lag));
        Ok(Some(lag))
    }

    fn reading(&self, namespace: &str, workload: &str) -> Reading {
        let mut all = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= READINGS_MAX {
            all.retain(|_, reading| reading.at.elapsed() < self.keep_for);
        }
        let key = (namespace.to_owned(), workload.to_owned());
        let reading = all.entry(key).or_insert_with(|| Reading { at: Instant::now(), lag: Arc::default() });
        reading.at = Instant::now();
        reading.clone()
    }

    async fn read(&self, namespace: &str, deployment: &Deployment) -> anyhow::Result<u64> {
        let secrets = self.secrets(namespace, deployment).await?;
        let pod = deployment.spec.template.spec.as_ref();
        let account = pod.and_then(|pod| pod.service_account_name.clone()).unwrap_or_else(|| "default".to_owned());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let account = accounts.get(&account).await.context("cannot read the ServiceAccount")?;
        let identity = FederatedIdentity::new(self.client.clone(), &account, self.default_tenant.clone());
        let workload = Environment::of(deployment, secrets)?.workload(&identity)?;
        read(workload).await
    }

    async fn secrets(&self, namespace: &str, deployment: &Deployment) -> anyhow::Result<BTreeMap<String, String>> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let mut values = BTreeMap::new();
        for (variable, (name, key)) in secret_keys(deployment) {
            let secret = secrets.get(&name).await.with_context(|| format!("cannot read the Secret `{name}`"))?;
            let value = secret.data.and_then(|mut data| data.remove(&key));
            let value = value.with_context(|| format!("the Secret `{name}` has no key `{key}`"))?;
            let value =
                String::from_utf8(value.0).with_context(|| format!("`{key}` of the Secret `{name}` is no text"))?;
            values.insert(variable, value);
        }
        Ok(values)
    }
}

/// The connector that a Deployment belongs to.
fn connector(deployment: &Deployment) -> Option<String> {
    let owners = deployment.owner_references();
    let owner = owners.iter().find(|owner| {
        owner.controller.unwrap_or(false) && owner.kind == "IotConnector" && owner.api_version.starts_with(GROUP)
    });
    owner.map(|owner| owner.name.clone())
}

async fn read(workload: Workload) -> anyhow::Result<u64> {
    match workload.opening {
        Opening::Token(credential) => {
            let mut config = HubConfig::new(&workload.namespace, &workload.hub);
            config.custom_endpoint = workload.custom_endpoint;
            let hub = SdkHub::new(config, &workload.group, &credential).context("the hub cannot be opened")?;
            lag_of(&hub, &workload.container, workload.storage).await
        }
        Opening::ConnectionString(connection) => {
            let config = SasHubConfig::new(*connection, Some(&workload.hub), &workload.group)?;
            lag_of(&SasHub::new(config)?, &workload.container, workload.storage).await
        }
    }
}

async fn lag_of(
    hub: &impl Hub,
    container: &url::Url,
    storage: Option<azure::CredentialSettings>,
) -> anyhow::Result<u64> {
    let credential =
        storage.map(|settings| settings.credential()).transpose().context("no identity for the storage")?;
    // The partition does not matter: the names of all follow from the hub's.
    let source: Source = hub.source("0");
    let positions = BlobPositions::new(container, (&source, "operator"), credential)?;
    Ok(lag(hub, &positions).await?)
}

async fn answer(
    State(server): State<LagServer>,
    Path((namespace, workload)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    match Box::pin(server.lag(&namespace, &workload, token)).await {
        Ok(Some(lag)) => Json(json!({ "lag": lag })).into_response(),
        Ok(None) => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response(),
        Err(error) => {
            let error = error_text(error.as_ref());
            tracing::warn!(error, namespace, workload, "The lag cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "the lag cannot be read" }))).into_response()
        }
    }
}
