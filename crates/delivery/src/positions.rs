//! Where the partitions of a hub stand, and whose they are: kept outside the
//! process, in the layout that KEDA and the Functions host read
//! (functions-eventhubs-keda.md 4).

use std::fmt;
use std::future::Future;
use std::time::Duration;

use expressions::UtcTime;

use crate::away::Away;

/// The positions of one hub and consumer group.
pub trait Positions: Send + Sync + 'static {
    /// Who owns what.
    fn ownerships(&self) -> impl Future<Output = Result<Vec<Ownership>, Away>> + Send;

    /// Makes `owner` the owner of a partition if nobody changed its ownership
    /// since it had the version `expected`; none means that there is none yet.
    /// No owner releases it. Gives the new version, or none when somebody did.
    fn claim(
        &self,
        partition: &str,
        owner: Option<&str>,
        expected: Option<&Version>,
    ) -> impl Future<Output = Result<Option<Version>, Away>> + Send;

    /// The position of a partition.
    fn checkpoint(&self, partition: &str) -> impl Future<Output = Result<Option<(Checkpoint, Version)>, Away>> + Send;

    /// Writes a position if nobody changed it since it had the version
    /// `expected`; none means that there is none yet. Gives the new version, or
    /// none when somebody did.
    fn write_checkpoint(
        &self,
        partition: &str,
        checkpoint: &Checkpoint,
        expected: Option<&Version>,
    ) -> impl Future<Output = Result<Option<Version>, Away>> + Send;

    /// The last window of a partition that was begun.
    fn window(&self, partition: &str) -> impl Future<Output = Result<Option<WindowMark>, Away>> + Send;

    /// Takes note of a window that is about to be begun.
    fn write_window(&self, partition: &str, window: &WindowMark) -> impl Future<Output = Result<(), Away>> + Send;

    /// Forgets the positions of every other hub that this consumer group read
    /// before: when it reads one of them again, it starts from its beginning
    /// (design.md D14). Gives what was forgotten, as `namespace/hub/partition`.
    fn forget_others(&self) -> impl Future<Output = Result<Vec<String>, Away>> + Send;
}

/// One state of what is stored, to notice that somebody changed it: an ETag.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(pub String);

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who owns a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The partition.
    pub partition: String,
    /// Its owner; none when it was released.
    pub owner: Option<String>,
    /// How long ago it was claimed or renewed, by the clock of the store.
    pub age: Duration,
    /// For the next claim.
    pub version: Version,
}

/// The last event of a partition that everything is done for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its sequence number.
    pub sequence_number: i64,
    /// Its offset; empty when it is not known.
    pub offset: String,
}

/// A window of a partition: what it holds, and since when it is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowMark {
    /// Sequence number of its first event.
    pub first: i64,
    /// Sequence number of its last event.
    pub last: i64,
    /// When it was begun.
    pub begun: UtcTime,
}
