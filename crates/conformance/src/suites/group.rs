//! The suite `group`: how a measurement group is cut into observation groups.

use std::borrow::Cow;

use expressions::{DateTime, UtcTime};
use mapping::Property;
use mapping::group::{self, MeasurementGroup, ObservationGroup, PeriodInterval, Reading, TimedValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::case;
use super::ordered::Ordered;
use crate::Outcome;

/// What a case expects of one group; what is left out is not asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expected {
    name: Option<String>,
    boundary: Option<Boundary>,
    id_segment: Option<String>,
    values: Option<Ordered>,
}

#[derive(Deserialize)]
pub(super) struct Boundary {
    start: String,
    end: String,
}

impl Boundary {
    pub(super) fn times(&self) -> Option<(UtcTime, UtcTime)> {
        Some((time(&self.start)?, time(&self.end)?))
    }
}

#[derive(Deserialize)]
struct Expectation {
    #[serde(default)]
    groups: Vec<Expected>,
    error: Option<Value>,
}

/// Runs a case.
pub fn run(case: &Value) -> Outcome {
    let Some(expect) = case::json(case, "expect") else { return Outcome::Skipped("no expectation".to_owned()) };
    let expect: Expectation = match serde_json::from_str(&expect) {
        Ok(expect) => expect,
        Err(error) => return Outcome::Skipped(format!("the expectation is not understood: {error}")),
    };
    let group = whole(case);
    let interval = PeriodInterval::from_minutes(case["periodInterval"].as_i64().unwrap_or_default());
    match (interval.and_then(|interval| group::observation_groups(&group, interval)), expect.error) {
        (Err(error), Some(expected)) => Outcome::compare(&expected["kind"], &json!(error.kind())),
        (Err(error), None) => Outcome::failed("groups", format!("error {}", error.kind())),
        (Ok(groups), Some(expected)) => Outcome::failed(expected.to_string(), format!("{} groups", groups.len())),
        (Ok(groups), None) => compare(&expect.groups, &groups),
    }
}

/// The measurement group of a case.
fn whole(case: &Value) -> MeasurementGroup<'_> {
    let measurements = case["measurements"].as_array().map(Vec::as_slice).unwrap_or_default();
    let readings = measurements.iter().enumerate().map(|(at, measurement)| Reading {
        measurement: at,
        others: Vec::new(),
        time: time(case::text(measurement, "occurrenceTimeUtc")).unwrap_or_default(),
        properties: Cow::Owned(properties(&measurement["properties"])),
    });
    MeasurementGroup {
        r#type: case::text(case, "measureType"),
        device_id: "device",
        patient_id: None,
        encounter_id: None,
        correlation_id: case["correlationId"].as_str(),
        readings: readings.collect(),
    }
}

fn properties(list: &Value) -> Vec<Property<'_>> {
    let property = |property| Property {
        name: case::text(property, "name").into(),
        value: property["value"].as_str().map(Into::into),
    };
    list.as_array().into_iter().flatten().map(property).collect()
}

fn compare(expected: &[Expected], groups: &[ObservationGroup<'_>]) -> Outcome {
    if expected.len() != groups.len() {
        return Outcome::failed(format!("{} groups", expected.len()), format!("{} groups", groups.len()));
    }
    for (expected, group) in expected.iter().zip(groups) {
        let boundary = expected.boundary.as_ref().and_then(Boundary::times);
        let checks = [
            Outcome::compare(expected.name.as_deref().unwrap_or(&group.r#type), &*group.r#type),
            Outcome::compare(&boundary.unwrap_or((group.start, group.end)), &(group.start, group.end)),
            Outcome::compare(expected.id_segment.as_deref().unwrap_or(&group.id_segment), &*group.id_segment),
            expected.values.as_ref().map_or(Outcome::Passed, |values| compare_values(values, group)),
        ];
        if let Some(failure) = checks.into_iter().find(|check| *check != Outcome::Passed) {
            return failure;
        }
    }
    Outcome::Passed
}

fn compare_values(expected: &Ordered, group: &ObservationGroup<'_>) -> Outcome {
    let expected: Vec<(&str, Vec<TimedValue<'_>>)> =
        expected.0.iter().map(|(name, values)| (name.as_str(), timed_values(values))).collect();
    let got: Vec<(&str, Vec<TimedValue<'_>>)> =
        group.values.iter().map(|property| (&*property.name, property.values.clone())).collect();
    Outcome::compare(&expected, &got)
}

/// A list of `time` and `value`.
pub(super) fn timed_values(list: &Value) -> Vec<TimedValue<'static>> {
    let value = |value: &Value| TimedValue {
        time: time(case::text(value, "time")).unwrap_or_default(),
        value: value["value"].as_str().map(|value| value.to_owned().into()),
    };
    list.as_array().into_iter().flatten().map(value).collect()
}

/// An instant as the corpus writes it.
pub(super) fn time(text: &str) -> Option<UtcTime> {
    DateTime::parse_token(text).map(|date| date.instant)
}
