//! Whose a partition is, and what becomes of it when a process ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use simulator::Lie;

use crate::site::{SECOND, Site};

fn owners(site: &Site, partitions: &[&str]) -> Vec<String> {
    partitions.iter().map(|partition| site.owner(partition).unwrap_or_default()).collect()
}

#[test]
fn processes_share_the_partitions_out() {
    let partitions = ["0", "1", "2", "3"];
    let mut site = Site::new(&partitions);
    let mut a = site.start("a", |_| {});
    site.machine.advance(SECOND);
    assert_eq!(owners(&site, &partitions), ["a", "a", "a", "a"]);
    let _b = site.start("b", |_| {});
    site.machine.advance(30 * SECOND);
    let mut shared = owners(&site, &partitions);
    shared.sort();
    assert_eq!(shared, ["a", "a", "b", "b"]);
    a.stop();
    site.machine.advance(30 * SECOND);
    assert_eq!(a.end(), "stopped");
    assert_eq!(owners(&site, &partitions), ["b", "b", "b", "b"]);
    // Each event was worked on once, whoever had it.
    for partition in partitions {
        site.append(partition, 3);
    }
    site.machine.advance(SECOND);
    let mut done: Vec<_> = site.logged().into_iter().filter(|line| line.contains('[')).collect();
    done.sort();
    assert_eq!(done, ["b 0 [0 1 2]", "b 1 [0 1 2]", "b 2 [0 1 2]", "b 3 [0 1 2]"]);
}

#[test]
fn a_stop_finishes_the_batch_stores_the_position_and_gives_the_partition_back() {
    let mut site = Site::new(&["0"]);
    *site.slowness.lock().unwrap() = 40 * SECOND;
    let mut a = site.start("a", |_| {});
    site.append("0", 3);
    site.machine.advance(SECOND);
    a.stop();
    site.machine.advance(20 * SECOND);
    assert_eq!((a.end(), owners(&site, &["0"])), ("runs".to_owned(), vec!["a".to_owned()]));
    site.machine.advance(20 * SECOND);
    assert_eq!(a.end(), "stopped");
    assert_eq!((site.positions.sequence_number("0"), site.owner("0")), (Some(2), None));
    // What had arrived and was no whole window yet is worked through as well.
    *site.slowness.lock().unwrap() = Duration::ZERO;
    let mut b = site.start("b", |_| {});
    site.append("0", 1);
    site.machine.advance(SECOND);
    b.stop();
    site.machine.advance(SECOND);
    assert_eq!(site.positions.sequence_number("0"), Some(3));
}

#[test]
fn a_stop_does_not_wait_for_what_is_away() {
    let mut site = Site::new(&["0"]);
    *site.away.lock().unwrap() = Some("0".to_owned());
    let mut a = site.start("a", |_| {});
    site.append("0", 3);
    site.machine.advance(60 * SECOND);
    a.stop();
    site.machine.advance(SECOND);
    assert_eq!((a.end().as_str(), site.positions.sequence_number("0")), ("stopped", Some(-1)));
}

#[test]
fn d13_nothing_is_written_once_the_ownership_may_have_passed() {
    let mut site = Site::new(&["0"]);
    *site.slowness.lock().unwrap() = 70 * SECOND;
    // Not renewed in time: no round comes before the batch is done.
    let _a = site.start("a", |options| options.renew_every = 1000 * SECOND);
    site.append("0", 3);
    site.machine.advance(71 * SECOND);
    assert_eq!(site.logged(), ["a 0 [0 1 2] FENCED"], "120 s less the longest request of 60 s are over");
    assert_eq!(site.positions.sequence_number("0"), Some(-1));
}

#[test]
fn d13_a_stolen_partition_is_given_up() {
    let mut site = Site::new(&["0"]);
    *site.slowness.lock().unwrap() = 30 * SECOND;
    let _a = site.start("a", |_| {});
    site.append("0", 3);
    site.machine.advance(SECOND);
    site.positions.steal("0", "thief");
    site.machine.advance(30 * SECOND);
    assert_eq!(site.logged(), ["a 0 [0 1 2] FENCED"]);
    assert_eq!(site.positions.sequence_number("0"), Some(-1), "the thief begins where the position is");
    assert_eq!(site.owner("0").as_deref(), Some("thief"));
    // Only when the thief is gone is it taken again.
    site.machine.advance(130 * SECOND);
    assert_eq!(site.owner("0").as_deref(), Some("a"));
}

/// Found by the simulator: whoever came next took it for free, and cut what the
/// owner was at work on in another place.
#[test]
fn d13_a_partition_whose_ownership_was_deleted_may_still_be_worked_on() {
    let mut site = Site::new(&["0"]);
    *site.slowness.lock().unwrap() = 15 * SECOND;
    let _a = site.start("a", |_| {});
    site.append("0", 3);
    site.machine.advance(SECOND);
    *site.slowness.lock().unwrap() = Duration::ZERO;
    site.positions.lose("0");
    let _b = site.start("b", |_| {});
    site.machine.advance(60 * SECOND);
    let worked: Vec<_> = site.logged().into_iter().filter(|line| line.contains('[')).collect();
    assert_eq!(worked, ["a 0 [0 1 2] FENCED", "b 0 [0 1 2] again"]);
}

