//! What lies between the processes and everything else: the way there and back,
//! and what goes wrong on it.
//!
//! ```text
//! process --[before: refused]--> way --> effect --> way --[after: answer lost]--> process
//! ```
//!
//! What is on its way arrives, whether or not whoever sent it still lives.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delivery::Runtime;
use futures::FutureExt;
use futures::channel::oneshot;
use simulator::{Chance, SimulatedRuntime};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process is killed.
    Kill,
    /// A process stands still for a while, up to longer than an ownership lasts.
    Freeze,
    /// A replica comes.
    Join,
    /// A process stops as it is told to.
    Leave,
    /// Somebody deletes who owns a partition.
    OwnershipLost,
    /// A partition is given to somebody who is not there.
    OwnershipStolen,
    /// A store of positions does not take a request.
    PositionsAway,
    /// It does what it is asked, and its answer is lost.
    PositionsAnswerLost,
    /// The hub does not answer.
    HubAway,
    /// A link is detached in mid-stream.
    HubDetached,
    /// The internal hub takes nothing: it is throttled.
    SendRefused,
    /// It takes a batch, and its answer is lost.
    SendAnswerLost,
    /// Dead letters cannot be written: the disk is full.
    LettersAway,
    /// What waits cannot be reached, or its answer is lost.
    ParkingAway,
    /// A way takes seconds, up to 25.
    Slow,
    /// The FHIR server cannot be connected to.
    FhirRefused,
    /// It answers 429 with `Retry-After`.
    FhirThrottled,
    /// It answers 503.
    FhirUnavailable,
    /// It does what it is asked, and a gateway answers 504 in its stead.
    FhirGateway,
    /// It does what it is asked, and its answer is lost or comes too late.
    FhirAnswerLost,
    /// Of a bundle a part is done, and there is no answer.
    FhirHalfBundle,
    /// Somebody else changes an Observation.
    FhirOtherWriter,
    /// Somebody else makes an Observation right before we do.
    FhirRival,
    /// A clinician deletes an Observation.
    FhirDeleted,
    /// It is down for minutes.
    FhirDown,
    /// A Device appears on it, of which readings were parked.
    DeviceAppears,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 26] = [
        Fault::Kill,
        Fault::Freeze,
        Fault::Join,
        Fault::Leave,
        Fault::OwnershipLost,
        Fault::OwnershipStolen,
        Fault::PositionsAway,
        Fault::PositionsAnswerLost,
        Fault::HubAway,
        Fault::HubDetached,
        Fault::SendRefused,
        Fault::SendAnswerLost,
        Fault::LettersAway,
        Fault::ParkingAway,
        Fault::DeviceAppears,
        Fault::Slow,
        Fault::FhirRefused,
        Fault::FhirThrottled,
        Fault::FhirUnavailable,
        Fault::FhirGateway,
        Fault::FhirAnswerLost,
        Fault::FhirHalfBundle,
        Fault::FhirOtherWriter,
        Fault::FhirRival,
        Fault::FhirDeleted,
        Fault::FhirDown,
    ];
}

/// How often what goes wrong, in a thousand.
pub type Rates = BTreeMap<Fault, u64>;

/// All that is outside of the processes, but for what they read and write.
pub struct World {
    runtime: Arc<SimulatedRuntime>,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    rates: Rates,
    counts: BTreeMap<Fault, u64>,
    /// Until when the FHIR server is down, and what it answers then.
    down: Option<(Duration, Option<u16>)>,
    /// None when nobody reads it.
    trace: Option<Vec<String>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// There was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl World {
    /// A world in which things go wrong at these rates.
    pub fn new(runtime: Arc<SimulatedRuntime>, chance: Chance, rates: Rates, traced: bool) -> World {
        let (counts, down) = (BTreeMap::new(), None);
        let state = State { chance, rates, counts, down, trace: traced.then(Vec::new) };
        World { runtime, state: Mutex::new(state) }
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        let mut state = self.state();
        state.rates.clear();
        state.down = None;
    }

