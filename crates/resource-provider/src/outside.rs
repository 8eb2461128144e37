//! What a process works with outside, as the platform's file says.
//!
//! ```text
//! azure + pools + clusters --> Azure, Kubernetes
//! neither                  --> a cloud that only remembers: for trials
//! ```

use std::sync::Arc;

use anyhow::{Context, bail};
use azure::CredentialSettings;
use serde::Deserialize;

use crate::azure::{AzurePorts, AzureSettings};
use crate::kubernetes::{Clusters, ClustersDocument};
use crate::local::{LocalCloud, LocalIdentities, LocalKeys, Open};
use crate::pools::Pools;
use crate::ports::{IdentityIssuer, Keys, Platform};
use crate::settings::PlatformFile;
use crate::store::Store;

/// Everything that is outside.
pub struct Outside {
    /// For the worker; its FHIR services are the API's too.
    pub platform: Platform,
    /// For the API.
    pub keys: Arc<dyn Keys>,
    /// For the API, where no ARM makes identities.
    pub identities: Option<Arc<dyn IdentityIssuer>>,
}

/// As whom the provider itself works in Azure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ProviderIdentity {
    /// The identity of its service account, as the workload identity webhook says.
    #[default]
    WorkloadIdentity,
    /// The identity that Azure gave the machine.
    ManagedIdentity,
    /// Whoever is logged in to the Azure CLI: for trials.
    DeveloperTools,
}

impl ProviderIdentity {
    fn settings(self) -> CredentialSettings {
        match self {
            ProviderIdentity::WorkloadIdentity => {
                CredentialSettings::WorkloadIdentity { client_id: None, tenant_id: None, token_file: None }
            }
            ProviderIdentity::ManagedIdentity => CredentialSettings::ManagedIdentity { client_id: None },
            ProviderIdentity::DeveloperTools => CredentialSettings::DeveloperTools,
        }
    }
}

impl Outside {
    /// Opens it. Nobody is asked anything yet.
    ///
    /// # Errors
    ///
    /// What of the file cannot be used.
    pub async fn open(file: &PlatformFile, store: &Store) -> anyhow::Result<Outside> {
        match &file.azure {
            Some(settings) => Outside::on_azure(file, settings.clone(), store).await,
            None if !file.clusters.is_empty() => bail!("`clusters` without `azure`: nothing would be made for them"),
            None => {
                tracing::warn!("The platform's file names no platform: what is asked for is remembered, and not made");
                Ok(Outside::remembering(file))
            }
        }
    }

    async fn on_azure(file: &PlatformFile, settings: AzureSettings, store: &Store) -> anyhow::Result<Outside> {
        let document = ClustersDocument { clusters: file.clusters.clone(), connectors: file.connectors.clone() };
        let settings = AzureSettings { kubernetes_namespace: document.connectors.namespace.clone(), ..settings };
        let credential = file.identity.settings().credential().context("there is nobody to be in Azure")?;
        let clusters = Clusters::connect(document).await.context("`clusters` cannot be used")?;
        let pools = Pools::new(store.clone(), file.pools.clone()).context("`pools` cannot be used")?;
        let ports = Arc::new(AzurePorts::new(settings, credential)?);
        let platform = Platform {
            allocation: Arc::new(pools),
            azure: ports.clone(),
            certificates: ports.clone(),
            blobs: ports.clone(),
            cluster: Arc::new(clusters),
            fhir_services: match file.fhir_services.is_empty() {
                true => ports.clone(),
                false => Arc::new(file.named_fhir_services()),
            },
        };
        Ok(Outside { platform, keys: ports, identities: None })
    }

    fn remembering(file: &PlatformFile) -> Outside {
        let cloud = LocalCloud::behind(Arc::new(Open));
        Outside {
            platform: cloud.platform(Arc::new(file.named_fhir_services())),
            keys: Arc::new(LocalKeys::of_host("localhost")),
            identities: Some(Arc::new(LocalIdentities)),
        }
    }
}
