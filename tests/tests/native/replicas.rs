//! Several processes of each function, of which one stops and one starts while
//! events flow.

use std::collections::BTreeMap;
use std::time::Duration;

use end_to_end::fhir::{Fhir, Observations, difference};
use end_to_end::hapi::Hapi;
use end_to_end::poll::{try_until, until};
use end_to_end::process::Running;
use end_to_end::sekmet::Sekmet;
use end_to_end::site::{DEVICES, FatesOf, Site, fates, stop};
use end_to_end::stack::Setup;

const ARRIVAL_LIMIT: Duration = Duration::from_secs(120);

/// Readings of several devices and hours, and some that are none.
fn events() -> Vec<String> {
    let mut events = Vec::new();
    for number in 0..600 {
        let (device, hour, minute) = (DEVICES[number % DEVICES.len()], number / 60, number % 60);
        let time = format!("2020-11-01T{hour:02}:{minute:02}:00Z");
        events.push(format!(r#"{{"deviceid":"{device}","measurementdatetime":"{time}","heartrate":{number}}}"#));
        if number % 10 == 0 {
            events.push(format!(r#"{{"thermometer":"th-1","at":"{time}","fahrenheit":{}}}"#, 90 + number / 10));
        }
        if number % 40 == 0 {
            events.push(format!("no event {number}"));
        }
    }
    events
}

/// What comes of the events when nothing happens, through the Functions host's
/// stand-in.
fn undisturbed(events: &[String]) -> Observations {
    let setup = DEVICES.iter().fold(Setup::samples(), |setup, device| setup.argument("--register-device", device));
    let mut stack = setup.start();
    stack.send(events);
    stack.wait_for_fates(events.len());
    stack.fhir().observations()
}

/// How many of the processes have two of the four partitions, by what they
/// say: each partition has one owner that knows it.
fn owning(processes: &[Running]) -> usize {
    let owns = |process: &&Running| {
        let lines = process.stdout();
        let said = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
        said("Owns a partition") == said("Does not own a partition any more") + 2
    };
    processes.iter().filter(owns).count()
}

/// How many of the processes have a part in the work.
fn at_work(function: &str, processes: &[Running]) -> usize {
    processes.iter().filter(|process| !fates(function, [*process]).is_empty()).count()
}

fn count(fates: &FatesOf) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    fates.values().flatten().for_each(|fate| *counts.entry(fate.as_str()).or_default() += 1);
    counts
}

#[track_caller]
fn check(server: &Fhir, events: &[String], expected: &Observations) {
    let site = Site::start(server);
    let mut normalize = vec![site.function("normalize", "n-a"), site.function("normalize", "n-b")];
    let mut convert = vec![site.function("group-convert", "c-a"), site.function("group-convert", "c-b")];
    let (first, rest) = events.split_at(events.len() / 2);
    // Each has its share before there is work, whoever was first.
    until("two processes of each function share the partitions out", ARRIVAL_LIMIT, || {
        (owning(&normalize) == 2 && owning(&convert) == 2).then_some(())
    });
    site.send(first);
    let both = try_until(ARRIVAL_LIMIT, || {
        (at_work("normalize", &normalize) == 2 && at_work("group-convert", &convert) == 2).then_some(())
    });
    let printed = || [&normalize, &convert].into_iter().flatten().map(Running::printed).collect::<Vec<_>>().join("\n");
    assert!(both.is_some(), "two processes of each function are not at work\n{}", printed());
    stop(&mut normalize[0]);
    stop(&mut convert[0]);
    normalize.push(site.function("normalize", "n-c"));
    convert.push(site.function("group-convert", "c-c"));
    site.send(rest);

    let mut seen = (FatesOf::new(), FatesOf::new());
    let all = try_until(ARRIVAL_LIMIT, || {
        // The scaler sees that nothing is left to do.
        let is_done = site.is_done("normalize") && site.is_done("group-convert");
        seen = (fates("normalize", &normalize), fates("group-convert", &convert));
        (is_done && seen.0.len() == events.len()).then_some(())
    });
    let printed = || [&normalize, &convert].into_iter().flatten().map(Running::printed).collect::<Vec<_>>().join("\n");
    assert!(all.is_some(), "{:?} {:?}\n{}", count(&seen.0), count(&seen.1), printed());
    // Each event of the sample has one measurement or none. Who takes a partition over before its last position is
    // stored sends some of them again.
    let (of_events, of_measurements) = (count(&seen.0), count(&seen.1));
    assert_eq!(of_events["rejected"], 15, "{of_events:?}");
    assert_eq!(of_events.values().sum::<usize>(), events.len(), "{of_events:?}");
    let again = of_measurements.values().sum::<usize>().checked_sub(of_events["normalized"]);
    let again = again.unwrap_or_else(|| panic!("{of_events:?} {of_measurements:?}"));
    assert!(again < of_events["normalized"] / 2, "{again} came again");
    let mut of_measurements = of_measurements;
    let superseded = of_measurements.remove("superseded").unwrap_or_default();
    assert!(superseded <= again, "{superseded} of {again} that came again are superseded");
    assert!(
        of_measurements.keys().all(|fate| ["created", "merged", "unchanged"].contains(fate)),
        "{of_measurements:?}"
    );

    let found = server.observations();
    assert!(found == *expected, "Observations differ:\n{}", difference(expected, &found));
    for process in normalize.iter_mut().skip(1).chain(convert.iter_mut().skip(1)) {
        stop(process);
    }
}

#[test]
fn replicas_share_partitions_and_one_stops_and_one_starts() {
    let events = events();
    let expected = undisturbed(&events);
    assert!(expected.len() > 50, "{}", expected.len());
    let sekmet = Sekmet::start();
    check(&sekmet.fhir, &events, &expected);
    drop(sekmet);
    let hapi = Hapi::start();
    check(&hapi.fhir, &events, &expected);
}
