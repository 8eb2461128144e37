//! Something in front of the server answers with success and a page of its own:
//! a sign-in page, a notice of maintenance.

use end_to_end::proxy::{Fault, Of, Rule};

use super::case::Case;
use super::readings::heart_rate;
use super::servers::{Kind, OWN_AZURE, on};
use crate::selection::report;

fn check(kind: Kind) {
    let case = Case::start(kind);
    case.send_mixed();
    let page = Fault::Answer { status: 200, retry_after: None };
    // Of a window with one Observation the write is no bundle.
    let alone = (0..10).map(|minute| heart_rate(&case.day, "d1", &format!("23:{minute:02}:00"), 60 + minute));
    case.send(0, &alone.collect::<Vec<_>>());
    let rules = [
        case.proxy.inject(Rule::new(page, Of::Everything).every(5).times(6)),
        case.proxy.inject(Rule::new(page, Of::SingleWrites).times(4)),
    ];
    let convert = case.convert("c");
    let seen = case.check(&[&convert]);
    let injected: Vec<usize> = rules.iter().map(|rule| rule.count()).collect();
    assert!(injected[0] == 6 && injected[1] > 0, "{injected:?}");
    report("a page answered with 200 by a gateway", kind.name(), injected.iter().sum(), seen);
}

#[test]
fn a_gateway_answers_with_a_page_of_its_own() {
    on(OWN_AZURE, check);
}
