//! Under what a batch is worked on: who may write, and since when.

use std::fmt;
use std::time::SystemTime;

use futures::future::{BoxFuture, FutureExt, ready};

use crate::away::Away;

/// Whether a partition is still ours. Event Hubs lets two receivers overlap
/// for a moment, and two writers of one Observation can lose a reading
/// (design.md D13).
pub trait Fence: Send + Sync {
    /// Whether the next request may still be sent: its answer would come before
    /// the ownership can have passed to another. To be asked before every send
    /// and every write; costs nothing.
    fn holds(&self) -> bool;

    /// Looks at who owns the partition now. To be asked when another writer
    /// has shown itself: after 409, 412, or an overwrite.
    fn confirm(&self) -> BoxFuture<'_, Result<bool, Away>>;
}

/// The fence of what belongs to no partition, such as events that come by
/// HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Unfenced;

impl Fence for Unfenced {
    fn holds(&self) -> bool {
        true
    }

    fn confirm(&self) -> BoxFuture<'_, Result<bool, Away>> {
        ready(Ok(true)).boxed()
    }
}

/// The turn of one batch.
#[derive(Clone, Copy)]
pub struct Turn<'t> {
    /// Whether its partition is still ours.
    pub fence: &'t dyn Fence,
    /// Which term of ownership this is. What was seen of the destination in
    /// another term counts no more: somebody else may have written since.
    pub term: u64,
    /// Given when the batch may have been begun before and not finished, here
    /// or in a process that is gone: nothing of it can have been written
    /// earlier than that. What was half done then is looked at again
    /// (design.md D6).
    pub begun_before: Option<SystemTime>,
}

impl Turn<'static> {
    /// The turn of what belongs to no partition and was not begun before.
    pub const UNFENCED: Turn<'static> = Turn { fence: &Unfenced, term: 0, begun_before: None };
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("term", &self.term)
            .field("begun_before", &self.begun_before)
            .finish_non_exhaustive()
    }
}

/// What a batch ends with when its partition may be another's: it is not
/// finished, and nothing more of it is written.
pub fn not_ours() -> Away {
    Away::new("the ownership of the partition", "it was not renewed in time, or is another's")
}
