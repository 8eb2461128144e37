//! What a function answers (functions-eventhubs-keda.md 1.12).

use std::collections::BTreeMap;

use delivery::{Fates, Reason, Tally};
use serde::Serialize;
use serde_json::Value;

/// The body of a 200. Always an object: the host waits until its time-out for
/// an invocation that answers `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// Values for output bindings; we have none.
    pub outputs: serde_json::Map<String, Value>,
    /// Lines for the function's log, at level Information: the counts, and for
    /// each code of a rejection how often, with one of its texts.
    pub logs: Vec<String>,
    /// Null, or for the local stack the fates: the host takes an object's
    /// members for outputs, so a function on Azure answers null.
    pub return_value: Option<ReturnValue>,
}

/// What the local stack counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReturnValue {
    /// The fates of the batch.
    pub fates: Fates,
}

impl Answer {
    /// The answer to a batch, without its fates or (app setting
    /// `Answer__Fates`) with them.
    pub fn new(fates: Fates, with_fates: bool) -> Answer {
        let mut logs = vec![summary(&fates)];
        logs.extend(rejections(&fates));
        Answer { logs, return_value: with_fates.then_some(ReturnValue { fates }), ..Answer::default() }
    }
}

fn summary(fates: &Fates) -> String {
    match fates {
        Fates::Events(fates) => {
            let Tally { events, normalized, measurements, unmatched, rejected, .. } = Tally::of_events(fates);
            format!(
                "{events} events: {normalized} normalized into {measurements} measurements, \
                 {unmatched} unmatched, {rejected} rejected"
            )
        }
        Fates::Measurements(events) => {
            let Tally { measurements, created, merged, unchanged, superseded, rejected, parked, .. } =
                Tally::of_measurements(events.iter().flatten());
            format!(
                "{measurements} measurements: {created} created, {merged} merged, {unchanged} unchanged, \
                 {superseded} superseded, {rejected} rejected, {parked} parked"
            )
        }
    }
}

/// A line for each code. Texts differ by their places in the data, so a line
/// for each of them could be as many as there are events.
fn rejections(fates: &Fates) -> Vec<String> {
    let reasons: Vec<(String, &Reason)> = match fates {
        Fates::Events(fates) => fates.iter().filter_map(|fate| Some((fate.to_string(), fate.reason()?))).collect(),
        Fates::Measurements(events) => {
            events.iter().flatten().filter_map(|fate| Some((fate.to_string(), fate.reason()?))).collect()
        }
    };
    let mut by_code: BTreeMap<(&str, &str), (usize, &str)> = BTreeMap::new();
    for (fate, reason) in &reasons {
        by_code.entry((fate, &reason.code)).or_insert((0, &reason.message)).0 += 1;
    }
    let line = |((fate, code), (count, example))| format!("{count} {fate} as {code}, for example: {example}");
    by_code.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use delivery::{EventFate, MeasurementFate};
    use serde_json::json;

    use super::*;

    fn bad(position: usize) -> EventFate {
        let reason = Reason::new("InvalidDataFormat", format!("not JSON at byte {position}"));
        EventFate::Rejected { reason, measurements: 0 }
    }

    #[test]
    fn logs_the_counts_and_a_line_for_each_code() {
        let other = EventFate::Rejected { reason: Reason::new("Argument", "no body"), measurements: 0 };
        let fates = vec![EventFate::Normalized { measurements: 2 }, bad(3), other, bad(9), EventFate::Unmatched];
        let logs = [
            "5 events: 1 normalized into 2 measurements, 1 unmatched, 3 rejected",
            "1 rejected as Argument, for example: no body",
            "2 rejected as InvalidDataFormat, for example: not JSON at byte 3",
        ];
        assert_eq!(Answer::new(Fates::Events(fates), false).logs, logs);
        let parked = MeasurementFate::Parked(Reason::new("DeviceNotFound", "not there"));
        let rejected = MeasurementFate::Rejected(Reason::new("NoValue", "none"));
        let fates = vec![vec![MeasurementFate::Created, rejected, parked]];
        let logs = [
            "3 measurements: 1 created, 0 merged, 0 unchanged, 0 superseded, 1 rejected, 1 parked",
            "1 parked as DeviceNotFound, for example: not there",
            "1 rejected as NoValue, for example: none",
        ];
        assert_eq!(Answer::new(Fates::Measurements(fates), false).logs, logs);
    }

    #[test]
    fn is_an_object_and_returns_nothing_but_to_who_wants_the_fates() {
        let fates = || Fates::Measurements(vec![vec![MeasurementFate::Created]]);
        for (with_fates, return_value) in [(false, json!(null)), (true, json!({ "fates": [[{ "fate": "created" }]] }))]
        {
            let answer = serde_json::to_value(Answer::new(fates(), with_fates)).expect("JSON");
            let logs = "1 measurements: 1 created, 0 merged, 0 unchanged, 0 superseded, 0 rejected, 0 parked";
            assert_eq!(answer, json!({ "Outputs": {}, "Logs": [logs], "ReturnValue": return_value }));
        }
    }
}
