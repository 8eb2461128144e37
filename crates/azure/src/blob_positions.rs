//! The positions of a hub in a blob container, as the Functions host and KEDA
//! have them (functions-eventhubs-keda.md 4).
//!
//! ```text
//! <namespace>/<hub>/<group>/checkpoint/0   metadata sequencenumber, offset, reader
//! <namespace>/<hub>/<group>/ownership/0    metadata ownerid, reader
//! <namespace>/<hub>/<group>/window/0       metadata first, last, begun, reader
//! ```
//!
//! A container that is not there is made. Every blob is
//! empty. The reader is the function: normalize and group-convert
//! may share a container, and neither forgets what the other stored, nor what
//! the Functions host did. What is written on a condition fails with 409 or 412
//! when somebody else was there.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::headers::{ETAG, HeaderName};
use azure_core::http::{Etag, RequestContent, StatusCode, Url};
use azure_core::time::OffsetDateTime;
use azure_storage_blob::models::{
    BlobClientGetPropertiesResultHeaders, BlobClientSetMetadataOptions, BlobClientUploadOptions,
    BlobContainerClientListBlobsOptions, BlobItem, ListBlobsIncludeItem,
};
use azure_storage_blob::{BlobClient, BlobContainerClient};
use delivery::positions::{Kind, Layout, Listed, NoName, checkpointed, to_forget};
use delivery::{Away, Checkpoint, Ownership, Positions, Source, Version, WindowMark};
use expressions::DateTime;
use futures::TryStreamExt;
use tokio::time::timeout;

use crate::container::in_container;

const WHAT: &str = "the checkpoint storage";

/// How long one request may take. An ownership is renewed every ten seconds
/// and counts for two minutes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

const DATE: HeaderName = HeaderName::from_static("date");

/// Metadata names, as .NET writes them.
const SEQUENCE_NUMBER: &str = "sequencenumber";
const OFFSET: &str = "offset";
const OWNER: &str = "ownerid";
const READER: &str = "reader";
const FIRST: &str = "first";
const LAST: &str = "last";
const BEGUN: &str = "begun";

type Metadata = HashMap<String, String>;

/// Positions in a container.
pub struct BlobPositions {
    container: BlobContainerClient,
    layout: Layout,
    reader: &'static str,
}

