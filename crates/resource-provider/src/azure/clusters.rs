//! What is to be known of a cluster: its region, where the things of its
//! connectors are made too, and who issues its service accounts' tokens. The
//! platform says it, or Azure does.

use std::sync::PoisonError;

use arm::ErrorCode;
use serde_json::Value;

use super::AzurePorts;
use super::resource_manager::Target;
use crate::documents::ScaleInfo;
use crate::ports::PortError;

const VERSION: &str = "2024-05-01";

/// What a cluster said of itself.
#[derive(Clone, Debug)]
pub struct ClusterFacts {
    location: String,
    issuer: Option<String>,
}

impl AzurePorts {
    /// The region of a place: its cluster's.
    pub(super) async fn location(&self, place: &ScaleInfo) -> Result<String, PortError> {
        match self.known(place).and_then(|known| known.location.clone()) {
            Some(location) => Ok(location),
            None => Ok(self.cluster_facts(place).await?.location),
        }
    }

    /// Who issues the tokens of a place's service accounts.
    pub(super) async fn issuer(&self, place: &ScaleInfo) -> Result<String, PortError> {
        if let Some(issuer) = self.known(place).and_then(|known| known.issuer.clone()) {
            return Ok(issuer);
        }
        let issuer = self.cluster_facts(place).await?.issuer;
        let message = "the cluster has no OpenID Connect issuer, which workload identities need";
        issuer.ok_or_else(|| PortError::permanent(ErrorCode::ClusterUnavailable, message))
    }

    fn known(&self, place: &ScaleInfo) -> Option<&super::KnownCluster> {
        self.settings.clusters.get(&place.aks_cluster_resource_id.to_lowercase())
    }

    /// Asks once; a cluster does not move, and keeps its issuer.
    async fn cluster_facts(&self, place: &ScaleInfo) -> Result<ClusterFacts, PortError> {
        let id = place.aks_cluster_resource_id.to_lowercase();
        let known = self.clusters.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let target = Target { id: &place.aks_cluster_resource_id, version: VERSION };
        let found = self.resource_manager.get(target).await;
        let found = found.map_err(|failure| failure.port(ErrorCode::ClusterUnavailable))?;
        let text = |pointer: &str| {
            let text = found.as_ref().and_then(|cluster| cluster.pointer(pointer)).and_then(Value::as_str);
            text.map(str::to_owned)
        };
        let Some(location) = text("/location") else {
            return Err(PortError::permanent(ErrorCode::ClusterUnavailable, "the cluster of the place is not there"));
        };
        let facts = ClusterFacts { location, issuer: text("/properties/oidcIssuerProfile/issuerURL") };
        if facts.issuer.is_some() {
            self.clusters.lock().unwrap_or_else(PoisonError::into_inner).insert(id, facts.clone());
        }
        Ok(facts)
    }
}
