//! Requests that schemathesis makes from `docs/openapi.json`, good and bad
//! (resource-provider.md 10.23).

use std::process::Command;

use serde_json::json;

use super::CLIENTS;
use super::bodies::{put_connector, put_workspace};
use super::client::{Client, Package, component};
use super::gen1::{command, resolution};
use super::server::Server;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

/// What is looked at in each answer. Not whether bad requests are refused: much of
/// what the document does not know is passed over, as Azure does.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,\
                      allow_header_conformance,ignored_auth";

/// How long an answer may take, in seconds; on a busy machine, in a debug build.
const ANSWER_LIMIT: &str = "60";

/// Runs it, the same requests each time.
#[track_caller]
fn check(server: &Server, config: &str, arguments: &[&str]) {
    let mut schemathesis = Command::new(component("IOTC_TEST_SCHEMATHESIS").join("venv/bin/schemathesis"));
    schemathesis.arg("--config-file").arg(format!("{CLIENTS}/schemathesis/{config}"));
    schemathesis.args(["run", DOCUMENT, "--url", &server.url, "--checks", CHECKS, "--seed", "20261127"]);
    schemathesis.args(["--phases", "examples,coverage,fuzzing", "--no-color"]);
    // How fast requests are made says nothing of the provider.
    schemathesis.args(["--suppress-health-check", "all", "--request-timeout", ANSWER_LIMIT, "--request-retries", "2"]);
    schemathesis.arg("--tls-verify").arg(&server.authority);
    schemathesis.args(["--header", &format!("Authorization: Bearer {}", server.token)]);
    schemathesis.args(arguments);
    // What it remembers of a run is of no use for the next.
    let folder = tempfile::tempdir().expect("a folder");
    let output = schemathesis.current_dir(folder.path()).output().expect("it is run");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
}

/// Whatever names: nothing is there.
#[test]
fn answers_are_as_the_document_says() {
    check(&Server::start(), "any-names.toml", &["--max-examples", "10"]);
}

/// Names of what is there: bodies and conditions count.
#[test]
fn answers_about_what_is_there_are_as_the_document_says() {
    let server = Server::start();
    let mut client = Client::start(Package::Python, &server);
    for made in [put_workspace("ws1"), put_connector("iot1", "heartrate"), command("put", "/c12", resolution("Lookup"))]
    {
        client.run(&made).done();
    }
    let names = json!({ "do": "list", "names": ["ws1"] });
    assert_eq!(client.run(&names).done(), json!(["ws1/iot1"]));
    // What is deleted is not there, and what becomes of a subscription becomes of all.
    let arguments = ["--max-examples", "15", "--exclude-method", "DELETE", "--exclude-operation-id"];
    check(&server, "known-names.toml", &[&arguments[..], &["Subscriptions_Put"]].concat());
    assert_eq!(client.run(&names).done(), json!(["ws1/iot1"]));
}
