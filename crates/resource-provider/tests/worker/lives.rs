//! Resources that come, change and go without a fault.

use std::sync::Arc;

use resource_provider::local::Open;
use serde_json::json;

use super::bodies::{CONNECTOR, connector, destination, device_mapping, fhir_mapping};
use super::provider::{GEN1, GROUP, NEWEST};
use super::site::{DESTINATION, Site};

/// The names of what is there, the ids left out.
fn kinds(site: &Site) -> Vec<String> {
    let shorten = |name: &String| {
        let words = name.split(' ').map(|word| if word.contains('-') || word.len() > 18 { "…" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    site.cloud.things().keys().map(shorten).collect()
}

#[tokio::test]
async fn everything_is_made_and_everything_is_removed() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    let things = site.cloud.things();
    for kind in ["group ", "storage ", "identity ", "namespace ", "hub nd-", "consumer group nd-", "certificate mi-"] {
        assert!(things.keys().any(|name| name.starts_with(kind)), "{kind}: {things:?}");
    }
    assert_eq!(things.keys().filter(|name| name.starts_with("role ")).count(), 4, "{things:?}");
    assert_eq!(things.keys().filter(|name| name.starts_with("blob ")).count(), 2, "{things:?}");
    assert_eq!(site.cloud.connector_count(), 1);
    for path in [CONNECTOR, "workspaces/ws1"] {
        let deleted = site.provider.delete(path, NEWEST).await.is(202);
        assert_eq!(site.done(deleted).await["status"], "Succeeded");
        site.provider.get(path, NEWEST).await.is_error(404, "ResourceNotFound");
    }
    assert_eq!(kinds(&site), [""; 0]);
    assert_eq!(site.cloud.connector_count(), 0);
}

#[tokio::test]
async fn the_cluster_is_asked_for_what_the_customer_wants() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_destination().await;
    let name = |site: &Site| {
        let things = site.cloud.things();
        let hub = things.keys().find_map(|name| name.strip_prefix("hub nd-")).unwrap().to_owned();
        format!("iotn-{hub}")
    };
    let spec = site.cloud.connector(&name(&site)).unwrap();
    assert_eq!((spec.endpoint.event_hub_name.as_str(), spec.epoch), ("telemetry", 1));
    assert_eq!(spec.destinations.len(), 1);
    assert_eq!(spec.destinations[0].fhir_url, "https://fhir.example");
    assert!(spec.destinations[0].consumer_group.starts_with("dst-"));
    assert!(spec.certificate.is_some() && !spec.internal_identity.client_id.is_empty());
    let patch = json!({ "properties": { "deviceMapping": { "content": { "templateType": "CollectionContent", "template": [] } } } });
    let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    assert_eq!(site.done(patched).await["status"], "Succeeded");
    let changed = site.cloud.connector(&name(&site)).unwrap();
    assert_ne!(changed.device_mapping_hash, spec.device_mapping_hash);
    assert_eq!((changed.epoch, &changed.destinations), (1, &spec.destinations));
    let deleted = site.provider.delete(DESTINATION, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    assert_eq!(site.cloud.connector(&name(&site)).unwrap().destinations, []);
}

/// The first connector brings the namespace, the last one takes it away.
#[tokio::test]
async fn the_namespace_is_there_as_long_as_a_connector_is() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_workspace().await;
    let has_namespace = |site: &Site| site.cloud.things().keys().any(|name| name.starts_with("namespace "));
    assert!(!has_namespace(&site));
    let other = CONNECTOR.replace("iot1", "iot2");
    for path in [CONNECTOR, &other] {
        let made = site.provider.put(path, NEWEST, &connector()).await.is(201);
        assert_eq!(site.done(made).await["status"], "Succeeded");
        assert!(has_namespace(&site));
    }
    for (path, remains) in [(CONNECTOR, true), (other.as_str(), false)] {
        let deleted = site.provider.delete(path, NEWEST).await.is(202);
        assert_eq!(site.done(deleted).await["status"], "Succeeded");
        assert_eq!(has_namespace(&site), remains);
    }
    // One that is accepted while the last one goes keeps it, or makes it again.
    let made = site.provider.put(CONNECTOR, NEWEST, &connector()).await.is(201);
    site.done(made).await;
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    let made = site.provider.put(&other, NEWEST, &connector()).await.is(201);
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    assert_eq!(site.status(&made).await["status"], "Succeeded");
    assert!(has_namespace(&site));
}

#[tokio::test]
async fn a_destination_to_a_service_that_went_fails_and_says_which() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_connector().await;
    let mut body = destination();
    body["properties"]["fhirServiceResourceId"] = json!(format!("{GROUP}/services/fhir2"));
    let made = site.provider.put(DESTINATION, NEWEST, &body).await.is(201);
    site.provider.fhir_services.remove(&format!("{GROUP}/services/fhir2"));
    let status = site.done(made).await;
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!("FhirServiceNotFound")));
    assert_eq!(site.provider.get(DESTINATION, NEWEST).await.state(), "Failed");
    assert!(!kinds(&site).iter().any(|kind| kind.starts_with("consumer group")), "{:?}", kinds(&site));
}

