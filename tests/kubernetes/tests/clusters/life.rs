//! The life of a connector, as its worker leads it.

use custom_resources::IotConnector;
use end_to_end::poll::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kubernetes_tests::Part;
use resource_provider::documents::ScaleInfo;
use resource_provider::kubernetes::{ClusterSettings, Clusters};
use resource_provider::ports::{Cluster, ConnectorSpec, ErrorClass, PortError, WorkloadStatus};
use serde_json::json;

use crate::site::{LIMIT, Site, WARD};
use crate::specs::{CLUSTER, connector, destination, place};

/// A site with its clusters, whose connectors are all in the namespace of tests.
struct Provider {
    site: Site,
    clusters: Clusters,
    place: ScaleInfo,
}

impl Provider {
    fn start() -> Provider {
        let site = Site::start(&[], &json!({}));
        // KEDA is away here, and so is the lag.
        let settings = json!({ "namespace": WARD, "lagSource": "keda" });
        let settings: ClusterSettings = serde_json::from_value(settings).unwrap();
        let clients = [(CLUSTER.to_uppercase(), site.plane.client())];
        let clusters = Clusters::new(clients, settings).unwrap();
        Provider { site, clusters, place: place(CLUSTER, 1) }
    }

    fn apply(&self, spec: &ConnectorSpec) -> Result<(), PortError> {
        self.site.plane.block_on(self.clusters.apply(&self.place, spec))
    }

    fn workload(&self, spec: &ConnectorSpec, name: &str) -> Option<WorkloadStatus> {
        self.site.plane.block_on(self.clusters.workload(&self.place, &spec.name, name)).unwrap()
    }

    fn delete(&self, spec: &ConnectorSpec) -> Result<(), PortError> {
        self.site.plane.block_on(self.clusters.delete(&self.place, &spec.name))
    }

    /// As a kubelet and KEDA would.
    #[track_caller]
    fn make_ready(&self, deployment: &str) {
        until("the ScaledObject is there", LIMIT, || {
            self.site.names("scaledobjects").contains(&deployment.to_owned()).then_some(())
        });
        self.site.make_ready(deployment);
    }

    #[track_caller]
    fn wait_ready(&self, spec: &ConnectorSpec, name: &str) -> WorkloadStatus {
        until("the workload is ready", LIMIT, || self.workload(spec, name).filter(|status| status.is_ready))
    }

    fn live(&self, spec: &ConnectorSpec) -> IotConnector {
        self.site.plane.block_on(self.site.plane.api(WARD).get(&spec.name)).unwrap()
    }

    fn uid(&self, spec: &ConnectorSpec) -> String {
        self.live(spec).metadata.uid.unwrap()
    }

    /// How many pods of a connector there are.
    fn pods(&self, spec: &ConnectorSpec) -> usize {
        let selector = format!("app.kubernetes.io/instance={}", spec.name);
        let pods = self.site.plane.api::<Pod>(WARD);
        self.site.plane.block_on(pods.list(&ListParams::default().labels(&selector))).unwrap().items.len()
    }
}

#[test]
fn a_connector_is_made_changed_suspended_and_removed() {
    let provider = Provider::start();
    let mut operator = provider.site.operator("operator-1", &[]);
    provider.site.wait_leads(&mut operator, LIMIT);

    // It is there without destinations, and ready once its pods are.
    let mut spec = connector(1);
    let name = spec.name.clone();
    assert_eq!(provider.workload(&spec, &name), None);
    provider.apply(&spec).unwrap();
    assert!(provider.workload(&spec, &name).is_some_and(|status| !status.is_ready));
    provider.make_ready(&name);
    let ready = provider.wait_ready(&spec, &name);
    assert_eq!((ready.object.name.clone(), ready.object.uid), (name.clone(), provider.site.uid(&name)));
    // Applying the same again changes nothing.
    let generation = provider.live(&spec).metadata.generation;
    provider.apply(&spec).unwrap();
    assert_eq!(provider.live(&spec).metadata.generation, generation);

    with_a_destination(&provider, &mut spec);
    with_another_mapping(&provider, &mut spec);
    suspended(&provider, &mut spec);
    with_another_endpoint_and_back(&provider, &mut spec);

    provider.delete(&spec).unwrap();
    assert_eq!(provider.pods(&spec), 0);
    assert_eq!(provider.workload(&spec, &name), None);
    let deployments = provider.site.names("deployments");
    assert!(deployments.is_empty(), "{deployments:?}");
    // What is not there is removed.
    provider.delete(&spec).unwrap();
}

