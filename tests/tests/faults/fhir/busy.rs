//! The server asks for less, or for a pause.

use end_to_end::proxy::{Fault, Of, Rule};

use super::case::Case;
use super::servers::{Kind, OWN_AZURE, OWN_UUID, on};
use crate::selection::report;

fn check(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let busy = |status, retry_after| Rule::new(Fault::Answer { status, retry_after }, Of::Everything);
    let rules = [
        busy(429, Some(4)).skip(2).every(3).times(4),
        busy(503, Some(4)).skip(8).every(3).times(2),
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

/// The server asks for a longer pause than a window may take: the window is
/// given again, and nobody asks before the time all the same.
fn check_long_pause(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let pause = Fault::Answer { status: 429, retry_after: Some(8) };
    let pause = case.proxy.inject(Rule::new(pause, Of::Writes).skip(2).every(6).times(2));
    let convert = case.convert_with("c", &[("FhirService__TimeLimitSeconds", "3")]);
    let seen = case.check(&[&convert]);
    assert_eq!((pause.count(), case.proxy.impatient()), (2, 0));
    let seen = format!("no request before the time; {seen}");
    report("Retry-After beyond the time of a window", kind.name(), pause.count(), seen);
}

#[test]
fn the_server_asks_for_a_longer_pause_than_a_window_may_take() {
    on(OWN_UUID, check_long_pause);
}
