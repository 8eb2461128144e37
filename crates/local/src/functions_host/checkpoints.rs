//! How far each partition was worked through.
//!
//! [`FolderCheckpoints`] lays files out as the extension lays out blobs
//! (functions-eventhubs-keda.md 4.1): container, then names in lower case, with
//! the blob's metadata as the file's JSON.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::functions_host::connection::HubAddress;

/// The container that the extension makes.
const CONTAINER: &str = "azure-webjobs-eventhub";

/// The last event that was worked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// As the service gave it.
    pub offset: String,
    /// As the service gave it.
    pub sequence_number: i64,
}

/// Which partition of which consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionKey {
    /// Fully qualified namespace.
    pub namespace: String,
    /// Hub.
    pub hub: String,
    /// Consumer group.
    pub consumer_group: String,
    /// Partition id.
    pub partition: String,
}

impl PartitionKey {
    pub(super) fn new(hub: &HubAddress, consumer_group: &str, partition: &str) -> Self {
        Self {
            namespace: hub.namespace.clone(),
            hub: hub.hub.clone(),
            consumer_group: consumer_group.to_owned(),
            partition: partition.to_owned(),
        }
    }

    /// The blob's name: all but the partition id in lower case.
    pub fn blob_name(&self) -> String {
        let group = format!("{}/{}/{}", self.namespace, self.hub, self.consumer_group).to_lowercase();
        format!("{group}/checkpoint/{}", self.partition)
    }
}

/// Keeps checkpoints. Calls block; the host makes them off its event loop.
pub trait Checkpoints: Send + Sync + std::fmt::Debug + 'static {
    /// The stored checkpoint, if any.
    fn read(&self, key: &PartitionKey) -> io::Result<Option<Checkpoint>>;
    /// Stores a checkpoint durably.
    fn write(&self, key: &PartitionKey, checkpoint: &Checkpoint) -> io::Result<()>;
}

/// Checkpoints in a folder.
#[derive(Clone, Debug)]
pub struct FolderCheckpoints {
    root: PathBuf,
}

/// A checkpoint blob's metadata, which are all texts.
#[derive(Serialize, Deserialize)]
struct Metadata {
    sequencenumber: String,
    offset: String,
    clientidentifier: String,
}

impl FolderCheckpoints {
    /// Below `folder`, which is made when something is written.
    pub fn new(folder: &Path) -> Self {
        Self { root: folder.join(CONTAINER) }
    }

    fn path(&self, key: &PartitionKey) -> io::Result<PathBuf> {
        let name = key.blob_name();
        // Names come from settings; they stay inside the folder.
        let is_plain = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !is_plain || name.contains('\\') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name in the checkpoint's path is not usable"));
        }
        Ok(self.root.join(name))
    }
}

impl Checkpoints for FolderCheckpoints {
    fn read(&self, key: &PartitionKey) -> io::Result<Option<Checkpoint>> {
        let text = match fs::read_to_string(self.path(key)?) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata: Metadata = serde_json::from_str(&text)?;
        let number = metadata.sequencenumber.parse();
        let sequence_number = number.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(Checkpoint { offset: metadata.offset, sequence_number }))
    }

    fn write(&self, key: &PartitionKey, checkpoint: &Checkpoint) -> io::Result<()> {
        let path = self.path(key)?;
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let metadata = Metadata {
            sequencenumber: checkpoint.sequence_number.to_string(),
            offset: checkpoint.offset.clone(),
            clientidentifier: "functions-host-stand-in".to_owned(),
        };
        // Written beside and moved, so that a crash leaves the old or the new.
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(serde_json::to_string(&metadata)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hub: &str) -> PartitionKey {
        PartitionKey {
            namespace: "NS1.servicebus.windows.net".to_owned(),
            hub: hub.to_owned(),
            consumer_group: "$Default".to_owned(),
            partition: "0".to_owned(),
        }
    }

    #[test]
    fn keeps_the_layout_of_the_blobs() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = FolderCheckpoints::new(folder.path());
        assert_eq!(checkpoints.read(&key("Hub1")).unwrap(), None);
        for sequence_number in [41, 42] {
            let checkpoint = Checkpoint { offset: "4200".to_owned(), sequence_number };
            checkpoints.write(&key("Hub1"), &checkpoint).unwrap();
            assert_eq!(checkpoints.read(&key("Hub1")).unwrap(), Some(checkpoint));
        }
        let path = "azure-webjobs-eventhub/ns1.servicebus.windows.net/hub1/$default/checkpoint/0";
        let text = fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(text, r#"{"sequencenumber":"42","offset":"4200","clientidentifier":"functions-host-stand-in"}"#);
    }

    #[test]
    fn stays_inside_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint { offset: String::new(), sequence_number: 0 };
        let error = FolderCheckpoints::new(folder.path()).write(&key(".."), &checkpoint).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
