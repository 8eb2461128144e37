//! Events by HTTPS: through the Service, to a replica that is always there.

use std::net::Ipv4Addr;

use end_to_end::poll::until;
use end_to_end::site::fates_in;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use crate::site::{LIMIT, NAMESPACE, RELEASE, Site, Workload};

/// As long as one must be.
const TOKEN: &str = "t0ken-0123456789abcdef0123456789ab";

#[test]
fn an_event_by_http_becomes_an_observation_and_a_replica_stays_for_the_next() {
    let site = Site::start(Ipv4Addr::new(127, 0, 0, 5));
    let mut values = site.values();
    values["ingest"] = json!({ "http": { "enabled": true, "host": "ward.example.com", "tokenValue": TOKEN } });
    site.helm().install(RELEASE, &Site::chart(), &values.to_string()).expect("it is installed");
    let service = site.plane.wait::<Service>(NAMESPACE, &format!("{RELEASE}-ingest"), "is there", LIMIT, |_| true);
    let ip = service.spec.and_then(|spec| spec.cluster_ip).expect("a cluster IP");
    let post = |token: &str| {
        let event = r#"{"deviceid":"d1","measurementdatetime":"2020-11-03T12:00:00Z","heartrate":77}"#;
        let request = reqwest::Client::new().post(format!("http://{ip}/api/ingest")).bearer_auth(token).body(event);
        site.plane.block_on(async {
            let answer = request.send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        })
    };
    until("a replica answers", LIMIT, || post("wrong").filter(|(status, _)| *status == 401));
    let (status, text) = post(TOKEN).expect("it answers");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains(r#""fate":"normalized""#), "{text}");
    let converted = until("the measurement has its fate", LIMIT, || site.fates(Workload::Convert).into_values().next());
    assert_eq!(converted, ["created"]);
    // Nobody is left who converts, and one who listens.
    site.wait_for_replicas(Workload::Convert, 0);
    site.wait_for_replicas(Workload::Normalize, 1);
    assert_eq!(post(TOKEN).map(|(status, _)| status), Some(200));
    let refused =
        site.kubelet.containers().into_iter().flat_map(|run| run.log.lines().map(str::to_owned).collect::<Vec<_>>());
    assert!(fates_in("normalize", refused).len() <= 2, "an event that was refused has no fate");
}
