//! Two processes write the same Observations at the same moment: two connectors,
//! each with a hub of its own, over one FHIR server.

use end_to_end::hub::To;
use end_to_end::oracle;
use end_to_end::proxy::{Fault, Of, Rule};
use end_to_end::site::{DEVICE_HUB, positions_of};

use super::case::Case;
use super::readings::heart_rate;
use super::servers::{Kind, on};
use crate::selection::report;

/// Of each writer; ten are a window.
const READINGS: usize = 60;
/// How often both write at once; after that each goes on at its own pace.
const MEETINGS: usize = 5;

/// Readings of three devices and two hours; no two writers have one of the same
/// instant.
fn readings(day: &str, second: usize) -> Vec<String> {
    let reading = |number: usize| {
        let (device, minute) = (["d1", "d2", "d3"][number % 3], number % 59);
        heart_rate(day, device, &format!("{:02}:{minute:02}:{second:02}", number / 30), (number * 2 + second) as i64)
    };
    (0..READINGS).map(reading).collect()
}

fn check(kind: Kind) {
    let case = Case::start(kind);
    case.send(0, &readings(&case.day, 0));
    case.site.hub.send(DEVICE_HUB, To::Partition("0"), &readings(&case.day, 30));
    // Both write what they make first at the same moment, and then again.
    let meeting = || case.proxy.inject(Rule::new(Fault::HoldRequest, Of::Writes).times(2));
    let mut held = meeting();
    let one = case.convert("one");
    let positions = case.site.azurite.container(positions_of("normalize"));
    let other = case.convert_with(
        "other",
        &[
            ("NormalizationEventHub__EventHubName", DEVICE_HUB),
            ("CheckpointStorage__BlobStorageContainerUri", positions.as_str()),
        ],
    );
    let both = [&one, &other];
    for number in 1..=MEETINGS {
        case.wait("both write", &both, || (held.count() == 2).then_some(()));
        let before = std::mem::replace(&mut held, meeting());
        before.release();
        if number == MEETINGS {
            held.release();
        }
    }
    case.wait("the other is done", &both, || case.site.is_done("normalize").then_some(()));
    let windows = case.done(&[&one]);
    let mine = case.expected(&windows, &[]);
    case.check_fates(&mine, &windows);
    // What both have does not depend on who wrote first.
    let events = oracle::events(case.site.hub.port(), DEVICE_HUB);
    let others = oracle::windows([&other]);
    let all = case.expected_of(&events, &others, &mine.json);
    all.check_fates(&events, &others);
    let seen = case.check_observations(&all, &windows, &case.observations());
    report(
        "two writers of one Observation",
        kind.name(),
        MEETINGS,
        format!("nothing of either is lost; of one {seen}"),
    );
}

#[test]
fn two_processes_write_one_observation_at_the_same_moment() {
    on(Kind::Hapi, check);
}
