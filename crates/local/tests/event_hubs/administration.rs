//! Hubs that are made and removed while the stand-in runs, and who may use them.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local::event_hubs::client::{Client, ClientError, EventReceiver, EventSender, NewEvent};
use local::event_hubs::{Config, EventHubs, StartPosition, TOKEN_FILE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::form_urlencoded::byte_serialize;

use crate::stand_in::SOON;

/// A stand-in that lives as long as the runtime of its test.
struct Administered {
    _state: tempfile::TempDir,
    address: String,
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Administered {
    async fn start() -> Administered {
        let state = tempfile::tempdir().unwrap();
        let loopback = ([127, 0, 0, 1], 0).into();
        let config = Config {
            listen: loopback,
            state: state.path().to_owned(),
            hubs: Vec::new(),
            default_partitions: 1,
            latency: Config::LATENCY,
        };
        let mut hubs = EventHubs::start(config).await.unwrap();
        let url = format!("http://{}", hubs.administer(loopback).await.unwrap());
        let token = std::fs::read_to_string(state.path().join(TOKEN_FILE)).unwrap();
        let address = hubs.address().to_string();
        tokio::spawn(hubs.run(std::future::pending()));
        Administered { _state: state, address, url, token, http: reqwest::Client::new() }
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        let answer = request.json(&body).send().await.unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap())
    }

    async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, body) = self.send(method.clone(), path, body).await;
        assert_eq!(status, StatusCode::OK, "{method} {path}: {body}");
        body
    }

    /// A hub `h` with a rule `Device` to send, and one to listen; the keys of the
    /// first.
    async fn with_rules(&self) -> Value {
        self.done(Method::PUT, "/hubs/h", json!({ "isOpen": false })).await;
        self.done(Method::PUT, "/hubs/h/authorizationrules/Device", json!({ "rights": ["Send"] })).await;
        self.done(Method::PUT, "/hubs/h/authorizationrules/reader", json!({ "rights": ["Listen"] })).await;
        self.keys("device").await
    }

    async fn keys(&self, rule: &str) -> Value {
        self.done(Method::POST, &format!("/hubs/h/authorizationrules/{rule}/listKeys"), json!({})).await
    }

    /// A client that has shown a token of a rule's key.
    async fn client(&self, rule: &str, key: &Value) -> Result<Client, ClientError> {
        self.client_for("h", rule, key).await
    }

    /// The same, with a token for a part of the hub.
    async fn client_for(&self, path: &str, rule: &str, key: &Value) -> Result<Client, ClientError> {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let mut client = Client::over(stream, "localhost", "h", SOON).await?;
        let audience = format!("sb://{}/{path}", self.address);
        let token = signature(&audience, rule, key.as_str().unwrap()).into();
        client.put_token("servicebus.windows.net:sastoken", &audience, &token, 0).await?;
        Ok(client)
    }
}

fn signature(audience: &str, rule: &str, key: &str) -> String {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let (resource, end) = (encode(audience), "4000000000");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, format!("{resource}\n{end}").as_bytes()));
    format!("SharedAccessSignature sr={resource}&sig={}&se={end}&skn={rule}", encode(&signature))
}

async fn sent(sender: &mut EventSender) -> Result<(), ClientError> {
    timeout(SOON, sender.send(&[NewEvent::new("event")], None)).await.unwrap()
}

async fn earliest(client: &mut Client, group: &str) -> Result<EventReceiver, ClientError> {
    client.receiver(group, "0", &StartPosition::Earliest, None).await
}

