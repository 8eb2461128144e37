//! Measurements as normalize puts them into the internal hub, of a day that
//! belongs to one test alone.

use std::sync::atomic::{AtomicU32, Ordering};

use end_to_end::site::{DEVICES, PARTITIONS};

/// Of how many devices a partition holds readings.
const DEVICES_OF_PARTITION: usize = DEVICES.len() / PARTITIONS;

/// A day that no other test of this process has, so that tests may share a
/// server.
pub fn new_day() -> String {
    static DAYS: AtomicU32 = AtomicU32::new(0);
    let day = DAYS.fetch_add(1, Ordering::Relaxed);
    format!("2021-{:02}-{:02}", 1 + day / 28, 1 + day % 28)
}

/// A reading of one value, or of two.
pub struct Reading<'r> {
    pub kind: &'r str,
    pub device: &'r str,
    /// When it was taken, `12:34:56`.
    pub time: &'r str,
    /// When the customer's hub received it.
    pub ingested: &'r str,
    pub values: &'r [(&'r str, i64)],
}

impl Reading<'_> {
    /// As normalize writes it.
    pub fn json(&self, day: &str) -> String {
        let property = |(name, value): &(&str, i64)| format!(r#"{{"Name":"{name}","Value":"{value}"}}"#);
        let values: Vec<_> = self.values.iter().map(property).collect();
        let Reading { kind, device, time, ingested, .. } = self;
        format!(
            concat!(
                r#"{{"Type":"{}","OccurrenceTimeUtc":"{}T{}Z","IngestionTimeUtc":"{}T{}Z","DeviceId":"{}","#,
                r#""PatientId":null,"EncounterId":null,"CorrelationId":null,"Properties":[{}]}}"#
            ),
            kind,
            day,
            time,
            day,
            ingested,
            device,
            values.join(",")
        )
    }
}

/// A heart rate.
pub fn heart_rate(day: &str, device: &str, time: &str, value: i64) -> String {
    Reading { kind: "heartrate", device, time, ingested: time, values: &[("hr", value)] }.json(day)
}

/// `count` readings for one partition, four minutes apart, of each kind of
/// grouping. Some are of an instant that was there before, and some are bad.
pub fn mixed(day: &str, partition: usize, count: usize) -> Vec<String> {
    let reading = |number: usize| {
        let device = DEVICES[partition * DEVICES_OF_PARTITION + number % DEVICES_OF_PARTITION];
        let minutes = |number: usize| format!("{:02}:{:02}:00", number * 4 / 60 % 24, number * 4 % 60);
        let value = i64::try_from(number).expect("a small number");
        // One that comes again, three readings later, was received before the
        // first, or after it: which of them counts depends on the windows.
        let again = number >= 3 && number % 11 >= 8;
        let time = if again { minutes(number - 3) } else { minutes(number) };
        let late = if number.is_multiple_of(2) { 20 } else { 0 };
        let ingested = format!("{:02}:{:02}:{:02}", late + usize::from(!again), number / 60, number % 60);
        let (kind, values): (_, &[_]) = match number % 7 {
            _ if again => ("heartrate", &[("hr", 1000 + value)]),
            4 => ("bodytemperature", &[("temperature", 30 + value % 10)]),
            6 => ("bloodpressure", &[("systolic", 100 + value), ("diastolic", 60 + value)]),
            _ => ("heartrate", &[("hr", value)]),
        };
        match number % 25 {
            24 => "{".to_owned(),
            12 => Reading { kind: "unmapped", device, time: &time, ingested: &ingested, values }.json(day),
            _ => Reading { kind, device, time: &time, ingested: &ingested, values }.json(day),
        }
    };
    (0..count).map(reading).collect()
}
