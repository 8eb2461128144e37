//! Everything that can go wrong between group-convert and a server, all at once,
//! and kills between.

use end_to_end::process::Running;
use end_to_end::proxy::{Fault, Of, Rule};
use end_to_end::site::PARTITIONS;

use super::case::Case;
use super::readings::mixed;
use super::servers::{Kind, OWN_HAPI, on};
use crate::chance::Chance;
use crate::selection::{is_full, report};

/// A partition.
const READINGS: usize = 200;

fn check(kind: Kind) {
    let kills = if is_full() { 12 } else { 4 };
    let case = Case::start(kind);
    let mut chance = Chance::new();
    println!("{}: seed {}", kind.name(), chance.seed);
    for partition in 0..PARTITIONS {
        case.send(partition, &mixed(&case.day, partition, READINGS));
    }
    let busy = |status| Fault::Answer { status, retry_after: None };
    let rules = [
        Rule::new(Fault::Cut, Of::Everything).every(13),
        Rule::new(busy(429), Of::Everything).every(17),
        Rule::new(busy(503), Of::Everything).every(19),
        Rule::new(Fault::AnswerEntries(503), Of::Bundles).every(11),
        Rule::new(Fault::AnswerEntries(409), Of::Writes).every(11),
        Rule::new(Fault::LoseAnswer, Of::Writes).every(7),
        Rule::new(Fault::Half(None), Of::Bundles).every(5),
        Rule::new(Fault::Half(Some(504)), Of::Bundles).every(7),
    ];
    let rules = rules.map(|rule| case.proxy.inject(rule));
    let mut processes: Vec<Running> = vec![case.convert("c")];
    for _ in 0..kills {
        let written = case.proxy.counts().observation_writes + 1 + chance.below(60);
        let all: Vec<&Running> = processes.iter().collect();
        case.wait("some is written, or all is done", &all, || {
            (case.proxy.counts().observation_writes >= written || case.is_done()).then_some(())
        });
        processes.last_mut().expect("there is one").kill();
        processes.push(case.convert("c"));
    }
    let all: Vec<&Running> = processes.iter().collect();
    let seen = case.check(&all);
    let injected: Vec<usize> = rules.iter().map(|rule| rule.count()).collect();
    assert!(injected.iter().all(|count| *count > 0), "{injected:?}");
    let seen = format!("{kills} times kill -9; {seen}");
    report("all of it at once", kind.name(), injected.iter().sum(), seen);
}

#[test]
fn everything_goes_wrong_at_once() {
    on(OWN_HAPI, check);
}
