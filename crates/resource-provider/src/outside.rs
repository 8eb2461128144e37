//! What a process works with outside, as the platform's file says.
//!
//! ```text
//! azure + pools + clusters   --> Azure, Kubernetes
//! machine                    --> this machine: for development
//! machine + pools + clusters --> the same with Kubernetes
//! neither, in a dry run      --> a cloud that only remembers
//! ```

use std::sync::Arc;

use anyhow::{Context, bail};
use azure::CredentialSettings;
use serde::Deserialize;

use crate::azure::{AzurePorts, AzureSettings};
use crate::kubernetes::{Clusters, ClustersDocument};
use crate::local::{LocalCloud, LocalIdentities, LocalKeys, Machine, MachineSettings, Open};
use crate::platform_file::PlatformFile;
use crate::pools::Pools;
use crate::ports::{FhirServices, IdentityIssuer, Keys, Platform};
use crate::settings::Role;
use crate::store::Store;

/// Everything that is outside, as far as a role uses it.
pub struct Outside {
    /// For the worker: none for a process that only answers, which may reach no
    /// cluster.
    pub platform: Option<Platform>,
    /// For the API.
    pub fhir_services: Arc<dyn FhirServices>,
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
    pub async fn open(file: &PlatformFile, store: &Store, role: Role, is_dry_run: bool) -> anyhow::Result<Outside> {
        match (&file.azure, &file.machine) {
            (Some(_), Some(_)) => bail!("`azure` and `machine`: expected one of them"),
            (Some(_), None) | (None, Some(_)) if is_dry_run => {
                bail!("DRY_RUN makes nothing: expected neither `azure` nor `machine` in PLATFORM_FILE")
            }
            (Some(settings), None) => Outside::on_azure(file, settings.clone(), store, role).await,
            (None, Some(_)) if role != Role::All => {
                bail!("`machine` is for a process of the role `all`: its state is one process's")
            }
            (None, Some(settings)) => Outside::on_machine(file, settings.clone(), store).await,
            (None, None) if !file.clusters.is_empty() => {
                bail!("`clusters` without `azure` or `machine`: nothing would be made for them")
            }
            (None, None) if is_dry_run => {
                tracing::warn!("A dry run: what is asked for is remembered, and not made");
                Ok(Outside::remembering(file))
            }
            // Or customers would be told that there is what there is not.
            (None, None) => bail!("expected `azure` or `machine` in PLATFORM_FILE; or DRY_RUN, to make nothing"),
        }
    }

    async fn on_azure(
        file: &PlatformFile,
        settings: AzureSettings,
        store: &Store,
        role: Role,
    ) -> anyhow::Result<Outside> {
        let settings = AzureSettings {
            hub_partitions: file.connectors.internal_partitions,
            subscriptions: file.pools.subscriptions(),
            ..settings
        };
        let credential = file.identity.settings().credential().context("there is nobody to be in Azure")?;
        let ports = Arc::new(AzurePorts::new(settings, credential)?);
        let fhir_services: Arc<dyn FhirServices> = match file.fhir_services.is_empty() {
            true => ports.clone(),
            false => Arc::new(file.named_fhir_services()),
        };
        let platform = match role.works() {
            false => None,
            true => {
                let (clusters, pools) = places(file, store).await?;
                Some(Platform {
                    allocation: Arc::new(pools),
                    azure: ports.clone(),
                    certificates: ports.clone(),
                    blobs: ports.clone(),
                    cluster: Arc::new(clusters),
                    fhir_services: fhir_services.clone(),
                })
            }
        };
        Ok(Outside { platform, fhir_services, keys: ports, identities: None })
    }

    /// Hubs and names are this machine's; workloads too, unless there is a cluster.
    async fn on_machine(file: &PlatformFile, settings: MachineSettings, store: &Store) -> anyhow::Result<Outside> {
        let blobs = settings.blobs.clone();
        if file.clusters.is_empty() {
            settings.check_programs()?;
        }
        let machine =
            Machine::open(settings, file.named_fhir_services()).context("this machine cannot be the platform")?;
        let mut platform = machine.platform();
        if !file.clusters.is_empty() {
            let (clusters, pools) = places(file, store).await?;
            let blobs =
                blobs.context("`machine.blobs` is needed with `clusters`: pods read no folder of this machine")?;
            platform.allocation = Arc::new(pools);
            platform.blobs = Arc::new(blobs);
            platform.cluster = Arc::new(clusters);
        }
        let identities: Option<Arc<dyn IdentityIssuer>> = Some(Arc::new(LocalIdentities));
        let fhir_services = platform.fhir_services.clone();
        Ok(Outside { platform: Some(platform), fhir_services, keys: machine.keys(), identities })
    }

    fn remembering(file: &PlatformFile) -> Outside {
        let cloud = LocalCloud::behind(Arc::new(Open));
        let fhir_services = Arc::new(file.named_fhir_services());
        Outside {
            platform: Some(cloud.platform(fhir_services.clone())),
            fhir_services,
            keys: Arc::new(LocalKeys::of_host("localhost")),
            identities: Some(Arc::new(LocalIdentities)),
        }
    }
}

/// The clusters of the platform, and who says which is whose.
async fn places(file: &PlatformFile, store: &Store) -> anyhow::Result<(Clusters, Pools)> {
    let document = ClustersDocument { clusters: file.clusters.clone(), connectors: file.connectors.clone() };
    let clusters = Clusters::connect(document).await.context("`clusters` cannot be used")?;
    let pools = Pools::new(store.clone(), file.pools.clone()).context("`pools` cannot be used")?;
    Ok((clusters, pools))
}
