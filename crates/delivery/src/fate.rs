//! How events and measurements end (design.md 2.2).
//!
//! Their JSON is the one form in which fates leave a process: the answers of
//! the functions, of HTTPS ingest, and what the command line reads of them.
//!
//! ```text
//! {"fate":"rejected","reason":"<code>","message":"…","measurements":0}
//! ```

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why something was rejected. Never holds a value or an identifier of the
/// payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable name, for metrics and filters.
    #[serde(rename = "reason")]
    pub code: Cow<'static, str>,
    /// For a person: what was wrong and where in the mapping.
    pub message: String,
}

impl Reason {
    /// A reason with its text.
    pub fn new(code: &'static str, message: impl Into<String>) -> Reason {
        Reason { code: Cow::Borrowed(code), message: message.into() }
    }
}

/// The one end of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "lowercase")]
pub enum EventFate {
    /// It gave this many measurements, and they are in the internal hub.
    Normalized {
        /// At least one.
        measurements: usize,
    },
    /// No template matched.
    Unmatched,
    /// It is among the dead letters.
    Rejected {
        /// Why.
        #[serde(flatten)]
        reason: Reason,
        /// How many measurements it had given before, which are in the hub all
        /// the same (design.md D12).
        measurements: usize,
    },
}

/// The one end of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "lowercase")]
pub enum MeasurementFate {
    /// It is in a new Observation.
    Created,
    /// It changed an Observation that was there.
    Merged,
    /// Its Observation held it already.
    Unchanged,
    /// Another reading of the same instant was ingested later.
    Superseded,
    /// It is among the dead letters.
    Rejected(Reason),
    /// It waits for what it is about to appear on the server (design.md D7),
    /// and has another fate later.
    Parked(Reason),
}

/// The fates of a batch, by the event's index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fates {
    /// Of normalize: one an event.
    Events(Vec<EventFate>),
    /// Of group-convert: one for each measurement of the event.
    Measurements(Vec<Vec<MeasurementFate>>),
}

impl EventFate {
    /// Its name.
    pub fn as_str(&self) -> &'static str {
        match self {
            EventFate::Normalized { .. } => "normalized",
            EventFate::Unmatched => "unmatched",
            EventFate::Rejected { .. } => "rejected",
        }
    }

    /// Why it was rejected, if it was.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            EventFate::Rejected { reason, .. } => Some(reason),
            EventFate::Normalized { .. } | EventFate::Unmatched => None,
        }
    }
}

impl MeasurementFate {
    /// Why it was rejected or parked, if it was.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            MeasurementFate::Rejected(reason) | MeasurementFate::Parked(reason) => Some(reason),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &'static str {
        match self {
            MeasurementFate::Created => "created",
            MeasurementFate::Merged => "merged",
            MeasurementFate::Unchanged => "unchanged",
            MeasurementFate::Superseded => "superseded",
            MeasurementFate::Rejected(_) => "rejected",
            MeasurementFate::Parked(_) => "parked",
        }
    }
}

/// The code of what has no fate, which is a defect of this package.
pub(crate) const NO_FATE: &str = "NoFate";

/// How many measurements of one template ended alike. Templates are named by
/// the mapping and never by what came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateCount {
    /// The type name of the template; none for what the mapping has none for.
    pub template: Option<String>,
    /// `sent` for normalize, a [`MeasurementFate`] for group-convert.
    pub fate: &'static str,
    /// The code of the reason, for what was rejected or parked.
    pub reason: Option<Cow<'static, str>>,
    /// How many.
    pub measurements: usize,
}

/// The fates of a batch do not add up to what came in (design.md 2.2): a defect
/// here. The batch went on; what has no fate of its own is among the dead
/// letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{received} {what} came in and {accounted} are accounted for")]
pub struct Imbalance {
    /// `events` or `measurements`.
    pub what: &'static str,
    /// How many came in, or were said to have been made.
    pub received: usize,
    /// How many of them a fate or a count is there for.
    pub accounted: usize,
}

impl Imbalance {
    /// Compares two counts that have to be one.
    pub(crate) fn check(what: &'static str, received: usize, accounted: usize) -> Result<(), Imbalance> {
        if received == accounted { Ok(()) } else { Err(Imbalance { what, received, accounted }) }
    }
}

