//! Events that nothing can be made of.

use crate::course::Course;
use crate::fhir::servers::{Kind, OWN_AZURE, on};
use crate::selection::report;

const BATCHES: usize = 10;
const BATCH_EVENTS: usize = 20;

/// One in each of ten batches: all others arrive.
#[test]
fn one_poison_event_in_each_of_ten_batches() {
    on(OWN_AZURE, check);
}

#[track_caller]
fn check(kind: Kind) {
    let server = kind.start();
    let mut course = Course::with_functions(server.fhir());
    for batch in 0..BATCHES {
        let mut events = course.readings(batch * BATCH_EVENTS..(batch + 1) * BATCH_EVENTS);
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
    report("poison events", kind.name(), BATCHES, format!("{BATCHES} dead letters, all else arrived"));
}