/// An operation applies what it was asked for, and not what others were asked for
/// since.
#[tokio::test]
async fn what_waits_in_the_queue_is_not_applied_early() {
    let site = Site::behind(Arc::new(Open)).await;
    site.with_connector().await;
    let made = site.provider.put(DESTINATION, NEWEST, &destination()).await.is(201);
    let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": "other" } } });
    let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
    let endpoint = |site: &Site| {
        let things = site.cloud.things();
        let id = things.keys().find_map(|name| name.strip_prefix("hub nd-")).unwrap().to_owned();
        let spec = site.cloud.connector(&format!("iotn-{id}")).unwrap();
        (spec.endpoint.event_hub_name, spec.epoch, spec.destinations.len())
    };
    assert!(site.worker().work_once().await.unwrap());
    assert_eq!(site.status(&made).await["status"], "Succeeded");
    assert_eq!(endpoint(&site), ("telemetry".to_owned(), 1, 1));
    assert_eq!(site.done(patched).await["status"], "Succeeded");
    assert_eq!(endpoint(&site), ("other".to_owned(), 2, 1));
}

/// A connector of the first generation owns its hub, and runs once it has both
/// mappings.
#[tokio::test]
async fn the_first_generation_comes_runs_and_goes() {
    let site = Site::behind(Arc::new(Open)).await;
    let path = "services/fhir1/iomtconnectors/c12";
    let put = |below: &'static str, body: serde_json::Value| {
        let site = &site;
        async move {
            let answer = site.provider.put(&format!("{path}{below}"), GEN1, &body).await;
            assert_eq!(site.done(answer).await["status"], "Succeeded", "{below}");
        }
    };
    let configuration = json!({ "serviceConfiguration": { "resourceIdentityResolutionType": "Create" } });
    put("", json!({ "location": "westus2", "properties": configuration })).await;
    put("/connections/conn1", json!({})).await;
    let things = site.cloud.things();
    assert!(things.keys().any(|name| name.starts_with("rule dd-") && name.ends_with("/conn1")), "{things:?}");
    assert!(things.keys().any(|name| name.starts_with("role FhirDataContributor on FhirService")), "{things:?}");
    put("/mappings/device", json!({ "properties": { "content": device_mapping() } })).await;
    assert_eq!(site.cloud.connector_count(), 0, "one mapping is not enough");
    put("/mappings/fhir", json!({ "properties": { "content": fhir_mapping() } })).await;
    let id = things.keys().find_map(|name| name.strip_prefix("hub dd-")).unwrap();
    let spec = site.cloud.connector(&format!("iotn-{id}")).unwrap();
    assert_eq!(spec.endpoint.event_hub_name, format!("dd-{id}"));
    assert_eq!(spec.destinations[0].fhir_url, "https://fhir.example");
    let gone = site.provider.delete(&format!("{path}/mappings/device"), GEN1).await.is(202);
    assert_eq!(site.done(gone).await["status"], "Succeeded");
    assert_eq!(site.cloud.connector_count(), 0, "it stands still without it");
    let gone = site.provider.delete(path, GEN1).await.is(202);
    assert_eq!(site.done(gone).await["status"], "Succeeded");
    assert_eq!(kinds(&site), [""; 0]);
    site.provider.get(&format!("{path}/connections/conn1"), GEN1).await.is_error(404, "ResourceNotFound");
}

/// A worker that runs takes what comes, and stops when it is told.
#[tokio::test]
async fn a_worker_runs_until_it_is_told_to_stop() {
    let site = Site::behind(Arc::new(Open)).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(site.worker().run(stopped));
    let made = site.provider.put("workspaces/ws1", NEWEST, &super::bodies::workspace()).await.is(201);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while site.status(&made).await["status"] != "Succeeded" {
            tokio::task::yield_now().await;
        }
    });
    ended.await.expect("it ends");
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

/// A sweeper that breaks off does not go unseen: its worker stops, and says so.
#[tokio::test]
async fn a_worker_ends_when_its_sweeper_breaks_off() {
    let site = Site::behind(Arc::new(Open)).await;
    let mut worker = site.worker();
    // No time lies so long ago.
    worker.settings.renewal_pause = jiff::SignedDuration::MAX;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), worker.run(stopped)).await;
    let error = ended.expect("it ends by itself").unwrap_err();
    assert!(error.is_panic() && !*stop.borrow(), "{error}");
}
