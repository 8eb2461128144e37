//! Groups measurements, twice, on their way to Observations
//! (fhir-conversion.md 3).
//!
//! ```text
//! Measurement --by identity--> MeasurementGroup --by period--> ObservationGroup
//! ```
//!
//! A [`MeasurementGroup`] holds what has the same device, type, patient,
//! encounter and correlation id, one reading an instant. The period interval of
//! the FHIR mapping then cuts it: each reading alone, by hour, by day, or not
//! at all when the correlation id decides.
//!
//! Nothing is lost on the way: every measurement is in one group or is told to
//! be superseded by another reading of the same instant. Measurements are named
//! by their position in the list that was grouped.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use expressions::UtcTime;

use crate::compatibility::Compatibility;
use crate::convert_error::ConvertError;
use crate::measurement::{Measurement, Property};

/// How readings are cut into Observations: `periodInterval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeriodInterval {
    /// -1: everything with the same correlation id.
    CorrelationId,
    /// 0: each instant alone.
    #[default]
    Single,
    /// 60: by hour, UTC.
    Hourly,
    /// 1440: by day, UTC.
    Daily,
}

impl PeriodInterval {
    /// From the number that stands in a mapping. There are no other numbers.
    pub fn from_minutes(minutes: i64) -> Result<PeriodInterval, ConvertError> {
        match minutes {
            -1 => Ok(Self::CorrelationId),
            0 => Ok(Self::Single),
            60 => Ok(Self::Hourly),
            1440 => Ok(Self::Daily),
            _ => Err(ConvertError::UnsupportedInterval { minutes }),
        }
    }

    /// The number that stands in a mapping.
    pub fn minutes(self) -> i64 {
        match self {
            Self::CorrelationId => -1,
            Self::Single => 0,
            Self::Hourly => 60,
            Self::Daily => 1440,
        }
    }
}

/// Readings of the same device, type, patient, encounter and correlation id. An
/// empty id counts as none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementGroup<'m> {
    /// The type of the measurements, as received.
    pub r#type: &'m str,
    /// The device's identifier.
    pub device_id: &'m str,
    /// The patient's identifier.
    pub patient_id: Option<&'m str>,
    /// The encounter's identifier.
    pub encounter_id: Option<&'m str>,
    /// The correlation id.
    pub correlation_id: Option<&'m str>,
    /// In the order in which their instants were first met.
    pub readings: Vec<Reading<'m>>,
}

/// What is known of one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'m> {
    /// The position of the measurement.
    pub measurement: usize,
    /// The positions of others whose properties it took over; empty unless
    /// `Compatibility__MergeEqualTimes` is set.
    pub others: Vec<usize>,
    /// The instant.
    pub time: UtcTime,
    /// The values, in the order of the measurement.
    pub properties: Cow<'m, [Property<'m>]>,
}

/// What [`group`] makes of a list of measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouping<'m> {
    /// In the order in which they were first met.
    pub groups: Vec<MeasurementGroup<'m>>,
    /// The positions of the measurements that gave way to another of the same
    /// group and instant.
    pub superseded: Vec<usize>,
}

/// Readings that become, or are merged into, one Observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationGroup<'m> {
    /// The type of the measurements, as received.
    pub r#type: Cow<'m, str>,
    /// The first instant that the Observation stands for.
    pub start: UtcTime,
    /// The last instant that it stands for, itself included.
    pub end: UtcTime,
    /// What of the Observation's identifier tells it from others of the same
    /// patient, device and type: the two instants to the second, or the
    /// correlation id as it is (fhir-conversion.md 3.3).
    pub id_segment: Cow<'m, str>,
    /// The values by property, in the order in which the properties were first
    /// met.
    pub values: Vec<PropertyValues<'m>>,
    /// The positions of the measurements in it.
    pub measurements: Vec<usize>,
    /// The positions of measurements of which every value gave way to another
    /// of the same instant. Only in groups that were not made by [`group`].
    pub superseded: Vec<usize>,
}

/// The values of one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyValues<'m> {
    /// The property's name; letter case counts.
    pub name: Cow<'m, str>,
    /// In the order of time, one an instant.
    pub values: Vec<TimedValue<'m>>,
}

/// A value and its instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedValue<'m> {
    /// When the reading was taken.
    pub time: UtcTime,
    /// The value as text.
    pub value: Option<Cow<'m, str>>,
}

impl Reading<'_> {
    /// The positions of all measurements in it.
    pub fn measurements(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.measurement).chain(self.others.iter().copied())
    }
}

impl<'m> ObservationGroup<'m> {
    /// The values of the property `name`, if the group has it.
    pub fn values_of(&self, name: &str) -> Option<&[TimedValue<'m>]> {
        self.values.iter().find(|property| property.name == name).map(|property| property.values.as_slice())
    }

