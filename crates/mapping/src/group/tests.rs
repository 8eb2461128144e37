use expressions::DateTime;
use proptest::prelude::*;

use super::*;
use crate::partition::PartitionKey;

fn at(time: &str) -> UtcTime {
    DateTime::parse_token(&format!("2023-10-09T{time}Z")).unwrap().instant
}

/// A heart rate of device `d1`, ingested at `ingested` if that is not empty.
fn reading<'v>(time: &str, ingested: &str, properties: &[(&'v str, &'v str)]) -> Measurement<'v> {
    let property = |(name, value): &(&'v str, &'v str)| Property { name: (*name).into(), value: Some((*value).into()) };
    Measurement {
        r#type: "heartrate".into(),
        occurrence_time: at(time),
        ingestion_time: (!ingested.is_empty()).then(|| at(ingested)),
        device_id: "d1".into(),
        properties: properties.iter().map(property).collect(),
        ..Measurement::default()
    }
}

fn summary(grouping: &Grouping<'_>) -> String {
    let property = |property: &Property<'_>| format!("{}={}", property.name, property.value.as_deref().unwrap_or("-"));
    let reading = |reading: &Reading<'_>| {
        let properties: Vec<String> = reading.properties.iter().map(property).collect();
        let positions: Vec<String> = reading.measurements().map(|position| position.to_string()).collect();
        format!("{}[{}]", positions.join("+"), properties.join(","))
    };
    let group = |group: &MeasurementGroup<'_>| group.readings.iter().map(reading).collect::<Vec<_>>().join(" ");
    let groups: Vec<String> = grouping.groups.iter().map(group).collect();
    format!("{} superseded {:?}", groups.join(" | "), grouping.superseded)
}

