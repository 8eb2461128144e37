//! A replica that cannot do what it is for is not ready, so that a rollout keeps the one before it.

use end_to_end::process::{Running, free_port};
use kubernetes_tests::Helm;
use serde_json::json;

use crate::lag;
use crate::site::{LIMIT, SYSTEM, Site, WARD};

/// An operator that is told to serve the lag, and the port of its probes.
fn operator(site: &Site, name: &str) -> (Running, u16) {
    let (port, address) = (free_port(), free_port());
    let listen = format!("127.0.0.1:{address}");
    let mut flags: Vec<(&str, String)> = lag::flags(port).to_vec();
    flags.push(("LISTEN_ADDRESS", listen));
    let flags: Vec<(&str, &str)> = flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
    (site.operator(name, &flags), address)
}

#[test]
fn a_replica_without_its_lag_is_not_ready() {
    // The rights of an operator without the lag.
    let site = Site::start(&[], &json!({"watchNamespaces": [WARD]}));
    let (mut first, address) = operator(&site, "first");
    first.wait_for("it says which right", LIMIT, |lines, _| {
        lines.iter().any(|line| line.contains("a right is missing") && line.contains("forbidden")).then_some(())
    });
    // It is logged before it is answered.
    let (status, text) = end_to_end::poll::until("it says what it waits for", LIMIT, || {
        site.probe(address, "/readyz").filter(|(_, text)| text.contains("the lag"))
    });
    assert!(status == 503 && text.contains("forbidden"), "{status} {text}");
    assert_eq!(site.probe(address, "/healthz").unwrap().0, 200, "a restart is no help");

    let with_lag = json!({"watchNamespaces": [WARD], "lag": {"enabled": true}});
    Helm::new(&site.plane, SYSTEM).upgrade("platform", "helm/platform", &with_lag.to_string()).unwrap();
    end_to_end::poll::until("it is ready", LIMIT, || {
        site.probe(address, "/readyz").filter(|(status, _)| *status == 200).map(drop)
    });
    first.kill();

    // A Secret that cannot be used gets no better by waiting.
    let lacks = json!({"data": {"ca.key": null}}).to_string();
    let secret = ["-n", SYSTEM, "patch", "secret", "iot-connector-operator-lag", "--type=merge", "-p", &lacks];
    site.plane.kubectl(&secret).unwrap();
    let (mut second, _) = operator(&site, "second");
    assert_eq!(second.wait(LIMIT).code(), Some(1));
    let printed = second.printed();
    assert!(printed.contains("has no `ca.key`; delete it, and it is made anew"), "{printed}");
}
