//! Where reading begins.

use delivery::Positions;
use futures::FutureExt;
use simulator::MemoryHub;

use crate::site::{SECOND, Site, source};

#[test]
fn d13_partitions_without_a_position_get_one_before_their_oldest_event() {
    let mut site = Site::new(&["0", "1"]);
    site.append("1", 5);
    site.hub.expire("1", 2);
    *site.away.lock().unwrap() = Some("1".to_owned());
    let _a = site.start("a", |_| {});
    site.machine.advance(SECOND);
    assert_eq!((site.positions.sequence_number("0"), site.positions.sequence_number("1")), (Some(-1), Some(1)));
    assert_eq!(site.logged()[0], "a 1 [2 3 4]");
}

#[test]
fn d14_a_changed_source_starts_from_its_beginning_also_when_it_changes_back() {
    let mut site = Site::new(&["0"]);
    let other = MemoryHub::new(source("other"), &["0"]);
    other.append("0", "{}", site.now());
    site.append("0", 3);
    for (name, hub, positions, expected) in [
        ("a1", site.hub.clone(), site.positions.clone(), "a1 0 [0 1 2]"),
        ("b", other.clone(), site.positions.of(source("other")), "b 0 [0]"),
        ("a2", site.hub.clone(), site.positions.clone(), "a2 0 [0 1 2]"),
        ("a3", site.hub.clone(), site.positions.clone(), ""),
    ] {
        let mut process = site.start_reading(name, hub, positions, |options| options.windowed = false);
        site.machine.advance(SECOND);
        process.stop();
        site.machine.advance(SECOND);
        assert_eq!(process.end(), "stopped");
        let done: Vec<_> = site.logged().into_iter().filter(|line| line.contains('[')).collect();
        assert_eq!(done.join(" "), expected, "{name}");
    }
}

/// A deployment with a misspelt hub beside a process that runs costs nothing.
#[test]
fn d14_positions_of_a_hub_that_is_read_are_not_forgotten() {
    let mut site = Site::new(&["0"]);
    let other = MemoryHub::new(source("other"), &["0"]);
    let mut a = site.start("a", |_| {});
    site.append("0", 3);
    site.machine.advance(SECOND);
    let of_other = site.positions.of(source("other"));
    let mut b = site.start_reading("b", other.clone(), of_other.clone(), |_| {});
    site.machine.advance(30 * SECOND);
    b.stop();
    site.machine.advance(SECOND);
    assert_eq!(site.positions.sequence_number("0"), Some(2));
    let worked = site.logged().into_iter().filter(|line| line.contains('[')).count();
    assert_eq!(worked, 1, "and nothing is read again");
    a.kill();
    let _b = site.start_reading("b", other, of_other, |_| {});
    site.machine.advance(100 * SECOND);
    assert_eq!(site.positions.sequence_number("0"), Some(2), "it may be about to come back");
    site.machine.advance(320 * SECOND);
    assert_eq!(site.positions.sequence_number("0"), None);
}

#[test]
fn a_hub_that_was_made_anew_is_read_from_its_beginning() {
    let mut site = Site::new(&["0"]);
    site.append("0", 6);
    let mut a = site.start("a", |_| {});
    site.machine.advance(SECOND);
    a.stop();
    site.machine.advance(SECOND);
    site.logged();
    site.hub.make_anew();
    site.append("0", 3);
    let _b = site.start("b", |_| {});
    site.machine.advance(29 * SECOND);
    assert_eq!(site.logged(), [""; 0], "what a hub says of itself can be old");
    site.machine.advance(2 * SECOND);
    assert_eq!(site.logged()[..2], ["b 0 [0 1 2]", "b 0 Count -> Some(2)"]);
    assert_eq!(site.positions.sequence_number("0"), Some(2));
}

#[test]
fn events_that_were_deleted_before_they_were_read_are_told_of() {
    let mut site = Site::new(&["0"]);
    site.append("0", 3);
    let mut a = site.start("a", |_| {});
    site.machine.advance(SECOND);
    a.stop();
    site.machine.advance(SECOND);
    site.append("0", 6);
    site.hub.expire("0", 5);
    site.logged();
    let _b = site.start("b", |_| {});
    site.machine.advance(SECOND);
    assert_eq!(site.logged(), ["b 0 lost 2", "b 0 [5 6 7]", "b 0 Count -> Some(7)"]);
}

#[test]
fn d13_a_position_that_another_wrote_is_not_put_back() {
    let mut site = Site::new(&["0"]);
    *site.slowness.lock().unwrap() = 5 * SECOND;
    let _a = site.start("a", |_| {});
    site.append("0", 3);
    site.machine.advance(SECOND);
    let (mut checkpoint, version) = site.positions.checkpoint("0").now_or_never().unwrap().unwrap().unwrap();
    checkpoint.sequence_number = 9;
    site.positions.write_checkpoint("0", &checkpoint, Some(&version)).now_or_never().unwrap().unwrap();
    site.machine.advance(5 * SECOND);
    assert_eq!(site.logged(), ["a 0 [0 1 2]"], "given up after the work, without a flush");
    assert_eq!(site.positions.sequence_number("0"), Some(9));
}

#[test]
fn a_busy_partition_tells_how_many_events_wait() {
    let mut site = Site::new(&["0"]);
    *site.slowness.lock().unwrap() = 20 * SECOND;
    site.append("0", 12);
    let _a = site.start("a", |_| {});
    site.machine.advance(65 * SECOND);
    let lag: Vec<_> = site.logged().into_iter().filter(|line| line.contains("lag")).collect();
    assert_eq!(lag, ["a 0 lag 6"], "after 40 s; not after each window of 20 s");
}
