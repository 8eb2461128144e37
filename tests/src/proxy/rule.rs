//! What is to go wrong, and for which requests.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::seen::Seen;
use crate::poll::until;

/// What a test does while a request is on its way.
pub type Hook = Arc<dyn Fn(&Seen) + Send + Sync>;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends; the server never sees the request.
    Cut,
    /// The proxy answers, as a gateway would; the server never sees the request.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Seconds for which the client is asked to leave the server alone.
        retry_after: Option<u32>,
    },
    /// The proxy answers each entry with this status; the server sees none.
    AnswerEntries(u16),
    /// The server does it, and the connection ends without its answer.
    LoseAnswer,
    /// The server does it, and no answer ever comes: the client has to give up.
    Silence,
    /// The server does the first half of a bundle; then the connection ends, or
    /// this status is answered to all of it.
    Half(Option<u16>),
    /// Nothing but what happens before.
    Forward,
    /// Stays here, not yet seen by the server, until the rule is released.
    HoldRequest,
    /// Was done by the server; its answer stays here until the rule is released.
    HoldAnswer,
}

/// Which requests. One bundle counts as what one of its entries is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// All.
    Everything,
    /// Those that write an Observation.
    Writes,
    /// Those that write an Observation which the client takes to be new.
    Creates,
    /// Those that write an Observation which the client has seen.
    Updates,
    /// Bundles of at least two entries that write Observations.
    Bundles,
    /// Writes of an Observation that are no bundles.
    SingleWrites,
    /// Reads of what an Observation was before.
    History,
}

impl Of {
    fn includes(self, seen: &Seen) -> bool {
        let any = |is: fn(&super::Entry) -> bool| seen.entries.iter().any(is);
        match self {
            Of::Everything => true,
            Of::Writes => any(super::Entry::writes_observation),
            Of::Creates => any(|entry| entry.writes_observation() && entry.if_none_match),
            Of::Updates => any(|entry| entry.writes_observation() && entry.if_match.is_some()),
            Of::Bundles => seen.entries.len() > 1 && any(super::Entry::writes_observation),
            Of::SingleWrites => !seen.is_bundle && any(super::Entry::writes_observation),
            Of::History => any(|entry| entry.path.contains("/_history")),
        }
    }
}

/// A fault and when it happens.
pub struct Rule {
    pub(super) fault: Fault,
    pub(super) before: Option<Hook>,
    of: Of,
    /// So many of the requests that it is about are let through first.
    skip: usize,
    /// Then every so many of them.
    every: usize,
    /// So often in all.
    times: usize,
    state: Mutex<State>,
    /// How often it has done what it holds a request for.
    reached: AtomicUsize,
    is_released: AtomicBool,
    release: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    fitting: usize,
    injected: usize,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("fault", &self.fault).field("of", &self.of).finish_non_exhaustive()
    }
}

impl Rule {
    /// Every one of these requests, until it is released.
    pub fn new(fault: Fault, of: Of) -> Rule {
        Rule {
            fault,
            before: None,
            of,
            skip: 0,
            every: 1,
            times: usize::MAX,
            state: Mutex::default(),
            reached: AtomicUsize::new(0),
            is_released: AtomicBool::new(false),
            release: watch::Sender::new(false),
        }
    }

    /// So many of them are let through first.
    #[must_use]
    pub fn skip(mut self, skip: usize) -> Rule {
        self.skip = skip;
        self
    }

    /// With 2 only the second, fourth, … of them.
    #[must_use]
    pub fn every(mut self, every: usize) -> Rule {
        self.every = every.max(1);
        self
    }

    /// Only so many of them.
    #[must_use]
    pub fn times(mut self, times: usize) -> Rule {
        self.times = times;
        self
    }

    /// `hook` happens before the server sees the request, or would have seen it.
    #[must_use]
    pub fn after(mut self, hook: impl Fn(&Seen) + Send + Sync + 'static) -> Rule {
        self.before = Some(Arc::new(hook));
        self
    }

    /// Whether this request is one of those, which is then counted.
    pub(super) fn takes(&self, seen: &Seen) -> bool {
        if self.is_released.load(Ordering::SeqCst) || !self.of.includes(seen) {
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fitting += 1;
        let is_one = state.fitting > self.skip && (state.fitting - self.skip).is_multiple_of(self.every);
        let takes = is_one && state.injected < self.times;
        state.injected += usize::from(takes);
        if takes && !matches!(self.fault, Fault::HoldAnswer) {
            self.reached();
        }
        takes
    }

    pub(super) fn reached(&self) {
        self.reached.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns when the rule is released.
    pub(super) async fn released(&self) {
        // The sender is part of the rule, so it is there.
        let _ = self.release.subscribe().wait_for(|released| *released).await;
    }
}

/// A rule that is in force.
#[derive(Clone, Debug)]
pub struct Injected(Arc<Rule>);

impl Injected {
    pub(super) fn new(rule: Arc<Rule>) -> Injected {
        Injected(rule)
    }

    /// How often it came to that.
    pub fn count(&self) -> usize {
        self.0.reached.load(Ordering::SeqCst)
    }

    /// Waits until it came to that so often. A request that is held is then
    /// where it is held: before the server, or done by it.
    ///
    /// # Panics
    /// When it does not within `limit`.
    #[track_caller]
    pub fn wait(&self, times: usize, limit: Duration) {
        until(&format!("{:?} happens {times} times", self.0.fault), limit, || (self.count() >= times).then_some(()));
    }

    /// Ends it: what is held goes on, and what comes is let through.
    pub fn release(&self) {
        self.0.is_released.store(true, Ordering::SeqCst);
        self.0.release.send_replace(true);
    }
}
