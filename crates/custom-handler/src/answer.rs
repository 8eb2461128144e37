//! What a function answers (functions-eventhubs-keda.md 1.12).

use delivery::{EventFate, MeasurementFate, Tally};
use serde::Serialize;
use serde_json::{Value, json};

/// The body of a 200. Always an object: the host waits until its time-out for
/// an invocation that answers `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// Values for output bindings; we have none.
    pub outputs: serde_json::Map<String, Value>,
    /// Lines for the function's log, at level Information: the counts, and
    /// each reason for a rejection once.
    pub logs: Vec<String>,
    /// `{"tally": …, "fates": […]}`, the fates by the event's index. No
    /// `$return` binding takes it, so the host passes it by; people, tests and
    /// the local stack read it.
    pub return_value: Value,
}

impl Answer {
    /// The answer of normalize: a fate an event.
    pub fn of_events(fates: &[EventFate]) -> Answer {
        let tally = Tally::of_events(fates);
        let summary = format!(
            "{} events: {} normalized into {} measurements, {} unmatched, {} rejected",
            tally.events, tally.normalized, tally.measurements, tally.unmatched, tally.rejected
        );
        let reasons = fates.iter().filter_map(|fate| match fate {
            EventFate::Rejected { reason, .. } => Some(reason),
            _ => None,
        });
        let shown = fates.iter().map(|fate| match fate {
            EventFate::Rejected { reason, measurements } => {
                json!({ "fate": fate.to_string(), "reason": reason.code, "message": reason.message, "measurements": measurements })
            }
            EventFate::Normalized { measurements } => json!({ "fate": fate.to_string(), "measurements": measurements }),
            EventFate::Unmatched => json!({ "fate": fate.to_string() }),
        });
        Answer::new(summary, reasons, tally, shown.collect())
    }

    /// The answer of group-convert: for each event the fates of its
    /// measurements.
    pub fn of_measurements(events: &[Vec<MeasurementFate>]) -> Answer {
        let tally = Tally { events: events.len(), ..Tally::of_measurements(events.iter().flatten()) };
        let summary = format!(
            "{} measurements: {} created, {} merged, {} unchanged, {} superseded, {} rejected",
            tally.measurements, tally.created, tally.merged, tally.unchanged, tally.superseded, tally.rejected
        );
        let reasons = events.iter().flatten().filter_map(|fate| match fate {
            MeasurementFate::Rejected(reason) => Some(reason),
            _ => None,
        });
        let show = |fate: &MeasurementFate| match fate {
            MeasurementFate::Rejected(reason) => {
                json!({ "fate": fate.to_string(), "reason": reason.code, "message": reason.message })
            }
            _ => json!({ "fate": fate.to_string() }),
        };
        let shown = events.iter().map(|fates| fates.iter().map(show).collect());
        Answer::new(summary, reasons, tally, shown.collect())
    }

    fn new<'r>(
        summary: String,
        reasons: impl Iterator<Item = &'r delivery::Reason>,
        tally: Tally,
        fates: Vec<Value>,
    ) -> Answer {
        let mut logs = vec![summary];
        for reason in reasons {
            let line = format!("rejected, {}: {}", reason.code, reason.message);
            if !logs.contains(&line) {
                logs.push(line);
            }
        }
        Answer { outputs: serde_json::Map::new(), logs, return_value: json!({ "tally": tally, "fates": fates }) }
    }
}

#[cfg(test)]
mod tests {
    use delivery::Reason;

    use super::*;

    #[test]
    fn lists_the_fate_of_each_event_and_each_reason_once() {
        let bad =
            EventFate::Rejected { reason: Reason::new("InvalidDataFormat", "not JSON at byte 0"), measurements: 0 };
        let answer =
            Answer::of_events(&[EventFate::Normalized { measurements: 2 }, bad.clone(), bad, EventFate::Unmatched]);
        let logs = [
            "4 events: 1 normalized into 2 measurements, 1 unmatched, 2 rejected",
            "rejected, InvalidDataFormat: not JSON at byte 0",
        ];
        assert_eq!(answer.logs, logs);
        assert_eq!(answer.return_value["fates"][0], json!({ "fate": "normalized", "measurements": 2 }));
        assert_eq!(answer.return_value["fates"][2]["reason"], "InvalidDataFormat");
        assert_eq!(answer.return_value["fates"][3], json!({ "fate": "unmatched" }));
        assert_eq!(answer.return_value["tally"]["rejected"], 2);
    }

    #[test]
    fn is_an_object_with_the_names_that_the_host_reads() {
        let answer = serde_json::to_value(Answer::of_measurements(&[vec![MeasurementFate::Created]])).expect("JSON");
        let names: Vec<_> = answer.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(names, ["Logs", "Outputs", "ReturnValue"]);
        assert_eq!(answer["ReturnValue"]["fates"], json!([[{ "fate": "created" }]]));
    }
}
