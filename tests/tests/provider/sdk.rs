//! Azure's management client for Python, over https, as its user has it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use end_to_end::process::Running;
use end_to_end::stack::Setup;
use local::identity::PrivateCa;
use serde_json::{Value, json};

use crate::gen2::{connector, destination, workspace};
use crate::site::{Site, event, value};

const LIMIT: Duration = Duration::from_secs(90);

/// The client, which does what it is told (`tests/clients/arm`).
struct Sdk {
    process: Running,
    told: usize,
}

impl Sdk {
    fn start(url: &str, authority: &str) -> Sdk {
        let python = end_to_end::folder("IOTC_TEST_ARM_PYTHON", "provider").join("venv/bin/python");
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/arm/python/client.py");
        let mut command = Command::new(python);
        command.args([program, url, "00000000-0000-4000-8000-000000000000"]);
        command.env("ARM_TOKEN", "any").env("SSL_CERT_FILE", authority);
        Sdk { process: Running::start("the management client", &mut command), told: 0 }
    }

    /// Does something, and gives what it gave back once it was done.
    #[track_caller]
    fn does(&mut self, what: &str, names: &[&str], body: Option<Value>) -> Value {
        let mut command = json!({ "do": what, "names": names });
        body.into_iter().for_each(|body| command["body"] = body);
        self.process.write_line(&command.to_string());
        let told = self.told;
        self.told += 1;
        let answer = self.process.wait_for(&format!("{what} {names:?}"), LIMIT, |lines, _| {
            let mut answers =
                lines.iter().filter(|line| line.starts_with("{\"done\"") || line.starts_with("{\"failed\""));
            answers.nth(told).cloned()
        });
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer.get("failed").is_none(), "{what} {names:?}: {answer}");
        answer["done"].clone()
    }
}

#[test]
fn what_azures_client_puts_makes_data_flow_until_it_deletes_it() {
    let folder = tempfile::tempdir().unwrap();
    let ca = PrivateCa::new().unwrap();
    let made = ca.server_certificate().unwrap();
    for (name, text) in [("tls.crt", made.certificate), ("tls.key", made.key), ("ca.pem", ca.pem())] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let tls = folder.path().display().to_string();
    let mut site = Site::start_as(Setup::samples().argument("--provider-tls", &tls));
    assert!(site.stack.provider_url().starts_with("https://"));
    let authority = folder.path().join("ca.pem").display().to_string();
    let mut sdk = Sdk::start(site.stack.provider_url(), &authority);
    sdk.does("put", &["ws1"], Some(workspace()));
    sdk.does("put", &["ws1", "iot1"], Some(connector()));
    let made = sdk.does("put", &["ws1", "iot1", "dest1"], Some(destination()));
    assert_eq!(made["properties"]["provisioningState"], "Succeeded", "{made}");
    site.stack.send(&[event("d3", 1, 91)]);
    site.wait_for_observation(&value(91));
    sdk.does("delete", &["ws1", "iot1"], None);
    assert!(site.functions().is_empty());
}
