//! Where workspaces are placed, as [`ports::Allocation`](crate::ports::Allocation):
//! pools of a document, the least used of a region first (resource-provider.md 4.9).
//!
//! ```text
//! document: region -> pools, workspace -> its own cluster
//! store: who was placed where     --allocate--> the place, written on the workspace
//! ```
//!
//! Nothing is counted but documents: a place is written on the document of its
//! workspace before it is given, so it is the same the next time and counts for the
//! next workspace. It is free when the document is gone. One transaction at a time
//! gives places, so that the last one is given once.

use std::collections::{BTreeMap, BTreeSet};

use arm::gen2::Sku;
use arm::infrastructure::WorkspaceNames;
use arm::resource_id::folded;
use arm::{DocumentId, ErrorCode, Location};
use async_trait::async_trait;
use serde::Deserialize;

use crate::documents::{ResourceDocument, ScaleInfo};
use crate::ports::{Allocation, AllocationRequest, PortError};
use crate::store::{Store, StoreError};

/// Where workspaces may go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PoolsDocument {
    /// `regions`: the pools of each region.
    pub regions: BTreeMap<String, Vec<Pool>>,
    /// `dedicated`: the cluster of each workspace of the SKU Dedicated, by its
    /// resource id in any letter case.
    pub dedicated: BTreeMap<String, Pool>,
}

impl PoolsDocument {
    /// The subscriptions of ours, each once.
    pub fn subscriptions(&self) -> Vec<String> {
        let pools = self.regions.values().flatten().chain(self.dedicated.values());
        let all: BTreeSet<String> = pools.map(|pool| pool.subscription_id.to_lowercase()).collect();
        all.into_iter().collect()
    }
}

/// A cluster with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// `subscriptionId`: the subscription of ours that things are made in.
    pub subscription_id: String,
    /// `aksClusterResourceId`: the cluster.
    pub aks_cluster_resource_id: String,
    /// `keyVaultResourceId`: the vault of certificates.
    pub key_vault_resource_id: String,
    /// `capacity`: how many workspaces it takes. Default: any number.
    #[serde(default)]
    pub capacity: Option<usize>,
}

/// A document that says nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPools {
    /// One region under two names.
    #[error("`regions` has `{0}` twice")]
    RegionTwice(String),
    /// One pool twice, whose workspaces would be counted for both.
    #[error("region `{region}` has the cluster `{cluster}` with one vault and subscription twice")]
    PoolTwice {
        /// The region.
        region: String,
        /// The cluster.
        cluster: String,
    },
}

/// The pools of a platform.
#[derive(Clone, Debug)]
pub struct Pools {
    store: Store,
    /// By the short name.
    regions: BTreeMap<String, Vec<Pool>>,
    /// By the resource id in small letters.
    dedicated: BTreeMap<String, Pool>,
}

/// What only one does at a time.
const ALLOCATION: &str = "allocation";

impl Pools {
    /// Pools over a store.
    ///
    /// # Errors
    ///
    /// [`InvalidPools`].
    pub fn new(store: Store, document: PoolsDocument) -> Result<Pools, InvalidPools> {
        let mut regions = BTreeMap::new();
        for (region, pools) in document.regions {
            for (index, pool) in pools.iter().enumerate() {
                if pools[..index].iter().any(|other| other.has(&pool.place(String::new()))) {
                    let cluster = pool.aks_cluster_resource_id.clone();
                    return Err(InvalidPools::PoolTwice { region, cluster });
                }
            }
            if regions.insert(Location::new(&region).short(), pools).is_some() {
                return Err(InvalidPools::RegionTwice(region));
            }
        }
        let dedicated = document.dedicated.into_iter().map(|(id, pool)| (folded(&id), pool)).collect();
        Ok(Pools { store, regions, dedicated })
    }

    /// The pool that a workspace goes to, where others are `placed`.
    fn choose(
        &self,
        request: AllocationRequest<'_>,
        workspace: &ResourceDocument,
        placed: &[ScaleInfo],
    ) -> Result<&Pool, PortError> {
        if request.sku == Sku::Dedicated {
            let own = self.dedicated.get(&workspace.resource_id().key());
            return own.ok_or_else(|| unavailable("the workspace has no cluster of its own yet"));
        }
        let pools = self.regions.get(&request.region.short()).ok_or_else(|| unavailable("the region has no pool"))?;
        let used = |pool: &&Pool| placed.iter().filter(|place| pool.has(place)).count();
        let has_room = |pool: &&Pool| pool.capacity.is_none_or(|capacity| used(pool) < capacity);
        let least = pools.iter().filter(has_room).min_by_key(used);
        least.ok_or_else(|| unavailable("all pools of the region are full"))
    }
}

impl Pool {
    fn place(&self, event_hub_namespace_resource_id: String) -> ScaleInfo {
        ScaleInfo {
            subscription_id: self.subscription_id.clone(),
            aks_cluster_resource_id: self.aks_cluster_resource_id.clone(),
            event_hub_namespace_resource_id,
            key_vault_resource_id: self.key_vault_resource_id.clone(),
        }
    }

    /// Whether a place is of this pool.
    fn has(&self, place: &ScaleInfo) -> bool {
        self.subscription_id.eq_ignore_ascii_case(&place.subscription_id)
            && self.aks_cluster_resource_id.eq_ignore_ascii_case(&place.aks_cluster_resource_id)
            && self.key_vault_resource_id.eq_ignore_ascii_case(&place.key_vault_resource_id)
    }
}

#[async_trait]
impl Allocation for Pools {
    async fn allocate(&self, request: AllocationRequest<'_>) -> Result<ScaleInfo, PortError> {
        let mut transaction = self.store.begin().await.map_err(away)?;
        transaction.enter(ALLOCATION).await.map_err(away)?;
        let workspace = transaction.resource_by_id(request.workspace).await.map_err(away)?;
        let mut workspace = workspace.ok_or_else(|| unavailable("the workspace is not there any more"))?;
        if let Some(place) = workspace.scale {
            return Ok(place);
        }
        let placed = transaction.places().await.map_err(away)?;
        let pool = self.choose(request, &workspace, &placed)?;
        let group = WorkspaceNames(request.workspace).resource_group();
        let place = pool.place(format!(
            "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{}",
            pool.subscription_id, request.event_hub_namespace
        ));
        workspace.scale = Some(place.clone());
        workspace.infrastructure.placed_for = Some(request.sku);
        transaction.update_resource(&mut workspace).await.map_err(away)?;
        transaction.commit().await.map_err(away)?;
        Ok(place)
    }

    async fn release(&self, workspace: &DocumentId) -> Result<(), PortError> {
        let mut transaction = self.store.begin().await.map_err(away)?;
        let document = transaction.resource_by_id(workspace).await.map_err(away)?;
        if let Some(mut document) = document.filter(|document| document.scale.is_some()) {
            document.scale = None;
            transaction.update_resource(&mut document).await.map_err(away)?;
        }
        transaction.commit().await.map_err(away)
    }
}

/// There is no place now; there may be one later.
fn unavailable(message: &str) -> PortError {
    PortError::transient(ErrorCode::ScaleInfoUnavailable, message)
}

fn away(error: StoreError) -> PortError {
    unavailable(&format!("the places cannot be looked up: {error}"))
}