/// Waits until a link that waits for an event is closed.
async fn closed(receiver: &mut EventReceiver) -> String {
    timeout(SOON, receiver.next()).await.unwrap().map(|event| event.sequence_number).unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_without_the_token_of_the_state_folder() {
    let hubs = Administered::start().await;
    for token in [None, Some(""), Some("x"), Some(&hubs.token[1..])] {
        let request = hubs.http.put(format!("{}/hubs/h", hubs.url)).json(&json!({ "isOpen": true }));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{token:?}");
    }
    assert_eq!(hubs.done(Method::GET, "/hubs", json!({})).await, json!({ "hubs": [] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_lets_in_who_has_its_key_to_do_what_it_gives() {
    let hubs = Administered::start().await;
    let keys = hubs.with_rules().await;
    assert_eq!(keys["keyName"], "Device");
    // Without a token, and with keys of another rule or of none.
    assert!(Client::connect(&hubs.address, "h").await.is_err());
    assert!(hubs.client("reader", &keys["primaryKey"]).await.is_err());
    assert!(hubs.client("device", &json!("a2V5")).await.is_err());
    let mut device = hubs.client("Device", &keys["primaryKey"]).await.unwrap();
    sent(&mut device.sender(None).await.unwrap()).await.unwrap();
    // A receiver is attached before it is refused.
    let refused = match earliest(&mut device, "$Default").await {
        Ok(mut receiver) => closed(&mut receiver).await,
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("unauthorized-access"), "it may send and no more: {refused}");
    let mut reader = hubs.client("reader", &hubs.keys("reader").await["secondaryKey"]).await.unwrap();
    let mut receiver = earliest(&mut reader, "$Default").await.unwrap();
    assert_eq!(receiver.receive(1, SOON).await.unwrap().len(), 1);
    assert!(reader.sender(None).await.is_err(), "it may listen and no more");
    // As the clients for JavaScript and Java ask for properties.
    let mut asking = hubs.client_for("h/$management", "device", &keys["primaryKey"]).await.unwrap();
    assert_eq!(asking.hub_properties().await.unwrap().partition_ids, ["0"]);
    assert!(asking.sender(None).await.is_err(), "it is for properties and no more");
    // What is said again changes nothing.
    assert_eq!(hubs.with_rules().await, keys);
    let shown = hubs.done(Method::GET, "/hubs", json!({})).await.to_string();
    assert!(shown.contains("Device") && !shown.contains(keys["primaryKey"].as_str().unwrap()), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_shuts_out_who_has_the_old_one() {
    let hubs = Administered::start().await;
    let old = hubs.with_rules().await;
    let mut first = hubs.client("Device", &old["primaryKey"]).await.unwrap();
    let mut second = hubs.client("Device", &old["secondaryKey"]).await.unwrap();
    let (mut by_first, mut by_second) = (first.sender(None).await.unwrap(), second.sender(None).await.unwrap());
    sent(&mut by_first).await.unwrap();
    let path = "/hubs/h/authorizationrules/device/regenerateKeys";
    let new = hubs.done(Method::POST, path, json!({ "keyType": "PrimaryKey" })).await;
    assert_ne!(new["primaryKey"], old["primaryKey"]);
    assert_eq!(new["secondaryKey"], old["secondaryKey"]);
    assert!(sent(&mut by_first).await.is_err(), "its link is closed");
    sent(&mut by_second).await.unwrap();
    assert!(hubs.client("Device", &old["primaryKey"]).await.is_err());
    let mut again = hubs.client("Device", &new["primaryKey"]).await.unwrap();
    sent(&mut again.sender(None).await.unwrap()).await.unwrap();
    let mut reader = hubs.client("reader", &hubs.keys("reader").await["primaryKey"]).await.unwrap();
    let mut receiver = earliest(&mut reader, "$Default").await.unwrap();
    assert_eq!(receiver.receive(3, SOON).await.unwrap().len(), 3);
    hubs.done(Method::DELETE, "/hubs/h/authorizationrules/reader", json!({})).await;
    assert!(closed(&mut receiver).await.contains("unauthorized-access"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_uses_what_is_removed_is_cut_off_and_the_events_of_a_hub_go_with_it() {
    let hubs = Administered::start().await;
    for _ in 0..2 {
        hubs.done(Method::PUT, "/hubs/h", json!({ "isOpen": true, "partitions": 1 })).await;
        hubs.done(Method::PUT, "/hubs/h/consumergroups/g", json!({})).await;
    }
    let mut client = Client::connect(&hubs.address, "h").await.unwrap();
    let mut sender = client.sender(None).await.unwrap();
    sent(&mut sender).await.unwrap();
    let mut of_group = earliest(&mut client, "G").await.unwrap();
    let mut of_default = earliest(&mut client, "$Default").await.unwrap();
    for receiver in [&mut of_group, &mut of_default] {
        assert_eq!(receiver.receive(1, SOON).await.unwrap().len(), 1);
    }
    for _ in 0..2 {
        hubs.done(Method::DELETE, "/hubs/h/consumergroups/g", json!({})).await;
    }
    assert!(closed(&mut of_group).await.contains("consumer group"));
    for _ in 0..2 {
        hubs.done(Method::DELETE, "/hubs/h", json!({})).await;
    }
    assert!(closed(&mut of_default).await.contains("removed"));
    assert!(sent(&mut sender).await.is_err());
    assert!(Client::connect(&hubs.address, "h").await.is_err());
    hubs.done(Method::PUT, "/hubs/H", json!({ "isOpen": true })).await;
    let mut client = Client::connect(&hubs.address, "h").await.unwrap();
    let mut receiver = earliest(&mut client, "$Default").await.unwrap();
    assert!(receiver.receive(1, Duration::from_millis(200)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn says_what_cannot_be_done() {
    let hubs = Administered::start().await;
    hubs.done(Method::PUT, "/hubs/h", json!({ "isOpen": true })).await;
    let open = json!({ "isOpen": true });
    let cases = [
        (Method::PUT, "/hubs/.h", open.clone(), StatusCode::BAD_REQUEST, "can't be a hub"),
        (Method::PUT, "/hubs/a%2Fb", open, StatusCode::BAD_REQUEST, "can't be a hub"),
        (Method::PUT, "/hubs/n", json!({ "isOpen": true, "partitions": 0 }), StatusCode::BAD_REQUEST, "0 partitions"),
        (Method::PUT, "/hubs/n/consumergroups/g", json!({}), StatusCode::NOT_FOUND, "no hub `n`"),
        (Method::PUT, "/hubs/n/authorizationrules/r", json!({ "rights": [] }), StatusCode::NOT_FOUND, "no hub `n`"),
        (Method::POST, "/hubs/h/authorizationrules/r/listKeys", json!({}), StatusCode::NOT_FOUND, "no rule `r`"),
    ];
    for (method, path, body, status, said) in cases {
        let (answered, body) = hubs.send(method, path, body).await;
        assert_eq!(answered, status, "{path}");
        assert!(body["error"].as_str().unwrap().contains(said), "{path}: {body}");
    }
}
