//! The Functions host's own storage: where it says who owns a partition.

use std::sync::Arc;

use azure::{BlobPositions, CredentialSettings, TokenCredential};
use delivery::{Away, Fence, Source, Unfenced};
use futures::future::{BoxFuture, FutureExt};
use serde::Deserialize;
use url::Url;

use crate::{Checks, non_blank};

/// The container of the Event Hubs extension (functions-eventhubs-keda.md 4.1).
const CONTAINER: &str = "azure-webjobs-eventhub";

/// `AzureWebJobsStorage…`, as far as it names an account by identity; flatten
/// this into a function's own.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct HostStorageSettings {
    #[serde(rename = "azurewebjobsstorage__accountname")]
    account: Option<String>,
    #[serde(rename = "azurewebjobsstorage__blobserviceuri")]
    blobs: Option<String>,
    #[serde(rename = "azurewebjobsstorage__credential")]
    credential: Option<String>,
    #[serde(rename = "azurewebjobsstorage__clientid")]
    client_id: Option<String>,
}

/// Where the host says who owns a partition, if that can be read: a storage
/// account that is opened by identity.
#[derive(Clone, Default)]
pub struct HostOwnership(Option<(Url, Option<Arc<dyn TokenCredential>>)>);

impl std::fmt::Debug for HostOwnership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may carry a SAS.
        f.debug_tuple("HostOwnership").field(&self.0.as_ref().map(|(url, _)| url.host_str())).finish()
    }
}

impl HostStorageSettings {
    /// Checks the settings. With a connection string, which our client cannot
    /// use, nothing can be read.
    pub fn check(self, checks: &mut Checks) -> HostOwnership {
        let named = non_blank(self.account).map(|name| format!("https://{name}.blob.core.windows.net/"));
        let url = checks.url("AzureWebJobsStorage__blobServiceUri", non_blank(self.blobs).or(named));
        let client_id = non_blank(self.client_id);
        let managed = CredentialSettings::ManagedIdentity { client_id: client_id.clone() };
        let workload = CredentialSettings::WorkloadIdentity { client_id, tenant_id: None, token_file: None };
        let expected = "`managedidentity` or `workloadidentity`";
        let kind = checks.optional("AzureWebJobsStorage__credential", self.credential, expected, |text| {
            match text.to_ascii_lowercase().as_str() {
                "managedidentity" => Some(managed.clone()),
                "workloadidentity" => Some(workload),
                _ => None,
            }
        });
        let Some(mut url) = url else { return HostOwnership(None) };
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(CONTAINER);
        }
        if url.query().is_some() {
            return HostOwnership(Some((url, None)));
        }
        match kind.unwrap_or(managed).credential() {
            Ok(credential) => HostOwnership(Some((url, Some(credential)))),
            Err(error) => {
                checks.problem(format!("the settings `AzureWebJobsStorage__…` cannot be used: {error}"));
                HostOwnership(None)
            }
        }
    }
}

impl HostOwnership {
    /// The fence of an invocation that begins now: it holds as long as the
    /// partition has the owner that it has now (design.md D13).
    pub async fn fence(&self, source: &Source) -> Result<Box<dyn Fence>, Away> {
        let Some((container, credential)) = &self.0 else { return Ok(Box::new(Unfenced)) };
        let positions = BlobPositions::new(container, (source, "the Functions host"), credential.clone())
            .map_err(|error| Away::new("the storage of the Functions host", error))?;
        let owner = positions.owner(&source.partition).await?;
        Ok(Box::new(HostFence { positions, partition: source.partition.clone(), owner }))
    }
}

struct HostFence {
    positions: BlobPositions,
    partition: String,
    owner: Option<String>,
}

impl Fence for HostFence {
    /// The host renews by itself and does not say when.
    fn holds(&self) -> bool {
        true
    }

    fn confirm(&self) -> BoxFuture<'_, Result<bool, Away>> {
        async { Ok(self.positions.owner(&self.partition).await? == self.owner) }.boxed()
    }
}
