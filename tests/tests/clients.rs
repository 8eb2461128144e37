//! Event Hubs clients of three languages, none of them ours, send events that
//! become Observations, and receive them back.

use std::collections::BTreeMap;

use end_to_end::clients::{Client, Event};
use end_to_end::stack::Setup;

/// Readings of ten devices in two partitions or more, among them what is not
/// ASCII and what is not JSON.
fn events(client: Client) -> Vec<Event> {
    let mut events: Vec<Event> = (0..10)
        .map(|number| {
            let cuff = format!("{client:?}-cuff-{number}");
            let body = format!(
                r#"{{"cuff":"{cuff}","patient":"pätient-{number}","taken":1604232000000,"systolic":{},"diastolic":79.50}}"#,
                120 + number
            );
            let properties = BTreeMap::from([("sent-by".to_owned(), format!("{client:?}"))]);
            Event { body, properties, partition_key: Some(cuff) }
        })
        .collect();
    events.push(Event { body: "hello, hub".to_owned(), properties: BTreeMap::new(), partition_key: None });
    events.sort();
    events
}

fn check(client: Client) {
    let mut stack = Setup::samples().start();
    let events = events(client);
    client.send(stack.connection_string(), &events);
    let (of_events, _) = stack.wait_for_fates(events.len());
    let expected = [("events", 11), ("normalized", 10), ("unmatched", 0), ("rejected", 1)];
    assert_eq!(of_events, expected.map(|(name, count)| (name.to_owned(), count)));
    assert_eq!(stack.fhir().observations().len(), 10);
    assert_eq!(client.receive(stack.connection_string(), events.len()), events);
}

#[test]
fn python_sends_and_receives() {
    check(Client::Python);
}

#[test]
fn node_sends_and_receives() {
    check(Client::Node);
}

#[test]
fn java_sends_and_receives() {
    check(Client::Java);
}
