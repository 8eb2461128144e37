//! What clients meet while something is going on, and when something went wrong.

use serde_json::json;

use super::bodies::{device_type, put_connector, put_workspace, state};
use super::client::{Client, Outcome, Package};
use super::for_each_client;
use super::server::{Server, Worked};

for_each_client! {
    the_same_twice_is_one_operation
    what_is_being_changed_is_changed_later
    a_failure_is_shown_by_its_code
    a_mapping_is_judged_at_once
}

/// A server with a workspace that carries nothing out any more, and two clients.
fn two_clients(package: Package) -> (Server, Worked, Client, Client) {
    let (server, worked) = Server::with_worker_here();
    let (mut one, other) = (Client::start(package, &server), Client::start(package, &server));
    one.run(&put_workspace("ws1")).done();
    worked.rest();
    (server, worked, one, other)
}

fn the_same_twice_is_one_operation(package: Package) {
    let (_server, worked, mut one, mut other) = two_clients(package);
    for client in [&mut one, &mut other] {
        client.send(&put_connector("iot1", "heartrate"));
        client.wait_for("it looks at the operation", |exchange| exchange.is_poll());
    }
    worked.work();
    let (made, same) = (one.outcome().done(), other.outcome().done());
    assert_eq!((state(&made).as_str(), &made), ("ws1/iot1 Succeeded", &same));
    assert_eq!((one.operation(), one.exchanged()), (other.operation(), vec!["PUT 201".into(), "GET 200".into()]));
    assert_eq!(other.exchanged(), ["PUT 200", "GET 200"]);
}

fn what_is_being_changed_is_changed_later(package: Package) {
    let (_server, worked, mut one, mut other) = two_clients(package);
    one.send(&put_connector("iot1", "heartrate"));
    one.wait_for("it looks at the operation", |exchange| exchange.is_poll());
    other.send(&put_connector("iot1", "steps"));
    other.wait_for("it is refused", |exchange| exchange.status == 409);
    worked.work();
    // What it reads at the end may be what the other has made of it meanwhile.
    assert_eq!(one.outcome().done()["name"], "ws1/iot1");
    if package == Package::Node {
        // It repeats 429 and 503 alone.
        other.outcome().is_error(409, "AnotherOperationInProgress");
        return;
    }
    let changed = other.outcome().done();
    assert_eq!((state(&changed), device_type(&changed)), ("ws1/iot1 Succeeded".to_owned(), &json!("steps")));
    let statuses = other.exchanged();
    let (refused, accepted) = statuses.split_at(statuses.len() - 2);
    assert!(refused.iter().all(|status| status == "PUT 409"), "{statuses:?}");
    assert_eq!(accepted, ["PUT 200", "GET 200"]);
}

fn a_failure_is_shown_by_its_code(package: Package) {
    let (server, worked) = Server::with_worker_here();
    let mut client = Client::start(package, &server);
    client.run(&put_workspace("ws1")).done();
    worked.has_hubs(false);
    let outcome = client.run(&put_connector("iot1", "heartrate"));
    let Outcome::Failed { code, message, .. } = &outcome else { panic!("{outcome:?}") };
    // One client puts it into the message only.
    let code = code.as_deref().unwrap_or(message);
    assert!(code.contains("EventHubProvisioningFailed"), "{outcome:?}");
    let read = client.run(&json!({ "do": "get", "names": ["ws1", "iot1"] })).done();
    assert_eq!(state(&read), "ws1/iot1 Failed");

    // A patch of what has failed does all of it, and its result has all.
    worked.has_hubs(true);
    let tagged = client.run(&json!({ "do": "tag", "names": ["ws1", "iot1"], "body": { "by": "client" } })).done();
    assert_eq!((state(&tagged), &tagged["tags"]), ("ws1/iot1 Succeeded".to_owned(), &json!({ "by": "client" })));
    assert_eq!(device_type(&tagged), "heartrate");
    assert_eq!(client.exchanged()[0], "PATCH 202");
}

fn a_mapping_is_judged_at_once(package: Package) {
    let server = Server::start();
    let mut client = Client::start(package, &server);
    client.run(&put_workspace("ws1")).done();
    let mut command = put_connector("iot1", "heartrate");
    command["body"]["properties"]["deviceMapping"]["content"]["template"][0]["templateType"] = json!("XmlContent");
    client.run(&command).is_error(400, "InvalidMapping");
    assert_eq!(client.exchanged(), ["PUT 400"]);
}

/// The clients of Python register a subscription that is not; it takes one ten
/// seconds, which it waits between two looks.
mod registration {
    use super::*;

    fn registers(package: Package) {
        let server = Server::unregistered("all");
        let mut client = Client::start(package, &server);
        let made = client.run(&put_workspace("ws1")).done();
        assert_eq!(state(&made), "ws1 Succeeded");
        assert_eq!(client.exchanged(), ["PUT 409", "POST 200", "GET 200", "PUT 201", "GET 200"]);
    }

    #[test]
    fn python_registers() {
        registers(Package::Python);
    }

    #[test]
    fn old_python_registers() {
        registers(Package::OldPython);
    }

    #[test]
    fn node_is_told_to() {
        let server = Server::unregistered("all");
        let outcome = Client::start(Package::Node, &server).run(&put_workspace("ws1"));
        outcome.is_error(409, "MissingSubscriptionRegistration");
    }
}
