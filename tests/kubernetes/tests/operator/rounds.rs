//! What the operator does by itself, and what it leaves alone.

use end_to_end::poll::until;
use end_to_end::process::free_port;
use serde_json::{Value, json};

use crate::site::{LIMIT, Site, WARD, connector};

/// Status and body of what an operator answers.
fn get(site: &Site, port: u16, path: &str) -> (u16, String) {
    site.plane.block_on(async {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

/// How many reconciliations of connectors there were.
fn reconciliations(site: &Site, port: u16) -> u64 {
    let (_, metrics) = get(site, port, "/metrics");
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("iot_connector_operator_reconcile_seconds_count{resource=\"IotConnector\"}"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

fn patch_scaler(site: &Site, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let arguments =
        ["-n", WARD, "patch", "scaledobject", "c1-normalize", "--subresource=status", "--type=merge", "-p", &patch];
    site.plane.kubectl(&arguments).unwrap();
}

#[test]
fn comes_round_and_looks_at_what_it_tells_of() {
    let site = Site::start(&[], &json!({}));
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut operator = site.operator("operator-1", &[("LISTEN_ADDRESS", &address)]);
    site.wait_leads(&mut operator, LIMIT);
    // The Lease, and for both resources a controller and the watches of 13 kinds.
    until("all parts are there", LIMIT, || {
        (get(&site, port, "/healthz") == (200, "29 parts\n".to_owned())).then_some(())
    });

    site.apply(&connector("c1"));
    site.wait_condition("c1", "Ready", "WorkloadNotReady");
    for workload in ["c1-normalize", "c1-convert-fhir"] {
        site.make_ready(workload);
    }
    site.wait_condition("c1", "Ready", "WorkloadsReady");
    site.wait_condition("c1", "Scaling", "ScalersReady");
    // At rest: the same number twice, so far apart that all that waited was looked at.
    let mut last = None;
    let before = until("it rests", LIMIT, || {
        site.plane.kubectl(&["get", "namespaces"]).unwrap();
        let now = reconciliations(&site, port);
        let (earlier, since) = *last.get_or_insert((now, std::time::Instant::now()));
        if earlier != now {
            last = None;
        }
        (earlier == now && since.elapsed() > std::time::Duration::from_secs(2)).then_some(now)
    });

    // What KEDA notes at each poll is nothing to look at.
    for second in 10..30 {
        patch_scaler(&site, &json!({ "lastActiveTime": format!("2026-01-01T00:00:{second}Z") }));
    }
    // Whether it can scale is, and it comes behind all that was noted before.
    site.make_scaler_ready("c1-normalize", "False");
    site.wait_condition("c1", "Scaling", "ScalerNotReady");
    // One that wrote a status has more to do, and is counted after that.
    let looks = until("a reconciliation is counted", LIMIT, || {
        Some(reconciliations(&site, port) - before).filter(|looks| *looks > 0)
    });
    // Of the condition, and of the status that was written for it.
    assert!((1..=4).contains(&looks), "{looks} reconciliations for one change");
}