    fn new(r#type: &'m str, (start, end): (UtcTime, UtcTime), id_segment: Cow<'m, str>) -> ObservationGroup<'m> {
        ObservationGroup {
            r#type: Cow::Borrowed(r#type),
            start,
            end,
            id_segment,
            values: Vec::new(),
            measurements: Vec::new(),
            superseded: Vec::new(),
        }
    }

    fn add(&mut self, reading: &'m Reading<'_>) {
        let mut used = reading.properties.is_empty();
        for property in reading.properties.iter() {
            let value = property.value.as_deref().map(Cow::Borrowed);
            used |= self.values_of_mut(&property.name).insert_first(TimedValue { time: reading.time, value });
        }
        let positions = if used { &mut self.measurements } else { &mut self.superseded };
        positions.push(reading.measurement);
        positions.extend_from_slice(&reading.others);
    }

    fn values_of_mut(&mut self, name: &'m str) -> &mut PropertyValues<'m> {
        let at = self.values.iter().position(|property| property.name == name).unwrap_or_else(|| {
            self.values.push(PropertyValues { name: Cow::Borrowed(name), values: Vec::new() });
            self.values.len() - 1
        });
        &mut self.values[at]
    }
}

impl<'m> PropertyValues<'m> {
    /// Puts the value in its place unless there is one of that instant.
    fn insert_first(&mut self, value: TimedValue<'m>) -> bool {
        // Nearly all readings come in the order of time.
        if self.values.last().is_none_or(|last| last.time < value.time) {
            self.values.push(value);
            return true;
        }
        match self.values.binary_search_by_key(&value.time, |value| value.time) {
            Ok(_) => false,
            Err(at) => {
                self.values.insert(at, value);
                true
            }
        }
    }
}

/// Where instants stand in a list that has each once, in the order in which
/// they were first met. Those that come in the order of time, as nearly all do,
/// are placed without a search; only from the first that does not are they
/// indexed.
#[derive(Default)]
struct Places {
    count: usize,
    latest: Option<UtcTime>,
    index: BTreeMap<UtcTime, usize>,
}

impl Places {
    /// The place of `time`; of one not met before, the end of the list. `known`
    /// is the instant at a place.
    fn of(&mut self, time: UtcTime, known: impl Fn(usize) -> UtcTime) -> usize {
        let end = self.count;
        if self.latest.is_none_or(|latest| latest < time) {
            self.latest = Some(time);
            self.count += 1;
            if !self.index.is_empty() {
                self.index.insert(time, end);
            }
            return end;
        }
        if self.index.is_empty() {
            if known(end - 1) == time {
                return end - 1;
            }
            self.index = (0..end).map(|at| (known(at), at)).collect();
        }
        let place = *self.index.entry(time).or_insert(end);
        self.count += usize::from(place == end);
        place
    }
}

/// Groups measurements by identity. Of those of one group and instant the one
/// ingested last stays, the first of them when several were; one without
/// ingestion time counts as the oldest. The rest are superseded, unless
/// `compatibility.merge_equal_times` lets the one that stays take over the
/// properties it lacks (quirk 16).
pub fn group<'m>(measurements: &'m [Measurement<'_>], compatibility: &Compatibility) -> Grouping<'m> {
    let mut groups: Vec<MeasurementGroup<'m>> = Vec::new();
    let mut instants: Vec<Places> = Vec::new();
    let mut places: HashMap<GroupKey<'m>, usize> = HashMap::with_capacity(measurements.len().min(1024));
    for (position, measurement) in measurements.iter().enumerate() {
        let key = GroupKey::of(measurement);
        let at = *places.entry(key).or_insert_with(|| {
            groups.push(key.empty_group());
            instants.push(Places::default());
            groups.len() - 1
        });
        let readings = &mut groups[at].readings;
        let reading = instants[at].of(measurement.occurrence_time, |at| readings[at].time);
        match readings.get_mut(reading) {
            Some(reading) => reading.others.push(position),
            None => readings.push(Reading {
                measurement: position,
                others: Vec::new(),
                time: measurement.occurrence_time,
                properties: Cow::Borrowed(&measurement.properties),
            }),
        }
    }
    let mut superseded = Vec::new();
    for reading in groups.iter_mut().flat_map(|group| &mut group.readings) {
        if !reading.others.is_empty() {
            settle(reading, measurements, compatibility.merge_equal_times, &mut superseded);
        }
    }
    Grouping { groups, superseded }
}

/// Decides between the measurements of one instant.
fn settle<'m>(
    reading: &mut Reading<'m>,
    measurements: &'m [Measurement<'_>],
    merge: bool,
    superseded: &mut Vec<usize>,
) {
    let mut candidates = std::mem::take(&mut reading.others);
    candidates.insert(0, reading.measurement);
    // Stable, so that the first of those ingested at the same time stays first.
    candidates.sort_by_key(|position| Reverse(measurements[*position].ingestion_time));
    let (winner, losers) = (candidates[0], &candidates[1..]);
    reading.measurement = winner;
    reading.properties = Cow::Borrowed(&measurements[winner].properties);
    for loser in losers {
        let lacks = |property: &&Property<'m>| !reading.properties.iter().any(|had| had.name == property.name);
        let more: Vec<Property<'m>> = measurements[*loser].properties.iter().filter(lacks).cloned().collect();
        if merge && !more.is_empty() {
            reading.properties.to_mut().extend(more);
            reading.others.push(*loser);
        } else {
            superseded.push(*loser);
        }
    }
}

