//! From no replica to as many as there are partitions, and back.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use end_to_end::poll::{try_until, until};
use end_to_end::proxy::{Fault, Of, Rule};
use end_to_end::site::DEVICES;
use serde_json::{Value, json};

use crate::site::{INTERNAL_HUB, LIMIT, PARTITIONS, RELEASE, Site, Workload};

const EVENTS: usize = 5000;

/// Readings of all devices, a minute apart; every one has a slot of its own, and
/// each test a day.
fn readings(day: usize) -> Vec<String> {
    let reading = |number: usize| {
        let (device, minute) = (DEVICES[number % DEVICES.len()], number / DEVICES.len());
        let (hour, minute) = (minute / 60, minute % 60);
        let time = format!("2020-11-{day:02}T{hour:02}:{minute:02}:00Z");
        format!(r#"{{"deviceid":"{device}","measurementdatetime":"{time}","heartrate":{}}}"#, 50 + number % 100)
    };
    (0..EVENTS).map(reading).collect()
}

/// How many values the Observations hold.
fn values(site: &Site) -> usize {
    let values = |text: &String| {
        let observation: Value = serde_json::from_str(text).expect("an Observation");
        let data = observation["component"].as_array().into_iter().flatten();
        let data = data.filter_map(|component| component["valueSampledData"]["data"].as_str());
        let own = observation["valueSampledData"]["data"].as_str();
        data.chain(own).flat_map(str::split_whitespace).filter(|value| *value != "E").count()
    };
    site.fhir().try_observations().map(|all| all.values().map(values).sum()).unwrap_or_default()
}

/// How many measurements the internal hub was given. What is normalized again,
/// because its partition moved, is sent again too.
fn sent_measurements(site: &Site) -> i64 {
    site.hub.bounds(INTERNAL_HUB).into_iter().map(|(_, last)| last + 1).sum()
}

#[test]
fn a_chart_that_helm_installed_scales_from_zero_and_back_and_loses_nothing() {
    let site = Site::start(Ipv4Addr::new(127, 0, 0, 2));
    site.helm().install(RELEASE, &Site::chart(), &site.values().to_string()).expect("it is installed");
    check_from_zero_and_back(&site, 1);
}

#[test]
fn the_functions_front_does_the_same() {
    let site = Site::start(Ipv4Addr::new(127, 0, 0, 4));
    let mut values = site.values();
    values["front"] = json!("functions");
    site.helm().install(RELEASE, &Site::chart(), &values.to_string()).expect("it is installed");
    check_from_zero_and_back(&site, 2);
}

/// Waits for zero, sends events, and follows them.
pub fn check_from_zero_and_back(site: &Site, day: usize) {
    // A replica of each has stored first positions; then nothing waits.
    Workload::ALL.iter().for_each(|workload| site.wait_for_replicas(*workload, 0));
    site.wait_for_no_pods();
    let before = values(site);
    let mut timeline = Timeline::from_now();
    send_and_hold_until_they_run(site, &readings(day), &mut timeline);
    let mut seen = (0, 0);
    let all_seen = try_until(LIMIT, || {
        seen = (site.fates(Workload::Normalize).len(), site.fates(Workload::Convert).len());
        let sent = sent_measurements(site);
        (seen.0 == EVENTS && sent >= EVENTS as i64 && seen.1 as i64 == sent).then_some(())
    });
    timeline.note("all saved", all_seen.is_some());
    assert!(all_seen.is_some(), "of {EVENTS} events and measurements {seen:?} have a fate");
    for fates in site.fates(Workload::Normalize).values() {
        assert_eq!(fates.len(), 1, "{fates:?}");
        assert!(fates[0].starts_with("normalized"), "{fates:?}");
    }
    let sent_again = sent_measurements(site) - EVENTS as i64;
    let mut superseded = 0;
    for fate in site.fates(Workload::Convert).values().flatten() {
        match fate.as_str() {
            "created" | "merged" | "unchanged" => {}
            // Of what came twice into one window, one stands.
            "superseded" => superseded += 1,
            other => panic!("{other}"),
        }
    }
    assert!(superseded <= sent_again, "{superseded} superseded, {sent_again} sent again");
    assert_eq!(values(site), before + EVENTS);
    Workload::ALL.iter().for_each(|workload| site.wait_for_replicas(*workload, 0));
    site.wait_for_no_pods();
    timeline.note("no pod is left", true);
    assert_eq!(values(site), before + EVENTS);
    eprintln!("SCALE {EVENTS} events from zero | {}", timeline.text());
    check_one_event_from_zero(site, day);
}

/// Sends events, and lets nothing be saved before a replica of group-convert has
/// started for each partition: how many KEDA wants of what is worked on meanwhile
/// is chance. Normalize is wanted for each partition too, but the first that runs
/// may have done all the work before the last starts.
fn send_and_hold_until_they_run(site: &Site, events: &[String], timeline: &mut Timeline) {
    let all = PARTITIONS as i32;
    let wanted = [(Workload::Normalize, 1), (Workload::Convert, PARTITIONS)];
    let wanted = wanted.map(|(workload, new)| (workload, site.pods_seen(workload) + new));
    site.hold_pods(true);
    let held = site.proxy.inject(Rule::new(Fault::HoldRequest, Of::Everything));
    site.send(events);
    timeline.note("all sent", true);
    site.wait_for_replicas(Workload::Normalize, all);
    timeline.note("all of normalize wanted", true);
    site.hold_pods(false);
    site.wait_for_replicas(Workload::Convert, all);
    timeline.note("all of group-convert wanted", true);
    for (workload, pods) in wanted {
        let what = format!("{pods} pods of {} ran", workload.name());
        until(&what, LIMIT, || (site.pods_seen(workload) >= pods).then_some(()));
    }
    held.release();
}

/// One event wakes both workloads, and is saved.
fn check_one_event_from_zero(site: &Site, day: usize) {
    let before = values(site);
    let mut timeline = Timeline::from_now();
    // An hour that no other reading has.
    let time = format!("2020-11-{day:02}T23:00:00Z");
    let event = format!(r#"{{"deviceid":"{}","measurementdatetime":"{time}","heartrate":61}}"#, DEVICES[0]);
    site.send(&[event]);
    let saved = try_until(LIMIT, || {
        timeline.note("normalize", site.replicas(Workload::Normalize) > 0);
        timeline.note("group-convert", site.replicas(Workload::Convert) > 0);
        (values(site) == before + 1).then_some(())
    });
    assert!(saved.is_some(), "the event is not saved");
    timeline.note("saved", true);
    eprintln!("SCALE one event from zero | {}", timeline.text());
}

/// How long after the first event what happened first: the figures in docs/helm.md.
struct Timeline {
    begin: Instant,
    moments: Vec<(&'static str, Duration)>,
}

impl Timeline {
    fn from_now() -> Timeline {
        Timeline { begin: Instant::now(), moments: Vec::new() }
    }

    fn note(&mut self, what: &'static str, happened: bool) {
        if happened && self.moments.iter().all(|(noted, _)| *noted != what) {
            self.moments.push((what, self.begin.elapsed()));
        }
    }

    fn text(&self) -> String {
        let moments = self.moments.iter().map(|(what, after)| format!("{what} {:.1} s", after.as_secs_f64()));
        moments.collect::<Vec<_>>().join(", ")
    }
}
