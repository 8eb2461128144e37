//! The end of the stack, orderly and not.

use end_to_end::poll::until;
use end_to_end::process::is_running;
use end_to_end::stack::{STOP_LIMIT, Setup, files_hold};

use crate::killed::events;

const PARTS: [&str; 6] =
    ["event-hubs", "fhir-server", "normalize host", "normalize", "group-convert host", "group-convert"];

#[test]
fn ctrl_c_ends_everything() {
    let mut stack = Setup::samples().start();
    PARTS.iter().for_each(|name| drop(stack.part(name)));
    let parts = stack.parts();
    let status = stack.end("INT");
    assert!(status.success(), "{status}: {}", stack.printed());
    // Its handlers are killed by their hosts, and these have waited for that.
    let left: Vec<_> = parts.iter().filter(|part| is_running(part)).collect();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn a_killed_stack_leaves_nothing_behind_and_goes_on_where_it_was() {
    let mut stack = Setup::samples().start();
    let events = events();
    let (first, rest) = events.split_at(events.len() / 2);
    stack.send(first);
    // What it has only read is lost with it.
    let (hub, last) = (stack.folder().join("state/event-hubs"), first.last().unwrap());
    until("the hub has all that was sent", STOP_LIMIT, || files_hold(&hub, last).then_some(()));
    stack.wait_for_an_observation();
    let parts = stack.parts();
    stack.end("KILL");
    until("its parts have ended", STOP_LIMIT, || parts.iter().all(|part| !is_running(part)).then_some(()));

    stack.start_again();
    stack.send(rest);
    let expected = crate::killed::undisturbed(&events);
    stack.wait_for_observations(&expected);
}
