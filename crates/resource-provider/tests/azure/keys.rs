//! Keys of Gen1 connections, through the API.

use reqwest::Method;
use serde_json::json;

use super::provider::GEN1;
use super::site::Site;

const CONNECTION: &str = "services/fhir1/iomtconnectors/c12/connections/conn1";

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_and_made_anew_one_at_a_time() {
    let Some(site) = Site::start(false).await else { return };
    site.put("services/fhir1/iomtconnectors/c12", &json!({})).await;
    site.put(CONNECTION, &json!({})).await;
    let post = async |action: &str, body: &str| {
        let path = format!("{CONNECTION}/{action}");
        site.provider.send(Method::POST, &path, GEN1, body, &[]).await.is(200).body
    };
    let first = post("listKeys", "").await;
    assert_eq!(first["keyName"], "conn1");
    let string = first["primaryConnectionString"].as_str().unwrap();
    assert!(string.starts_with("Endpoint=sb://ehn-ioc-") && string.contains(";EntityPath=dd-"), "another form");
    assert!(string.contains(first["primaryKey"].as_str().unwrap()));
    assert_eq!(post("listKeys", "").await, first);
    let second = post("regenerateKeys", r#"{"keyType":"SecondaryKey"}"#).await;
    assert_eq!(second["primaryKey"], first["primaryKey"]);
    assert_ne!(second["secondaryKey"], first["secondaryKey"]);
    assert_eq!(post("listKeys", "").await, second);
}
