//! The operator's image: it starts as the chart `platform` starts it, and renders
//! with the helm and the charts that it brings. What it does to a cluster is
//! tested with its debug build, in `tests/kubernetes`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use end_to_end::container::Plan;
use end_to_end::poll::until;
use end_to_end::process::free_port;

use super::programs::{check_restricted, probe};
use super::{VERSION, operator};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn an_operator_without_a_cluster_says_so_and_ends() {
    // The image's own command.
    let (status, printed) = operator().run(&Plan::default(), LIMIT);
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("there is no cluster to talk to"), "{printed}");
}

#[test]
fn an_operator_waits_for_its_api_server_as_nobody_on_a_read_only_root() {
    // What a kubelet mounts and sets in every pod. Nothing listens on that port.
    let account = tempfile::tempdir().unwrap();
    let certificates = operator().root().join("etc/ssl/certs/ca-certificates.crt");
    fs::copy(certificates, account.path().join("ca.crt")).unwrap();
    fs::write(account.path().join("token"), "a token").unwrap();
    fs::write(account.path().join("namespace"), "iot-connector-system").unwrap();
    let port = free_port();
    let plan = Plan::default()
        .writes(account.path(), "/var/run/secrets/kubernetes.io/serviceaccount")
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", free_port().to_string())
        .env("LISTEN_ADDRESS", format!("127.0.0.1:{port}"));
    let mut container = operator().start(&plan);
    probe(&mut container, port, "/healthz");
    check_restricted(container.pid());
    until("it looks for the Lease", LIMIT, || {
        container.process().check_running();
        container.process().printed().contains("The Lease cannot be taken now").then_some(())
    });
    assert!(container.stop(LIMIT).success(), "{}", container.process().printed());
}

/// As the operator calls it: without HOME, and nothing to write to.
#[test]
fn the_helm_of_the_image_renders_its_charts() {
    let helm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm").canonicalize().unwrap();
    for (chart, example, kinds) in [
        ("iot-connector", "native.yaml", &["kind: Deployment", "kind: ServiceAccount"][..]),
        ("fhir-service", "full.yaml", &["kind: Deployment", "kind: Service"]),
    ] {
        let values = format!("/examples/{example}");
        let folder = format!("/charts/{chart}");
        let plan = Plan::default()
            .reads(&helm.join(chart).join("examples"), "/examples")
            .env("HOME", "/nonexistent")
            .env("KUBECONFIG", "/dev/null")
            .command(&["/usr/local/bin/helm", "template", "c1", &folder, "--namespace", "ward", "--values", &values]);
        let (status, printed) = operator().run(&plan, LIMIT);
        assert!(status.success(), "{printed}");
        for kind in kinds {
            assert!(printed.lines().any(|line| line == *kind), "{chart}: {kind}: {printed}");
        }
    }
}

#[test]
fn the_charts_of_the_image_are_those_of_the_checkout() {
    let helm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm");
    for chart in ["iot-connector", "fhir-service"] {
        for file in ["Chart.yaml", "values.yaml", "values.schema.json"] {
            let ours = fs::read(helm.join(chart).join(file)).unwrap();
            assert_eq!(fs::read(operator().root().join("charts").join(chart).join(file)).unwrap(), ours, "{chart}");
        }
    }
    let plan = Plan::default().command(&["/usr/local/bin/operator", "--version"]);
    let (status, printed) = operator().run(&plan, LIMIT);
    assert!(status.success(), "{printed}");
    assert_eq!(printed.trim(), format!("operator {VERSION}"));
}
