//! Endpoints that change, and the positions of each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arm::ErrorCode;
use async_trait::async_trait;
use resource_provider::local::{Gate, Moment};
use resource_provider::ports::{ErrorClass, PortError};
use serde_json::json;

use super::bodies::CONNECTOR;
use super::provider::NEWEST;
use super::site::Site;

/// Remembers which positions are removed; refuses the cluster while it is armed.
#[derive(Debug, Default)]
struct Positions {
    is_armed: AtomicBool,
    removed: Mutex<Vec<String>>,
}

#[async_trait]
impl Gate for Positions {
    async fn pass(&self, call: &str, moment: Moment) -> Result<(), PortError> {
        if let Some(container) = call.strip_prefix("no positions ").filter(|_| moment == Moment::Before) {
            self.removed.lock().unwrap().push(container.to_owned());
        }
        if call.starts_with("connector ") && self.is_armed.swap(false, Ordering::SeqCst) {
            let message = "the test says no".to_owned();
            return Err(PortError { code: ErrorCode::ClusterUnavailable, class: ErrorClass::Permanent, message });
        }
        Ok(())
    }
}

/// The positions of an endpoint that was tried and given up are never another's, and
/// are removed with the rest.
#[tokio::test]
async fn an_epoch_that_failed_is_not_used_again() {
    let positions = Arc::new(Positions::default());
    let site = Site::behind(positions.clone()).await;
    site.with_connector().await;
    let change = async |hub: &str| {
        let patch = json!({ "properties": { "ingestionEndpointConfiguration": { "eventHubName": hub } } });
        let patched = site.provider.patch(CONNECTOR, NEWEST, &patch).await.is(202);
        site.done(patched).await["status"].as_str().unwrap().to_owned()
    };
    let epoch = || site.cloud.connectors()[0].epoch;
    positions.is_armed.store(true, Ordering::SeqCst);
    assert_eq!((change("broken").await.as_str(), epoch()), ("Failed", 1));
    assert_eq!(site.document(CONNECTOR).await.unwrap().ingest_definition.unwrap().epoch, 1);
    assert_eq!((change("other").await.as_str(), epoch()), ("Succeeded", 3));
    positions.is_armed.store(true, Ordering::SeqCst);
    assert_eq!((change("broken").await.as_str(), epoch()), ("Failed", 3));
    positions.removed.lock().unwrap().clear();
    let deleted = site.provider.delete(CONNECTOR, NEWEST).await.is(202);
    assert_eq!(site.done(deleted).await["status"], "Succeeded");
    let removed = positions.removed.lock().unwrap().clone();
    let epochs: Vec<&str> = removed.iter().filter_map(|name| name.rsplit_once("-e").map(|(_, epoch)| epoch)).collect();
    assert_eq!(epochs, ["1", "2", "3", "4"], "{removed:?}");
}
