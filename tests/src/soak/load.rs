//! The events of a long run, and what has to come of them.

/// Devices that take turns. At 150 events a second each has its turn every two
/// seconds.
pub const DEVICES: usize = 300;
/// Partitions of the stack's hub.
const PARTITIONS: usize = 4;
/// Between two readings of a device, by its own clock: an hour, and with it an
/// Observation, is full after 120 readings, which is four minutes here.
const READING_SECONDS: usize = 30;
const READINGS_AN_HOUR: usize = 3600 / READING_SECONDS;
/// One event in so many has a second reading, for an Observation of its own.
const OXYGEN_EVERY: usize = 10;
/// One event in so many matches no template.
const UNMATCHED_EVERY: usize = 97;
/// One event in so many is not JSON.
const REJECTED_EVERY: usize = 499;

/// An hour of heart rate is one Observation; each oxygen saturation is one.
pub const DEVICE_MAPPING: &str = r#"{"templateType":"CollectionContent","template":[
{"templateType":"JsonPathContent","template":{"typeName":"heartrate","typeMatchExpression":"$..[?(@heartrate)]",
 "deviceIdExpression":"$.device","patientIdExpression":"$.patient","timestampExpression":"$.at",
 "values":[{"required":"true","valueExpression":"$.heartrate","valueName":"hr"}]}},
{"templateType":"JsonPathContent","template":{"typeName":"oxygen","typeMatchExpression":"$..[?(@oxygen)]",
 "deviceIdExpression":"$.device","patientIdExpression":"$.patient","timestampExpression":"$.at",
 "values":[{"required":"true","valueExpression":"$.oxygen","valueName":"spo2"}]}}]}"#;
/// See [`DEVICE_MAPPING`].
pub const FHIR_MAPPING: &str = r#"{"templateType":"CollectionFhir","template":[
{"templateType":"CodeValueFhir","template":{"typeName":"heartrate","periodInterval":60,
 "codes":[{"code":"8867-4","system":"http://loinc.org","display":"Heart rate"}],
 "value":{"valueType":"SampledData","valueName":"hr","defaultPeriod":30000,"unit":"count/min"}}},
{"templateType":"CodeValueFhir","template":{"typeName":"oxygen","periodInterval":0,
 "codes":[{"code":"59408-5","system":"http://loinc.org","display":"Oxygen saturation"}],
 "value":{"valueType":"Quantity","valueName":"spo2","unit":"%"}}}]}"#;

/// The events, one after the other, and what was counted of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Events made.
    pub events: usize,
    /// Those of them that no template matches.
    pub unmatched: usize,
    /// Those of them that are not JSON.
    pub rejected: usize,
    /// Readings of heart rate.
    pub heart_rates: usize,
    /// Readings of oxygen saturation.
    pub oxygens: usize,
    /// Turns of all devices.
    turns: usize,
}

impl Load {
    /// The next event, and its partition.
    pub fn next_event(&mut self) -> (usize, String) {
        self.events += 1;
        if self.events.is_multiple_of(REJECTED_EVERY) {
            self.rejected += 1;
            return (self.events % PARTITIONS, format!("not JSON, {}", self.events));
        }
        if self.events.is_multiple_of(UNMATCHED_EVERY) {
            self.unmatched += 1;
            return (self.events % PARTITIONS, format!(r#"{{"battery":{}}}"#, self.events % 100));
        }
        let (device, reading) = (self.turns % DEVICES, self.turns / DEVICES);
        self.turns += 1;
        self.heart_rates += 1;
        let oxygen = match (device + reading).is_multiple_of(OXYGEN_EVERY) {
            true => {
                self.oxygens += 1;
                format!(r#","oxygen":{}"#, 90 + reading % 10)
            }
            false => String::new(),
        };
        let (at, rate) = (time(reading), 60 + (device + reading) % 60);
        let body = format!(
            r#"{{"device":"soak-{device}","patient":"patient-{device}","at":"{at}","heartrate":{rate}{oxygen}}}"#
        );
        (device % PARTITIONS, body)
    }

    /// Events that give measurements.
    pub fn normalized(&self) -> usize {
        self.events - self.unmatched - self.rejected
    }

    /// Measurements of all events.
    pub fn measurements(&self) -> usize {
        self.heart_rates + self.oxygens
    }

    /// Observations when everything is written.
    pub fn observations(&self) -> usize {
        // Whoever has had a turn more than the others may be an hour further.
        let hours = |readings: usize| readings.div_ceil(READINGS_AN_HOUR);
        let (all, more) = (self.turns / DEVICES, self.turns % DEVICES);
        more * hours(all + 1) + (DEVICES - more) * hours(all) + self.oxygens
    }
}

/// The time of a device's reading: from the first of January on, within the
/// months that a run can take.
fn time(reading: usize) -> String {
    let seconds = reading * READING_SECONDS;
    let (days, hour, minute, second) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("2026-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", 1 + days / 28, 1 + days % 28)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn knows_what_comes_of_its_events() {
        let mut load = Load::default();
        let events: Vec<String> = (0..100_000).map(|_| load.next_event().1).collect();
        let having = |text: &str| events.iter().filter(|event| event.contains(text)).count();
        assert_eq!((having("heartrate"), having("oxygen")), (load.heart_rates, load.oxygens));
        assert_eq!((having("battery"), having("not JSON")), (load.unmatched, load.rejected));
        assert_eq!(load.events, load.normalized() + having("battery") + having("not JSON"));
        let hours: BTreeSet<(&str, &str)> = events
            .iter()
            .filter_map(|event| Some((event.split('"').nth(3)?, event.split_once("\"at\":\"")?.1.split(':').next()?)))
            .collect();
        assert_eq!(load.observations(), hours.len() + load.oxygens);
        let readings: BTreeSet<&String> = events.iter().filter(|event| event.contains("heartrate")).collect();
        assert_eq!(readings.len(), load.heart_rates, "a device reads once at a time");
    }
}
