//! Events that nothing can be made of.

use end_to_end::own_server::OwnServer;

use crate::course::{Course, readings};
use crate::selection::{is_full, report};

const BATCHES: usize = 10;
const BATCH_EVENTS: usize = 20;

/// One in each of ten batches: all others arrive.
#[test]
fn one_poison_event_in_each_of_ten_batches() {
    let personalities: &[&str] = if is_full() { &["azure", "hapi", "uuid"] } else { &["azure"] };
    personalities.iter().copied().for_each(check);
}

#[track_caller]
fn check(personality: &str) {
    let server = OwnServer::start(personality);
    let mut course = Course::with_functions(&server.fhir);
    for batch in 0..BATCHES {
        let mut events = readings(batch * BATCH_EVENTS..(batch + 1) * BATCH_EVENTS);
        // Each breaks off elsewhere, and goes where its device's events go.
        let victim = batch * 7 % BATCH_EVENTS;
        events[victim].truncate(40 + batch);
        course.send(&events);
        let sent = (batch + 1) * BATCH_EVENTS;
        course.until("the batch has its fates", || (course.done("normalize") == sent).then_some(()));
    }
    let outcome = course.check();
    assert_eq!(course.dead_letters("normalize"), BATCHES);
    assert_eq!(outcome.measurements, BATCHES * (BATCH_EVENTS - 1));
    let server = format!("own ({personality})");
    report("poison events", &server, BATCHES, format!("{BATCHES} dead letters, all else arrived"));
}
