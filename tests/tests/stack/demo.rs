//! `iotc up --demo`, which is what `cargo xtask demo` runs.

use std::process::Command;
use std::time::Duration;

use end_to_end::process::{Running, free_port};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);

/// The numbers in a text, in order.
fn numbers(text: &str) -> Vec<usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[test]
fn the_demo_ends_with_counts_that_add_up() {
    let iotc = end_to_end::folder("IOTC_TEST_BIN", "stack").join("iotc");
    let mut command = Command::new(iotc);
    command.args(["up", "--demo"]);
    for part in ["event-hubs", "http", "fhir"] {
        command.arg(format!("--{part}-port={}", free_port()));
    }
    let mut demo = Running::start("iotc up --demo", &mut command);
    let status = demo.wait(LIMIT);
    assert!(status.success(), "{status}: {}", demo.printed());
    let printed =
        demo.wait_for("closes", LIMIT, |lines, _| lines.last()?.starts_with("demo: ").then(|| lines.to_vec()));
    let closing = numbers(printed.last().unwrap());
    let [events, measurements, created, merged, rejected, of_events, of_measurements, unmatched, unchanged, superseded] =
        closing[..]
    else {
        panic!("{printed:?}")
    };
    let samples = include_str!("../../../samples/demo/events.jsonl").lines().count();
    assert_eq!(events, samples);
    assert_eq!(rejected, of_events + of_measurements);
    assert_eq!(measurements, created + merged + unchanged + superseded + of_measurements);
    assert!(created > 0 && merged > 0 && of_events > 0 && of_measurements > 0 && unmatched > 0, "{printed:?}");

    let end = printed.iter().position(|line| line == "}").unwrap();
    let observation: Value = serde_json::from_str(&printed[..=end].concat()).unwrap();
    assert_eq!(observation["resourceType"], "Observation");
}
