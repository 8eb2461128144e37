//! What the delivery loop tells of its work, for metrics; what is worth a line
//! it logs itself.

use std::time::Duration;

use crate::batch::Source;
use crate::window::Why;

/// Whoever wants to know. Every method does nothing unless it is written.
pub trait Observer: Send + Sync + 'static {
    /// Hub and positions have been reached once; reading begins.
    fn ready(&self) {}

    /// The loop that shares partitions out has come round, whether or not what
    /// it asked has answered. It does so every ten seconds or so.
    fn came_round(&self) {}

    /// A window or batch was worked through and its position stored, or its
    /// time passed without any event.
    fn flushed(&self, source: &Source, flush: Flush) {
        let _ = (source, flush);
    }

    /// The open window of a partition changed.
    fn window(&self, source: &Source, window: WindowState) {
        let _ = (source, window);
    }

    /// A batch cannot be finished because something is away; it is tried again.
    fn waits(&self, source: &Source, dependency: &'static str) {
        let _ = (source, dependency);
    }

    /// How many events of the partition are enqueued and not worked through.
    fn lag(&self, source: &Source, events: u64) {
        let _ = (source, events);
    }

    /// So many events were gone from the hub before they were read.
    fn expired(&self, source: &Source, events: u64) {
        let _ = (source, events);
    }

    /// Events waited in the hub and none came: the partition is opened anew.
    fn restarted(&self, source: &Source) {
        let _ = source;
    }

    /// How many partitions this process owns.
    fn owned(&self, partitions: usize) {
        let _ = partitions;
    }
}

/// How a window was worked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Why it closed.
    pub why: Why,
    /// How many events it held.
    pub events: usize,
    /// How long it took, retries included.
    pub duration: Duration,
    /// How long storing the position took.
    pub checkpoint_duration: Duration,
    /// The position stored; none when there were no events.
    pub checkpoint: Option<i64>,
}

/// The open window of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowState {
    /// Up to which time of enqueuing events belong to it, once there was one.
    pub end: Option<expressions::UtcTime>,
    /// How many events it holds.
    pub events: usize,
    /// How many it may hold.
    pub limit: usize,
    /// How long ago its first event arrived.
    pub age: Duration,
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Observer for Unobserved {}
