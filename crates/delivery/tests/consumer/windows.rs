//! Windows, and what is done when something is away.

use std::time::Duration;

use delivery::Positions;
use futures::FutureExt;

use crate::site::{SECOND, Site};

#[test]
fn d4_a_window_closes_by_count_or_time_and_the_position_follows() {
    let mut site = Site::new(&["0"]);
    let _process = site.start("a", |options| options.rules.span = 10 * SECOND);
    site.append("0", 4);
    site.machine.advance(SECOND);
    assert_eq!(site.logged(), ["a 0 [0 1 2]", "a 0 Count -> Some(2)"]);
    assert_eq!(site.positions.sequence_number("0"), Some(2));
    // From the event to the Observation: the window and not more than a second.
    site.machine.advance(9 * SECOND);
    assert_eq!(site.logged(), ["a 0 [3]", "a 0 Wait -> Some(3)"]);
}

#[test]
fn d4_the_rest_of_a_backlog_does_not_wait_for_its_span() {
    let mut site = Site::new(&["0"]);
    site.append("0", 2);
    site.machine.advance(3600 * SECOND);
    let _process = site.start("a", |_| {});
    site.machine.advance(2 * SECOND);
    assert_eq!(site.logged(), ["a 0 [0 1]", "a 0 Wait -> Some(1)"]);
}

#[test]
fn d4_a_redelivery_is_cut_at_the_same_place() {
    let mut site = Site::new(&["0"]);
    *site.away.lock().unwrap() = Some("0".to_owned());
    let mut killed = site.start("a", |_| {});
    site.append("0", 5);
    site.machine.advance(SECOND);
    assert_eq!(site.logged()[0], "a 0 [0 1 2]");
    // Another process with other limits, once the ownership has expired.
    killed.kill();
    site.machine.advance(121 * SECOND);
    site.logged();
    *site.away.lock().unwrap() = None;
    let _process = site.start("b", |options| options.rules.max_events = 2);
    site.machine.advance(SECOND);
    let by_b: Vec<_> = site.logged().into_iter().filter(|line| line.starts_with("b 0 [")).collect();
    assert_eq!(by_b, ["b 0 [0 1 2] again", "b 0 [3 4]"], "the first window is what it was, the next is not");
}

#[test]
fn d4_the_windows_of_all_partitions_share_a_budget() {
    let mut site = Site::new(&["0", "1"]);
    let large = "x".repeat(1000);
    let _process = site.start("a", |options| {
        options.rules.max_events = 100;
        options.window_bytes_max = 3000;
    });
    for partition in ["0", "1", "0", "1"] {
        site.hub.append(partition, large.as_str(), site.now());
        site.machine.advance(Duration::ZERO);
    }
    let flushed: Vec<_> = site.logged().into_iter().filter(|line| line.contains("Bytes")).collect();
    assert_eq!(flushed, ["a 0 Bytes -> Some(1)"], "the third event is too much for both windows");
}

#[test]
fn d5_what_is_away_stops_its_partition_only_and_the_batch_comes_again_unchanged() {
    let mut site = Site::new(&["0", "1"]);
    *site.away.lock().unwrap() = Some("0".to_owned());
    let _process = site.start("a", |_| {});
    site.append("0", 3);
    site.append("1", 3);
    site.machine.advance(SECOND);
    assert_eq!(site.positions.sequence_number("0"), Some(-1), "nothing is checkpointed before it is done");
    assert_eq!(site.positions.sequence_number("1"), Some(2));
    site.append("0", 1);
    site.machine.advance(60 * SECOND);
    let again = site.logged();
    let tries: Vec<_> = again.iter().filter(|line| line.starts_with("a 0 [")).collect();
    assert!(tries.len() > 3 && tries.len() < 12, "{tries:?}");
    assert!(tries[1..].iter().all(|line| *line == "a 0 [0 1 2] again"), "{tries:?}");
    *site.away.lock().unwrap() = None;
    site.machine.advance(31 * SECOND);
    assert_eq!(site.positions.sequence_number("0"), Some(2));
}

#[test]
fn normalize_has_no_windows_and_works_through_what_there_is() {
    let mut site = Site::new(&["0"]);
    site.append("0", 2);
    let _process = site.start("a", |options| options.windowed = false);
    site.machine.advance(Duration::ZERO);
    assert_eq!(site.logged(), ["a 0 [0 1]", "a 0 Stop -> Some(1)"]);
    let window = site.positions.window("0").now_or_never().unwrap().unwrap();
    assert_eq!(window, None);
}

#[test]
fn small_events_are_let_come_in_greater_numbers_and_none_is_lost_or_doubled_by_it() {
    let mut site = Site::new(&["0"]);
    let _process = site.start("a", |options| {
        options.windowed = false;
        options.in_flight_bytes_max = 2 << 20;
    });
    site.append("0", 40);
    site.machine.advance(SECOND);
    site.hub.append("0", "x".repeat(1 << 20), site.now());
    site.append("0", 3);
    site.machine.advance(SECOND);
    assert_eq!(site.hub.credits("0"), [2, 100, 1], "an event has some bytes besides its body");
    let done: Vec<_> = site.logged().into_iter().filter(|line| line.contains('[')).collect();
    let numbers: Vec<i64> = done
        .iter()
        .flat_map(|line| line.split(['[', ']']).nth(1).unwrap().split(' ').map(|number| number.parse().unwrap()))
        .collect();
    assert_eq!(numbers, (0..44).collect::<Vec<_>>());
}
