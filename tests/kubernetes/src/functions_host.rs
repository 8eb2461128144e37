//! The Functions host stand-in for a pod: takes its settings from the rendered
//! environment as the real host does, keeps checkpoints in blobs, and shares
//! partitions with the hosts in other pods by ownership blobs
//! (functions-eventhubs-keda.md 4.1).
//!
//! Not as the real one: ownership lasts 15 seconds and is looked at every
//! second, so that a test need not wait for minutes; the storage is Azurite
//! with its well-known account.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure::BlobPositions;
use delivery::{Away, Claim, Positions, Source, claims};
use end_to_end::azurite::SAS;
use futures::future::BoxFuture;
use local::functions_host::{Checkpoint, Checkpoints, PartitionKey, Sharing};
use reqwest::Url;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Where the real host keeps them too.
const CONTAINER: &str = "azure-webjobs-eventhub";

/// How long an ownership counts that is not renewed.
const EXPIRY: Duration = Duration::from_secs(15);

/// How often ownership is renewed and partitions are shared out.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// Why the storage cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("AzureWebJobsStorage: {0}")]
pub struct StorageError(String);

/// Checkpoints and ownership of one hub's partitions in blobs.
#[derive(Clone, Debug)]
pub struct Blobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    container: Url,
    owner: String,
    /// Kept for work that blocks.
    runtime: Handle,
    hub: Mutex<Option<Arc<BlobPositions>>>,
    wanted: Mutex<BTreeSet<String>>,
    /// What is ours, and how to say that it is not any more.
    owned: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    /// Changes when something became ours.
    gained: watch::Sender<u64>,
}

impl Blobs {
    /// Those of a connection string of Azurite, for a host that calls itself
    /// `owner`.
    pub fn open(connection: &str, owner: &str) -> Result<Blobs, StorageError> {
        let endpoint = connection.split(';').find_map(|part| part.trim().strip_prefix("BlobEndpoint="));
        let endpoint = endpoint.ok_or_else(|| StorageError("it has no BlobEndpoint".to_owned()))?;
        let container = format!("{}/{CONTAINER}?{SAS}", endpoint.trim_end_matches('/'));
        let container = Url::parse(&container).map_err(|error| StorageError(format!("BlobEndpoint: {error}")))?;
        Ok(Blobs(Arc::new(Shared {
            container,
            owner: owner.to_owned(),
            runtime: Handle::current(),
            hub: Mutex::default(),
            wanted: Mutex::default(),
            owned: Mutex::default(),
            gained: watch::channel(0).0,
        })))
    }

    /// Gives everything back, as a host that stops does.
    pub async fn release(&self) {
        let owned: Vec<String> = lock(&self.0.owned).keys().cloned().collect();
        let Some(positions) = lock(&self.0.hub).clone() else { return };
        for ownership in positions.ownerships().await.unwrap_or_default() {
            if owned.contains(&ownership.partition) && ownership.owner.as_deref() == Some(&self.0.owner) {
                report(positions.claim(&ownership.partition, None, Some(&ownership.version)).await);
            }
        }
    }

    /// The positions of the hub; the first time partitions begin to be shared
    /// out.
    fn positions(&self, key: &PartitionKey) -> io::Result<Arc<BlobPositions>> {
        let mut hub = lock(&self.0.hub);
        if let Some(positions) = &*hub {
            return Ok(positions.clone());
        }
        let source = Source {
            namespace: key.namespace.clone(),
            hub: key.hub.clone(),
            consumer_group: key.consumer_group.clone(),
            partition: String::new(),
        };
        let positions = BlobPositions::new(&self.0.container, (&source, "functions-host"), None);
        let positions = Arc::new(positions.map_err(io::Error::other)?);
        *hub = Some(positions.clone());
        let (shared, of) = (self.0.clone(), positions.clone());
        self.0.runtime.spawn(async move {
            let mut every = tokio::time::interval(RENEW_EVERY);
            loop {
                every.tick().await;
                if let Err(away) = shared.share_out(&of).await {
                    tracing::warn!(error = delivery::away::error_chain(&away), "Partitions cannot be shared out");
                }
            }
        });
        Ok(positions)
    }

