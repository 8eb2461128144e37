//! There is no room for dead letters.

use std::process::Command;

use crate::course::Course;
use crate::fhir::servers::{Kind, OWN_UUID, on_those};
use crate::selection::report;

const EVENTS: usize = 120;
const POISON: usize = 5;

/// Nothing is lost: the batch with the letter waits, and goes on when there is
/// room.
#[test]
fn the_disk_of_dead_letters_is_full() {
    on_those(&[OWN_UUID], OWN_UUID, |kind: Kind| {
        let server = kind.start();
        let mut course = Course::start(server.fhir());
        // It would end with a signal otherwise, and not be told.
        course.normalize.push(course.site.function_ignoring("normalize", "n-a", "XFSZ"));
        course.add("group-convert", "c-a", &[]);
        let normalize = course.normalize[0].pid();
        let mut events = course.readings(0..EVENTS);
        for number in 0..POISON {
            events[number * 17].truncate(45);
        }
        course.until("normalize owns its partitions", || {
            let lines = course.normalize[0].printed();
            (lines.matches("Owns a partition").count() == 4).then_some(())
        });
        // No file may be longer than nothing, which fails as a full disk does.
        limit_files(normalize, "0");
        course.send(&events);
        let waits = "A batch has to be worked on again";
        course.until("a batch waits", || course.normalize[0].printed().contains(waits).then_some(()));
        let stored = course.site.checkpoints("normalize");
        let last = course.site.hub.last_sequence_numbers("devicedata");
        assert!(stored.iter().zip(&last).any(|(stored, last)| *stored < Some(*last)), "{stored:?} {last:?}");
        assert_eq!(course.dead_letters("normalize"), 0);
        limit_files(normalize, "unlimited");
        let outcome = course.check();
        assert_eq!(course.dead_letters("normalize"), POISON);
        let again = outcome.measurements - (EVENTS - POISON);
        let seen = format!("the batches waited; {POISON} dead letters, {again} measurements came again");
        report("no room for dead letters", kind.name(), 1, seen);
    });
}

/// How many bytes a file of a process may have.
#[track_caller]
fn limit_files(pid: u32, bytes: &str) {
    let limit = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:")]).status();
    assert!(limit.as_ref().is_ok_and(|status| status.success()), "prlimit: {limit:?}");
}
