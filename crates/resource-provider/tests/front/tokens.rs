//! What tokens are taken for.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use resource_provider::front::callers::Caller;
use resource_provider::front::tokens::{Refused, TokenSettings, Tokens};
use serde_json::{Value, json};

use super::issuer::{AUDIENCE, ISSUER, Issuer, KEY};

async fn issuer_and_tokens() -> (Issuer, Tokens) {
    let issuer = Issuer::start().await;
    let tokens = Tokens::new(issuer.settings(), reqwest::Client::new());
    (issuer, tokens)
}

#[tokio::test]
async fn a_whole_token_says_who_calls() {
    let (issuer, tokens) = issuer_and_tokens().await;
    for (claims, caller) in [
        (json!({}), Caller::FrontDoor),
        (json!({ "azp": null, "appid": "ARM" }), Caller::FrontDoor),
        (json!({ "azp": "tool" }), Caller::Application("tool".to_owned())),
    ] {
        assert_eq!(tokens.caller(&issuer.token(&claims)).await.unwrap(), caller, "{claims}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_is_said() {
    let (issuer, tokens) = issuer_and_tokens().await;
    let now = Timestamp::now().as_second();
    for (claims, why) in [
        (json!({ "iss": "https://login.example/other/v2.0" }), "issuer is another"),
        (json!({ "iss": null }), "a claim is missing"),
        (json!({ "aud": "api://other" }), "for somebody else"),
        (json!({ "exp": now - 3600 }), "has expired"),
        (json!({ "exp": null }), "a claim is missing"),
        (json!({ "nbf": now + 3600 }), "does not hold yet"),
        (json!({ "scp": "user_impersonation" }), "a user's"),
        (json!({ "azp": null }), "names no application"),
        (json!({ "azp": "stranger" }), "may not call"),
    ] {
        let refused = tokens.caller(&issuer.token(&claims)).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{claims}: {refused}");
    }
    let mut forged = issuer.token(&json!({}));
    let (begin, _) = forged.rsplit_once('.').unwrap();
    forged = format!("{begin}.{}", BASE64_URL_SAFE_NO_PAD.encode([7; 256]));
    assert!(tokens.caller(&forged).await.unwrap_err().to_string().contains("signature is wrong"));
    assert!(tokens.caller("a.b.c").await.unwrap_err().to_string().contains("not a JWT"));
}

/// The famous ones: no signature, and the public key as a secret.
#[tokio::test]
async fn no_other_algorithm_is_taken() {
    let (_issuer, tokens) = issuer_and_tokens().await;
    let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "azp": "arm", "exp": Timestamp::now().as_second() + 600 });
    let header = Header { kid: Some(KEY.to_owned()), ..Header::new(Algorithm::HS256) };
    let symmetric = encode(&header, &claims, &EncodingKey::from_secret(b"secret")).unwrap();
    assert!(matches!(tokens.caller(&symmetric).await, Err(Refused::Token("it is not signed with RS256"))));
    let text = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", text(&json!({ "alg": "none", "kid": KEY })), text(&claims));
    assert!(matches!(tokens.caller(&unsigned).await, Err(Refused::Token(_))));
}

#[tokio::test]
async fn without_keys_nobody_is_refused_for_good() {
    let issuer = Issuer::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let tokens = Tokens::new(TokenSettings { keys, ..issuer.settings() }, reqwest::Client::new());
    assert!(matches!(tokens.caller(&issuer.token(&json!({}))).await, Err(Refused::NoKeys)));
}
