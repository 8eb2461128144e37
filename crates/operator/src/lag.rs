//! The lag of connectors whose hubs KEDA has no right on, read as the
//! connector's identity and served to KEDA.

use serde_json::{Value, json};

use aws_lc_rs::hmac;

/// What a connector gets so that KEDA asks for its lag here.
#[derive(Clone)]
pub struct LagOffer {
    /// Where the lag is served: `https://….svc:8443`.
    pub url: String,
    /// The certificate authority of that address, PEM.
    pub ca_bundle: String,
    /// What tokens are made of.
    pub key: TokenKey,
}

impl LagOffer {
    /// `scaling.operator` of the chart's values.
    pub fn values(&self, namespace: &str, name: &str) -> Value {
        json!({ "url": self.url, "caBundle": self.ca_bundle, "tokenValue": self.key.token(namespace, name) })
    }
}

/// Makes the token of each connector, so that none has to be stored.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl TokenKey {
    /// Of random bytes, 32 of them.
    pub fn new(bytes: &[u8]) -> TokenKey {
        TokenKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The token of a connector, in hexadecimal digits.
    pub fn token(&self, namespace: &str, name: &str) -> String {
        let tag = hmac::sign(&self.0, subject(namespace, name).as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// No namespace has a slash in its name.
fn subject(namespace: &str, name: &str) -> String {
    format!("lag/{namespace}/{name}")
}
