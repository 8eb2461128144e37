//! The same with the operator in the place of helm.

use std::net::Ipv4Addr;

use custom_resources::IotConnector;
use k8s_openapi::api::apps::v1::Deployment;
use kubernetes_tests::{Helm, checkout};
use serde_json::{Value, json};

use crate::from_zero::check_from_zero_and_back;
use crate::site::{LIMIT, NAMESPACE, RELEASE, Site, Workload};

const SYSTEM: &str = "iot-connector-system";
const OPERATOR: &str = "iot-connector-operator";

/// Installs the platform, and waits until two operators are ready.
fn install_platform(site: &Site) {
    site.plane.make_namespace(SYSTEM, &[("pod-security.kubernetes.io/enforce", "restricted")]);
    // All pods share the addresses of this machine.
    let http = json!({ "listenAddress": "$(POD_IP)" });
    // Hubs and storage of tests listen on loopback, without TLS.
    let hosts = json!(["amqp://127.0.0.7", "amqp://127.0.0.8", "http://127.0.0.1"]);
    let lag = json!({ "enabled": true, "allowedHosts": hosts });
    let values =
        json!({ "http": http, "connectorValues": { "http": http }, "lag": lag, "watchNamespaces": [NAMESPACE] });
    let chart = checkout().join("helm/platform").display().to_string();
    Helm::new(&site.plane, SYSTEM).install("platform", &chart, &values.to_string()).expect("it is installed");
    site.plane.wait::<Deployment>(SYSTEM, OPERATOR, "has two ready replicas", LIMIT, |deployment| {
        deployment.status.as_ref().and_then(|status| status.ready_replicas) == Some(2)
    });
}

/// The connector of the site as a resource.
fn connector(site: &Site, change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = site.values();
    // What is the platform's to say.
    spec.as_object_mut().expect("values").remove("http");
    change(&mut spec);
    json!({
        "apiVersion": "iotconnector.health/v1alpha1", "kind": "IotConnector",
        "metadata": { "name": RELEASE }, "spec": spec,
    })
}

fn wait_until_ready(site: &Site) -> IotConnector {
    site.plane.wait(NAMESPACE, RELEASE, "is ready", LIMIT, |connector: &IotConnector| {
        let Some(status) = &connector.status else { return false };
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        status.observed_generation == connector.metadata.generation && ready.is_some_and(|ready| ready.status == "True")
    })
}

#[test]
fn a_connector_that_is_declared_scales_from_zero_and_back_and_goes_with_its_resource() {
    let site = Site::start(Ipv4Addr::new(127, 0, 0, 7));
    install_platform(&site);
    site.plane.apply(NAMESPACE, &connector(&site, |_| ()).to_string()).expect("it is declared");
    let status = wait_until_ready(&site).status.expect("a status");
    let mut names: Vec<_> = status.workloads.into_iter().map(|workload| workload.name).collect();
    names.sort();
    assert_eq!(names, [Workload::Convert.name(), Workload::Normalize.name()]);
    check_from_zero_and_back(&site, 5);
    // Nobody took the replicas that KEDA said for drift.
    wait_until_ready(&site);
    site.plane.kubectl(&["-n", NAMESPACE, "delete", "iotconnector", RELEASE]).expect("it is deleted");
    for workload in Workload::ALL {
        site.plane.wait_gone::<Deployment>(NAMESPACE, &workload.name(), LIMIT);
    }
}

#[test]
fn the_operator_serves_the_lag_by_which_keda_scales() {
    let site = Site::start(Ipv4Addr::new(127, 0, 0, 8));
    install_platform(&site);
    let resource = connector(&site, |spec| {
        spec["scaling"]["source"] = json!("operator");
        // KEDA can open nothing by itself.
        spec["storage"]["authentication"].as_object_mut().expect("an object").remove("connectionString");
    });
    site.plane.apply(NAMESPACE, &resource.to_string()).expect("it is declared");
    wait_until_ready(&site);
    check_from_zero_and_back(&site, 6);
}
