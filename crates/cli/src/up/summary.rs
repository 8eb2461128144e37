//! Adds up what the functions answer.
//!
//! A batch that is given again answers again; each event is counted once, with
//! its first answer, by its partition and sequence number.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use delivery::Tally;
use serde::Deserialize;
use serde_json::Value;

/// What the Functions host stand-in prints for each answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// The function.
    pub function: String,
    /// The partition.
    pub partition: String,
    /// The sequence numbers of the events, in order.
    pub sequence_numbers: Vec<i64>,
    /// The `ReturnValue` of the answer.
    pub return_value: Value,
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
    /// Takes an answer into account.
    pub fn add(&mut self, answered: &Answered) {
        let key = (answered.function.clone(), answered.partition.clone());
        let last = self.counted.entry(key).or_insert(-1);
        let Some(fates) = answered.return_value.get("fates").and_then(Value::as_array) else { return };
        let mut fresh = Vec::new();
        for (sequence_number, fate) in answered.sequence_numbers.iter().zip(fates) {
            if sequence_number > last {
                *last = *sequence_number;
                fresh.push(fate);
            }
        }
        for fate in fresh {
            match fate {
                Value::Array(measurements) => {
                    self.convert.events += 1;
                    measurements.iter().for_each(|fate| self.count_measurement(fate));
                }
                event => self.count_event(event),
            }
        }
    }

    /// Everything that was rejected, on either side.
    pub fn rejected(&self) -> usize {
        self.normalize.rejected + self.convert.rejected
    }

    /// Whether `events` events and all their measurements have their fates.
    pub fn is_done(&self, events: usize) -> bool {
        self.normalize.events >= events && self.convert.measurements >= self.normalize.measurements
    }

    fn count_event(&mut self, fate: &Value) {
        let tally = &mut self.normalize;
        tally.events += 1;
        tally.measurements += fate["measurements"].as_u64().unwrap_or_default() as usize;
        match fate["fate"].as_str() {
            Some("normalized") => tally.normalized += 1,
            Some("unmatched") => tally.unmatched += 1,
            _ => {
                tally.rejected += 1;
                self.count_reason(fate);
            }
        }
    }

    fn count_measurement(&mut self, fate: &Value) {
        let tally = &mut self.convert;
        tally.measurements += 1;
        match fate["fate"].as_str() {
            Some("created") => tally.created += 1,
            Some("merged") => tally.merged += 1,
            Some("unchanged") => tally.unchanged += 1,
            Some("superseded") => tally.superseded += 1,
            _ => {
                tally.rejected += 1;
                self.count_reason(fate);
            }
        }
    }

    fn count_reason(&mut self, fate: &Value) {
        let part = |name| fate[name].as_str().unwrap_or("?");
        *self.reasons.entry(format!("{}: {}", part("reason"), part("message"))).or_default() += 1;
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
        if n.measurements > c.measurements {
            write!(f, ", {} under way", n.measurements - c.measurements)?;
        }
        for (reason, count) in &self.reasons {
            write!(f, "\n  rejected {count:>3}  {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(function: &str, sequence_numbers: &[i64], fates: Value) -> Answered {
        let return_value = json!({ "fates": fates });
        Answered {
            function: function.into(),
            partition: "0".into(),
            sequence_numbers: sequence_numbers.to_vec(),
            return_value,
        }
    }

    #[test]
    fn counts_an_event_once_however_often_it_is_answered() {
        let mut summary = Summary::default();
        let fates = json!([{ "fate": "normalized", "measurements": 2 }, { "fate": "rejected", "reason": "X", "message": "m", "measurements": 0 }]);
        summary.add(&answered("normalize", &[0, 1], fates.clone()));
        summary.add(&answered("normalize", &[0, 1], fates));
        assert!(!summary.is_done(2));
        summary.add(&answered("group-convert", &[0], json!([[{ "fate": "created" }, { "fate": "merged" }]])));
        assert!(summary.is_done(2));
        let lines = [
            "events             2 = 1 normalized + 0 unmatched + 1 rejected",
            "measurements       2 = 1 created + 1 merged + 0 unchanged + 0 superseded + 0 rejected",
            "  rejected   1  X: m",
        ];
        assert_eq!(summary.to_string(), lines.join("\n"));
    }
}
