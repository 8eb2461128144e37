//! Events that wait for their window to close do not look like lag.

use std::net::Ipv4Addr;

use end_to_end::hub::To;
use end_to_end::poll::until;
use end_to_end::site::DEVICES;
use serde_json::json;

use crate::site::{DEVICE_HUB, LIMIT, RELEASE, Site, Workload};

/// More than KEDA's own default of 64, and less than the windows hold.
const EVENTS: usize = 150;

#[test]
fn open_windows_do_not_call_for_replicas() {
    let site = Site::start(Ipv4Addr::new(127, 0, 0, 6));
    let mut values = site.values();
    values["destinations"][0]["window"] = json!({ "maxEvents": 100, "seconds": 20 });
    values["scaling"]["normalize"]["unprocessedEventThreshold"] = json!(1000);
    site.helm().install(RELEASE, &Site::chart(), &values.to_string()).expect("it is installed");
    site.wait_for_replicas(Workload::Convert, 0);
    for (partition, device) in ["0", "1", "2", "3"].into_iter().zip(DEVICES) {
        let reading = |number: usize| {
            let (minute, second) = (number / 60, number % 60);
            let time = format!("2020-11-04T12:{minute:02}:{second:02}Z");
            format!(r#"{{"deviceid":"{device}","measurementdatetime":"{time}","heartrate":70}}"#)
        };
        let count = EVENTS / 4 + usize::from(partition < "2");
        site.hub.send(DEVICE_HUB, To::Partition(partition), &(0..count).map(reading).collect::<Vec<_>>());
    }
    let (mut most_lag, mut most_replicas) = (0.0_f64, 0);
    until("the windows are written", LIMIT, || {
        most_lag = site.metric(&Workload::Convert.name()).unwrap_or_default().max(most_lag);
        most_replicas = site.replicas(Workload::Convert).max(most_replicas);
        (site.fates(Workload::Convert).len() == EVENTS).then_some(())
    });
    assert!(most_lag > 64.0, "KEDA saw a lag of {most_lag} at the most");
    assert_eq!(most_replicas, 1, "with a lag of {most_lag}");
    site.wait_for_replicas(Workload::Convert, 0);
}
