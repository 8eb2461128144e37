//! How events and measurements end (design.md 2.2).

use std::fmt;

/// Why something was rejected. Never holds a value or an identifier of the
/// payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable name, for metrics and filters.
    pub code: &'static str,
    /// For a person: what was wrong and where in the mapping.
    pub message: String,
}

impl Reason {
    /// A reason with its text.
    pub fn new(code: &'static str, message: impl Into<String>) -> Reason {
        Reason { code, message: message.into() }
    }
}

/// The one end of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        reason: Reason,
        /// How many measurements it had given before, which are in the hub all
        /// the same (design.md D12).
        measurements: usize,
    },
}

/// The one end of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

impl fmt::Display for EventFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EventFate::Normalized { .. } => "normalized",
            EventFate::Unmatched => "unmatched",
            EventFate::Rejected { .. } => "rejected",
        })
    }
}

impl fmt::Display for MeasurementFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MeasurementFate::Created => "created",
            MeasurementFate::Merged => "merged",
            MeasurementFate::Unchanged => "unchanged",
            MeasurementFate::Superseded => "superseded",
            MeasurementFate::Rejected(_) => "rejected",
        })
    }
}

/// Counts of a batch, for a log line and the answer.
///
/// `events` is always the sum of the event fates, and the measurements of
/// group-convert the sum of theirs: tested, and checked by whoever sums them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
}

impl Tally {
    /// Counts what normalize did.
    pub fn of_events(fates: &[EventFate]) -> Tally {
        let mut tally = Tally { events: fates.len(), ..Tally::default() };
        for fate in fates {
            match fate {
                EventFate::Normalized { measurements } => {
                    tally.normalized += 1;
                    tally.measurements += measurements;
                }
                EventFate::Unmatched => tally.unmatched += 1,
                EventFate::Rejected { measurements, .. } => {
                    tally.rejected += 1;
                    tally.measurements += measurements;
                }
            }
        }
        tally
    }

    /// Counts what group-convert did.
    pub fn of_measurements<'f>(fates: impl IntoIterator<Item = &'f MeasurementFate>) -> Tally {
        let mut tally = Tally::default();
        for fate in fates {
            tally.measurements += 1;
            match fate {
                MeasurementFate::Created => tally.created += 1,
                MeasurementFate::Merged => tally.merged += 1,
                MeasurementFate::Unchanged => tally.unchanged += 1,
                MeasurementFate::Superseded => tally.superseded += 1,
                MeasurementFate::Rejected(_) => tally.rejected += 1,
            }
        }
        tally
    }
}
