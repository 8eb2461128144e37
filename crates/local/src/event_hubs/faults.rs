//! Faults that the real service has and a stand-in has not by itself: it
//! throttles, it closes links, and it deletes events whose retention is over. Whoever holds [`Faults`] commands them; from
//! outside they are lines on the standard input of `iotc stand-in event-hubs`.
//!
//! ```text
//! throttle   events are not taken, receivers are closed and refused:
//!            `com.microsoft:server-busy`, until `release`
//! release    ends throttling
//! detach     closes all links to hubs, once: `amqp:link:detach-forced`
//! expire N   all but the last N events of each partition are gone
//! ```
//!
//! Connections stay, and so do the links to `$cbs` and `$management`.

use std::str::FromStr;
use std::sync::Arc;

use fe2o3_amqp::types::definitions::{Error, LinkError};
use tokio::sync::watch;

use super::connection::{custom, error};
use super::store::Store;

/// What is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refuse events and receivers from now on.
    Throttle,
    /// Take them again.
    Release,
    /// Close the links that there are.
    Detach,
    /// Let all but so many events of each partition expire.
    Expire(u64),
}

/// A line names no fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `throttle`, `release`, `detach` or `expire` and a number")]
pub struct UnknownFault;

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(line: &str) -> Result<Self, UnknownFault> {
        match line.trim() {
            "throttle" => Ok(Self::Throttle),
            "release" => Ok(Self::Release),
            "detach" => Ok(Self::Detach),
            other => {
                let kept = other.strip_prefix("expire ").and_then(|kept| kept.trim().parse().ok());
                kept.map(Self::Expire).ok_or(UnknownFault)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_throttled: bool,
    /// How often all links were closed.
    detached: u64,
}

/// Commands faults; stays valid while the stand-in runs.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Commands>);

#[derive(Debug)]
struct Commands {
    states: watch::Sender<State>,
    store: Arc<Store>,
}

impl Faults {
    /// Of all hubs of a store.
    pub(super) fn of(store: Arc<Store>) -> Faults {
        Faults(Arc::new(Commands { states: watch::Sender::default(), store }))
    }

    /// Does what is told, at once.
    pub fn inject(&self, fault: Fault) {
        tracing::info!(?fault, "A fault on command");
        self.0.states.send_modify(|state| match fault {
            Fault::Throttle => state.is_throttled = true,
            Fault::Release => state.is_throttled = false,
            Fault::Detach => state.detached += 1,
            Fault::Expire(kept) => {
                let hubs = self.0.store.hubs();
                hubs.iter().flat_map(|hub| &hub.partitions).for_each(|partition| partition.expire(kept));
            }
        });
    }

    /// Why nothing is taken or given now, if so.
    pub(super) fn busy(&self) -> Option<Error> {
        self.0.states.borrow().is_throttled.then(busy)
    }

    /// What happens to a link that is attached now.
    pub(super) fn of_link(&self) -> LinkFaults {
        let states = self.0.states.subscribe();
        let detached = states.borrow().detached;
        LinkFaults { states, detached }
    }
}

/// The faults that close one link.
#[derive(Debug)]
pub(super) struct LinkFaults {
    states: watch::Receiver<State>,
    detached: u64,
}

impl LinkFaults {
    /// Waits until the link is to be closed like all others.
    pub(super) async fn detached(&mut self) -> Error {
        let detached = self.detached;
        self.until(|state| state.detached > detached).await;
        error(LinkError::DetachForced, "the link is closed on command")
    }

    /// The same, and throttling closes it too.
    pub(super) async fn closed(&mut self) -> Error {
        let detached = self.detached;
        let state = self.until(|state| state.detached > detached || state.is_throttled).await;
        if state.is_throttled { busy() } else { error(LinkError::DetachForced, "the link is closed on command") }
    }

    async fn until(&mut self, is_so: impl FnMut(&State) -> bool) -> State {
        let state = self.states.wait_for(is_so).await.map(|state| *state);
        match state {
            Ok(state) => state,
            // Nobody can command anything any more.
            Err(_) => std::future::pending().await,
        }
    }
}

fn busy() -> Error {
    error(custom("com.microsoft:server-busy"), "the stand-in is throttled on command")
}
