//! The blobs of all workspaces in one storage account that a shared access
//! signature opens, such as Azurite's: where workloads run on a cluster of this
//! machine, and folders would be nothing to them.

use std::path::PathBuf;

use ::azure::credentials::CredentialSettings;
use ::azure::{StorageError, TextBlobs};
use arm::ErrorCode;
use async_trait::async_trait;
use serde::Deserialize;
use url::Url;

use crate::ports::{Blobs, MAPPINGS, PortError};

/// Where the account is, and how it is opened.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SasBlobs {
    /// The address of its blobs: `http://127.0.0.1:10000/devstoreaccount1`.
    pub service: Url,
    /// The file of the signature: its query, without `?`.
    pub sas: PathBuf,
}

impl SasBlobs {
    fn container(&self, name: &str) -> Result<TextBlobs, PortError> {
        let mut url = self.service.clone();
        let sas = std::fs::read_to_string(&self.sas)
            .map_err(|error| failed(&format!("`{}` cannot be read: {error}", self.sas.display())))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(name);
        }
        url.set_query(Some(sas.trim()));
        // Whoever has a signature needs no credential.
        TextBlobs::new(&url, &CredentialSettings::DeveloperTools, client()?)
            .map_err(|_| failed("the storage cannot be asked"))
    }
}

/// One that does not unpack what it gets, as the SDK wants it.
fn client() -> Result<reqwest::Client, PortError> {
    // Azurite ends idle connections after five seconds; a request must not meet that.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0);
    client.no_gzip().no_deflate().no_brotli().build().map_err(|_| failed("HTTP cannot be used"))
}

/// The errors of the SDK say no URL, which has the signature.
fn said(what: &'static str) -> impl Fn(StorageError) -> PortError {
    move |error| {
        failed(&format!("{what}: {}", error.code.as_deref().unwrap_or("the storage does not answer as it should")))
    }
}

fn failed(message: &str) -> PortError {
    PortError::transient(ErrorCode::StorageProvisioningFailed, message)
}

#[async_trait]
impl Blobs for SasBlobs {
    async fn put_mapping(&self, _: &str, blob: &str, text: &str) -> Result<(), PortError> {
        self.container(MAPPINGS)?.put(blob, text).await.map_err(said("the blob of a mapping"))
    }

    async fn delete_mapping(&self, _: &str, blob: &str) -> Result<(), PortError> {
        self.container(MAPPINGS)?.delete(blob).await.map_err(said("the blob of a mapping"))
    }

    async fn delete_positions(&self, _: &str, container: &str) -> Result<(), PortError> {
        self.container(container)?.delete_container().await.map_err(said("a container of positions"))
    }
}
