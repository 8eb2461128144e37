//! A write took effect, all of it or half, and its answer does not arrive.

use end_to_end::proxy::{Fault, Of, Rule};

use super::case::Case;
use super::servers::{Kind, OWN_AZURE, OWN_UUID, on};
use crate::selection::report;

fn connection_cut(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let lost = case.proxy.inject(Rule::new(Fault::LoseAnswer, Of::Writes).every(2).times(10));
    let convert = case.convert("c");
    let seen = case.check(&[&convert]);
    assert_eq!(lost.count(), 10);
    report("connection cut after a write took effect", kind.name(), lost.count(), seen);
}

#[test]
fn the_connection_ends_after_a_write_took_effect() {
    on(OWN_UUID, connection_cut);
}

fn timed_out(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let silent = case.proxy.inject(Rule::new(Fault::Silence, Of::Writes).every(3).times(3));
    // The time for a window bounds that for a request, which is a minute.
    let convert = case.convert_with("c", &[("FhirService__TimeLimitSeconds", "4")]);
    let seen = case.check(&[&convert]);
    assert_eq!(silent.count(), 3);
    report("time-out after a write took effect", kind.name(), silent.count(), seen);
}

#[test]
fn a_write_takes_effect_and_times_out() {
    on(OWN_AZURE, timed_out);
}

fn half_written(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let half = |status| Rule::new(Fault::Half(status), Of::Bundles).every(2).times(3);
    let rules = [half(None), half(Some(504)), half(Some(500))].map(|rule| case.proxy.inject(rule));
    let convert = case.convert("c");
    let seen = case.check(&[&convert]);
    let injected: Vec<usize> = rules.iter().map(|rule| rule.count()).collect();
    assert_eq!(injected, [3, 3, 3]);
    report("half a bundle written", kind.name(), injected.iter().sum(), seen);
}

#[test]
fn half_a_bundle_is_written() {
    on(Kind::Sekmet, half_written);
}
