//! `kill -9` of the parts of `iotc up`, where the Functions host's stand-in
//! receives and checkpoints (design.md D1).

use std::collections::BTreeMap;

use end_to_end::stack::Setup;

use crate::chance::Chance;
use crate::selection::{is_full, report};
use crate::undisturbed::undisturbed;

const ROUND_EVENTS: usize = 60;

const PARTS: [&str; 6] =
    ["normalize", "group-convert", "normalize host", "group-convert host", "event-hubs", "fhir-server"];

/// How often the server is looked at before something is killed, at the most: a
/// look takes about as long as a batch.
const LOOKS: usize = 12;

fn reading(number: usize) -> String {
    let (device, hour, minute) = (["d1", "d2", "d9"][number % 3], number / 60 % 24, number % 60);
    let time = format!("2019-{:02}-{:02}T{hour:02}:{minute:02}:00Z", 1 + number / 1440 / 28, 1 + number / 1440 % 28);
    match number % 10 {
        3 => format!(r#"{{"thermometer":"th-1","at":"{time}","fahrenheit":{}}}"#, 90 + number / 10),
        _ => format!(r#"{{"deviceid":"{device}","measurementdatetime":"{time}","heartrate":{number}}}"#),
    }
}

#[test]
fn parts_of_the_stack_are_killed_at_any_moment() {
    let rounds = if is_full() { 24 } else { 3 };
    let mut chance = Chance::new();
    let mut order: Vec<&str> = PARTS.into_iter().cycle().take(rounds.max(PARTS.len())).collect();
    chance.shuffle(&mut order);
    order.truncate(rounds);
    println!("seed {}, {order:?}", chance.seed);
    let events: Vec<String> = (0..rounds * ROUND_EVENTS).map(reading).collect();
    let mut stack = Setup::samples().start();
    for (round, part) in order.iter().enumerate() {
        stack.wait_for_fates(round * ROUND_EVENTS);
        stack.send(&events[round * ROUND_EVENTS..(round + 1) * ROUND_EVENTS]);
        for _ in 0..chance.below(LOOKS) {
            // It may be away.
            let _ = stack.fhir().try_observations();
        }
        stack.kill(part);
    }
    let mappings = ["devicecontent.json", "fhirmapping.json"].map(|name| {
        let path = format!("{}/../samples/demo/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    });
    let undisturbed = undisturbed(&mappings[0], &mappings[1], &events);
    stack.wait_for_observations(&undisturbed.observations);
    // Events of a batch that came again are counted again.
    let (of_events, of_measurements) = stack.wait_for_fates(events.len());
    for counts in [&of_events, &of_measurements] {
        let (total, fates) = counts.split_first().expect("a total");
        assert_eq!(total.1, fates.iter().map(|(_, count)| count).sum::<usize>(), "{counts:?}");
    }
    assert_eq!(stack.dead_letters(), [serde_json::Value::Null; 0]);
    let mut killed: BTreeMap<&str, usize> = BTreeMap::new();
    order.iter().for_each(|part| *killed.entry(part).or_default() += 1);
    let killed: Vec<String> = killed.iter().map(|(part, count)| format!("{count} {part}")).collect();
    let seen = format!("killed {}; all arrived", killed.join(", "));
    report("kill -9 under the Functions host", "own, as HAPI", rounds, seen);
}
