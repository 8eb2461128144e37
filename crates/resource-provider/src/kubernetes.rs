//! The clusters that workloads run on, as [`ports::Cluster`](crate::ports::Cluster).
//!
//! ```text
//! ConnectorSpec + settings --resource--> IotConnector --server-side apply--> cluster: the operator makes the rest
//! status of the IotConnector, its Deployments and pods --workload--> WorkloadStatus
//! ```
//!
//! Everything of a connector goes to the cluster of its workspace's place and to no
//! other, into the namespace that each cluster has for connectors; so that the
//! operator and the provider need rights in that one only. No Kubernetes object of a workload is written here: that is the
//! operator's and the chart's business (resource-provider.md 4.11).

mod connect;
mod error;
mod resource;
mod settings;
mod workload;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use arm::ErrorCode;
use async_trait::async_trait;
use custom_resources::IotConnector;
use custom_resources::identity::IdentityType;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

pub use self::connect::{ClusterReference, ClustersDocument, ConnectError};
use self::error::{doing, transient};
pub use self::resource::resource;
pub use self::settings::{ClusterSettings, InvalidSettings};
use crate::documents::ScaleInfo;
use crate::ports::{Cluster, ConnectorSpec, ErrorClass, PortError, ServiceAccount, WorkloadStatus};

/// As whom fields are applied.
pub const FIELD_MANAGER: &str = "iot-connector-resource-provider";

/// How long a call waits for what it removes. Pods have 60 s to end, and a step
/// that fails so is tried again.
const GONE_LIMIT: Duration = Duration::from_secs(180);
/// How often it looks.
const GONE_POLL: Duration = Duration::from_millis(500);

/// The clusters of the platform.
pub struct Clusters {
    /// By the resource id of the cluster in small letters.
    clients: BTreeMap<String, Client>,
    settings: ClusterSettings,
}

impl fmt::Debug for Clusters {
    /// Clients hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clusters").field("names", &self.clients.keys()).finish_non_exhaustive()
    }
}

impl Clusters {
    /// Clusters by their resource ids, whose letter case does not count.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`], before any connector meets them.
    pub fn new(
        clients: impl IntoIterator<Item = (String, Client)>,
        settings: ClusterSettings,
    ) -> Result<Clusters, InvalidSettings> {
        settings.check()?;
        let clients = clients.into_iter().map(|(id, client)| (id.to_lowercase(), client)).collect();
        Ok(Clusters { clients, settings })
    }

    /// The cluster of a place, and the namespace of connectors there.
    fn at(&self, place: &ScaleInfo) -> Result<Site, PortError> {
        let client = self.clients.get(&place.aks_cluster_resource_id.to_lowercase()).cloned();
        // It may be listed by the time of the next try: clusters are the platform's to say.
        let client = client.ok_or_else(|| transient("the cluster of the workspace is not among those known here"))?;
        Ok(Site { client, namespace: self.settings.namespace.clone() })
    }
}

/// One namespace of one cluster.
#[derive(Clone)]
struct Site {
    client: Client,
    namespace: String,
}

impl Site {
    fn connectors(&self) -> Api<IotConnector> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Whether any pod of a selector is left, also one that is ending.
    async fn has_pods(&self, selector: &str) -> Result<bool, PortError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let list = pods.list_metadata(&ListParams::default().labels(selector).limit(1)).await;
        Ok(!list.map_err(doing("list pods"))?.items.is_empty())
    }

    /// Removes a connector, and waits until it and its pods are gone. One of the
    /// same name that is made meanwhile is left alone.
    async fn remove(&self, connector: &str) -> Result<(), PortError> {
        let connectors = self.connectors();
        let found = connectors.get_metadata_opt(connector).await.map_err(doing("look at a connector"))?;
        if let Some(uid) = found.and_then(|found| found.metadata.uid) {
            let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
            // In the foreground: it is there until all that it owns is gone.
            let parameters = DeleteParams::foreground().preconditions(preconditions);
            match connectors.delete(connector, &parameters).await {
                // Gone, or another by now.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                other => other.map(|_| ()).map_err(doing("remove a connector"))?,
            }
            let is_gone = || async {
                let found = connectors.get_metadata_opt(connector).await.map_err(doing("look at a connector"))?;
                Ok(found.is_none_or(|found| found.metadata.uid.as_deref() != Some(&uid)))
            };
            wait_until("the connector is still there", is_gone).await?;
        }
        let selector = format!("app.kubernetes.io/name=iot-connector,app.kubernetes.io/instance={connector}");
        wait_until("pods of the connector are still there", || async { Ok(!self.has_pods(&selector).await?) }).await
    }
}

/// Looks until something is so.
async fn wait_until<F: Future<Output = Result<bool, PortError>>>(
    not_yet: &str,
    is_so: impl Fn() -> F,
) -> Result<(), PortError> {
    let deadline = Instant::now() + GONE_LIMIT;
    while !is_so().await? {
        if Instant::now() >= deadline {
            return Err(transient(not_yet));
        }
        sleep(GONE_POLL).await;
    }
    Ok(())
}

#[async_trait]
impl Cluster for Clusters {
    /// The chart's: called as the connector.
    fn service_account(&self, _: &ScaleInfo, connector: &str) -> Option<ServiceAccount> {
        let is_trusted = self.settings.identity == IdentityType::WorkloadIdentity;
        let namespace = self.settings.namespace.clone();
        is_trusted.then(|| ServiceAccount { namespace, name: connector.to_owned() })
    }

    fn event_hubs_suffix(&self) -> &str {
        &self.settings.event_hubs_suffix
    }

    async fn apply(&self, place: &ScaleInfo, connector: &ConnectorSpec) -> Result<(), PortError> {
        let site = self.at(place)?;
        let wanted = resource(connector, place, &self.settings).map_err(|error| PortError {
            code: ErrorCode::WorkloadNotReady,
            class: ErrorClass::Permanent,
            message: error.to_string(),
        })?;
        let connectors = site.connectors();
        let live = connectors.get_opt(&connector.name).await.map_err(doing("look at a connector"))?;
        if let Some(live) = live {
            if live.metadata.deletion_timestamp.is_some() {
                return Err(transient("the connector is being removed"));
            }
            // A change that failed goes back to the endpoint before, whose epoch is lower. The resource takes none that
            // is lower than its own; positions are in blobs, so another one goes on where the first stood.
            if live.spec.source.epoch > i64::from(connector.epoch) {
                site.remove(&connector.name).await?;
            }
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = connectors.patch(&connector.name, &parameters, &Patch::Apply(&wanted)).await;
        applied.map(|_| ()).map_err(doing("apply a connector"))
    }

    async fn workload(
        &self,
        place: &ScaleInfo,
        connector: &str,
        workload: &str,
    ) -> Result<Option<WorkloadStatus>, PortError> {
        let site = self.at(place)?;
        let live = site.connectors().get_opt(connector).await.map_err(doing("look at a connector"))?;
        let Some(live) = live else { return Ok(None) };
        let seen = workload::seen(&live, workload);
        let deployment = site.deployments().get_opt(&seen.deployment).await.map_err(doing("look at a Deployment"))?;
        if !seen.is_wanted && deployment.is_none() {
            let selector = format!("iot-connector/workload={}", seen.deployment);
            if !site.has_pods(&selector).await? {
                return Ok(None);
            }
        }
        Ok(Some(workload::status(&seen, deployment.as_ref())))
    }

    async fn delete(&self, place: &ScaleInfo, connector: &str) -> Result<(), PortError> {
        self.at(place)?.remove(connector).await
    }
}
