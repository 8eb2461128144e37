//! Adds up what the functions answer.
//!
//! A batch that is given again answers again; each event is counted once, with
//! its first answer, by its partition and sequence number.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use delivery::{Fates, Reason, Tally};
use local::functions_host::Answered;
use serde::Deserialize;

/// What the functions return in the local stack.
#[derive(Deserialize)]
struct Returned {
    fates: Fates,
}

/// The counts so far.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// What normalize did.
    pub normalize: Tally,
    /// What group-convert did.
    pub convert: Tally,
    /// Reasons of rejections, with how often.
    reasons: BTreeMap<String, usize>,
    /// The last sequence number counted, by function and partition.
    counted: HashMap<(String, String), i64>,
}

impl Summary {
    /// Takes an answer into account. An error when it has no fates.
    pub fn add(&mut self, answered: &Answered) -> serde_json::Result<()> {
        let Returned { fates } = Returned::deserialize(&answered.return_value)?;
        let key = (answered.function.clone(), answered.partition.clone());
        let last = self.counted.entry(key).or_insert(-1);
        let counted = answered.sequence_numbers.iter().take_while(|number| **number <= *last).count();
        *last = answered.sequence_numbers.last().copied().unwrap_or(*last).max(*last);
        match fates {
            Fates::Events(fates) => {
                for fate in fates.iter().skip(counted) {
                    self.normalize.count_event(fate);
                    self.count_reason(fate.reason());
                }
            }
            Fates::Measurements(events) => {
                for fates in events.iter().skip(counted) {
                    self.convert.events += 1;
                    for fate in fates {
                        self.convert.count_measurement(fate);
                        self.count_reason(fate.reason());
                    }
                }
            }
        }
        Ok(())
    }

    /// Everything that was rejected, on either side.
    pub fn rejected(&self) -> usize {
        self.normalize.rejected + self.convert.rejected
    }

    /// Whether `events` events and all their measurements have their fates.
    pub fn is_done(&self, events: usize) -> bool {
        self.normalize.events >= events && self.convert.measurements >= self.normalize.measurements
    }

    fn count_reason(&mut self, reason: Option<&Reason>) {
        if let Some(Reason { code, message }) = reason {
            *self.reasons.entry(format!("{code}: {message}")).or_default() += 1;
        }
    }
}

/// The counts as a small table, and each reason.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, c) = (&self.normalize, &self.convert);
        writeln!(
            f,
            "events        {:>6} = {} normalized + {} unmatched + {} rejected",
            n.events, n.normalized, n.unmatched, n.rejected
        )?;
        write!(
            f,
            "measurements  {:>6} = {} created + {} merged + {} unchanged + {} superseded + {} rejected",
            c.measurements, c.created, c.merged, c.unchanged, c.superseded, c.rejected
        )?;
        if c.parked > 0 {
            write!(f, " + {} parked", c.parked)?;
        }
        if n.measurements > c.measurements {
            write!(f, ", {} under way", n.measurements - c.measurements)?;
        }
        for (reason, count) in &self.reasons {
            write!(f, "\n  rejected {count:>3}  {reason}")?;
        }
        let unknown = ["PatientIdentityNotDefined", "DeviceNotFound", "PatientNotFound"];
        if self.reasons.keys().any(|reason| unknown.iter().any(|unknown| reason.starts_with(unknown))) {
            let hint = "register the device with `--register-device ID`, or let the device mapping name the patient";
            write!(f, "\n  hint: {hint} (`patientIdExpression`)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answered(function: &str, sequence_numbers: &[i64], return_value: Value) -> Answered {
        Answered {
            function: function.into(),
            partition: "0".into(),
            sequence_numbers: sequence_numbers.to_vec(),
            return_value,
        }
    }

    #[test]
    fn counts_what_came_by_http() {
        let mut summary = Summary::default();
        let by_http = json!({ "events": 1, "fates": [{ "index": 0, "fate": "normalized", "measurements": 3 }] });
        for _ in 0..2 {
            summary.add(&answered("ingest", &[], by_http.clone())).expect("fates");
        }
        assert_eq!((summary.normalize.events, summary.normalize.measurements), (2, 6));
    }

    #[test]
    fn counts_an_event_once_however_often_it_is_answered() {
        let mut summary = Summary::default();
        let normalized = json!({ "fate": "normalized", "measurements": 2 });
        let rejected = json!({ "fate": "rejected", "reason": "X", "message": "m", "measurements": 0 });
        let unmatched = json!({ "fate": "unmatched" });
        let answers = [
            answered("normalize", &[0, 1], json!({ "fates": [normalized, rejected] })),
            answered("normalize", &[0, 1], json!({ "fates": [normalized, rejected] })),
            answered("normalize", &[1, 2], json!({ "fates": [rejected, unmatched] })),
        ];
        for answer in answers {
            summary.add(&answer).expect("fates");
        }
        assert!(!summary.is_done(3));
        let converted = json!({ "fates": [[{ "fate": "created" }, { "fate": "merged" }]] });
        summary.add(&answered("group-convert", &[0], converted)).expect("fates");
        assert!(summary.is_done(3));
        let lines = [
            "events             3 = 1 normalized + 1 unmatched + 1 rejected",
            "measurements       2 = 1 created + 1 merged + 0 unchanged + 0 superseded + 0 rejected",
            "  rejected   1  X: m",
        ];
        assert_eq!(summary.to_string(), lines.join("\n"));
        summary.add(&answered("normalize", &[3], Value::Null)).expect_err("nothing to count");
    }
}
