//! The documents that are made of the code: what is checked in, and what the
//! program prints.

#![allow(clippy::unwrap_used, reason = "a test stops where its data is not what it should be")]

use std::fs;
use std::process::Command;

use serde_json::Value;

#[test]
fn the_openapi_document_is_that_of_the_code() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let document = resource_provider::openapi::document();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(file, format!("{document:#}\n")).unwrap();
    }
    let written: Value = serde_json::from_str(&fs::read_to_string(file).unwrap_or_default()).unwrap_or_default();
    assert!(written == document, "{file} is another: write it anew with UPDATE_EXPECT=1");
}

/// The document of the first generation asks for one of each environment.
#[test]
fn the_program_prints_the_manifest_of_an_environment() {
    let folder = tempfile::tempdir().unwrap();
    let platform = folder.path().join("platform.yaml");
    fs::write(&platform, "regions: [West Europe, West US 2]").unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_resource-provider"));
    program.args(["--manifest", "https://provider.example:15612", "--platform"]).arg(&platform);
    let output = program.env_clear().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let manifest: Value = serde_json::from_slice(&output.stdout).unwrap();
    let endpoint = &manifest[0]["endpoints"][0];
    assert_eq!(manifest[0]["name"], "services/iomtconnectors");
    assert_eq!(endpoint["endpointUri"], "https://provider.example:15612/providers/Microsoft.HealthcareApis/");
    assert_eq!(endpoint["locations"], serde_json::json!(["West Europe", "West US 2"]));
}
