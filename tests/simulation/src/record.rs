//! What happened in a run, for the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use delivery::{EventFate, MeasurementFate};

/// Before or behind the internal hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The customer's hub, which normalize reads.
    Events,
    /// The internal hub, which group-convert reads.
    Measurements,
}

/// An event: side, partition, sequence number.
pub type Place = (Side, String, i64);

/// What happened.
#[derive(Debug, Default)]
pub struct Record {
    state: Mutex<Happened>,
}

/// All that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Happened {
    /// Of each event of the customer's hub that was worked through, its last
    /// fate.
    pub events: BTreeMap<(String, i64), EventFate>,
    /// Of each event of the internal hub, the fates of its measurements.
    pub measurements: BTreeMap<(String, i64), Vec<MeasurementFate>>,
    /// The windows of each partition in the order in which they were begun.
    pub windows: BTreeMap<String, Vec<(i64, i64)>>,
    /// Events with a dead letter.
    pub letters: BTreeSet<Place>,
    /// Notes that a clinician wrote, with the Observation's id.
    pub notes: Vec<(String, String)>,
    /// Observations that a clinician deleted.
    pub deleted: BTreeSet<String>,
    /// Positions as they were stored last.
    checkpoints: BTreeMap<(Side, String), i64>,
    /// Promises that were seen to be broken while it ran.
    pub broken: Vec<String>,
}

impl Record {
    /// Whatever is known so far.
    pub fn happened(&self) -> Happened {
        self.state().clone()
    }

    /// Events were worked through.
    pub fn worked_events(&self, partition: &str, fates: impl Iterator<Item = (i64, EventFate)>) {
        let mut state = self.state();
        state.events.extend(fates.map(|(number, fate)| ((partition.to_owned(), number), fate)));
    }

    /// Measurements were worked through.
    pub fn worked_measurements(&self, partition: &str, fates: impl Iterator<Item = (i64, Vec<MeasurementFate>)>) {
        let mut state = self.state();
        state.measurements.extend(fates.map(|(number, fates)| ((partition.to_owned(), number), fates)));
    }

    /// A window is about to be begun.
    pub fn window(&self, partition: &str, first: i64, last: i64) {
        let mut state = self.state();
        let windows = state.windows.entry(partition.to_owned()).or_default();
        if !windows.contains(&(first, last)) {
            windows.push((first, last));
        }
    }

    /// A position was stored: everything before it has to be done, and it does
    /// not go back.
    pub fn checkpoint(&self, side: Side, partition: &str, position: i64) {
        let mut state = self.state();
        let before = state.checkpoints.insert((side, partition.to_owned()), position).unwrap_or(-1);
        if position < before {
            state.broken.push(format!("{side:?} {partition}: the position went back from {before} to {position}"));
        }
        let is_done = |number: i64| match side {
            Side::Events => state.events.contains_key(&(partition.to_owned(), number)),
            Side::Measurements => state.measurements.contains_key(&(partition.to_owned(), number)),
        };
        if let Some(undone) = (before + 1..=position).find(|number| !is_done(*number)) {
            let text = format!("{side:?} {partition}: position {position} was stored before event {undone} was done");
            state.broken.push(text);
        }
    }

    /// A dead letter was written.
    pub fn letter(&self, place: Place) {
        self.state().letters.insert(place);
    }

    /// A clinician wrote a note that the server took.
    pub fn note(&self, id: &str, text: String) {
        self.state().notes.push((id.to_owned(), text));
    }

    /// A clinician deleted an Observation.
    pub fn deleted(&self, id: &str) {
        self.state().deleted.insert(id.to_owned());
    }

    /// A promise is broken.
    pub fn broken(&self, what: String) {
        self.state().broken.push(what);
    }

    fn state(&self) -> MutexGuard<'_, Happened> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