impl fmt::Debug for BlobPositions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's URL may carry a SAS.
        f.debug_struct("BlobPositions").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// The container cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPositions {
    /// A name is missing.
    #[error(transparent)]
    NoName(#[from] NoName),
    /// The address or the credential cannot be used.
    #[error(transparent)]
    Client(#[from] azure_core::Error),
}

impl BlobPositions {
    /// The positions of `source` in `container`, whose URL may carry a SAS; then
    /// there is no credential. `reader` is the function that reads. Opens
    /// nothing yet.
    pub fn new(
        container: &Url,
        (source, reader): (&Source, &'static str),
        credential: Option<Arc<dyn TokenCredential>>,
    ) -> Result<BlobPositions, InvalidPositions> {
        let layout = Layout::new(source)?;
        Ok(BlobPositions { container: BlobContainerClient::new(container.clone(), credential, None)?, layout, reader })
    }

    /// Who owns a partition; none when nobody ever did, or it was released.
    pub async fn owner(&self, partition: &str) -> Result<Option<String>, Away> {
        let stored = self.read(Kind::Ownership, partition).await?;
        Ok(stored.and_then(|(mut metadata, _)| metadata.remove(OWNER)).filter(|owner| !owner.is_empty()))
    }

    fn blob(&self, kind: Kind, partition: &str) -> BlobClient {
        self.container.blob_client(&self.layout.name(kind, partition))
    }

    /// Metadata and ETag; none when there is no such blob.
    async fn read(&self, kind: Kind, partition: &str) -> Result<Option<(Metadata, Version)>, Away> {
        let blob = self.blob(kind, partition);
        let reading = async {
            match blob.get_properties(None).await {
                Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(None),
                result => {
                    let properties = result?;
                    Ok(Some((properties.metadata()?, version(properties.etag()?))))
                }
            }
        };
        in_time("reading a position", reading).await
    }

    /// Writes if the blob is as expected. Gives the new version, or none when
    /// it is not.
    async fn write(
        &self,
        (kind, partition): (Kind, &str),
        mut metadata: Metadata,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        metadata.insert(READER.to_owned(), self.reader.to_owned());
        let blob = self.blob(kind, partition);
        let writing = async {
            let written = match expected {
                None => in_container(&self.container, || create(&blob, metadata.clone())).await,
                Some(expected) => change(&blob, &metadata, expected).await,
            };
            match written {
                Err(error) if is_refused(&error, expected.is_some()) => Ok(None),
                written => written.map(Some),
            }
        };
        in_time("writing a position", writing).await
    }

    async fn list(&self, prefix: Option<String>) -> Result<(Vec<BlobItem>, Option<OffsetDateTime>), Away> {
        let listing = in_container(&self.container, || self.listed(prefix.clone()));
        in_time("listing positions", listing).await
    }

    /// The blobs, and the time by the clock of the store.
    async fn listed(&self, prefix: Option<String>) -> azure_core::Result<(Vec<BlobItem>, Option<OffsetDateTime>)> {
        let options = BlobContainerClientListBlobsOptions {
            prefix,
            include: Some(vec![ListBlobsIncludeItem::Metadata]),
            ..Default::default()
        };
        let mut pages = self.container.list_blobs(Some(options))?.into_pages();
        let (mut blobs, mut now) = (Vec::new(), None);
        while let Some(page) = pages.try_next().await? {
            now = page.headers().get_optional_as(&DATE).ok().flatten().or(now);
            blobs.extend(page.into_model()?.blob_items);
        }
        Ok((blobs, now.and_then(|now: String| azure_core::time::parse_rfc7231(&now).ok())))
    }
}

async fn create(blob: &BlobClient, metadata: Metadata) -> azure_core::Result<Version> {
    let options = BlobClientUploadOptions { metadata: Some(metadata), ..Default::default() }.if_not_exists();
    let done = blob.upload(RequestContent::from(Vec::new()), Some(options)).await?;
    Ok(version(done.etag))
}

async fn change(blob: &BlobClient, metadata: &Metadata, expected: &Version) -> azure_core::Result<Version> {
    let if_match = Some(Etag::from(expected.0.as_str()));
    let options = BlobClientSetMetadataOptions { if_match, ..Default::default() };
    let done = blob.set_metadata(metadata, Some(options)).await?;
    let etag = done.headers().get_optional_str(&ETAG).map(Etag::from);
    Ok(version(etag))
}

/// Somebody else was there, or what was expected is not there any more. What
/// is new can miss nothing: its container was made if need be.
fn is_refused(error: &azure_core::Error, is_expected: bool) -> bool {
    match error.http_status() {
        Some(StatusCode::Conflict | StatusCode::PreconditionFailed) => true,
        Some(StatusCode::NotFound) => is_expected,
        _ => false,
    }
}

/// An ETag with its quotes: a listing leaves them out.
fn version(etag: Option<Etag>) -> Version {
    let etag = etag.map(|etag| etag.to_string()).unwrap_or_default();
    Version(if etag.starts_with('"') { etag } else { format!("\"{etag}\"") })
}

/// What the storage says of a failure names a container and a code, never a SAS.
async fn in_time<T>(doing: &'static str, step: impl Future<Output = azure_core::Result<T>>) -> Result<T, Away> {
    match timeout(REQUEST_TIMEOUT, step).await {
        Ok(done) => done.map_err(|error| Away::new(WHAT, format!("{doing}: {error}"))),
        Err(_) => Err(Away::new(WHAT, format!("{doing} took longer than {} s", REQUEST_TIMEOUT.as_secs()))),
    }
}

/// By the clock of the store: those of the processes may differ.
fn store_time(now: Option<OffsetDateTime>) -> Result<OffsetDateTime, Away> {
    now.ok_or_else(|| Away::new(WHAT, "listing positions: the storage does not say what time it is"))
}

fn age(modified: Option<OffsetDateTime>, now: OffsetDateTime) -> Duration {
    modified.and_then(|modified| Duration::try_from(now - modified).ok()).unwrap_or_default()
}

fn number(metadata: &Metadata, name: &str) -> Option<i64> {
    metadata.get(name)?.parse().ok()
}

impl Positions for BlobPositions {
    async fn ownerships(&self) -> Result<Vec<Ownership>, Away> {
        let prefix = self.layout.prefix(Kind::Ownership);
        let (blobs, now) = self.list(Some(prefix.clone())).await?;
        let now = store_time(now)?;
        let ownership = |blob: BlobItem| {
            let partition = blob.name.as_deref()?.strip_prefix(&prefix)?.to_owned();
            let properties = blob.properties?;
            let owner = blob.metadata.and_then(|metadata| metadata.values?.remove(OWNER));
            Some(Ownership {
                partition,
                owner: owner.filter(|owner| !owner.is_empty()),
                age: age(properties.last_modified, now),
                version: version(properties.etag),
            })
        };
        Ok(blobs.into_iter().filter_map(ownership).collect())
    }

    async fn claim(
        &self,
        partition: &str,
        owner: Option<&str>,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let metadata = Metadata::from([(OWNER.to_owned(), owner.unwrap_or_default().to_owned())]);
        self.write((Kind::Ownership, partition), metadata, expected).await
    }

    async fn checkpoint(&self, partition: &str) -> Result<Option<(Checkpoint, Version)>, Away> {
        let Some((metadata, version)) = self.read(Kind::Checkpoint, partition).await? else { return Ok(None) };
        // One that cannot be read is not taken for none: that would give everything again.
        let sequence_number = number(&metadata, SEQUENCE_NUMBER).ok_or_else(|| {
            let name = self.layout.name(Kind::Checkpoint, partition);
            Away::new(WHAT, format!("the blob `{name}` has no number in its metadata `{SEQUENCE_NUMBER}`"))
        })?;
        let offset = metadata.get(OFFSET).cloned().unwrap_or_default();
        Ok(Some((Checkpoint { sequence_number, offset }, version)))
    }

    async fn write_checkpoint(
        &self,
        partition: &str,
        checkpoint: &Checkpoint,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let metadata = Metadata::from([
            (SEQUENCE_NUMBER.to_owned(), checkpoint.sequence_number.to_string()),
            (OFFSET.to_owned(), checkpoint.offset.clone()),
        ]);
        self.write((Kind::Checkpoint, partition), metadata, expected).await
    }

    async fn window(&self, partition: &str) -> Result<Option<(WindowMark, Version)>, Away> {
        let Some((metadata, version)) = self.read(Kind::Window, partition).await? else { return Ok(None) };
        let begun = metadata.get(BEGUN).and_then(|text| DateTime::parse_token(text)).map(|begun| begun.instant);
        let (first, last) = (number(&metadata, FIRST), number(&metadata, LAST));
        let window = match (first, last, begun) {
            (Some(first), Some(last), Some(begun)) => WindowMark { first, last, begun },
            // Whoever wrote it, it was not we.
            _ => WindowMark::UNREADABLE,
        };
        Ok(Some((window, version)))
    }

    async fn write_window(
        &self,
        partition: &str,
        window: &WindowMark,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, Away> {
        let mut begun = String::new();
        window.begun.write_iso(&mut begun);
        let metadata = Metadata::from([
            (FIRST.to_owned(), window.first.to_string()),
            (LAST.to_owned(), window.last.to_string()),
            (BEGUN.to_owned(), begun),
        ]);
        self.write((Kind::Window, partition), metadata, expected).await
    }

    async fn forget_others(&self, expiry: Duration) -> Result<Vec<String>, Away> {
        let (blobs, now) = self.list(None).await?;
        let now = store_time(now)?;
        let listed = |blob: BlobItem| {
            let mut metadata = blob.metadata.and_then(|metadata| metadata.values).unwrap_or_default();
            let owner = metadata.remove(OWNER).filter(|owner| !owner.is_empty());
            let modified = blob.properties.and_then(|properties| properties.last_modified);
            let owned = owner.map(|_| age(modified, now));
            Some(Listed { name: blob.name?, reader: metadata.remove(READER), owned })
        };
        let others = blobs.into_iter().filter_map(listed).filter(|listed| self.layout.is_of_another_hub(&listed.name));
        let forgotten = to_forget(others.collect(), self.reader, expiry);
        for name in &forgotten {
            let blob = self.container.blob_client(name);
            let deleting = async {
                match blob.delete(None).await {
                    Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(()),
                    deleted => deleted.map(|_| ()),
                }
            };
            in_time("forgetting a position", deleting).await?;
        }
        Ok(forgotten.iter().filter_map(|name| checkpointed(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_has_its_quotes() {
        assert_eq!(version(Some(Etag::from("\"0x8D\""))), Version("\"0x8D\"".to_owned()));
        assert_eq!(version(Some(Etag::from("0x8D"))), Version("\"0x8D\"".to_owned()));
    }
}
