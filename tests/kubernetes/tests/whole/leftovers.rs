//! What is left of a connector: in the cluster, the hubs, the storage and the
//! store.

use arm::ResourceType;
use end_to_end::azurite::SAS;
use end_to_end::poll::until;
use resource_provider::store::{Listed, Store};

use crate::SUBSCRIPTION;
use crate::server::Server;
use crate::site::{DEVICE_HUB, LIMIT, NAMESPACE, Site};

/// Kinds that connectors are made of.
const KINDS: &str = "iotconnectors,deployments,replicasets,pods,scaledobjects,triggerauthentications,\
    horizontalpodautoscalers,networkpolicies,poddisruptionbudgets,serviceaccounts,configmaps,secrets";

/// What was there before any connector.
const OTHERS: [&str; 3] = ["configmap/kube-root-ca.crt", "secret/site", "serviceaccount/default"];

/// Names of the objects of connectors in the cluster.
fn objects(site: &Site) -> Vec<String> {
    let printed = site.plane.kubectl(&["-n", NAMESPACE, "get", KINDS, "-o", "name"]).unwrap();
    printed.lines().filter(|name| !OTHERS.contains(name)).map(str::to_owned).collect()
}

/// Names between `<Name>` and `</Name>` in a list of containers or blobs.
fn listed(site: &Site, path: &str, query: &str) -> Vec<String> {
    let url = format!("{}/{path}?{query}&{SAS}", site.blobs());
    let answer = reqwest::blocking::get(url).unwrap().error_for_status().unwrap().text().unwrap();
    let names = answer.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next());
    names.map(str::to_owned).collect()
}

/// Nothing of a connector is left but its dead letters, which go with the account
/// of the workspace: whoever removes a connector may still want to know what it
/// rejected.
pub fn check_no_connector(site: &Site) {
    // Objects that owner references collect follow a moment later.
    let gone = end_to_end::poll::try_until(LIMIT, || objects(site).is_empty().then_some(()));
    assert!(gone.is_some(), "{:?}", objects(site));
    assert_eq!(site.hubs(), [DEVICE_HUB]);
    let containers = listed(site, "", "comp=list");
    let left: Vec<_> =
        containers.iter().filter(|name| *name != "mappings" && !name.ends_with("-dead-letters")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(listed(site, "mappings", "restype=container&comp=list"), Vec::<String>::new());
}

/// The store has so many resources; finished operations are remembered for a week.
pub fn check_resources(site: &Site, server: &Server, expected: &[&str]) {
    let names = site.plane.block_on(async {
        let store = Store::open(&server.store).await.unwrap();
        let mut names = Vec::new();
        for kind in ResourceType::ALL {
            let page = store.list(Listed::Subscription(SUBSCRIPTION, kind), "", (100, usize::MAX)).await.unwrap();
            names.extend(page.documents.into_iter().map(|document| document.name));
        }
        store.close().await;
        names
    });
    assert_eq!(names, expected);
}

/// Waits until KEDA says of all that it is paused, and no pod is left.
pub fn wait_for_suspension(site: &Site) {
    let paused = r#"jsonpath={range .items[*]}{.status.conditions[?(@.type=="Paused")].status}{"\n"}{end}"#;
    until("KEDA has paused", LIMIT, || {
        let printed = site.plane.kubectl(&["-n", NAMESPACE, "get", "scaledobjects", "-o", paused]).unwrap();
        let states: Vec<&str> = printed.lines().collect();
        (states == ["True"; 3]).then_some(())
    });
    wait_for_zero(site);
}

/// Waits until none of the Deployments of connectors has a pod.
pub fn wait_for_zero(site: &Site) {
    until("all is scaled to zero", LIMIT, || {
        let printed = site.plane.kubectl(&["-n", NAMESPACE, "get", "pods", "-o", "name"]).unwrap();
        printed.trim().is_empty().then_some(())
    });
}
