//! A Gen1 connector: devices send to a hub of its own, with the key of a
//! connection.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use azure::ConnectionString;
use end_to_end::clients::{Client as SdkClient, Event};
use end_to_end::poll::until;
use hub_client::{Client, ClientError, NewEvent};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::site::{Site, device_mapping, event, fhir_mapping, value};

const VERSION: &str = "2020-05-01-preview";
const CONNECTOR: &str = "services/any/iomtconnectors/iomt1";
const CONNECTION: &str = "services/any/iomtconnectors/iomt1/connections/devices";
const LIMIT: Duration = Duration::from_secs(30);

/// Sends an event as a device does that has a connection string.
fn send(connection_string: &str, body: &str) -> Result<(), ClientError> {
    let connection: ConnectionString = connection_string.parse().unwrap();
    let hub = connection.hub().unwrap().to_owned();
    let sending = async {
        let (host, port) = connection.address();
        let away = |error| ClientError::Away { doing: "connecting", source: Box::new(error) };
        let stream = TcpStream::connect((host, port)).await.map_err(away)?;
        let mut client = Client::over(stream, host, &hub, LIMIT).await?;
        let audience = connection.audience(&hub);
        let token = connection.token(&audience, SystemTime::now(), LIMIT).token;
        client.put_token("servicebus.windows.net:sastoken", &audience, &token, 0).await?;
        client.sender(None).await?.send(&[NewEvent::new(body)], None).await?;
        client.close().await
    };
    tokio::runtime::Runtime::new().unwrap().block_on(sending)
}

fn keys(site: &Site, action: &str, body: &Value) -> Value {
    let answered = site.send(&Method::POST, &format!("{CONNECTION}/{action}"), VERSION, Some(body));
    assert_eq!(answered.status, 200, "{action}: {}", answered.body["error"]);
    answered.body
}

fn string<'k>(keys: &'k Value, name: &str) -> &'k str {
    keys[name].as_str().unwrap()
}

#[test]
fn a_connection_string_lets_a_device_send_until_its_key_is_made_anew() {
    let site = Site::start();
    let resolution = json!({ "serviceConfiguration": { "resourceIdentityResolutionType": "Create" } });
    site.put(CONNECTOR, VERSION, &json!({ "location": "westus2", "properties": resolution }));
    site.put(CONNECTION, VERSION, &json!({}));
    for (name, content) in [("device", device_mapping("heartrate")), ("fhir", fhir_mapping())] {
        let body = json!({ "properties": { "content": content } });
        site.put(&format!("{CONNECTOR}/mappings/{name}"), VERSION, &body);
    }
    let old = keys(&site, "listKeys", &json!({}));
    assert_eq!(keys(&site, "listKeys", &json!({})), old);
    let (primary, secondary) = (string(&old, "primaryConnectionString"), string(&old, "secondaryConnectionString"));
    let sent = Event { body: event("d1", 1, 71), properties: BTreeMap::new(), partition_key: None };
    SdkClient::Python.send(primary, &[sent]);
    send(secondary, &event("d1", 2, 72)).unwrap();
    for number in [71, 72] {
        site.wait_for_observation(&value(number));
    }

    let new = keys(&site, "regenerateKeys", &json!({ "keyType": "PrimaryKey" }));
    assert_eq!(new["secondaryKey"], old["secondaryKey"]);
    let refused = send(primary, &event("d1", 3, 73)).map_err(|error| error.to_string());
    assert!(refused.as_ref().is_err_and(|error| error.contains("unauthorized-access")), "{refused:?}");
    send(string(&new, "primaryConnectionString"), &event("d1", 4, 74)).unwrap();
    send(secondary, &event("d1", 5, 75)).unwrap();
    for number in [74, 75] {
        site.wait_for_observation(&value(number));
    }
    assert!(!site.holds(&value(73)));

    // What was made outlives the hubs' process.
    site.stack.kill("event-hubs");
    until("the hubs are there again", LIMIT, || {
        match send(string(&new, "primaryConnectionString"), &event("d1", 6, 76)) {
            Err(error) if error.is_away() => None,
            other => {
                other.unwrap();
                Some(())
            }
        }
    });
    let refused = send(primary, &event("d1", 7, 77)).map_err(|error| error.to_string());
    assert!(refused.as_ref().is_err_and(|error| error.contains("unauthorized-access")), "{refused:?}");
    site.wait_for_observation(&value(76));
    let logs = format!("{}{}", site.stack.printed(), site.logs());
    let text = |file| String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
    let records: String = site.files("").iter().map(text).collect();
    for key in ["primaryKey", "secondaryKey"].into_iter().flat_map(|name| [string(&old, name), string(&new, name)]) {
        assert!(!logs.contains(key) && !records.contains(key), "a key is kept or logged");
    }

    // A connector without one of its mappings stands still.
    site.delete(&format!("{CONNECTOR}/mappings/device"), VERSION);
    assert!(site.functions().is_empty());
    site.delete(CONNECTION, VERSION);
    assert!(send(secondary, &event("d1", 8, 78)).is_err());
    site.delete(CONNECTOR, VERSION);
    assert_eq!(site.hubs(), ["devicedata"]);
    for folder in ["accounts", "connectors", "logs"] {
        assert!(site.files(folder).is_empty(), "{:?}", site.files(folder));
    }
}