    /// Its clock and its tasks.
    pub fn runtime(&self) -> &Arc<SimulatedRuntime> {
        &self.runtime
    }

    /// Whether it goes wrong now, by chance; then it counts.
    pub fn strikes(&self, fault: Fault) -> bool {
        let strikes = self.chance_of(fault);
        if strikes {
            self.count(fault);
        }
        strikes
    }

    /// Whether it is to go wrong now, by chance, if it can.
    pub fn chance_of(&self, fault: Fault) -> bool {
        let mut state = self.state();
        let rate = state.rates.get(&fault).copied();
        rate.is_some_and(|rate| state.chance.in_thousand(rate))
    }

    /// Takes note of something that goes wrong.
    pub fn count(&self, fault: Fault) {
        *self.state().counts.entry(fault).or_default() += 1;
        self.trace(|| format!("! {fault:?}"));
    }

    /// The FHIR server is down for so long, and answers this, or nothing.
    pub fn bring_down(&self, duration: Duration, status: Option<u16>) {
        let until = self.runtime.elapsed() + duration;
        self.count(Fault::FhirDown);
        self.state().down = Some((until, status));
    }

    /// What the FHIR server answers when it is down now.
    pub fn down(&self) -> Option<Option<u16>> {
        let now = self.runtime.elapsed();
        self.state().down.filter(|(until, _)| now < *until).map(|(_, status)| status)
    }

    /// What went wrong, and how often.
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        self.state().counts.clone()
    }

    /// Chance, for whoever decides something.
    pub fn chance<T>(&self, decide: impl FnOnce(&mut Chance) -> T) -> T {
        decide(&mut self.state().chance)
    }

    /// Adds a line to the trace, if somebody reads it.
    pub fn trace(&self, line: impl FnOnce() -> String) {
        let at = self.runtime.elapsed();
        if let Some(trace) = &mut self.state().trace {
            trace.push(format!("{:>9.3} {}", at.as_secs_f64(), line()));
        }
    }

    /// The trace so far.
    pub fn traced(&self) -> Vec<String> {
        self.state().trace.clone().unwrap_or_default()
    }

    /// One way from here to there.
    pub async fn way(&self) {
        let slow = self.strikes(Fault::Slow);
        let time = self.chance(|chance| chance.milliseconds(if slow { 500..25_000 } else { 1..30 }));
        self.runtime.sleep(time).await;
    }

    /// Lets `effect` happen, whether or not the process still waits for it then.
    /// `before` is what can keep it from happening, `after` what can keep its
    /// answer from coming.
    pub async fn call<T: Send + 'static>(
        self: &Arc<World>,
        process: &SimulatedRuntime,
        (before, after): (Fault, Option<Fault>),
        effect: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Lost> {
        if self.strikes(before) {
            self.way().await;
            process.thawed().await;
            return Err(Lost);
        }
        let is_lost = after.is_some_and(|after| self.strikes(after));
        let told = self.send(is_lost, effect);
        // Whoever waits learns of it at the end, or before it has happened.
        let is_early = is_lost && self.chance(|chance| chance.in_thousand(500));
        let answer = if is_early {
            self.way().await;
            Err(Lost)
        } else {
            told.await.map_err(|_| Lost)
        };
        process.thawed().await;
        answer
    }

    /// Sends something on its way; its answer comes on the channel, or nothing
    /// when it is lost.
    pub fn send<T: Send + 'static>(
        self: &Arc<World>,
        is_lost: bool,
        effect: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        let world = self.clone();
        let there_and_back = async move {
            world.way().await;
            let done = effect.await;
            world.way().await;
            if !is_lost {
                // Whoever asked may be gone.
                drop(tell.send(done));
            }
        };
        self.runtime.spawn(there_and_back.boxed());
        told
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
