//! The lag of connectors whose hubs KEDA has no right on, read as the
//! connector's identity and served to KEDA.
//!
//! ```text
//! KEDA --GET /lag/v1/namespaces/N/workloads/W, bearer token--> server
//!                 Deployment's environment --> Workload --> hub and positions --> {"lag": 17}
//! ```
//!
//! Every replica serves it, and none keeps anything but the readings of a few
//! seconds: tokens follow from a key, which lies in one Secret beside the
//! certificate authority (`secret`). What cannot be read is a 503, at which KEDA
//! falls back.

pub mod identity;
pub mod reading;
pub mod secret;
pub mod server;
pub mod tls;
pub mod workload;

use aws_lc_rs::{constant_time, hmac};
use serde_json::{Value, json};

/// What a connector gets so that KEDA asks for its lag here.
#[derive(Clone, Debug)]
pub struct LagOffer {
    /// Where the lag is served: `https://….svc:8443`.
    pub url: String,
    /// The certificate authority of that address, PEM.
    pub ca_bundle: String,
    /// A certificate for KEDA, which takes an authority beside one only. Nobody
    /// asks for it.
    pub client_certificate: String,
    /// Its key.
    pub client_key: String,
    /// What tokens are made of.
    pub key: TokenKey,
}

impl LagOffer {
    /// `scaling.operator` of the chart's values.
    pub fn values(&self, namespace: &str, name: &str) -> Value {
        json!({
            "url": self.url,
            "caBundle": self.ca_bundle,
            "clientCertificate": self.client_certificate,
            "clientKey": self.client_key,
            "tokenValue": self.key.token(namespace, name),
        })
    }
}

/// Makes the token of each connector, so that none has to be stored.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey").finish_non_exhaustive()
    }
}

impl TokenKey {
    /// Of random bytes, 32 of them.
    pub fn new(bytes: &[u8]) -> TokenKey {
        TokenKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The token of a connector, in hexadecimal digits.
    pub fn token(&self, namespace: &str, name: &str) -> String {
        // No namespace has a slash in its name.
        let tag = hmac::sign(&self.0, format!("lag/{namespace}/{name}").as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a token is that of a connector.
    pub fn opens(&self, token: &str, namespace: &str, name: &str) -> bool {
        let expected = self.token(namespace, name);
        constant_time::verify_slices_are_equal(token.as_bytes(), expected.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_connector_a_token_of_its_own() {
        let key = TokenKey::new(&[7; 32]);
        let token = key.token("ns1", "c1");
        assert_eq!(token.len(), 64);
        let cases = [
            ("its own", &key, token.as_str(), "ns1", "c1", true),
            ("of another connector", &key, token.as_str(), "ns1", "c2", false),
            ("of another namespace", &key, token.as_str(), "ns2", "c1", false),
            ("of another key", &TokenKey::new(&[8; 32]), token.as_str(), "ns1", "c1", false),
            ("cut", &key, &token[1..], "ns1", "c1", false),
            ("none", &key, "", "ns1", "c1", false),
        ];
        for (name, key, token, namespace, connector, opens) in cases {
            assert_eq!(key.opens(token, namespace, connector), opens, "{name}");
        }
    }
}
