//! Whose the partitions are, where several hosts read one consumer group.
//!
//! On one machine a host has all of them. Hosts in pods share them out by the
//! ownership blobs of functions-eventhubs-keda.md 4.1; whoever starts such a
//! host brings the store of these.

use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::functions_host::checkpoints::PartitionKey;

/// Shares partitions out among hosts.
pub trait Sharing: Send + Sync + std::fmt::Debug + 'static {
    /// Waits until the partition is this host's. What it gives becomes true
    /// when the partition is another's, or may be.
    fn own(&self, key: &PartitionKey) -> BoxFuture<'_, watch::Receiver<bool>>;
}
