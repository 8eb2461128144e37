//! Small texts in the blobs of a container, such as mappings, for whoever puts
//! them there and takes them away.

use std::sync::Arc;

use azure_core::Bytes;
use azure_core::http::{RequestContent, StatusCode, Transport, Url};
use azure_storage_blob::BlobContainerClient;

use crate::container::{StorageError, in_container, open_container_over, within};
use crate::credentials::CredentialSettings;

/// A container of texts. It is made with the first of them.
pub struct TextBlobs {
    container: BlobContainerClient,
}

impl std::fmt::Debug for TextBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client's URL may carry a SAS.
        f.debug_struct("TextBlobs").finish_non_exhaustive()
    }
}

impl TextBlobs {
    /// The texts of a container, asked for over a client that does not unpack
    /// what it gets. Asks nobody yet.
    pub fn new(
        container: &Url,
        credential: &CredentialSettings,
        http: reqwest::Client,
    ) -> azure_core::Result<TextBlobs> {
        let transport = Transport::new(Arc::new(http));
        Ok(TextBlobs { container: open_container_over(container, credential, Some(transport))? })
    }

    /// The text of a blob; none when it is not there.
    pub async fn get(&self, name: &str) -> Result<Option<String>, StorageError> {
        let blob = self.container.blob_client(name);
        let read = within(async { blob.download(None).await?.body.collect().await }).await;
        match read {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.status == Some(StatusCode::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a blob hold a text. One that holds it stays as it is, with its
    /// ETag, so that nobody reads it anew.
    pub async fn put(&self, name: &str, text: &str) -> Result<(), StorageError> {
        if self.get(name).await?.is_some_and(|there| there == text) {
            return Ok(());
        }
        let blob = self.container.blob_client(name);
        let text = Bytes::from(text.to_owned());
        let upload = || async { blob.upload(RequestContent::from(text.to_vec()), None).await.map(|_| ()) };
        within(in_container(&self.container, upload)).await
    }

    /// Removes a blob; that it is not there is fine.
    pub async fn delete(&self, name: &str) -> Result<(), StorageError> {
        gone(within(self.container.blob_client(name).delete(None)).await)
    }

    /// Removes the container with what is in it; that it is not there is fine.
    pub async fn delete_container(&self) -> Result<(), StorageError> {
        gone(within(self.container.delete(None)).await)
    }
}

fn gone<T>(deleted: Result<T, StorageError>) -> Result<(), StorageError> {
    match deleted {
        Ok(_) => Ok(()),
        Err(error) if error.status == Some(StatusCode::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}
