//! What became of the events of a connector that the provider made.

use std::collections::BTreeMap;
use std::time::Duration;

use end_to_end::poll::until;
use serde_json::{Value, json};

use crate::gen2::{CONNECTOR, DESTINATION, VERSION, WORKSPACE, connector, destination, workspace};
use crate::site::{Site, event, value};

/// Of the hub that connectors read.
const PARTITIONS: usize = 4;
const LIMIT: Duration = Duration::from_secs(30);

/// How many of the first two events of each partition have which fate.
fn fates(site: &Site, stage: &str) -> BTreeMap<String, usize> {
    let mut fates = BTreeMap::new();
    for (partition, sequence) in (0..PARTITIONS).flat_map(|partition| [(partition, "0"), (partition, "1")]) {
        let partition = partition.to_string();
        let of_event = ["--stage", stage, "--partition", &partition, "--sequence", sequence];
        let (done, printed) = site.stack.iotc(&[&["fate", "--json", "--state", "state"], &of_event[..]].concat());
        assert!(done, "{printed}");
        let answer: Value = serde_json::from_str(&printed).unwrap();
        *fates.entry(answer["fate"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    fates
}

#[test]
fn each_event_of_a_connector_has_its_fate() {
    let mut site = Site::start();
    let asked = ["fate", "--state", "state", "--partition", "0", "--sequence", "0", "--workload", "iotn-0"];
    assert!(!site.stack.iotc(&asked).0, "there is no such workload");
    for (path, body) in [(WORKSPACE, workspace()), (CONNECTOR, connector()), (DESTINATION, destination())] {
        site.put(path, VERSION, &body);
    }
    site.stack.send(&[json!({ "device": "d1", "hr": 70 }).to_string(), event("d1", 1, 71)]);
    site.wait_for_observation(&value(71));
    let expect = |stage: &str, expected: &[(&str, usize)]| {
        let expected = expected.iter().map(|(fate, count)| ((*fate).to_owned(), *count)).collect();
        until(&format!("{stage} has given {expected:?}"), LIMIT, || (fates(&site, stage) == expected).then_some(()));
    };
    expect("normalize", &[("rejected", 1), ("worked-through", 1), ("not-yet", 6)]);
    expect("group-convert", &[("worked-through", 1), ("not-yet", 7)]);
}
