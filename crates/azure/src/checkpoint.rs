//! Reads how far a partition was worked through, wherever that was written:
//! the Functions host, the native front and KEDA share one layout
//! (functions-eventhubs-keda.md 4.1).

use azure_storage_blob::BlobContainerClient;
use delivery::Source;

use crate::container::{StorageError, metadata};

/// Why a checkpoint cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The storage said no, or cannot be reached.
    #[error("the checkpoint cannot be read")]
    Storage(#[from] StorageError),
    /// Something else is in its place.
    #[error("the checkpoint has no sequence number")]
    NoSequenceNumber,
}

/// The sequence number of the last event of a partition that everything is done
/// for; none when there is no checkpoint.
pub async fn read_checkpoint(container: &BlobContainerClient, source: &Source) -> Result<Option<i64>, CheckpointError> {
    let Some(metadata) = metadata(container, &blob_name(source)).await? else { return Ok(None) };
    let number = metadata.iter().find(|(name, _)| name.eq_ignore_ascii_case("sequencenumber"));
    match number.and_then(|(_, text)| text.parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(CheckpointError::NoSequenceNumber),
    }
}

/// The name of a checkpoint's blob: all but the partition id in lower case.
pub fn blob_name(source: &Source) -> String {
    let group = format!("{}/{}/{}", source.namespace, source.hub, source.consumer_group).to_lowercase();
    format!("{group}/checkpoint/{}", source.partition)
}
