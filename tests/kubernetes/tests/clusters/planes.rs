//! Two control planes: what belongs to a workspace of its own cluster is there and
//! nowhere else.

use custom_resources::IotConnector;
use kubernetes_tests::ControlPlane;
use resource_provider::kubernetes::{ClusterReference, Clusters, ClustersDocument};
use resource_provider::ports::Cluster;
use serde_json::{Value, json};

use crate::site::{Site, WARD};
use crate::specs::{CLUSTER, connector, place};

pub const OTHER: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/Two";

#[test]
fn a_connector_lands_on_and_is_removed_from_its_own_cluster_only() {
    let (site, second, clusters) = two_planes(json!({ "namespace": WARD }));
    let (shared, dedicated) = (place(&CLUSTER.to_lowercase(), 1), place(&OTHER.to_uppercase(), 2));

    site.plane.block_on(clusters.apply(&dedicated, &connector(1))).unwrap();
    assert_eq!((names(&site.plane), names(&second)), (vec![], vec![connector(1).name]));
    // One of the same name elsewhere is another.
    site.plane.block_on(clusters.apply(&shared, &connector(1))).unwrap();
    site.plane.block_on(clusters.apply(&shared, &connector(2))).unwrap();
    site.plane.block_on(clusters.delete(&dedicated, &connector(1).name)).unwrap();
    assert_eq!(names(&second), Vec::<String>::new());
    assert_eq!(names(&site.plane), [connector(1).name, connector(2).name]);
}

/// A site and another control plane, and both as a platform's file names them, with what
/// it says of `connectors`.
pub fn two_planes(connectors: Value) -> (Site, ControlPlane, Clusters) {
    let site = Site::start(&[], &json!({}));
    let second = ControlPlane::start();
    second.apply("default", &definitions()).unwrap();
    second.make_namespace(WARD, &[]);
    second.wait_served::<IotConnector>(WARD);
    let document = ClustersDocument {
        clusters: vec![reference(CLUSTER, &site.plane), reference(OTHER, &second)],
        connectors: serde_json::from_value(connectors).unwrap(),
    };
    let clusters = site.plane.block_on(Clusters::connect(document)).unwrap();
    (site, second, clusters)
}

/// The custom resources, as `helm/platform` has them.
pub fn definitions() -> String {
    let definitions = custom_resources::definitions();
    let texts = definitions.into_iter().map(|(_, definition)| serde_json::to_string(&definition).unwrap());
    texts.collect::<Vec<_>>().join("\n---\n")
}

/// A cluster, as a platform's file names it.
fn reference(id: &str, plane: &ControlPlane) -> ClusterReference {
    ClusterReference { resource_id: id.to_owned(), kubeconfig: Some(plane.kubeconfig().to_owned()), context: None }
}

/// The connectors that a cluster has.
pub fn names(plane: &ControlPlane) -> Vec<String> {
    let all = plane.block_on(plane.api::<IotConnector>(WARD).list(&Default::default())).unwrap();
    all.items.into_iter().filter_map(|connector| connector.metadata.name).collect()
}
