//! The hubs of this machine: those of the Event Hubs stand-in, made and removed
//! by its administration (`iotc stand-in event-hubs --administration-port`).

use std::path::PathBuf;

use arm::ErrorCode;
use arm::gen1::{ConnectionKeys, KeyType};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::ports::{ErrorClass, PortError};

/// The rule by which our own functions read a hub of devices. No connection has
/// this name: names of resources have no underscore.
pub const LISTEN_RULE: &str = "iot_connector";

/// The administration of the stand-in.
#[derive(Clone, Debug)]
pub struct Hubs {
    /// Where it is.
    pub administration: Url,
    /// The file of the token that it wants.
    pub token_file: PathBuf,
    /// Where events are sent and received: `localhost:5672`.
    pub endpoint: String,
    /// What requests are made with.
    pub client: reqwest::Client,
}

/// A rule's right, in the words of Event Hubs.
#[derive(Clone, Copy, Debug)]
pub enum Right {
    /// To send.
    Send,
    /// To receive.
    Listen,
}

/// The keys of a rule, as the stand-in answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleKeys {
    key_name: String,
    primary_key: String,
    secondary_key: String,
}

impl Hubs {
    /// Makes a hub. One that is not open wants tokens of one of its rules.
    pub async fn put(&self, hub: &str, is_open: bool) -> Result<(), PortError> {
        self.call(Method::PUT, &["hubs", hub], json!({ "isOpen": is_open })).await.map(drop)
    }

    /// Removes a hub with its events.
    pub async fn delete(&self, hub: &str) -> Result<(), PortError> {
        self.call(Method::DELETE, &["hubs", hub], json!({})).await.map(drop)
    }

    /// Makes a consumer group.
    pub async fn put_consumer_group(&self, hub: &str, group: &str) -> Result<(), PortError> {
        self.call(Method::PUT, &["hubs", hub, "consumergroups", group], json!({})).await.map(drop)
    }

    /// Removes a consumer group.
    pub async fn delete_consumer_group(&self, hub: &str, group: &str) -> Result<(), PortError> {
        self.call(Method::DELETE, &["hubs", hub, "consumergroups", group], json!({})).await.map(drop)
    }

    /// Makes a rule that gives one right.
    pub async fn put_rule(&self, hub: &str, rule: &str, right: Right) -> Result<(), PortError> {
        let body = json!({ "rights": [format!("{right:?}")] });
        self.call(Method::PUT, &["hubs", hub, "authorizationrules", rule], body).await.map(drop)
    }

    /// Removes a rule.
    pub async fn delete_rule(&self, hub: &str, rule: &str) -> Result<(), PortError> {
        self.call(Method::DELETE, &["hubs", hub, "authorizationrules", rule], json!({})).await.map(drop)
    }

    /// The keys of a rule.
    pub async fn keys(&self, hub: &str, rule: &str) -> Result<ConnectionKeys, PortError> {
        let keys = self.call(Method::POST, &["hubs", hub, "authorizationrules", rule, "listKeys"], json!({})).await?;
        self.connection_keys(hub, keys)
    }

    /// The keys of a rule, one of which is new.
    pub async fn regenerate(&self, hub: &str, rule: &str, key: KeyType) -> Result<ConnectionKeys, PortError> {
        let path = ["hubs", hub, "authorizationrules", rule, "regenerateKeys"];
        let keys = self.call(Method::POST, &path, json!({ "keyType": key.as_str() })).await?;
        self.connection_keys(hub, keys)
    }

    fn connection_keys(&self, hub: &str, keys: Value) -> Result<ConnectionKeys, PortError> {
        // The error of serde may quote what it could not read, which is a key.
        let unreadable = |_| failed(ErrorClass::Permanent, "the hubs' administration answered no keys".to_owned());
        let keys: RuleKeys = serde_json::from_value(keys).map_err(unreadable)?;
        let string = |key: &str| {
            format!(
                "Endpoint=sb://{};SharedAccessKeyName={};SharedAccessKey={key};UseDevelopmentEmulator=true;EntityPath={hub}",
                self.endpoint, keys.key_name
            )
        };
        Ok(ConnectionKeys {
            primary_connection_string: string(&keys.primary_key),
            secondary_connection_string: string(&keys.secondary_key),
            key_name: keys.key_name,
            primary_key: keys.primary_key,
            secondary_key: keys.secondary_key,
        })
    }

    async fn call(&self, method: Method, path: &[&str], body: Value) -> Result<Value, PortError> {
        let transient = ErrorClass::Transient { retry_after_seconds: None };
        let mut url = self.administration.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(path),
            Err(()) => {
                let message = format!("`{}` cannot be the hubs' administration", self.administration);
                return Err(failed(ErrorClass::Permanent, message));
            }
        };
        // Read each time: the stand-in may start after us, and make another.
        let token = std::fs::read_to_string(&self.token_file)
            .map_err(|error| failed(transient, format!("`{}` cannot be read: {error}", self.token_file.display())))?;
        let away = |error: reqwest::Error| {
            failed(transient, format!("the hubs' administration does not answer: {}", error.without_url()))
        };
        let answer = self.client.request(method, url).bearer_auth(token.trim()).json(&body).send().await;
        let answer = answer.map_err(away)?;
        let status = answer.status();
        if status.is_success() {
            return answer.json().await.map_err(away);
        }
        // What it says of an error names hubs and rules, never keys.
        let said: Value = answer.json().await.unwrap_or_default();
        let class = match status {
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => ErrorClass::Permanent,
            _ => transient,
        };
        let said = said["error"].as_str().unwrap_or("no more");
        Err(failed(class, format!("the hubs' administration answered {status}: {said}")))
    }
}

fn failed(class: ErrorClass, message: String) -> PortError {
    PortError { code: ErrorCode::EventHubProvisioningFailed, class, message }
}