/// What measurements of one group have in common. An id that is missing is
/// none and not an empty text: some machines take hundreds of cycles to compare
/// texts without an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey<'m> {
    device_id: &'m str,
    r#type: &'m str,
    patient_id: Option<&'m str>,
    encounter_id: Option<&'m str>,
    correlation_id: Option<&'m str>,
}

impl<'m> GroupKey<'m> {
    /// That of the group which a measurement belongs to.
    pub fn of(measurement: &'m Measurement<'_>) -> GroupKey<'m> {
        fn given<'m>(id: &'m Option<Cow<'_, str>>) -> Option<&'m str> {
            id.as_deref().filter(|id| !id.is_empty())
        }
        GroupKey {
            device_id: &measurement.device_id,
            r#type: &measurement.r#type,
            patient_id: given(&measurement.patient_id),
            encounter_id: given(&measurement.encounter_id),
            correlation_id: given(&measurement.correlation_id),
        }
    }

    fn empty_group(self) -> MeasurementGroup<'m> {
        let GroupKey { device_id, r#type, patient_id, encounter_id, correlation_id } = self;
        MeasurementGroup { r#type, device_id, patient_id, encounter_id, correlation_id, readings: Vec::new() }
    }
}

/// Cuts a group by a period interval, in the order in which the periods are
/// first met. Grouping by correlation id needs one that is not blank.
pub fn observation_groups<'g>(
    group: &'g MeasurementGroup<'_>,
    interval: PeriodInterval,
) -> Result<Vec<ObservationGroup<'g>>, ConvertError> {
    cut(group, &group.readings.iter().collect::<Vec<_>>(), interval)
}

/// Cuts these readings of a group.
pub(crate) fn cut<'g>(
    group: &'g MeasurementGroup<'_>,
    readings: &[&'g Reading<'_>],
    interval: PeriodInterval,
) -> Result<Vec<ObservationGroup<'g>>, ConvertError> {
    let seconds = match interval {
        PeriodInterval::CorrelationId => return correlation_group(group, readings),
        PeriodInterval::Single => 0,
        PeriodInterval::Hourly => 3_600,
        PeriodInterval::Daily => 86_400,
    };
    let mut groups: Vec<ObservationGroup<'g>> = Vec::new();
    let mut places = Places::default();
    for reading in readings {
        let (start, end) = boundary(reading.time, seconds);
        let at = places.of(start, |at| groups[at].start);
        if at == groups.len() {
            groups.push(ObservationGroup::new(group.r#type, (start, end), time_segment(start, end).into()));
        }
        groups[at].add(reading);
    }
    Ok(groups)
}

/// The hour or day around `time`, to its last tick; the instant itself when
/// `seconds` is 0.
fn boundary(time: UtcTime, seconds: i64) -> (UtcTime, UtcTime) {
    if seconds == 0 {
        return (time, time);
    }
    let start = time.floor(seconds);
    (start, start.saturating_add(seconds * expressions::time::TICKS_PER_SECOND - 1))
}

/// What of the identifier tells one instant from all others: its digits to the
/// tick (fhir-conversion.md quirk 58).
pub(crate) fn instant_segment(time: UtcTime) -> String {
    let mut text = String::with_capacity(28);
    time.write_iso7(&mut text);
    text.retain(|c| c.is_ascii_digit());
    text.push('Z');
    text
}

fn time_segment(start: UtcTime, end: UtcTime) -> String {
    let mut segment = String::with_capacity(31);
    start.write_compact(&mut segment);
    segment.push('.');
    end.write_compact(&mut segment);
    segment
}

fn correlation_group<'g>(
    group: &'g MeasurementGroup<'_>,
    readings: &[&'g Reading<'_>],
) -> Result<Vec<ObservationGroup<'g>>, ConvertError> {
    let Some(id) = group.correlation_id.filter(|id| !id.trim().is_empty()) else {
        return Err(ConvertError::CorrelationIdNotDefined { type_name: group.r#type.to_owned() });
    };
    let times = readings.iter().map(|reading| reading.time);
    let (Some(start), Some(end)) = (times.clone().min(), times.max()) else { return Ok(Vec::new()) };
    let mut whole = ObservationGroup::new(group.r#type, (start, end), id.into());
    for reading in readings {
        whole.add(reading);
    }
    Ok(vec![whole])
}

#[cfg(test)]
mod tests;
