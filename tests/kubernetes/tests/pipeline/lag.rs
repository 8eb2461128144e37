//! What KEDA takes for the lag is the lag, at every step of a connector's life.

use std::net::Ipv4Addr;

use end_to_end::hub::To;
use end_to_end::poll::{try_until, until};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::site::{DEVICE_HUB, GROUP, INTERNAL_HUB, LIMIT, NAMESPACE, RELEASE, Reading, Site, Workload};

/// A hub that is read later.
const OTHER_HUB: &str = "OtherHub";

/// Waits until KEDA's number and the lag are `expected`.
#[track_caller]
fn check_lag(site: &Site, name: &str, reading: Reading<'_>, expected: i64) {
    let mut last = (None, -1);
    let met = try_until(LIMIT, || {
        last = (site.metric(name), site.lag(reading));
        (last == (Some(expected as f64), expected)).then_some(())
    });
    let positions = site.positions(reading);
    assert!(
        met.is_some(),
        "{name}: KEDA's number and the lag are {last:?}, expected {expected}; positions {positions:?}"
    );
}

fn reading(number: usize) -> String {
    format!(r#"{{"deviceid":"d1","measurementdatetime":"2020-11-02T12:{number:02}:00Z","heartrate":70}}"#)
}

fn send(site: &Site, hub: &str, partition: &str, numbers: std::ops::Range<usize>) {
    site.hub.send(hub, To::Partition(partition), &numbers.map(reading).collect::<Vec<_>>());
}

#[test]
fn kedas_number_is_the_true_lag_from_a_missing_position_over_a_change_of_source_to_the_end() {
    let mut site = Site::start_with(Ipv4Addr::new(127, 0, 0, 3), &[OTHER_HUB]);
    let (normalize, convert) = (Workload::Normalize.name(), Workload::Convert.name());
    let device = Reading { hub: DEVICE_HUB, group: GROUP, container: &format!("{normalize}-e1") };
    let internal = Reading { hub: INTERNAL_HUB, group: "dst-hapi", container: &convert };
    let mut values = site.values();
    // Above all that comes, for KEDA caps its number at partitions times threshold.
    values["scaling"]["normalize"]["unprocessedEventThreshold"] = json!(1000);

    // No container, no position; a partition with one event, and an empty one.
    site.hold_pods(true);
    send(&site, DEVICE_HUB, "0", 0..1);
    send(&site, DEVICE_HUB, "1", 1..8);
    send(&site, DEVICE_HUB, "3", 8..13);
    site.helm().install(RELEASE, &Site::chart(), &values.to_string()).expect("it is installed");
    check_lag(&site, &normalize, device, 13);
    check_lag(&site, &convert, internal, 0);
    site.hold_pods(false);
    check_lag(&site, &normalize, device, 0);
    check_lag(&site, &convert, internal, 0);
    assert_eq!(site.positions(device), [Some(0), Some(6), Some(-1), Some(4)]);

    // With positions, and nobody there.
    Workload::ALL.iter().for_each(|workload| site.wait_for_replicas(*workload, 0));
    site.wait_for_no_pods();
    site.hold_pods(true);
    send(&site, DEVICE_HUB, "2", 13..16);
    check_lag(&site, &normalize, device, 3);
    check_lag(&site, &convert, internal, 0);
    site.hold_pods(false);
    check_lag(&site, &normalize, device, 0);
    check_lag(&site, &convert, internal, 0);

    // Another source, whose only event is not its first: KEDA takes that for none as long as there is no position,
    // so the new workload stores one before anything else. It cannot go on, for its mapping is not there yet.
    send(&site, OTHER_HUB, "1", 16..18);
    site.hub.inject("expire 1");
    let mut other = values.clone();
    other["source"]["epoch"] = json!(2);
    other["source"]["eventHub"]["name"] = json!(OTHER_HUB);
    other["mappings"]["device"] = json!({ "blob": "devicecontent.json" });
    site.helm().upgrade(RELEASE, &Site::chart(), &other.to_string()).expect("it is upgraded");
    let (normalize, container) = (format!("{normalize}-e2"), format!("{normalize}-e2"));
    let source = Reading { hub: OTHER_HUB, group: GROUP, container: &container };
    check_lag(&site, &normalize, source, 1);
    let first = [Some(-1), Some(0), Some(-1), Some(-1)];
    until("each partition has its first position", LIMIT, || (site.positions(source) == first).then_some(()));
    let mappings = site.azurite.make("mappings");
    site.azurite.upload(&mappings, "devicecontent.json", include_str!("../../../../samples/demo/devicecontent.json"));
    check_lag(&site, &normalize, source, 0);
    check_lag(&site, &convert, internal, 0);
    // 16 events of the one hub, and one of the other.
    let measurements: i64 = site.hub.bounds(INTERNAL_HUB).into_iter().map(|(_, last)| last + 1).sum();
    assert_eq!(measurements, 17);

    // Back: the workload of before, which goes on where it was, and then nothing.
    let before = site.positions(device);
    site.helm().roll_back(RELEASE, 1).expect("it is rolled back");
    site.plane.wait_gone::<Deployment>(NAMESPACE, &normalize, LIMIT);
    let normalize = Workload::Normalize.name();
    send(&site, DEVICE_HUB, "0", 18..19);
    check_lag(&site, &normalize, device, 0);
    assert_eq!((site.positions(device)[0], &site.positions(device)[1..]), (Some(1), &before[1..]));
    site.helm().uninstall(RELEASE).expect("it is uninstalled");
    site.wait_for_no_pods();
    let left =
        "deployment,scaledobject,triggerauthentication,service,configmap,secret,networkpolicy,pdb,serviceaccount";
    // KEDA has to let go of its own.
    until("nothing is left", LIMIT, || {
        let label = "app.kubernetes.io/instance=ward7";
        let left = site.plane.kubectl(&["-n", NAMESPACE, "get", left, "-l", label, "-o", "name"]);
        left.expect("a list").is_empty().then_some(())
    });
    assert_eq!(site.positions(device)[0], Some(1), "positions are data and stay");
}
