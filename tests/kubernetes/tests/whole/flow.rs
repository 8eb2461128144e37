//! What a customer does, from the first workspace to the last.

use std::fs;
use std::time::Instant;

use end_to_end::poll::until;
use end_to_end::site::DEVICES;
use kubernetes_tests::checkout;
use serde_json::{Value, json};

use crate::GROUP;
use crate::client::{Client, Package};
use crate::leftovers::{check_no_connector, check_resources, wait_for_zero};
use crate::observations::values;
use crate::server::Server;
use crate::site::{DEVICE_HUB, GROUP_OF_HUB, LIMIT, Site};

const CONNECTOR: [&str; 2] = ["ws1", "iot1"];
/// How many events are sent at a time.
const EVENTS: usize = 600;

fn sample(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(checkout().join("samples/demo").join(name)).unwrap()).unwrap()
}

fn put_connector(mapping: &Value) -> Value {
    json!({ "do": "put", "names": CONNECTOR, "body": {
        "location": "westus2", "identity": { "type": "SystemAssigned" },
        "properties": {
            "ingestionEndpointConfiguration": {
                "eventHubName": DEVICE_HUB, "consumerGroup": GROUP_OF_HUB,
                "fullyQualifiedEventHubNamespace": "127.0.0.1",
            },
            "deviceMapping": { "content": mapping },
        },
    } })
}

fn put_destination(name: &str) -> Value {
    json!({ "do": "put", "names": [CONNECTOR[0], CONNECTOR[1], name], "body": {
        "location": "westus2",
        "properties": {
            "resourceIdentityResolutionType": "Lookup",
            "fhirServiceResourceId": format!("{GROUP}/services/{name}"),
            "fhirMapping": { "content": sample("fhirmapping.json") },
        },
    } })
}

/// Readings under a member's name, a minute apart; each has a slot of its own in
/// its round's day.
fn readings(round: usize, member: &str) -> Vec<String> {
    let reading = |number: usize| {
        let (device, minute) = (DEVICES[number % DEVICES.len()], number / DEVICES.len());
        let time = format!("2021-03-{round:02}T{:02}:{:02}:00Z", minute / 60, minute % 60);
        format!(r#"{{"deviceid":"{device}","measurementdatetime":"{time}","{member}":{}}}"#, 50 + number % 100)
    };
    (0..EVENTS).map(reading).collect()
}

/// How long things took, for docs/resource-provider.md.
struct Clock(Instant);

impl Clock {
    fn note(&mut self, what: &str) {
        eprintln!("WHOLE {what}: {:.1} s", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

#[test]
fn azures_client_makes_a_connector_whose_events_reach_two_servers_until_it_is_deleted() {
    let site = Site::start();
    let server = Server::start(&site.platform());
    let mut client = Client::start(Package::Python, &server);
    let mut clock = Clock(Instant::now());
    let before = [values(site.hapi()), values(&site.sekmet.fhir)];
    let arrived = |server: usize| {
        let fhir = [site.hapi(), &site.sekmet.fhir][server];
        values(fhir).saturating_sub(before[server])
    };
    let wait_for = |what: &str, server: usize, expected: usize| {
        until(what, LIMIT, || (arrived(server) == expected).then_some(()));
    };

    let mut mapping = sample("devicecontent.json");
    client.run(&json!({ "do": "put", "names": ["ws1"], "body": { "location": "westus2" } })).done();
    client.run(&put_connector(&mapping)).done();
    clock.note("a connector");
    for name in ["hapi", "sekmet"] {
        client.run(&put_destination(name)).done();
        clock.note("a destination");
    }

    // From zero to both servers.
    wait_for_zero(&site);
    clock.note("scaled to zero");
    site.send(&readings(1, "heartrate"));
    wait_for("HAPI has all", 0, EVENTS);
    wait_for("sekmet has all", 1, EVENTS);
    clock.note("from zero to both servers");

    // One that is away holds up nobody, and gets what it missed.
    site.gate.shut();
    site.send(&readings(2, "heartrate"));
    wait_for("HAPI has all, though the other is away", 0, 2 * EVENTS);
    assert_eq!(arrived(1), EVENTS);
    site.gate.open();
    wait_for("sekmet has what it missed", 1, 2 * EVENTS);
    clock.note("one away and back");

    // What comes after a change of the mapping follows it.
    let template = &mut mapping["template"][0]["template"];
    template["typeMatchExpression"] = json!("$..[?(@pulse)]");
    template["values"][0]["valueExpression"] = json!("$.pulse");
    let body = json!({ "properties": { "deviceMapping": { "content": mapping } } });
    let changed = client.run(&json!({ "do": "patch", "names": CONNECTOR, "body": body })).done();
    assert!(changed.to_string().contains("$.pulse"), "{changed}");
    clock.note("a change of the mapping");
    // The first are of a type that nothing matches any more.
    site.send(&readings(3, "heartrate"));
    site.send(&readings(4, "pulse"));
    wait_for("HAPI has what the new mapping makes", 0, 3 * EVENTS);
    wait_for("sekmet has, too", 1, 3 * EVENTS);
    clock.note("events by the changed mapping");

    // Nothing is left but what is kept.
    client.run(&json!({ "do": "delete", "names": CONNECTOR })).done();
    clock.note("the connector deleted");
    check_no_connector(&site);
    check_resources(&site, &server, &["ws1"]);
    client.run(&json!({ "do": "delete", "names": ["ws1"] })).done();
    check_resources(&site, &server, &[]);
    assert_eq!([arrived(0), arrived(1)], [3 * EVENTS; 2]);
}
