//! Two replicas, one that was frozen, and an API server that goes and comes.

use std::time::{Duration, Instant};

use end_to_end::poll::until;
use end_to_end::process::{Running, free_port, signal};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kubernetes_tests::Part;
use serde_json::json;

use crate::lag;
use crate::site::{LIMIT, SYSTEM, Site, WARD, connector};

/// A Lease of 10 seconds has to run out, looked at every 2 seconds.
const TAKEOVER: Duration = Duration::from_secs(25);
/// So long the Lease of a holder that is gone still holds: it was renewed last
/// at most 6 seconds before, or the holder had given up by itself.
const HELD: Duration = Duration::from_secs(4);

fn holder(site: &Site) -> String {
    let lease = site.plane.wait(SYSTEM, "iot-connector-operator", "is held", LIMIT, |lease: &Lease| {
        lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()).is_some()
    });
    lease.spec.unwrap().holder_identity.unwrap()
}

/// Waits until `next` leads after the leader fell silent at `since`: not before
/// the Lease has run out, and soon after.
#[track_caller]
fn wait_takes_over(site: &Site, next: &mut Running, since: Instant) {
    site.wait_leads(next, TAKEOVER);
    let taken = since.elapsed();
    assert!(taken >= HELD, "a Lease that was held was taken after {taken:?}:\n{}", next.printed());
}

/// All connectors with their versions, and all Deployments: what a write changes.
fn written(site: &Site) -> String {
    let columns = "custom-columns=:metadata.name,:metadata.resourceVersion";
    let connectors = site.plane.kubectl(&["-n", WARD, "get", "iotconnectors", "-o", columns]).unwrap();
    format!("{connectors}{:?}", site.names("deployments"))
}

#[test]
fn another_replica_goes_on() {
    let mut site = Site::start(&[], &json!({"lag": {"enabled": true}, "watchNamespaces": [WARD]}));
    let mut first = site.operator("first", &[]);
    site.wait_leads(&mut first, LIMIT);
    let mut second = site.operator("second", &[]);
    site.apply(&connector("c1"));
    site.wait_condition("c1", "Applied", "Applied");
    assert_eq!(holder(&site), "first");

    // Killed: the other goes on when the Lease has run out.
    let since = Instant::now();
    first.kill();
    site.apply(&connector("c2"));
    wait_takes_over(&site, &mut second, since);
    assert_eq!(holder(&site), "second");
    site.wait_condition("c2", "Applied", "Applied");

    // Told to stop: it gives the Lease back, and the next need not wait.
    let port = free_port();
    let mut third = site.operator("third", &[("LISTEN_ADDRESS", &format!("127.0.0.1:{port}"))]);
    until("third has started", LIMIT, || site.probe(port, "/readyz").filter(|(status, _)| *status == 200));
    signal(second.pid(), "TERM");
    assert!(second.wait(LIMIT).success(), "{}", second.printed());
    site.wait_leads(&mut third, Duration::from_secs(8));
    assert_eq!(holder(&site), "third");

    // The API server goes: whoever leads ends, as it cannot know whether it
    // still does. Started again, it waits for the API server and goes on.
    let uid = site.uid("c1-normalize");
    site.plane.stop(Part::ApiServer);
    assert!(!third.wait(LIMIT).success());
    let port = free_port();
    let flags = lag::flags(port);
    let flags: Vec<(&str, &str)> = flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut fourth = site.operator("fourth", &flags);
    // What all replicas share is waited for, as the Lease is.
    let says = |text: &'static str| {
        move |lines: &[String], _: &[String]| lines.iter().any(|line| line.contains(text)).then_some(())
    };
    fourth.wait_for("it waits", LIMIT, says("The lag cannot be served yet"));
    site.plane.start_again(Part::ApiServer);
    fourth.wait_for("it serves the lag", LIMIT, says("Serves the lag"));
    site.wait_leads(&mut fourth, LIMIT);
    site.plane.kubectl(&["-n", WARD, "delete", "deployment", "c1-convert-fhir"]).unwrap();
    site.plane.wait(WARD, "c1-convert-fhir", "is back", LIMIT, |_: &Deployment| true);
    assert_eq!(site.uid("c1-normalize"), uid, "what runs was not made anew");
}

/// Worse than dead: it goes on later, and takes itself for the leader.
#[test]
fn a_leader_that_was_frozen_writes_nothing_more() {
    let site = Site::start(&[], &json!({}));
    let mut first = site.operator("first", &[]);
    site.wait_leads(&mut first, LIMIT);
    site.apply(&connector("c1"));
    site.wait_condition("c1", "Applied", "Applied");
    let mut second = site.operator("second", &[]);

    let since = Instant::now();
    signal(first.pid(), "STOP");
    wait_takes_over(&site, &mut second, since);
    assert_eq!(holder(&site), "second");
    site.apply(&connector("c2"));
    site.wait_condition("c2", "Applied", "Applied");

    // The other one is frozen too, so that whatever is written now is written
    // by the first, for which there is something to do: c3 is new to it, and c2.
    signal(second.pid(), "STOP");
    site.apply(&connector("c3"));
    let before = written(&site);
    signal(first.pid(), "CONT");
    assert_eq!(first.wait(LIMIT).code(), Some(1), "{}", first.printed());
    assert_eq!(written(&site), before, "{}", first.printed());
    assert_eq!(holder(&site), "second");

    // It had something to do: whoever leads next does it.
    second.kill();
    let mut third = site.operator("third", &[]);
    site.wait_leads(&mut third, TAKEOVER);
    site.wait_condition("c3", "Applied", "Applied");
}
