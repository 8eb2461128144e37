//! An issuer of tokens.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::KeyPair as _;
use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use resource_provider::front::tokens::TokenSettings;
use serde_json::{Value, json};

pub const ISSUER: &str = "https://login.example/tenant/v2.0";
pub const AUDIENCE: &str = "api://provider";
pub const KEY: &str = "k1";

/// Signs tokens, and shows its key.
pub struct Issuer {
    key: EncodingKey,
    /// Where its keys are.
    pub keys: String,
}

impl Issuer {
    pub async fn start() -> Issuer {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let body = BASE64_STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({ "kty": "RSA", "alg": "RS256", "kid": KEY, "n": text(&public.n), "e": text(&public.e) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keys = format!("http://{}/keys", listener.local_addr().unwrap());
        let body = json!({ "keys": [jwk] });
        let router = Router::new().route("/keys", get(|| async move { axum::Json(body) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Issuer { key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), keys }
    }

    /// What a provider is told of it.
    pub fn settings(&self) -> TokenSettings {
        TokenSettings {
            issuers: vec![ISSUER.to_owned()],
            audiences: vec![AUDIENCE.to_owned()],
            keys: self.keys.parse().unwrap(),
            front_doors: vec!["arm".to_owned()],
            applications: vec!["tool".to_owned()],
        }
    }

    /// A token with these claims in place of those of the front door; null takes
    /// one away.
    pub fn token(&self, claims: &Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let mut all = json!({ "iss": ISSUER, "aud": AUDIENCE, "azp": "arm", "nbf": now - 60, "exp": now + 600 });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let header = Header { kid: Some(KEY.to_owned()), ..Header::new(Algorithm::RS256) };
        encode(&header, &all, &self.key).unwrap()
    }
}
