//! Two replicas, and an API server that goes and comes.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kubernetes_tests::Part;
use serde_json::json;

use crate::site::{LIMIT, SYSTEM, Site, WARD, connector};

/// A Lease of 10 seconds has to run out, looked at every 2 seconds.
const TAKEOVER: Duration = Duration::from_secs(25);

fn holder(site: &Site) -> String {
    let lease = site.plane.wait(SYSTEM, "iot-connector-operator", "is held", LIMIT, |lease: &Lease| {
        lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()).is_some()
    });
    lease.spec.unwrap().holder_identity.unwrap()
}

#[test]
fn another_replica_goes_on() {
    let mut site = Site::start(&[], &json!({}));
    let mut first = site.operator("first", &[]);
    site.wait_leads(&mut first, LIMIT);
    let mut second = site.operator("second", &[]);
    site.apply(&connector("c1"));
    site.wait_condition("c1", "Applied", "Applied");
    assert_eq!(holder(&site), "first");

    // Killed: the other goes on when the Lease has run out.
    first.kill();
    site.apply(&connector("c2"));
    let since = Instant::now();
    site.wait_leads(&mut second, TAKEOVER);
    site.wait_condition("c2", "Applied", "Applied");
    assert!(since.elapsed() < TAKEOVER + LIMIT);

    // Told to stop: it gives the Lease back, and the next need not wait.
    let mut third = site.operator("third", &[]);
    end_to_end::process::signal(second.pid(), "TERM");
    assert!(second.wait(LIMIT).success(), "{}", second.printed());
    site.wait_leads(&mut third, Duration::from_secs(8));
    assert_eq!(holder(&site), "third");

    // The API server goes: whoever leads ends, as it cannot know whether it
    // still does. Started again, it waits for the API server and goes on.
    let uid = site.uid("c1-normalize");
    site.plane.stop(Part::ApiServer);
    assert!(!third.wait(LIMIT).success());
    let mut fourth = site.operator("fourth", &[]);
    site.plane.start_again(Part::ApiServer);
    site.wait_leads(&mut fourth, LIMIT);
    site.plane.kubectl(&["-n", WARD, "delete", "deployment", "c1-convert-fhir"]).unwrap();
    site.plane.wait(WARD, "c1-convert-fhir", "is back", LIMIT, |_: &Deployment| true);
    assert_eq!(site.uid("c1-normalize"), uid, "what runs was not made anew");
}
