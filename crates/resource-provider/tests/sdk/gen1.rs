//! The first generation, which no package has methods for any more: by id.

use serde_json::{Value, json};

use super::GROUP;
use super::bodies::{device_mapping, fhir_mapping};
use super::client::{Client, Package};
use super::server::Server;

pub fn command(act: &str, below: &str, body: Value) -> Value {
    let id = format!("{GROUP}/services/fhir1/iomtconnectors{below}");
    let mut command = json!({ "do": act, "id": id, "version": "2020-05-01-preview" });
    if !body.is_null() {
        command["body"] = body;
    }
    command
}

fn summary(resource: &Value) -> String {
    format!("{} {}", resource["name"], resource["properties"]["provisioningState"]).replace('"', "")
}

/// The body of a connector.
pub fn resolution(kind: &str) -> Value {
    let properties = json!({ "serviceConfiguration": { "resourceIdentityResolutionType": kind } });
    json!({ "location": "westus2", "properties": properties })
}

#[test]
fn a_connector_with_a_connection_and_mappings_lives() {
    let server = Server::start();
    let mut client = Client::start(Package::Python, &server);
    let mut put = |below: &str, body: Value| summary(&client.run(&command("put", below, body)).done());
    assert_eq!(put("/c12", resolution("Lookup")), "fhir1/c12 Succeeded");
    assert_eq!(put("/c12/connections/conn1", json!({ "location": "westus2" })), "fhir1/c12/conn1 Succeeded");
    for (name, content) in [("device", device_mapping("heartrate")), ("fhir", fhir_mapping())] {
        let body = json!({ "properties": { "content": content } });
        assert_eq!(put(&format!("/c12/mappings/{name}"), body), format!("fhir1/c12/{name} Succeeded"));
    }

    let mut keys =
        |act: &str, body: Value| client.run(&command("post", &format!("/c12/connections/conn1/{act}"), body)).done();
    let before = keys("listKeys", Value::Null);
    assert_eq!(before["keyName"], "conn1");
    let after = keys("regenerateKeys", json!({ "keyType": "PrimaryKey" }));
    assert_ne!(after["primaryKey"], before["primaryKey"]);
    assert_eq!(after["secondaryConnectionString"], before["secondaryConnectionString"]);

    let mut run = |act: &str, below: &str, body: Value| client.run(&command(act, below, body));
    let changed = run("patch", "/c12", resolution("Create")).done();
    assert_eq!(changed["properties"]["serviceConfiguration"]["resourceIdentityResolutionType"], "Create");
    assert_eq!(run("list", "", Value::Null).done(), json!(["fhir1/c12"]));
    assert_eq!(run("list", "/c12/mappings", Value::Null).done(), json!(["fhir1/c12/device", "fhir1/c12/fhir"]));
    // What is below it goes with it.
    assert_eq!(run("delete", "/c12", Value::Null).done(), Value::Null);
    run("get", "/c12/connections/conn1", Value::Null).is_error(404, "ResourceNotFound");
    assert_eq!(run("delete", "/c12", Value::Null).done(), Value::Null);
}