    fn owns(&self, partition: &str) -> bool {
        lock(&self.0.owned).contains_key(partition)
    }
}

impl Shared {
    /// Renews what is ours, and claims what ought to be.
    async fn share_out(&self, positions: &BlobPositions) -> Result<(), Away> {
        let ownerships = positions.ownerships().await?;
        let held: Vec<String> = lock(&self.owned).keys().cloned().collect();
        for partition in &held {
            let stored = ownerships.iter().find(|ownership| ownership.partition == *partition);
            let ours = stored.filter(|stored| stored.owner.as_deref() == Some(&self.owner));
            let renewed = match ours {
                Some(stored) => positions.claim(partition, Some(&self.owner), Some(&stored.version)).await?,
                None => None,
            };
            if renewed.is_none() {
                self.lose(partition);
            }
        }
        let partitions: Vec<String> = lock(&self.wanted).iter().cloned().collect();
        let held = lock(&self.owned).keys().cloned().collect::<BTreeSet<_>>();
        let random = || u64::from(uuid::Uuid::new_v4().as_fields().0);
        let is_held = |partition: &str| held.contains(partition);
        for claim in claims(&partitions, &ownerships, (&self.owner, &is_held), EXPIRY, random) {
            let Claim { partition, expected, .. } = claim;
            if positions.claim(&partition, Some(&self.owner), expected.as_ref()).await?.is_some() {
                tracing::info!(partition, owner = self.owner, "Owns a partition");
                lock(&self.owned).insert(partition, watch::channel(false).0);
                self.gained.send_modify(|times| *times += 1);
            }
        }
        Ok(())
    }

    fn lose(&self, partition: &str) {
        if let Some(lost) = lock(&self.owned).remove(partition) {
            tracing::info!(partition, owner = self.owner, "Does not own a partition any more");
            lost.send_replace(true);
        }
    }
}

impl Sharing for Blobs {
    fn own(&self, key: &PartitionKey) -> BoxFuture<'_, watch::Receiver<bool>> {
        let key = key.clone();
        Box::pin(async move {
            lock(&self.0.wanted).insert(key.partition.clone());
            if let Err(error) = self.positions(&key) {
                tracing::error!(error = %error, "The storage cannot be used");
            }
            let mut gained = self.0.gained.subscribe();
            loop {
                gained.mark_unchanged();
                if let Some(lost) = lock(&self.0.owned).get(&key.partition) {
                    return lost.subscribe();
                }
                if gained.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
    }
}

impl Checkpoints for Blobs {
    fn read(&self, key: &PartitionKey) -> io::Result<Option<Checkpoint>> {
        let positions = self.positions(key)?;
        let stored = self.0.runtime.block_on(positions.checkpoint(&key.partition)).map_err(io::Error::other)?;
        Ok(stored.map(|(stored, _)| Checkpoint { offset: stored.offset, sequence_number: stored.sequence_number }))
    }

    /// Without a condition on what is there, as .NET writes it, but not once the
    /// partition is another's.
    fn write(&self, key: &PartitionKey, checkpoint: &Checkpoint) -> io::Result<()> {
        let positions = self.positions(key)?;
        let (number, offset) = (checkpoint.sequence_number, checkpoint.offset.clone());
        let checkpoint = delivery::Checkpoint { sequence_number: number, offset };
        let writing = async {
            loop {
                if !self.owns(&key.partition) {
                    return Ok(());
                }
                let stored = positions.checkpoint(&key.partition).await?.map(|(_, version)| version);
                if positions.write_checkpoint(&key.partition, &checkpoint, stored.as_ref()).await?.is_some() {
                    return Ok(());
                }
            }
        };
        self.0.runtime.block_on(writing).map_err(|away: Away| io::Error::other(away))
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn report<T>(done: Result<T, Away>) {
    if let Err(away) = done {
        tracing::warn!(error = delivery::away::error_chain(&away), "An ownership cannot be given back");
    }
}
