//! Dead letters as blobs, one each, under their keys.
//!
//! ```text
//! <stage>/<hub>/<partition>/<sequence number>-<measurement>-<reason>-<identity>.json
//! ```
//!
//! Form and key are those of [`delivery::stored_letter`]. A blob is only ever
//! created (`If-None-Match: *`), so a letter that is there stays as it is. One
//! that was replayed keeps its place and says so in its metadata, which is why
//! it does not come back when its batch is given again.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use azure_core::Bytes;
use azure_core::http::{NoFormat, RequestContent, StatusCode, Url};
use azure_storage_blob::BlobContainerClient;
use azure_storage_blob::models::{
    BlobContainerClientListBlobsOptions, BlobItem, BlockBlobClientUploadOptions, ListBlobsIncludeItem,
};
use delivery::stored_letter::LetterKey;
use delivery::{Away, DeadLetter, DeadLetters, Parking, StoredDeadLetter};
use expressions::UtcTime;
use futures::{StreamExt, TryStreamExt, stream};

use crate::container::{StorageError, make, open_container, within};
use crate::credentials::CredentialSettings;

const WHAT: &str = "the dead-letter container";

/// How many letters are uploaded at the same time: a window has a few at the
/// most, and a mapping that fails all events must not open a thousand
/// connections.
const UPLOADS_MAX: usize = 16;

/// How long recording the letters of one call may take in all. What is not
/// there by then is given again with its batch.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The metadata of a letter that was replayed: when.
const REPLAYED: &str = "replayed";

const ENDING: &str = ".json";

/// A container of dead letters.
#[derive(Clone)]
pub struct DeadLetterBlobs {
    container: std::sync::Arc<BlobContainerClient>,
}

impl std::fmt::Debug for DeadLetterBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client's URL may carry a SAS.
        f.debug_struct("DeadLetterBlobs").finish_non_exhaustive()
    }
}

impl DeadLetterBlobs {
    /// The letters in a container, which is made with the first letter if it is
    /// not there. The URL may carry a SAS; then the credential is not used.
    pub fn new(container: &Url, credential: &CredentialSettings) -> azure_core::Result<DeadLetterBlobs> {
        Ok(DeadLetterBlobs { container: std::sync::Arc::new(open_container(container, credential)?) })
    }

    /// Whether another is this container, by whatever SAS.
    pub fn is_same_place(&self, other: &DeadLetterBlobs) -> bool {
        let place = |blobs: &DeadLetterBlobs| {
            let url = blobs.container.url();
            (url.host_str().map(str::to_owned), url.port(), url.path().trim_end_matches('/').to_owned())
        };
        place(self) == place(other)
    }

    /// The keys of all letters whose key begins with `prefix`, sorted.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<LetterKey>, StorageError> {
        let options = BlobContainerClientListBlobsOptions {
            include: Some(vec![ListBlobsIncludeItem::Metadata]),
            prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            ..Default::default()
        };
        let mut blobs = self.container.list_blobs(Some(options))?;
        let mut keys = Vec::new();
        loop {
            match within(blobs.try_next()).await {
                Ok(Some(blob)) => keys.extend(key_of(&blob)),
                Ok(None) => break,
                // What was never written to has no letters.
                Err(error) if error.status == Some(StatusCode::NotFound) => break,
                Err(error) => return Err(error),
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// The letter with this key.
    pub async fn read(&self, key: &LetterKey) -> Result<StoredDeadLetter, ReadLetterError> {
        let blob = self.container.blob_client(&name(&key.text));
        let download = async { blob.download(None).await?.body.collect().await };
        let text = within(download).await?;
        serde_json::from_slice(&text).map_err(|error| ReadLetterError::NotALetter {
            key: key.text.clone(),
            line: error.line(),
            column: error.column(),
        })
    }

    /// Takes a letter out of those that wait.
    pub async fn mark_replayed(&self, key: &str) -> Result<(), StorageError> {
        let mut now = String::new();
        UtcTime::from(SystemTime::now()).write_iso(&mut now);
        let metadata = HashMap::from([(REPLAYED.to_owned(), now)]);
        within(self.container.blob_client(&name(key)).set_metadata(&metadata, None)).await?;
        Ok(())
    }

    async fn write(&self, letter: &DeadLetter<'_>) -> Result<(), StorageError> {
        let name = name(&letter.key());
        let stored = StoredDeadLetter::new(letter, UtcTime::from(SystemTime::now()));
        let text = serde_json::to_vec_pretty(&stored).map_err(azure_core::Error::from)?;
        let text = Bytes::from(text);
        let mut made = false;
        loop {
            let error = match self.upload(&name, text.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) if is_there(&error) => return Ok(()),
                Err(error) => error,
            };
            if made || error.code.as_deref() != Some("ContainerNotFound") {
                return Err(error);
            }
            within(make(&self.container)).await?;
            made = true;
        }
    }

    async fn upload(&self, name: &str, text: Bytes) -> Result<(), StorageError> {
        let options = BlockBlobClientUploadOptions {
            blob_content_type: Some("application/json".to_owned()),
            ..BlockBlobClientUploadOptions::default().if_not_exists()
        };
        let blob = self.container.blob_client(name).block_blob_client();
        let content: RequestContent<Bytes, NoFormat> = text.into();
        within(blob.upload(content, Some(options))).await?;
        Ok(())
    }
}

/// Why a letter cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadLetterError {
    /// The storage said no, or cannot be reached.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Something else has its name.
    #[error("`{key}` is not a dead letter: line {line}, column {column}")]
    NotALetter {
        /// The key.
        key: String,
        /// Where it goes wrong. What is there may be a patient's.
        line: usize,
        /// Likewise.
        column: usize,
    },
}