/// Found by the simulator: a claim whose answer got lost was made again as if
/// nobody else had been at work.
#[test]
fn d13_a_partition_that_was_taken_without_an_answer_is_waited_for_too() {
    for lie in [Lie::NoAnswer, Lie::Refused] {
        let mut site = Site::new(&["0", "1"]);
        let _a = site.start("a", |_| {});
        site.machine.advance(SECOND);
        *site.slowness.lock().unwrap() = 20 * SECOND;
        site.append("0", 3);
        site.append("1", 3);
        site.machine.advance(Duration::from_millis(1));
        *site.slowness.lock().unwrap() = Duration::ZERO;
        // Of the first claim of b, for what is a's.
        site.positions.lie(lie);
        let _b = site.start("b", |_| {});
        site.machine.advance(60 * SECOND);
        let worked: Vec<_> = site.logged().into_iter().filter(|line| line.contains('[')).collect();
        let by_b = worked.iter().position(|line| line.starts_with('b')).unwrap();
        let fenced = worked.iter().position(|line| line.ends_with("FENCED")).unwrap();
        assert!(fenced < by_b, "{lie:?}: {worked:?}");
    }
}

#[test]
fn d13_no_position_is_stored_of_a_partition_that_was_lost_meanwhile() {
    let mut site = Site::new(&["0"]);
    *site.slowness.lock().unwrap() = 30 * SECOND;
    site.heedless.store(true, Ordering::Relaxed);
    let _a = site.start("a", |_| {});
    site.append("0", 3);
    site.machine.advance(SECOND);
    site.positions.steal("0", "thief");
    site.machine.advance(30 * SECOND);
    assert_eq!(site.logged(), ["a 0 [0 1 2] FENCED"]);
    assert_eq!(site.positions.sequence_number("0"), Some(-1));
}

#[test]
fn events_that_wait_and_do_not_arrive_make_the_partition_open_anew_and_then_the_process_end() {
    let mut site = Site::new(&["0"]);
    site.hub.be_silent("0", 2);
    let a = site.start("a", |_| {});
    site.append("0", 3);
    site.machine.advance(130 * SECOND);
    let restarts: Vec<_> = site.logged().into_iter().filter(|line| !line.contains("lag")).collect();
    assert_eq!(restarts, ["a 0 restarted", "a 0 restarted", "a 0 [0 1 2]", "a 0 Count -> Some(2)"]);
    site.hub.be_silent("0", 100);
    // The present reader goes on; the next one is silent.
    site.positions.steal("0", "thief");
    site.machine.advance(140 * SECOND);
    site.append("0", 1);
    site.machine.advance(300 * SECOND);
    assert_eq!(a.end(), "events wait in partition `0` and none arrives");
    assert_eq!(site.owner("0"), None, "for another process to try");
}

#[test]
fn a_process_goes_on_with_what_was_its_own_before_it_was_killed() {
    let mut site = Site::new(&["0", "1"]);
    let mut machine_gone = site.start("a", |_| {});
    site.machine.advance(SECOND);
    machine_gone.kill();
    site.append("0", 3);
    site.append("1", 3);
    let _again = site.start("a", |_| {});
    site.machine.advance(2 * SECOND);
    let done: Vec<_> = site.logged().into_iter().filter(|line| line.contains('[')).collect();
    assert_eq!(done.len(), 2, "at once, not after the ownership has expired: {done:?}");
}

#[test]
fn two_processes_of_one_name_do_not_both_own_a_partition() {
    let mut site = Site::new(&["0"]);
    let _a = site.start("a", |_| {});
    site.machine.advance(SECOND);
    let _twin = site.start("a", |_| {});
    site.machine.advance(SECOND);
    *site.slowness.lock().unwrap() = 30 * SECOND;
    site.append("0", 3);
    site.machine.advance(40 * SECOND);
    let worked: Vec<_> = site.logged().into_iter().filter(|line| line.contains('[')).collect();
    assert_eq!(worked, ["a 0 [0 1 2] FENCED", "a 0 [0 1 2]"], "whoever lost it did nothing more");
    assert_eq!(site.positions.sequence_number("0"), Some(2));
}

/// What Kubernetes restarts a process by.
#[test]
fn the_loop_comes_round_while_the_destination_is_away_and_stands_still_with_its_machine() {
    let mut site = Site::new(&["0"]);
    *site.away.lock().unwrap() = Some("0".to_owned());
    let a = site.start("a", |_| {});
    site.append("0", 3);
    let mut came_round = 0;
    for minute in 0..30 {
        site.machine.advance(60 * SECOND);
        let rounds = a.rounds.load(Ordering::Relaxed);
        assert!(rounds >= came_round + 5, "{} rounds in minute {minute}", rounds - came_round);
        came_round = rounds;
    }
    a.freeze(600 * SECOND);
    site.machine.advance(300 * SECOND);
    assert_eq!(a.rounds.load(Ordering::Relaxed), came_round);
}
