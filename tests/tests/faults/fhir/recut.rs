//! The process is killed between the first write of a window and its
//! checkpoint, and by the time of the redelivery more events wait than there
//! were: a window cut anew would hold two readings of one instant of which
//! another one would win.

use end_to_end::oracle::{Window, Windows};
use end_to_end::proxy::{Fault, Of, Rule};
use end_to_end::site::{DEVICES, PARTITIONS};

use super::case::{Case, LIMIT};
use super::readings::{Reading, heart_rate};
use super::servers::{Kind, OWN_HAPI, on};
use crate::selection::report;

/// Two readings of two Observations, so that half of them may be written.
fn first(day: &str, device: &str) -> Vec<String> {
    let early = Reading { kind: "heartrate", device, time: "10:00:00", ingested: "12:00:00", values: &[("hr", 61)] };
    vec![early.json(day), heart_rate(day, device, "11:00:00", 62)]
}

/// A reading of the same instant that was received by the customer's hub before
/// the other one, and more of the same hours.
fn rest(day: &str, device: &str) -> Vec<String> {
    let late = Reading { kind: "heartrate", device, time: "10:00:00", ingested: "11:30:00", values: &[("hr", 71)] };
    let more = (1..6).map(|minute| heart_rate(day, device, &format!("11:{minute:02}:00"), 70 + minute));
    [late.json(day)].into_iter().chain(more).collect()
}

fn check(kind: Kind, fault: Fault) {
    let case = Case::start(kind);
    let devices: Vec<&str> = (0..PARTITIONS).map(|partition| DEVICES[partition * 3]).collect();
    for (partition, device) in devices.iter().enumerate() {
        case.send(partition, &first(&case.day, device));
    }
    let written = case.proxy.inject(Rule::new(fault, Of::Writes).times(PARTITIONS));
    let mut killed = case.convert("c");
    written.wait(PARTITIONS, LIMIT);
    killed.kill();
    for (partition, device) in devices.iter().enumerate() {
        case.send(partition, &rest(&case.day, device));
    }
    let again = case.convert("c");
    let windows = case.done(&[&killed, &again]);
    let whole = |partition: usize| {
        let window = Window { numbers: (0..8).collect(), fates: Vec::new() };
        ((partition.to_string(), 0), window)
    };
    let naive: Windows = (0..PARTITIONS).map(whole).collect();
    assert_ne!(case.expected(&naive, &[]).observations, case.expected(&windows, &[]).observations);
    let seen = case.check(&[&killed, &again]);
    let seen = format!("{fault:?}: cut as before; {seen}");
    report("kill -9 between the first write of a window and its checkpoint", kind.name(), PARTITIONS, seen);
}

#[test]
fn killed_between_the_first_write_of_a_window_and_its_checkpoint() {
    on(OWN_HAPI, |kind| [Fault::HoldAnswer, Fault::Half(None)].into_iter().for_each(|fault| check(kind, fault)));
}
