//! [`Blobs`]: mappings and positions in the storage account of a workspace.

use ::azure::credentials::CredentialSettings;
use ::azure::{StorageError, TextBlobs};
use arm::ErrorCode;
use async_trait::async_trait;

use super::AzurePorts;
use super::failure::Failure;
use crate::ports::{Blobs, MAPPINGS, PortError};

fn failed(what: &str, error: &StorageError) -> PortError {
    let failure = Failure {
        what: what.to_owned(),
        status: error.status.map(u16::from),
        code: error.code.clone().unwrap_or_else(|| "the storage did not answer as it should".to_owned()),
        retry_after_seconds: None,
    };
    failure.port(ErrorCode::StorageProvisioningFailed)
}

impl AzurePorts {
    fn container(&self, account: &str, name: &str) -> Result<TextBlobs, PortError> {
        let cannot = |reason: &str| PortError::permanent(ErrorCode::StorageProvisioningFailed, reason);
        let mut url = self.settings.blobs.of(account).ok_or_else(|| cannot("not the name of a storage account"))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(name);
        }
        let credential = CredentialSettings::Given(self.credential.clone());
        TextBlobs::new(&url, &credential, self.rest.http()).map_err(|_| cannot("the storage cannot be asked"))
    }
}

#[async_trait]
impl Blobs for AzurePorts {
    async fn put_mapping(&self, account: &str, blob: &str, text: &str) -> Result<(), PortError> {
        let put = self.container(account, MAPPINGS)?.put(blob, text).await;
        put.map_err(|error| failed("the blob of a mapping", &error))
    }

    async fn delete_mapping(&self, account: &str, blob: &str) -> Result<(), PortError> {
        let deleted = self.container(account, MAPPINGS)?.delete(blob).await;
        deleted.map_err(|error| failed("the blob of a mapping", &error))
    }

    async fn delete_positions(&self, account: &str, container: &str) -> Result<(), PortError> {
        let deleted = self.container(account, container)?.delete_container().await;
        deleted.map_err(|error| failed("a container of positions", &error))
    }
}
