//! FHIR services that are gone, and pods that do not go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use resource_provider::documents::{KubernetesObject, ScaleInfo};
use resource_provider::local::{LocalCloud, Open};
use resource_provider::ports::{Cluster, ConnectorSpec, PortError, WorkloadStatus};
use serde_json::json;

use super::bodies::{CONNECTOR, destination};
use super::provider::{GROUP, NEWEST};
use super::site::{DESTINATION, GEN1_CONNECTOR, Site};

/// One destination whose FHIR service is gone holds up nothing else of its
/// connector.
#[tokio::test]
async fn a_service_that_is_gone_holds_up_its_own_destination_only() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    let other = DESTINATION.replace("dest1", "dest2");
    let mut body = destination();
    body["properties"]["fhirServiceResourceId"] = json!(format!("{GROUP}/services/fhir2"));
    let made = site.provider.put(&other, NEWEST, &body).await.is(201);
    assert_eq!(site.done(made).await["status"], "Succeeded");
    let urls = |site: &Site| {
        let spec = &site.cloud.connectors()[0];
        spec.destinations.iter().map(|destination| destination.fhir_url.clone()).collect::<Vec<_>>()
    };
    let before = urls(&site);
    site.provider.fhir_services.remove(&format!("{GROUP}/services/fhir2"));
    let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "another" } } });
    let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    assert_eq!(site.done(patched).await["status"], "Succeeded");
    assert_eq!(urls(&site), before);
    for (state, expected) in [("Suspended", true), ("Registered", false)] {
        site.provider.subscription_is(state).await.is(200);
        site.work().await;
        assert_eq!(site.cloud.connectors()[0].is_suspended, expected, "{state}");
    }
    let deleted = site.provider.delete(DESTINATION, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    assert_eq!(urls(&site).len(), 1);
    // Its own change says what is wrong.
    let again = site.provider.put(DESTINATION, NEWEST, &destination()).await.is(201);
    site.provider.fhir_services.remove(&format!("{GROUP}/services/fhir1"));
    assert_eq!(site.done(again).await["error"]["code"], "FhirServiceNotFound");
}

/// The same of the service above a connector of the first generation.
#[tokio::test]
async fn a_connector_is_stopped_without_the_service_above_it() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_gen1().await;
    site.provider.fhir_services.remove(&format!("{GROUP}/services/fhir1"));
    site.provider.subscription_is("Suspended").await.is(200);
    site.work().await;
    assert!(site.cloud.connectors()[0].is_suspended);
    assert!(site.document(GEN1_CONNECTOR).await.is_some());
}

/// A cluster in another cloud.
#[derive(Debug)]
struct Elsewhere(Arc<LocalCloud>);

#[async_trait]
impl Cluster for Elsewhere {
    fn event_hubs_suffix(&self) -> &str {
        "servicebus.example"
    }

    async fn apply(&self, place: &ScaleInfo, connector: &ConnectorSpec) -> Result<(), PortError> {
        self.0.apply(place, connector).await
    }

    async fn workload(
        &self,
        place: &ScaleInfo,
        connector: &str,
        workload: &str,
    ) -> Result<Option<WorkloadStatus>, PortError> {
        self.0.workload(place, connector, workload).await
    }

    async fn delete(&self, place: &ScaleInfo, connector: &str) -> Result<(), PortError> {
        Cluster::delete(self.0.as_ref(), place, connector).await
    }
}

/// The hub that devices of the first generation send to is where the cluster's cloud
/// has its hubs.
#[tokio::test]
async fn the_host_of_hubs_is_the_clusters_to_say() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_gen1().await;
    let host = |site: &Site| site.cloud.connectors()[0].endpoint.fully_qualified_event_hub_namespace.clone();
    assert!(host(&site).ends_with(".servicebus.windows.net"), "{}", host(&site));
    let mut worker = site.worker();
    worker.platform.cluster = Arc::new(Elsewhere(site.cloud.clone()));
    site.provider.subscription_is("Suspended").await.is(200);
    while worker.work_once().await.unwrap() {}
    assert!(host(&site).ends_with(".servicebus.example"), "{}", host(&site));
}

/// A cluster whose pods do not go.
#[derive(Debug)]
struct Lingering(Arc<LocalCloud>);

#[async_trait]
impl Cluster for Lingering {
    async fn apply(&self, place: &ScaleInfo, connector: &ConnectorSpec) -> Result<(), PortError> {
        self.0.apply(place, connector).await
    }

    async fn workload(&self, _: &ScaleInfo, _: &str, name: &str) -> Result<Option<WorkloadStatus>, PortError> {
        let object = KubernetesObject { uid: "1".to_owned(), name: name.to_owned() };
        Ok(Some(WorkloadStatus { object, is_ready: false }))
    }

    async fn delete(&self, place: &ScaleInfo, connector: &str) -> Result<(), PortError> {
        Cluster::delete(self.0.as_ref(), place, connector).await
    }
}

#[tokio::test]
async fn pods_that_do_not_go_are_not_waited_for_without_end() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    let deleted = site.provider.delete(DESTINATION, NEWEST).await.is(202);
    let mut worker = site.worker();
    worker.platform.cluster = Arc::new(Lingering(site.cloud.clone()));
    let worked = tokio::time::timeout(Duration::from_secs(60), worker.work_once()).await;
    assert!(worked.expect("it ends").unwrap());
    let status = site.status(&deleted).await;
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!("ClusterUnavailable")));
    let again = site.provider.delete(DESTINATION, NEWEST).await.is(202);
    assert_eq!(site.done(again).await["status"], "Succeeded");
}
