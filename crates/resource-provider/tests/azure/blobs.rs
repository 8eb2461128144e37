//! Mappings and positions, in Azurite with tokens over TLS.

use std::sync::Arc;

use azure::TextBlobs;
use azure::credentials::CredentialSettings;
use resource_provider::ports::{Blobs, ErrorClass, MAPPINGS};

use super::cloud::{Cloud, Tokens};

/// A container beside the ports.
fn container(cloud: &Cloud, name: &str) -> TextBlobs {
    let url = format!("{}/{name}", cloud.azurite.as_ref().unwrap().url());
    let credential = CredentialSettings::Given(Arc::new(Tokens));
    TextBlobs::new(&url.parse().unwrap(), &credential, cloud.http.clone()).unwrap()
}

#[tokio::test]
async fn mappings_are_written_replaced_and_removed() {
    let Some(cloud) = Cloud::with_storage().await else { return };
    let (blob, mappings) = ("iotn-c1/devicemapping.json", container(&cloud, MAPPINGS));
    cloud.ports.delete_mapping("iocw1", blob).await.unwrap();
    for text in ["{\"a\":1}", "{\"a\":1}", "{\"a\":2}"] {
        cloud.ports.put_mapping("iocw1", blob, text).await.unwrap();
        assert_eq!(mappings.get(blob).await.unwrap().as_deref(), Some(text));
    }
    for _ in 0..2 {
        cloud.ports.delete_mapping("iocw1", blob).await.unwrap();
        assert_eq!(mappings.get(blob).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_container_of_positions_goes_with_what_is_in_it() {
    let Some(cloud) = Cloud::with_storage().await else { return };
    let positions = container(&cloud, "iotn-c1-e1");
    positions.put("hub/telemetry/fhir/checkpoint/0", "").await.unwrap();
    for _ in 0..2 {
        cloud.ports.delete_positions("iocw1", "iotn-c1-e1").await.unwrap();
        assert_eq!(positions.get("hub/telemetry/fhir/checkpoint/0").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_storage_that_is_away_can_be_tried_again() {
    // There is none at its address.
    let cloud = Cloud::start().await;
    let error = cloud.ports.put_mapping("iocw1", "b", "{}").await.unwrap_err();
    assert!(matches!(error.class, ErrorClass::Transient { .. }), "{error:?}");
    let error = cloud.ports.put_mapping("not.an.account", "b", "{}").await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
}
