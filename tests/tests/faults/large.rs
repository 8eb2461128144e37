//! A thousand consecutive events of the largest size: what is in memory at once
//! is bounded.

use std::fmt::Write;

use end_to_end::hub::To;
use end_to_end::site::{DEVICES, PARTITIONS, Site, fates, hub_of};

use crate::course::Course;
use crate::fhir::servers::OWN_AZURE;
use crate::selection::{is_full, report};

/// A standard hub takes 1 MiB with everything around it.
const EVENT_BYTES: usize = 1_000_000;

/// What a function may hold at its peak, in MiB: 32 on their way from the hub and
/// 32 in windows (docs/delivery.md); for each of the four partitions an event that
/// is being received, in three copies, and one that is being read, of which each
/// number takes 16 bytes beside its text, so 8; and 50 for the process and what
/// its allocator keeps.
const PEAK_MIB_MAX: usize = 32 + 32 + 4 * (3 + 8) + 50;

/// An event of a device, filled up with text or with numbers, of which each is a
/// value to be read.
fn event(year: usize, number: usize) -> String {
    let (device, hour, minute) = (DEVICES[number % DEVICES.len()], number / 60 % 24, number % 60);
    let (month, day) = (1 + number / 1440 / 28, 1 + number / 1440 % 28);
    let time = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z");
    let mut text = format!(r#"{{"deviceid":"{device}","measurementdatetime":"{time}","heartrate":{number},"rest":"#);
    let left = EVENT_BYTES - text.len();
    if number.is_multiple_of(2) {
        text.push('"');
        text.extend(std::iter::repeat_n('x', left - 3));
        text.push_str("\"}");
    } else {
        text.push('[');
        text.extend(std::iter::repeat_n("12,", (left - 6) / 3));
        text.push_str("12]}");
    }
    text
}

/// A measurement as normalize writes it, with a value that the FHIR mapping does
/// not use and that makes it large.
fn measurement(year: usize, number: usize) -> String {
    let device = DEVICES[number % DEVICES.len()];
    let time = format!("{year}-06-{:02}T{:02}:{:02}:00Z", 1 + number / 1440, number / 60 % 24, number % 60);
    let mut text = String::with_capacity(EVENT_BYTES + 100);
    let written = write!(
        text,
        concat!(
            r#"{{"Type":"heartrate","OccurrenceTimeUtc":"{}","IngestionTimeUtc":"{}","DeviceId":"{}","#,
            r#""Properties":[{{"Name":"hr","Value":"{}"}},{{"Name":"rest","Value":""#
        ),
        time, time, device, number
    );
    assert!(written.is_ok());
    text.extend(std::iter::repeat_n('x', EVENT_BYTES - text.len() - 4));
    text.push_str("\"}]}");
    text
}

/// Sends `count` of them, in turn to each partition.
fn send(site: &Site, hub: &str, count: usize, event: impl Fn(usize) -> String) {
    for first in (0..count).step_by(PARTITIONS * 4) {
        for partition in 0..PARTITIONS {
            let numbers = (first..count.min(first + PARTITIONS * 4)).filter(|number| number % PARTITIONS == partition);
            let events: Vec<String> = numbers.map(&event).collect();
            site.hub.send(hub, To::Partition(&partition.to_string()), &events);
        }
    }
}

/// The most memory that a process had, in MiB.
#[track_caller]
fn peak_mib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib.div_ceil(1024)
}

#[test]
fn a_thousand_events_of_a_megabyte_stay_within_the_budget() {
    let count = if is_full() { 1000 } else { 24 };
    check("events of 1 MB, normalize", "normalize", count, event, "normalized");
    check("measurements of 1 MB, group-convert", "group-convert", count, measurement, "saved");
    if is_full() {
        let cut_off = |year: usize, number: usize| event(year, number).trim_end_matches('}').to_owned();
        check("poison events of 1 MB, normalize", "normalize", count / 5, cut_off, "rejected");
    }
}

/// Lets a function work through what waits in its hub already; each is to have
/// the one fate, where `saved` is any of those with an Observation.
#[track_caller]
fn check(name: &str, function: &str, count: usize, event: impl Fn(usize, usize) -> String, fate: &str) {
    let server = OWN_AZURE.start();
    let mut course = Course::start(server.fhir());
    let year = course.year();
    send(&course.site, hub_of(function), count, |number| event(year, number));
    course.add(function, "large", &[]);
    course.until("the large events are done", || course.site.is_done(function).then_some(()));
    let fates = fates(function, course.processes(function));
    assert_eq!(fates.len(), count);
    let is_so = |found: &&String| match fate {
        "saved" => ["created", "merged"].contains(&found.as_str()),
        fate => *found == fate,
    };
    assert_eq!(fates.values().flatten().filter(is_so).count(), count, "{}", course.printed());
    let letters = if fate == "rejected" { count } else { 0 };
    assert_eq!(course.dead_letters(function), letters);
    let peak = peak_mib(course.processes(function)[0].pid());
    report(name, OWN_AZURE.name(), count, format!("peak of memory {peak} MiB"));
    assert!(peak <= PEAK_MIB_MAX, "{name}: {peak} MiB at the peak, {PEAK_MIB_MAX} are allowed");
}