/// A destination comes with its workload, and is there until its pods are gone.
fn with_a_destination(provider: &Provider, spec: &mut ConnectorSpec) {
    let (first, second) = (destination(2), destination(3));
    spec.destinations = vec![first.clone(), second.clone()];
    provider.apply(spec).unwrap();
    for name in [&first.name, &second.name] {
        provider.make_ready(name);
        provider.wait_ready(spec, name);
    }
    spec.destinations.pop();
    provider.apply(spec).unwrap();
    until("the destination is gone", LIMIT, || provider.workload(spec, &second.name).is_none().then_some(()));
    provider.site.plane.wait_gone::<Deployment>(WARD, &second.name, LIMIT);
    assert!(provider.wait_ready(spec, &first.name).is_ready);
}

/// A mapping that changed is in use when the workload is ready: not before the
/// pods that began without it are gone.
fn with_another_mapping(provider: &Provider, spec: &mut ConnectorSpec) {
    let name = spec.name.clone();
    spec.device_mapping_hash = "sha256:d2".to_owned();
    provider.apply(spec).unwrap();
    let pods = provider.site.plane.api::<Pod>(WARD);
    let selector = format!("iot-connector/workload={name}");
    let is_new = |pod: &Pod| {
        let annotations = pod.metadata.annotations.iter().flatten();
        annotations.into_iter().any(|(key, value)| key == "iot-connector/mapping-version" && value == "sha256:d2")
    };
    until("a pod with the other mapping is there", LIMIT, || {
        let list = provider.site.plane.block_on(pods.list(&ListParams::default().labels(&selector))).unwrap();
        list.items.iter().any(is_new).then_some(())
    });
    assert!(provider.workload(spec, &name).is_some_and(|status| !status.is_ready), "an older pod runs");
    provider.make_ready(&name);
    provider.wait_ready(spec, &name);
    let list = provider.site.plane.block_on(pods.list(&ListParams::default().labels(&selector))).unwrap();
    assert!(list.items.iter().all(is_new), "{:?}", list.items);
}

/// Nothing of a suspended connector runs, and that is well; it comes back.
fn suspended(provider: &Provider, spec: &mut ConnectorSpec) {
    spec.is_suspended = true;
    provider.apply(spec).unwrap();
    for name in [spec.name.clone(), spec.destinations[0].name.clone()] {
        provider.wait_ready(spec, &name);
    }
    assert_eq!(provider.pods(spec), 0);
    spec.is_suspended = false;
    provider.apply(spec).unwrap();
    for name in [spec.name.clone(), spec.destinations[0].name.clone()] {
        provider.make_ready(&name);
        provider.wait_ready(spec, &name);
    }
}

/// Another endpoint is another workload of normalize; a change that failed goes
/// back to the one before.
fn with_another_endpoint_and_back(provider: &Provider, spec: &mut ConnectorSpec) {
    let before = spec.clone();
    spec.epoch = 2;
    spec.endpoint.event_hub_name = "another".to_owned();
    provider.apply(spec).unwrap();
    let deployment = format!("{}-e2", spec.name);
    provider.make_ready(&deployment);
    let ready = provider.wait_ready(spec, &spec.name);
    assert_eq!((ready.object.name.as_str(), ready.object.uid), (deployment.as_str(), provider.site.uid(&deployment)));

    let uid = provider.uid(spec);
    provider.apply(&before).unwrap();
    assert_ne!(provider.uid(spec), uid, "it is another, for an epoch never goes back");
    for name in [&before.name, &before.destinations[0].name] {
        provider.make_ready(name);
        provider.wait_ready(&before, name);
    }
    provider.site.plane.wait_gone::<Deployment>(WARD, &deployment, LIMIT);
    *spec = before;
}

#[test]
fn errors_say_whether_trying_again_helps() {
    let mut provider = Provider::start();
    let mut spec = connector(1);
    spec.destinations = vec![destination(2)];
    spec.destinations[0].fhir_url = "no address".to_owned();
    let refused = provider.apply(&spec).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Permanent, "{refused}");
    assert!(refused.message.contains("spec.destinations[0].fhir.url"), "{refused}");

    let unknown = place("/subscriptions/s/other", 1);
    let unknown = provider.site.plane.block_on(provider.clusters.delete(&unknown, &spec.name)).unwrap_err();
    assert!(matches!(unknown.class, ErrorClass::Transient { .. }), "{unknown}");

    provider.site.plane.stop(Part::ApiServer);
    for failed in [provider.apply(&connector(1)), provider.delete(&connector(1))] {
        let failed = failed.unwrap_err();
        assert_eq!(failed.code, arm::ErrorCode::ClusterUnavailable);
        assert!(matches!(failed.class, ErrorClass::Transient { .. }), "{failed}");
    }
    provider.site.plane.start_again(Part::ApiServer);
    until("it can be asked again", LIMIT, || provider.delete(&connector(1)).ok());
}
