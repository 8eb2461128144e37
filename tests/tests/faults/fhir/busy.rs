//! The server asks for less, or for a pause.

use end_to_end::proxy::{Fault, Of, Rule};

use super::case::Case;
use super::servers::{Kind, OWN_AZURE, on};
use crate::selection::report;

fn check(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let busy = |status, retry_after| Rule::new(Fault::Answer { status, retry_after }, Of::Everything);
    let rules = [
        busy(429, Some(2)).skip(2).every(3).times(4),
        busy(503, Some(2)).skip(8).every(3).times(2),
        busy(503, None).every(4).times(4),
        busy(429, None).every(5).times(4),
        // Some servers say it of the entries of a bundle that they take.
        Rule::new(Fault::AnswerEntries(429), Of::Bundles).every(3).times(2),
        Rule::new(Fault::AnswerEntries(503), Of::Bundles).every(3).times(2),
    ];
    let rules = rules.map(|rule| case.proxy.inject(rule));
    let convert = case.convert("c");
    let seen = case.check(&[&convert]);
    let injected: Vec<usize> = rules.iter().map(|rule| rule.count()).collect();
    assert_eq!(injected, [4, 2, 4, 4, 2, 2]);
    assert_eq!(case.proxy.impatient(), 0, "requests came before the time that was asked for was over");
    let seen = format!("no request before the time; {seen}");
    report("429 and 503, with and without Retry-After", kind.name(), injected.iter().sum(), seen);
}

#[test]
fn the_server_asks_to_be_left_alone() {
    on(OWN_AZURE, check);
}
