//! Serves the lag: `GET /lag/v1/namespaces/{namespace}/workloads/{workload}`.
//!
//! The token is that of the connector which the workload belongs to; a wrong
//! one and a workload that is not there get the same answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use azure::{BlobPositions, HubConfig, SasHub, SasHubConfig, SdkHub};
use custom_resources::GROUP;
use custom_resources::error_text::error_text;
use delivery::{Hub, Source};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::timeout;

use super::TokenKey;
use super::credentials::{Account, Credentials};
use super::hosts::AllowedHosts;
use super::identity::FederatedIdentity;
use super::reading::{READ_LIMIT, lag};
use super::readings::{Ended, Readings};
use super::workload::{Environment, Opening, Workload, secret_keys};
use crate::metrics;

/// What the lag server needs.
#[derive(Clone)]
pub struct LagServer {
    client: Client,
    key: TokenKey,
    default_tenant: Option<String>,
    hosts: Arc<AllowedHosts>,
    readings: Arc<Readings>,
    credentials: Arc<Credentials>,
}

impl LagServer {
    /// Connects to `hosts` and to no others, and gives readings again for as long
    /// as `keep_for`.
    pub fn new(
        client: Client,
        key: TokenKey,
        hosts: AllowedHosts,
        keep_for: Duration,
        default_tenant: Option<String>,
    ) -> LagServer {
        LagServer {
            client,
            key,
            default_tenant,
            hosts: Arc::new(hosts),
            readings: Arc::new(Readings::new(keep_for)),
            credentials: Arc::default(),
        }
    }

    /// Its routes.
    pub fn routes(self) -> Router {
        Router::new().route("/lag/v1/namespaces/{namespace}/workloads/{workload}", get(answer)).with_state(self)
    }

    /// The lag of a workload; none when the token does not open it.
    async fn lag(&self, namespace: &str, workload: &str, token: &str) -> anyhow::Result<Option<u64>> {
        // Before the API server is asked, which a stranger must not make busy.
        let Some(uid) = self.key.uid(token, namespace) else { return Ok(None) };
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let Some(deployment) = deployments.get_opt(workload).await.context("cannot read the Deployment")? else {
            return Ok(None);
        };
        if !belongs_to(&deployment, uid) {
            return Ok(None);
        }
        let key = (namespace.to_owned(), workload.to_owned());
        let server = self.clone();
        let (of, named) = (namespace.to_owned(), workload.to_owned());
        let read = move || async move { Box::pin(server.read_in_time(&of, &named, &deployment)).await };
        let lag = self.readings.get(key, read).await;
        lag.map(Some).map_err(anyhow::Error::msg)
    }

    /// A reading for all that ask for it, told of once.
    async fn read_in_time(self, namespace: &str, workload: &str, deployment: &Deployment) -> Ended {
        let read = timeout(READ_LIMIT, self.read(namespace, deployment)).await;
        let read = read.unwrap_or_else(|_| bail!("reading took longer than {} s", READ_LIMIT.as_secs()));
        metrics::count_lag_reading(read.is_ok());
        read.map_err(|error| {
            let error = error_text(error.as_ref());
            tracing::warn!(error, namespace, workload, "The lag cannot be read");
            Arc::from(error)
        })
    }

    async fn read(&self, namespace: &str, deployment: &Deployment) -> anyhow::Result<u64> {
        let secrets = self.secrets(namespace, deployment).await?;
        let pod = deployment.spec.template.spec.as_ref();
        let account = pod.and_then(|pod| pod.service_account_name.clone()).unwrap_or_else(|| "default".to_owned());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let account = accounts.get(&account).await.context("cannot read the ServiceAccount")?;
        let identity = FederatedIdentity::new(self.client.clone(), &account, self.default_tenant.clone());
        let environment = Environment::of(deployment, secrets)?;
        // Before anything is opened or resolved.
        environment.check_hosts(&self.hosts)?;
        let mut workload = environment.workload(&identity)?;
        let account = Account::of(&account);
        let keep = |settings| self.credentials.keep(&account, settings).context("no identity to read the lag as");
        if let Opening::Token(settings) = workload.opening {
            workload.opening = Opening::Token(Box::new(keep(*settings)?));
        }
        workload.storage = workload.storage.map(keep).transpose()?;
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

/// Whether a Deployment belongs to the connector with that uid.
fn belongs_to(deployment: &Deployment, uid: &str) -> bool {
    let group = |api_version: &str| api_version.split_once('/').map(|(group, _)| group.to_owned());
    deployment.owner_references().iter().any(|owner| {
        owner.controller.unwrap_or(false)
            && owner.kind == "IotConnector"
            && group(&owner.api_version).as_deref() == Some(GROUP)
            && owner.uid == uid
    })
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
            tracing::debug!(error, namespace, workload, "No lag is given");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "the lag cannot be read" }))).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_whose_a_workload_is() {
        let cases = [
            ("its own", "iotconnector.health/v1alpha1", "IotConnector", true, "u1", true),
            ("another's of the same name", "iotconnector.health/v1alpha1", "IotConnector", true, "u2", false),
            ("not its controller", "iotconnector.health/v1alpha1", "IotConnector", false, "u1", false),
            ("another kind", "iotconnector.health/v1alpha1", "Fhir", true, "u1", false),
            ("another group", "iotconnector.health.example.com/v1", "IotConnector", true, "u1", false),
        ];
        for (name, api_version, kind, controller, uid, expected) in cases {
            let owner =
                json!({"apiVersion": api_version, "kind": kind, "name": "c1", "uid": uid, "controller": controller});
            let deployment = serde_json::from_value(json!({"metadata": {"ownerReferences": [owner]}})).unwrap();
            assert_eq!(belongs_to(&deployment, "u1"), expected, "{name}");
        }
    }
}
