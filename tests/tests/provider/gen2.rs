//! A workspace, a connector that reads the customer's hub, and a destination.

use std::time::Duration;

use end_to_end::poll::until;
use end_to_end::process::{is_running, signal};
use end_to_end::stack::STOP_LIMIT;
use reqwest::Method;
use serde_json::{Value, json};

use crate::site::{GROUP, Site, device_mapping, event, fhir_mapping, value};

pub const VERSION: &str = "2024-03-31";
pub const WORKSPACE: &str = "workspaces/ws1";
pub const CONNECTOR: &str = "workspaces/ws1/iotconnectors/iot1";
pub const DESTINATION: &str = "workspaces/ws1/iotconnectors/iot1/fhirdestinations/dest1";
const RESTART_LIMIT: Duration = Duration::from_secs(60);

pub fn workspace() -> Value {
    json!({ "location": "westus2" })
}

pub fn connector() -> Value {
    json!({ "location": "westus2", "identity": { "type": "SystemAssigned" }, "properties": {
        "ingestionEndpointConfiguration": {
            "eventHubName": "devicedata",
            "consumerGroup": "iot-connector",
            "fullyQualifiedEventHubNamespace": "contoso.servicebus.windows.net" },
        "deviceMapping": { "content": device_mapping("heartrate") } } })
}

pub fn destination() -> Value {
    json!({ "location": "westus2", "properties": {
        "resourceIdentityResolutionType": "Create",
        "fhirServiceResourceId": format!("{GROUP}/workspaces/ws1/fhirservices/any"),
        "fhirMapping": { "content": fhir_mapping() } } })
}

#[test]
fn a_put_makes_data_flow_a_patch_changes_it_and_a_delete_stops_it() {
    let mut site = Site::start();
    assert!(site.functions().is_empty());
    // Sent before there is a connector: it begins at the first event.
    site.stack.send(&[event("d1", 1, 71)]);
    for (path, body) in [(WORKSPACE, workspace()), (CONNECTOR, connector()), (DESTINATION, destination())] {
        site.put(path, VERSION, &body);
    }
    site.wait_for_observation(&value(71));
    assert!(site.holds("\"heartrate\"") && !site.holds("\"pulse\""));

    let patch = json!({ "properties": { "deviceMapping": { "content": device_mapping("pulse") } } });
    let patched = site.send(&Method::PATCH, CONNECTOR, VERSION, Some(&patch));
    assert_eq!(patched.status, 202, "{patched:?}");
    site.succeeds(&patched);
    site.stack.send(&[event("d1", 2, 72)]);
    site.wait_for_observation(&value(72));
    assert!(site.holds("\"pulse\""));

    // Whatever is killed comes back.
    for (second, function) in [(3, "normalize"), (4, "group-convert")] {
        site.stack.kill(function);
        site.stack.send(&[event("d1", second, 70 + second)]);
        site.wait_for_observation(&value(70 + second));
    }
    let before = site.functions();
    // One that cannot stop by itself any more is killed by the next provider.
    signal(site.stack.part("normalize").pid, "STOP");
    site.stack.kill("resource-provider");
    site.stack.send(&[event("d1", 5, 75)]);
    site.wait_for_observation(&value(75));
    let after = site.functions();
    assert_eq!((before.len(), after.len()), (2, 2), "{after:?}");
    assert!(!before.iter().any(is_running), "none of an earlier provider is left");

    site.delete(CONNECTOR, VERSION);
    assert!(site.functions().is_empty());
    for folder in ["connectors", "logs"] {
        assert!(site.files(folder).is_empty(), "{:?}", site.files(folder));
    }
    // What was rejected stays as long as the workspace.
    let rest = site.files("accounts");
    assert!(rest.iter().all(|file| file.display().to_string().contains("/dead-letters/")), "{rest:?}");
    site.delete(WORKSPACE, VERSION);
    assert!(site.files("accounts").is_empty(), "{:?}", site.files("accounts"));
    assert_eq!(site.hubs(), ["devicedata"]);
    let gone = site.send(&Method::DELETE, WORKSPACE, VERSION, None);
    assert_eq!(gone.status, 204, "{gone:?}");

    // And again, from the first event: nothing of before is left.
    site.put(WORKSPACE, VERSION, &workspace());
    site.put(CONNECTOR, VERSION, &connector());
    site.put(DESTINATION, VERSION, &destination());
    site.stack.send(&[event("d1", 6, 76)]);
    site.wait_for_observation(&value(76));
    let functions = site.functions();
    assert_eq!(functions.len(), 2);
    assert!(site.stack.end("INT").success());
    until("all functions end with the stack", STOP_LIMIT, || (!functions.iter().any(is_running)).then_some(()));
}

#[test]
fn a_provider_that_is_killed_goes_on_with_what_it_has_begun() {
    let mut site = Site::start();
    site.put(WORKSPACE, VERSION, &workspace());
    let made = site.send(&Method::PUT, CONNECTOR, VERSION, Some(&connector()));
    assert_eq!(made.status, 201, "{made:?}");
    site.stack.kill("resource-provider");
    site.succeeds(&made);
    site.put(DESTINATION, VERSION, &destination());
    site.stack.send(&[event("d2", 1, 81)]);
    site.wait_for_observation(&value(81));
    let deleted = site.send(&Method::DELETE, CONNECTOR, VERSION, None);
    signal(site.stack.part("resource-provider").pid, "KILL");
    site.succeeds(&deleted);
    until("nothing runs", RESTART_LIMIT, || site.functions().is_empty().then_some(()));
    assert!(site.files("connectors").is_empty());
}