#[track_caller]
fn check(measurements: &[Measurement<'_>], expected: &str) {
    assert_eq!(summary(&group(measurements, &Compatibility::reference())), expected);
}

#[test]
fn keeps_the_reading_ingested_last() {
    let measurements = [
        reading("10:00:00", "10:00:01", &[("hr", "1"), ("x", "1")]),
        reading("10:05:00", "10:05:01", &[("hr", "2")]),
        reading("10:00:00", "10:00:03", &[("hr", "3")]),
        reading("10:00:00", "10:00:02", &[("hr", "4")]),
    ];
    check(&measurements, "2[hr=3] 1[hr=2] superseded [3, 0]");
}

#[test]
fn keeps_the_first_of_readings_ingested_together() {
    let measurements = [
        reading("10:00:00", "10:00:01", &[("hr", "1")]),
        reading("10:00:00", "10:00:01", &[("hr", "2")]),
        reading("11:00:00", "", &[("hr", "3")]),
        reading("11:00:00", "", &[("hr", "4")]),
    ];
    check(&measurements, "0[hr=1] 2[hr=3] superseded [1, 3]");
}

#[test]
fn takes_a_reading_without_ingestion_time_for_the_oldest() {
    let measurements = [reading("10:00:00", "", &[("hr", "1")]), reading("10:00:00", "09:00:00", &[("hr", "2")])];
    check(&measurements, "1[hr=2] superseded [0]");
}

#[test]
fn takes_over_what_the_last_one_lacks_when_asked() {
    let measurements = [
        reading("10:00:00", "10:00:01", &[("hr", "1"), ("x", "1")]),
        reading("10:00:00", "10:00:03", &[("hr", "3")]),
        reading("10:00:00", "10:00:02", &[("hr", "4"), ("x", "4"), ("y", "4")]),
    ];
    let compatibility = Compatibility { merge_equal_times: true, ..Compatibility::default() };
    let grouping = group(&measurements, &compatibility);
    assert_eq!(summary(&grouping), "1+2[hr=3,x=4,y=4] superseded [0]");
}

#[test]
fn does_not_join_ids_to_one_key() {
    let mut measurements = [
        reading("10:00:00", "", &[]),
        reading("10:00:00", "", &[]),
        reading("10:00:00", "", &[]),
        reading("10:00:00", "", &[]),
    ];
    (measurements[0].device_id, measurements[0].r#type) = ("a-b".into(), "c".into());
    (measurements[1].device_id, measurements[1].r#type) = ("a".into(), "b-c".into());
    (measurements[2].device_id, measurements[2].patient_id) = ("a".into(), Some("x".into()));
    (measurements[3].device_id, measurements[3].encounter_id) = ("a".into(), Some("x".into()));
    check(&measurements, "0[] | 1[] | 2[] | 3[] superseded []");
}

/// Quirk 67: they travel through one partition and are two devices.
#[test]
fn tells_devices_apart_by_letter_case() {
    let mut measurements = [reading("10:00:00", "", &[]), reading("10:00:00", "", &[])];
    measurements[0].device_id = "D1".into();
    measurements[1].device_id = "d1".into();
    check(&measurements, "0[] | 1[] superseded []");
    let keys = measurements.map(|measurement| PartitionKey::of_device(&measurement.device_id));
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn takes_an_empty_id_for_none() {
    let mut measurements = [reading("10:00:00", "", &[]), reading("10:00:01", "", &[])];
    measurements[0].patient_id = Some("".into());
    let grouping = group(&measurements, &Compatibility::reference());
    assert_eq!(summary(&grouping), "0[] 1[] superseded []");
    assert_eq!(grouping.groups[0].patient_id, None);
}

/// The worked example of fhir-conversion.md 3.3.
#[test]
fn cuts_by_the_interval() {
    let mut measurements = [
        reading("19:18:23.5", "", &[("hr", "1")]),
        reading("19:42:05", "", &[("hr", "2")]),
        reading("20:00:00", "", &[("hr", "3")]),
    ];
    for measurement in &mut measurements {
        measurement.correlation_id = Some("c7".into());
    }
    let grouping = group(&measurements, &Compatibility::reference());
    let cut = |interval| -> Vec<(String, Vec<usize>)> {
        let groups = observation_groups(&grouping.groups[0], interval).unwrap();
        groups.into_iter().map(|group| (group.id_segment.into_owned(), group.measurements)).collect()
    };
    let segment = |from: &str, to: &str| format!("20231009{from}Z.20231009{to}Z");
    let single = [segment("191823", "191823"), segment("194205", "194205"), segment("200000", "200000")];
    assert_eq!(cut(PeriodInterval::Single), single.into_iter().zip([vec![0], vec![1], vec![2]]).collect::<Vec<_>>());
    let hourly = [(segment("190000", "195959"), vec![0, 1]), (segment("200000", "205959"), vec![2])];
    assert_eq!(cut(PeriodInterval::Hourly), hourly);
    assert_eq!(cut(PeriodInterval::Daily), [(segment("000000", "235959"), vec![0, 1, 2])]);
    assert_eq!(cut(PeriodInterval::CorrelationId), [("c7".to_owned(), vec![0, 1, 2])]);
    let whole = observation_groups(&grouping.groups[0], PeriodInterval::CorrelationId).unwrap();
    assert_eq!((whole[0].start, whole[0].end), (at("19:18:23.5"), at("20:00:00")));
}

#[test]
fn tells_which_readings_of_a_ready_made_group_gave_way() {
    let measurements = [
        reading("10:00:00", "", &[("hr", "1")]),
        reading("10:00:00", "", &[("hr", "2")]),
        reading("10:00:00", "", &[("hr", "3"), ("x", "3")]),
    ];
    let mut groups = group(&measurements[..1], &Compatibility::reference()).groups;
    groups[0].readings.extend(measurements[1..].iter().enumerate().map(|(position, measurement)| Reading {
        measurement: position + 1,
        others: Vec::new(),
        time: measurement.occurrence_time,
        properties: Cow::Borrowed(&measurement.properties),
    }));
    let cut = observation_groups(&groups[0], PeriodInterval::Hourly).unwrap();
    assert_eq!((&cut[0].measurements, &cut[0].superseded), (&vec![0, 2], &vec![1]));
    assert_eq!(cut[0].values_of("hr").unwrap()[0].value.as_deref(), Some("1"));
}

fn measurements() -> impl Strategy<Value = Vec<Measurement<'static>>> {
    let id = prop::option::of("[a-b]?");
    let property = ("[h-j]", prop::option::of("[0-9]")).prop_map(property);
    fn property((name, value): (String, Option<String>)) -> Property<'static> {
        Property { name: name.into(), value: value.map(Into::into) }
    }
    let measurement = (0_i64..5, prop::option::of(0_i64..3), "[c-d]", id, prop::collection::vec(property, 0..3));
    let measurement = measurement.prop_map(|(time, ingestion, device_id, patient_id, properties)| Measurement {
        r#type: "t".into(),
        occurrence_time: UtcTime::from_ticks(time * 20_000_000_000).unwrap(),
        ingestion_time: ingestion.and_then(UtcTime::from_ticks),
        device_id: device_id.into(),
        patient_id: patient_id.map(Into::into),
        correlation_id: Some("c".into()),
        properties,
        ..Measurement::default()
    });
    prop::collection::vec(measurement, 0..40)
}

proptest! {
    #[test]
    fn each_measurement_is_in_one_place(measurements in measurements(), merge_equal_times in any::<bool>()) {
        let compatibility = Compatibility { merge_equal_times, ..Compatibility::default() };
        let grouping = group(&measurements, &compatibility);
        for interval in [-1, 0, 60, 1440] {
            let interval = PeriodInterval::from_minutes(interval).unwrap();
            let mut positions = grouping.superseded.clone();
            for group in &grouping.groups {
                for cut in observation_groups(group, interval).unwrap() {
                    positions.extend(cut.measurements.into_iter().chain(cut.superseded));
                }
            }
            positions.sort_unstable();
            prop_assert_eq!(positions, (0..measurements.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn instants_are_placed_as_they_are_first_met(ticks in prop::collection::vec(0_i64..12, 0..20)) {
        let (mut places, mut met) = (Places::default(), Vec::new());
        for tick in ticks {
            let time = UtcTime::from_ticks(tick).unwrap();
            let expected = met.iter().position(|known| *known == time).unwrap_or(met.len());
            prop_assert_eq!(places.of(time, |at| met[at]), expected);
            if expected == met.len() {
                met.push(time);
            }
        }
    }
}
