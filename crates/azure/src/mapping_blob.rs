//! A mapping in a blob, downloaded only when it changed.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::{StatusCode, Url};
use azure_storage_blob::BlobClient;
use azure_storage_blob::models::BlobClientDownloadOptions;
use delivery::{Away, Load, MappingSource};

const WHAT: &str = "the mapping blob";

/// The blob that holds a mapping; its version is its ETag.
pub struct MappingBlob {
    client: BlobClient,
    name: String,
}

impl std::fmt::Debug for MappingBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client's URL may carry a SAS.
        f.debug_struct("MappingBlob").field("name", &self.name).finish_non_exhaustive()
    }
}

impl MappingBlob {
    /// The blob `name` in `container`. The URL may carry a SAS; then there is
    /// no credential.
    pub fn new(
        container: &Url,
        name: &str,
        credential: Option<Arc<dyn TokenCredential>>,
    ) -> azure_core::Result<MappingBlob> {
        let mut url = container.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(name.split('/'));
        }
        Ok(MappingBlob { client: BlobClient::new(url, credential, None)?, name: name.to_owned() })
    }

    async fn download(&self, known: Option<&str>) -> azure_core::Result<Option<Load>> {
        let options = BlobClientDownloadOptions { if_none_match: known.map(Into::into), ..Default::default() };
        let result = match self.client.download(Some(options)).await {
            Err(error) if error.http_status() == Some(StatusCode::NotModified) => return Ok(None),
            result => result?,
        };
        let version = result.properties.etag.map(|etag| etag.to_string()).unwrap_or_default();
        let text = result.body.collect().await?;
        Ok(Some(Load { version, text: text.to_vec() }))
    }
}

impl MappingSource for MappingBlob {
    async fn load(&self, known: Option<&str>) -> Result<Option<Load>, Away> {
        // What the storage says of a failure names the blob and a code, never what is in it.
        self.download(known).await.map_err(|error| Away::new(WHAT, format!("`{}`: {error}", self.name)))
    }
}
