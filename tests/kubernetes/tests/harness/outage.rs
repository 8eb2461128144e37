//! The API server goes and comes back.

use k8s_openapi::api::core::v1::Pod;
use kubernetes_tests::{ControlPlane, Image, Images, Kubelet, Part};

use crate::cluster::{LIMIT, container_status, is_ready, pod};

/// On a control plane of its own, beside the shared one.
#[test]
fn pods_run_on_while_the_api_server_is_away_and_their_status_follows() {
    let mut plane = ControlPlane::start();
    let images = Images::new().with("*/probed:*", Image::of(env!("CARGO_BIN_EXE_probed")));
    let kubelet = Kubelet::start(&plane, images);
    plane.make_namespace("outage", &[]);
    plane.apply("outage", &pod("p1", |_| {}).to_string()).unwrap();
    plane.wait("outage", "p1", "is ready", LIMIT, is_ready);

    plane.stop(Part::ApiServer);
    assert!(plane.kubectl(&["get", "--raw", "/readyz"]).is_err());
    kubelet.kill("outage", "p1", "main");
    end_to_end::poll::until("it was started again", LIMIT, || {
        kubelet.container("outage", "p1", "main").filter(|run| run.restarts == 1 && run.pid.is_some())
    });
    plane.start_again(Part::ApiServer);

    plane.wait::<Pod>("outage", "p1", "says that it was started again", LIMIT, |pod| {
        is_ready(pod) && container_status(pod)["restartCount"] == 1
    });

    // The node goes too, and comes back.
    let images = Images::new().with("*/probed:*", Image::of(env!("CARGO_BIN_EXE_probed")));
    drop(kubelet);
    let kubelet = Kubelet::start(&plane, images);
    end_to_end::poll::until("it runs again", LIMIT, || {
        kubelet.container("outage", "p1", "main").and_then(|run| run.pid)
    });
    plane.wait("outage", "p1", "is ready", LIMIT, is_ready);
    plane.kubectl(&["-n", "outage", "delete", "pod", "p1", "--wait=false"]).unwrap();
    plane.wait_gone::<Pod>("outage", "p1", LIMIT);
}