impl DeadLetters for DeadLetterBlobs {
    async fn record(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        self.write_all(letters, WHAT).await
    }
}

const PARKING: &str = "the parking container";

/// The same as a place to wait in; a container of dead letters is another one.
impl Parking for DeadLetterBlobs {
    async fn park(&self, letters: &[DeadLetter<'_>]) -> Result<(), Away> {
        self.write_all(letters, PARKING).await
    }

    async fn parked(&self) -> Result<Vec<String>, Away> {
        let keys = self.keys("").await.map_err(|error| Away::new(PARKING, error))?;
        Ok(keys.into_iter().map(|key| key.text).collect())
    }

    async fn read_parked(&self, key: &str) -> Result<Option<StoredDeadLetter>, Away> {
        match self.read(&LetterKey { text: key.to_owned(), replayed: false }).await {
            Ok(letter) => Ok(Some(letter)),
            Err(ReadLetterError::Storage(error)) if error.status == Some(StatusCode::NotFound) => Ok(None),
            Err(error) => Err(Away::new(PARKING, error)),
        }
    }

    async fn remove_parked(&self, key: &str) -> Result<(), Away> {
        match within(self.container.blob_client(&name(key)).delete(None)).await {
            Ok(_) => Ok(()),
            Err(error) if error.status == Some(StatusCode::NotFound) => Ok(()),
            Err(error) => Err(Away::new(PARKING, error)),
        }
    }
}

impl DeadLetterBlobs {
    async fn write_all(&self, letters: &[DeadLetter<'_>], what: &'static str) -> Result<(), Away> {
        let uploads = letters.iter().map(|letter| self.write(letter)).collect::<Vec<_>>();
        let all = stream::iter(uploads).buffer_unordered(UPLOADS_MAX).try_collect::<Vec<()>>();
        match tokio::time::timeout(TIME_LIMIT, all).await {
            Ok(done) => done.map(drop).map_err(|error| Away::new(what, error)),
            Err(_) => Err(Away::new(what, format!("not all letters were stored within {} s", TIME_LIMIT.as_secs()))),
        }
    }
}

/// Whether the storage refused because the letter is there already. A 409 alone
/// does not say so: a container that is being deleted answers with it too.
fn is_there(error: &StorageError) -> bool {
    const CODES: [&str; 4] =
        ["BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite", "BlobImmutableDueToPolicy"];
    error.code.as_deref().is_some_and(|code| CODES.contains(&code))
}

fn name(key: &str) -> String {
    format!("{key}{ENDING}")
}

fn key_of(blob: &BlobItem) -> Option<LetterKey> {
    let text = blob.name.as_deref()?.strip_suffix(ENDING)?.to_owned();
    let metadata = blob.metadata.as_ref().and_then(|metadata| metadata.values.as_ref());
    let replayed = metadata.is_some_and(|values| values.keys().any(|name| name.eq_ignore_ascii_case(REPLAYED)));
    let key = LetterKey { text, replayed };
    key.parts().is_some().then_some(key)
}
