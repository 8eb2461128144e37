//! Resources from their creation to their end, and lists of them.

use serde_json::json;

use super::bodies::{device_mapping, device_type, put_connector, put_destination, put_workspace, state, with_headers};
use super::client::{Client, Package};
use super::for_each_client;
use super::server::Server;

for_each_client! { a_workspace_a_connector_and_a_destination_live pages_follow_each_other conditions_hold }

fn a_workspace_a_connector_and_a_destination_live(package: Package) {
    live(&mut Client::start(package, &Server::start()));
}

#[test]
fn they_live_on_postgresql_too() {
    live(&mut Client::start(Package::Python, &Server::on_postgres()));
}

fn live(client: &mut Client) {
    let workspace = client.run(&put_workspace("ws1")).done();
    assert_eq!(state(&workspace), "ws1 Succeeded");

    let made = client.run(&put_connector("iot1", "heartrate")).done();
    assert_eq!(state(&made), "ws1/iot1 Succeeded");
    assert_eq!(client.exchanged(), ["PUT 201", "GET 200"]);
    let principal = made["identity"]["principalId"].as_str().map(str::len);
    assert_eq!((principal, device_type(&made)), (Some(36), &json!("heartrate")));
    let read = client.run(&json!({ "do": "get", "names": ["ws1", "iot1"] })).done();
    assert_eq!(read, made);
    let destination = client.run(&put_destination("dest1")).done();
    assert_eq!(state(&destination), "ws1/iot1/dest1 Succeeded");
    let read = client.run(&json!({ "do": "get", "names": ["ws1", "iot1", "dest1"] })).done();
    assert_eq!(read, destination);
    for (names, found) in [
        (json!([]), json!(["ws1"])),
        (json!(["ws1"]), json!(["ws1/iot1"])),
        (json!(["ws1", "iot1"]), json!(["ws1/iot1/dest1"])),
    ] {
        assert_eq!(client.run(&json!({ "do": "list", "names": names })).done(), found);
    }

    // Once more the same: nothing is to be done.
    let same = client.run(&put_connector("iot1", "heartrate")).done();
    assert_eq!((same, client.exchanged()), (made, vec!["PUT 200".to_owned()]));

    let tagged = client.run(&json!({ "do": "tag", "names": ["ws1", "iot1"], "body": { "by": "client" } })).done();
    assert_eq!((&tagged["tags"], client.exchanged()), (&json!({ "by": "client" }), vec!["PATCH 200".to_owned()]));
    change_the_mapping(client);

    for names in [json!(["ws1", "iot1", "dest1"]), json!(["ws1", "iot1"]), json!(["ws1"])] {
        let delete = json!({ "do": "delete", "names": names });
        assert_eq!(client.run(&delete).done(), json!(null));
        assert_eq!(client.exchanged(), ["DELETE 202"]);
        client.run(&json!({ "do": "get", "names": names })).is_error(404, "ResourceNotFound");
        assert_eq!(client.run(&delete).done(), json!(null));
        assert_eq!(client.exchanged(), ["DELETE 204"]);
    }
}

/// Each client its way: only what is typed can be patched with the oldest.
fn change_the_mapping(client: &mut Client) {
    let change = json!({ "properties": { "deviceMapping": { "content": device_mapping("steps") } } });
    let (command, exchanged) = match client.package {
        Package::OldPython => (put_connector("iot1", "steps"), ["PUT 200", "GET 200"].as_slice()),
        Package::Python => {
            (json!({ "do": "patch", "names": ["ws1", "iot1"], "body": change }), ["PATCH 202", "GET 200"].as_slice())
        }
        // It takes the result from `Location`, which is a look at the operation too.
        Package::Node => (json!({ "do": "patch", "names": ["ws1", "iot1"], "body": change }), ["PATCH 202"].as_slice()),
    };
    let changed = client.run(&command).done();
    assert_eq!((state(&changed), device_type(&changed)), ("ws1/iot1 Succeeded".to_owned(), &json!("steps")));
    assert_eq!(changed["identity"]["type"], "SystemAssigned");
    assert_eq!(client.exchanged(), exchanged);
    if client.package == Package::Node {
        let last = client.exchanges.last().expect("exchanges");
        assert!(last.path.contains("operationResultResponseType=Location"), "{last:?}");
    }
    let read = client.run(&json!({ "do": "get", "names": ["ws1", "iot1"] })).done();
    assert_eq!(read, changed);
}

fn pages_follow_each_other(package: Package) {
    let server = Server::start();
    let mut client = Client::start(package, &server);
    let names = ["ws1", "ws2", "ws3", "ws4", "ws5"];
    for name in names {
        assert_eq!(state(&client.run(&put_workspace(name)).done()), format!("{name} Succeeded"));
    }
    let found = client.run(&json!({ "do": "list", "names": [], "query": "$top=2" })).done();
    assert_eq!((found, client.exchanged()), (json!(names), vec!["GET 200".to_owned(); 3]));
}

fn conditions_hold(package: Package) {
    let server = Server::start();
    let mut client = Client::start(package, &server);
    client.run(&put_workspace("ws1")).done();
    let made = client.run(&put_connector("iot1", "heartrate")).done();
    let etag = &made["etag"];
    let changed = put_connector("iot1", "steps");
    for headers in [json!({ "If-Match": "\"0\"" }), json!({ "If-None-Match": "*" })] {
        client.run(&with_headers(changed.clone(), headers)).is_error(412, "PreconditionFailed");
        assert_eq!(client.exchanged(), ["PUT 412"]);
    }
    let outcome = client.run(&with_headers(changed, json!({ "If-Match": etag }))).done();
    assert_eq!(device_type(&outcome), "steps");
    assert_ne!(&outcome["etag"], etag);
    let made = client.run(&with_headers(put_connector("iot2", "steps"), json!({ "If-None-Match": "*" }))).done();
    assert_eq!(state(&made), "ws1/iot2 Succeeded");
}
