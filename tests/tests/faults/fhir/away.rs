//! The server is not there for a while.

use std::time::{Duration, Instant};

use end_to_end::proxy::{Fault, Of, Rule};

use super::case::{Case, LIMIT};
use super::servers::{Kind, OWN_AZURE, on_all_at_once};
use crate::selection::{is_full, report};

/// Enough that the waits of one request are used up, and windows are given
/// again.
const SHORT: Duration = Duration::from_secs(15);
const LONG: Duration = Duration::from_secs(150);

fn check(kind: Kind) {
    let case = Case::start(kind);
    let (most, some) = if is_full() { (LONG, 30) } else { (SHORT, 10) };
    case.send_mixed();
    let convert = case.convert("c");
    // In the middle of the work: some is written, some is on its way.
    let on_their_way = case.proxy.inject(Rule::new(Fault::HoldRequest, Of::Writes).skip(3));
    on_their_way.wait(1, LIMIT);
    let down = case.proxy.inject(Rule::new(Fault::Cut, Of::Everything));
    on_their_way.release();
    let began = Instant::now();
    case.wait("the outage lasts", &[&convert], || (down.count() >= some && began.elapsed() >= most).then_some(()));
    down.release();
    let seen = case.check(&[&convert]);
    report("FHIR server down", kind.name(), down.count(), format!("down for {most:?}; {seen}"));
}

#[test]
fn the_server_is_down_for_minutes() {
    on_all_at_once(OWN_AZURE, check);
}
