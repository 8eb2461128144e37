//! What the platform says for all resources is judged before any of them.

use std::process::Command;

use end_to_end::process::{Running, free_port};
use kubernetes_tests::{Helm, checkout};

use crate::site::LIMIT;

/// An operator with these values and no cluster: how far it comes.
fn printed_with(values: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let helm = Helm::without_cluster();
    let mut command = Command::new(end_to_end::folder("IOTC_TEST_BIN", "kubernetes").join("operator"));
    command.env("KUBECONFIG", folder.path().join("none")).env("HOME", folder.path());
    command.env_remove("KUBERNETES_SERVICE_HOST").env("HELM_PATH", helm.program());
    command.env("CHARTS_PATH", checkout().join("helm"));
    command.env("LISTEN_ADDRESS", format!("127.0.0.1:{}", free_port()));
    for (variable, text) in values {
        let file = folder.path().join(variable);
        std::fs::write(&file, text).unwrap();
        command.env(variable, file);
    }
    let mut operator = Running::start("operator", &mut command);
    assert_eq!(operator.wait(LIMIT).code(), Some(1));
    operator.printed()
}

#[test]
fn an_operator_whose_values_no_chart_takes_does_not_start() {
    let cases = [
        ("CONNECTOR_VALUES", "bogus: 1", "the platform's `connectorValues`", "bogus"),
        ("CONNECTOR_VALUES", "image: {registri: contoso.azurecr.io}", "the platform's `connectorValues`", "registri"),
        ("CONNECTOR_VALUES", "http: {port: eighty}", "the platform's `connectorValues`", "/http/port"),
        (
            "CONNECTOR_VALUES",
            "ingest: {http: {tokenValue: t}}",
            "the platform's `connectorValues`",
            "ingest.http.tokenValue",
        ),
        ("FHIR_VALUES", "imag: {}", "the platform's `fhirValues`", "imag"),
        ("FHIR_VALUES", "[]", "holds no values", "FHIR_VALUES"),
    ];
    for (variable, text, whose, what) in cases {
        let printed = printed_with(&[(variable, text)]);
        assert!(printed.contains(whose) && printed.contains(what), "{text}: {printed}");
        assert!(!printed.contains("there is no cluster"), "{text}: {printed}");
    }
    // With good ones it comes as far as the cluster. What a spec has yet to say is no mistake of theirs.
    let good = [
        ("CONNECTOR_VALUES", "image: {registry: contoso.azurecr.io}\nidentity: {type: AadPodIdentity}"),
        ("FHIR_VALUES", "networkPolicy: {enabled: false}"),
    ];
    let printed = printed_with(&good);
    assert!(printed.contains("there is no cluster to talk to"), "{printed}");
}
