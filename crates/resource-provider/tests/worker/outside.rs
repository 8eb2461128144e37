//! FHIR services that are gone.

use std::sync::Arc;

use resource_provider::local::Open;
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
