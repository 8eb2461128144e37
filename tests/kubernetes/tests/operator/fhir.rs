//! FHIR servers, by hand with `iotc`.

use std::process::{Command, Output};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::site::{LIMIT, Site, WARD, path};

fn iotc(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(end_to_end::folder("IOTC_TEST_BIN", "kubernetes").join("iotc"));
    command.arg("fhir").args(arguments).args(["--namespace", WARD, "--kubeconfig", path(site.plane.kubeconfig())]);
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn are_made_shown_and_removed() {
    let site = Site::start(&[], &json!({}));
    let mut operator = site.operator("operator-1", &[]);
    site.wait_leads(&mut operator, LIMIT);

    let missing = iotc(&site, &["status", "f1"]);
    assert!(!missing.status.success() && printed(&missing).contains("there is no fhir `f1`"), "{}", printed(&missing));

    // Nobody said whose tokens are taken: it is not made open to everybody.
    let open = iotc(&site, &["apply", "f1", "--timeout", "60"]);
    assert!(
        !open.status.success() && printed(&open).contains("authority and audience are needed"),
        "{}",
        printed(&open)
    );

    let flags = [
        "apply",
        "f1",
        "--no-wait",
        "--replicas",
        "2",
        "--authority",
        "https://login.example.com/t",
        "--audience",
        "https://fhir.example.com",
        "--image",
        "localhost:5000/fhir-server:4.0",
        "--domain",
        "fhir.example.com",
        "--tls-secret",
        "fhir-tls",
        "--identity-client-id",
        "00000000-0000-0000-0000-000000000001",
    ];
    let applied = iotc(&site, &flags);
    assert!(applied.status.success(), "{}", printed(&applied));
    let deployment = site.plane.wait(WARD, "f1", "is there", LIMIT, |_: &Deployment| true);
    let spec = deployment.spec;
    assert_eq!(spec.replicas, Some(2));
    let container = spec.template.spec.unwrap().containers.remove(0);
    assert_eq!(container.image.as_deref(), Some("localhost:5000/fhir-server:4.0"));
    let environment = container.env.unwrap();
    let variable =
        |name: &str| environment.iter().find(|variable| variable.name == name).and_then(|v| v.value.as_deref());
    assert_eq!(variable("FhirServer__Security__Enabled"), Some("true"));
    assert_eq!(variable("FhirServer__Security__Authentication__Authority"), Some("https://login.example.com/t"));
    site.plane.wait(WARD, "f1", "is there", LIMIT, |_: &Service| true);
    site.plane.wait(WARD, "f1", "is there", LIMIT, |ingress: &Ingress| {
        ingress.spec.as_ref().and_then(|spec| spec.rules.as_ref()?.first()?.host.clone()).as_deref()
            == Some("fhir.example.com")
    });

    // The status is written after the last object.
    let waits = end_to_end::poll::until("it says what it waits for", LIMIT, || {
        Some(iotc(&site, &["status", "f1"])).filter(|waits| printed(waits).contains("0 of 2 available"))
    });
    assert!(!waits.status.success(), "{}", printed(&waits));
    make_ready(&site);
    let runs = iotc(
        &site,
        &[
            "apply",
            "f1",
            "--timeout",
            "60",
            "--replicas",
            "2",
            "--authority",
            "https://login.example.com/t",
            "--audience",
            "https://fhir.example.com",
        ],
    );
    assert!(runs.status.success() && printed(&runs).contains("WorkloadsReady"), "{}", printed(&runs));

    let deleted = iotc(&site, &["delete", "f1"]);
    assert!(deleted.status.success(), "{}", printed(&deleted));
    site.plane.wait_gone::<Deployment>(WARD, "f1", LIMIT);
    site.plane.wait_gone::<Service>(WARD, "f1", LIMIT);
    site.plane.wait_gone::<Ingress>(WARD, "f1", LIMIT);
}

fn make_ready(site: &Site) {
    let pods = site.plane.api::<Pod>(WARD);
    let selector = "app.kubernetes.io/instance=f1";
    site.plane.wait_list(WARD, selector, "two pods", LIMIT, |pods: &[Pod]| (pods.len() == 2).then_some(()));
    let ready = json!({"status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    for pod in site.plane.block_on(pods.list(&ListParams::default().labels(selector))).unwrap() {
        let name = pod.metadata.name.unwrap();
        site.plane.block_on(pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&ready))).unwrap();
    }
}
