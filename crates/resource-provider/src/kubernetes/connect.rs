//! How the clusters of a platform are reached.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use serde::Deserialize;

use super::Clusters;
use super::settings::{ClusterSettings, InvalidSettings};

/// Until an API server has taken a connection, and until it has answered: a step
/// is tried again, and its operation can be stopped between two tries only.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The part of a platform's document that is about clusters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClustersDocument {
    /// `clusters`: which there are.
    pub clusters: Vec<ClusterReference>,
    /// `connectors`: what all connectors share.
    pub connectors: ClusterSettings,
}

/// A cluster, and how it is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterReference {
    /// `resourceId`: its resource id in ARM, in any letter case.
    pub resource_id: String,
    /// `kubeconfig`: the file that says how. Default: as a pod of that cluster.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// `context`: which of the file's. Default: its current one.
    #[serde(default)]
    pub context: Option<String>,
}

/// Why a cluster cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file, or the context in it.
    #[error("cluster `{id}`: cannot use the kubeconfig `{}`", file.display())]
    Kubeconfig {
        /// The cluster.
        id: String,
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: KubeconfigError,
    },
    /// This is no pod.
    #[error("cluster `{id}`: expected `kubeconfig`, since this is no pod of a cluster")]
    NoPod {
        /// The cluster.
        id: String,
        /// Why.
        #[source]
        source: kube::config::InClusterError,
    },
    /// What the configuration says cannot be used.
    #[error("cluster `{id}`: no client can be made")]
    Client {
        /// The cluster.
        id: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// One cluster twice.
    #[error("cluster `{id}` is listed twice")]
    Twice {
        /// The cluster.
        id: String,
    },
    /// What connectors share is not usable.
    #[error("the settings of connectors cannot be used")]
    Settings(#[source] InvalidSettings),
}

impl ClusterReference {
    async fn connect(&self) -> Result<Client, ConnectError> {
        let id = self.resource_id.clone();
        let mut config = match &self.kubeconfig {
            Some(file) => {
                let failed = |source| ConnectError::Kubeconfig { id: id.clone(), file: file.clone(), source };
                let kubeconfig = Kubeconfig::read_from(file).map_err(failed)?;
                let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)?
            }
            None => Config::incluster().map_err(|source| ConnectError::NoPod { id: id.clone(), source })?,
        };
        config.connect_timeout = Some(CONNECT_LIMIT);
        config.read_timeout = Some(READ_LIMIT);
        Client::try_from(config).map_err(|source| ConnectError::Client { id, source })
    }
}

impl Clusters {
    /// Makes a client for each cluster. None is asked anything yet: one that is
    /// away is no reason for the others to wait.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(document: ClustersDocument) -> Result<Clusters, ConnectError> {
        let mut clients = BTreeMap::new();
        for reference in &document.clusters {
            let client = reference.connect().await?;
            if clients.insert(reference.resource_id.to_lowercase(), client).is_some() {
                return Err(ConnectError::Twice { id: reference.resource_id.clone() });
            }
        }
        Clusters::new(clients, document.connectors).map_err(ConnectError::Settings)
    }
}