impl fmt::Display for EventFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for MeasurementFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counts of a batch, for a log line and the answer.
///
/// `events` is always the sum of the event fates, and the measurements of
/// group-convert the sum of theirs: tested, and checked by whoever sums them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events in.
    pub events: usize,
    /// Events that gave measurements.
    pub normalized: usize,
    /// Events that no template matched.
    pub unmatched: usize,
    /// Events or measurements among the dead letters.
    pub rejected: usize,
    /// Measurements: sent by normalize, received by group-convert.
    pub measurements: usize,
    /// Measurements in new Observations.
    pub created: usize,
    /// Measurements that changed an Observation.
    pub merged: usize,
    /// Measurements that were there already.
    pub unchanged: usize,
    /// Measurements that gave way to a later one of the same instant.
    pub superseded: usize,
    /// Measurements that wait for what they are about to appear.
    pub parked: usize,
}

impl Tally {
    /// Counts what normalize did.
    pub fn of_events(fates: &[EventFate]) -> Tally {
        let mut tally = Tally::default();
        fates.iter().for_each(|fate| tally.count_event(fate));
        tally
    }

    /// Counts what group-convert did.
    pub fn of_measurements<'f>(fates: impl IntoIterator<Item = &'f MeasurementFate>) -> Tally {
        let mut tally = Tally::default();
        fates.into_iter().for_each(|fate| tally.count_measurement(fate));
        tally
    }

    /// The events that have a fate.
    pub fn event_fates(&self) -> usize {
        self.normalized + self.unmatched + self.rejected
    }

    /// The measurements of group-convert that have a fate.
    pub fn measurement_fates(&self) -> usize {
        self.created + self.merged + self.unchanged + self.superseded + self.rejected + self.parked
    }

    /// Counts one event of normalize.
    pub fn count_event(&mut self, fate: &EventFate) {
        self.events += 1;
        match fate {
            EventFate::Normalized { measurements } => {
                self.normalized += 1;
                self.measurements += measurements;
            }
            EventFate::Unmatched => self.unmatched += 1,
            EventFate::Rejected { measurements, .. } => {
                self.rejected += 1;
                self.measurements += measurements;
            }
        }
    }

    /// Counts one measurement of group-convert.
    pub fn count_measurement(&mut self, fate: &MeasurementFate) {
        self.measurements += 1;
        match fate {
            MeasurementFate::Created => self.created += 1,
            MeasurementFate::Merged => self.merged += 1,
            MeasurementFate::Unchanged => self.unchanged += 1,
            MeasurementFate::Superseded => self.superseded += 1,
            MeasurementFate::Rejected(_) => self.rejected += 1,
            MeasurementFate::Parked(_) => self.parked += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_back_the_fates_that_it_writes() {
        let reason = || Reason::new("IncompatibleData", "no timestamp");
        let cases = [
            (
                Fates::Events(vec![
                    EventFate::Normalized { measurements: 2 },
                    EventFate::Unmatched,
                    EventFate::Rejected { reason: reason(), measurements: 1 },
                ]),
                json!([
                    { "fate": "normalized", "measurements": 2 },
                    { "fate": "unmatched" },
                    { "fate": "rejected", "reason": "IncompatibleData", "message": "no timestamp", "measurements": 1 },
                ]),
            ),
            (
                Fates::Measurements(vec![
                    vec![MeasurementFate::Created, MeasurementFate::Merged, MeasurementFate::Unchanged],
                    vec![],
                    vec![
                        MeasurementFate::Superseded,
                        MeasurementFate::Rejected(reason()),
                        MeasurementFate::Parked(reason()),
                    ],
                ]),
                json!([
                    [{ "fate": "created" }, { "fate": "merged" }, { "fate": "unchanged" }],
                    [],
                    [
                        { "fate": "superseded" },
                        { "fate": "rejected", "reason": "IncompatibleData", "message": "no timestamp" },
                        { "fate": "parked", "reason": "IncompatibleData", "message": "no timestamp" },
                    ],
                ]),
            ),
        ];
        for (fates, expected) in cases {
            assert_eq!(serde_json::to_value(&fates).expect("JSON"), expected);
            assert_eq!(serde_json::from_value::<Fates>(expected).expect("fates"), fates);
        }
    }
}
