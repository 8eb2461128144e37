//! The lag of connectors whose hubs KEDA has no right on, read as the
//! connector's identity and served to KEDA.
//!
//! ```text
//! KEDA --GET /lag/v1/namespaces/N/workloads/W, bearer token--> server
//!                 Deployment's environment --> Workload --> hub and positions --> {"lag": 17}
//! ```
//!
//! Every replica serves it, and none keeps anything but the readings of a few
//! seconds and credentials: tokens of connectors follow from a key, which lies in
//! one Secret beside that of the certificate authority (`secret`). What cannot be
//! read is a 503, at which KEDA falls back.

pub mod authority;
pub mod credentials;
pub mod hosts;
pub mod identity;
pub mod reading;
pub mod readings;
pub mod secret;
pub mod server;
pub mod workload;

use aws_lc_rs::{constant_time, hmac};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::authority::Issued;
use self::hosts::AllowedHosts;

/// What a connector gets so that KEDA asks for its lag here.
#[derive(Clone)]
pub struct LagOffer {
    /// Where the lag is served: `https://….svc:8443`.
    pub url: String,
    /// The certificate authority of that address, PEM, when it is not our own.
    pub ca_bundle: Option<String>,
    /// What our own authority gave out last: its own certificate, and one for KEDA,
    /// which takes an authority beside one only. Nobody asks for it.
    pub issued: watch::Receiver<Issued>,
    /// What tokens are made of.
    pub key: TokenKey,
    /// Where the lag may be read.
    pub hosts: AllowedHosts,
    /// The tenant of identities for which no other is said.
    pub tenant: Option<String>,
}

/// Without what opens anything.
impl std::fmt::Debug for LagOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LagOffer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl LagOffer {
    /// `scaling.operator` of the chart's values, for the connector with this uid.
    pub fn values(&self, namespace: &str, uid: &str) -> Value {
        let issued = self.issued.borrow();
        json!({
            "url": self.url,
            "caBundle": self.ca_bundle.as_ref().unwrap_or(&issued.authority),
            "clientCertificate": issued.client.0,
            "clientKey": issued.client.1,
            "tokenValue": self.key.token(namespace, uid),
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

    /// The token of a connector: a signature in hexadecimal digits, and the uid
    /// that it is of. So a token is checked before anybody is asked for anything.
    pub fn token(&self, namespace: &str, uid: &str) -> String {
        // No namespace has a slash in its name.
        let tag = hmac::sign(&self.0, format!("lag/{namespace}/{uid}").as_bytes());
        let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{tag}.{uid}")
    }

    /// The uid of the connector whose token this is, if it is one of ours for
    /// that namespace.
    pub fn uid<'t>(&self, token: &'t str, namespace: &str) -> Option<&'t str> {
        let (_, uid) = token.split_once('.')?;
        let expected = self.token(namespace, uid);
        constant_time::verify_slices_are_equal(token.as_bytes(), expected.as_bytes()).ok().map(|()| uid)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::authority::Authority;
    use super::*;

    #[test]
    fn gives_each_connector_a_token_of_its_own() {
        let key = TokenKey::new(&[7; 32]);
        let token = key.token("ns1", "u1");
        assert_eq!(token.len(), 64 + 1 + 2);
        let renamed = token.replace("u1", "u2");
        let cases = [
            ("its own", &key, token.as_str(), "ns1", Some("u1")),
            ("of another connector", &key, renamed.as_str(), "ns1", None),
            ("of another namespace", &key, token.as_str(), "ns2", None),
            ("of another key", &TokenKey::new(&[8; 32]), token.as_str(), "ns1", None),
            ("cut", &key, &token[1..], "ns1", None),
            ("without a uid", &key, &token[..64], "ns1", None),
            ("none", &key, "", "ns1", None),
        ];
        for (name, key, token, namespace, uid) in cases {
            assert_eq!(key.uid(token, namespace), uid, "{name}");
        }
    }

    #[test]
    fn shows_no_secret() {
        let issued = Authority::make().unwrap().issue("localhost", SystemTime::now()).unwrap();
        let key = issued.client.1.lines().nth(1).unwrap().to_owned();
        let offer = LagOffer {
            url: "https://o.ns1.svc:8443".to_owned(),
            ca_bundle: None,
            issued: watch::channel(issued.clone()).1,
            key: TokenKey::new(b"5ecret"),
            hosts: AllowedHosts::new(Vec::new()),
            tenant: None,
        };
        assert!(offer.values("ns1", "u1")["clientKey"].as_str().unwrap().contains(&key));
        let shown = format!("{offer:?} {issued:?}");
        assert!(!shown.contains("5ecret") && !shown.contains(&key), "{shown}");
    }
}
