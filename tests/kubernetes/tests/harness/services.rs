//! Services lead to ready pods, by cluster IP and by name.

use end_to_end::poll::until;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use crate::cluster::{LIMIT, ask, pod, restricted, start};

#[test]
fn a_service_leads_to_its_ready_pods() {
    let cluster = restricted("services");
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "p1"}, "ports": [{"name": "web", "port": 80, "targetPort": "http"}]},
    });
    cluster.plane.apply("services", &service.to_string()).unwrap();
    let service = cluster.plane.wait::<Service>("services", "web", "is there", LIMIT, |_| true);
    let ip = service.spec.and_then(|spec| spec.cluster_ip).expect("a cluster IP");
    let get = || {
        let url = format!("http://{ip}/readyz");
        cluster.plane.block_on(async { reqwest::get(url).await.ok().map(|answer| answer.status().as_u16()) })
    };
    assert_eq!(get(), None, "nobody is ready");

    let pod = start(cluster, "services", &pod("p1", |_| {}));
    until("the Service leads to the pod", LIMIT, || (get() == Some(200)).then_some(()));
    let hosts = ask(&pod, "GET", "/file?/etc/hosts").1;
    assert!(hosts.contains(&format!("{ip}\tweb.services.svc.cluster.local")), "{hosts}");
    ask(&pod, "POST", "/unready");
    until("it does not any more", LIMIT, || get().is_none().then_some(()));
}
