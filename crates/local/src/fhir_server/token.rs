//! A tiny OAuth 2.0 token endpoint: client credentials for one client.
//!
//! Tokens are kept in memory, so a restart makes every client ask again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

/// The one client that may ask for tokens.
#[derive(Clone)]
pub struct TokenClient {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
    /// How long a token is good for.
    pub lifetime: Duration,
}

impl fmt::Debug for TokenClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenClient").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether a bearer token from elsewhere is good.
#[derive(Clone)]
pub struct BearerCheck(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl BearerCheck {
    /// Takes the tokens for which `is_good` is true.
    pub fn new(is_good: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_good))
    }

    pub(super) fn allows(&self, authorization: Option<&str>) -> bool {
        authorization.and_then(|header| header.strip_prefix("Bearer ")).is_some_and(|token| self.0(token.trim()))
    }
}

impl fmt::Debug for BearerCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BearerCheck").finish_non_exhaustive()
    }
}

/// The tokens given out.
#[derive(Debug)]
pub(super) struct Tokens {
    client: TokenClient,
    until: Mutex<HashMap<String, Instant>>,
}

impl Tokens {
    pub(super) fn new(client: TokenClient) -> Self {
        Self { client, until: Mutex::default() }
    }

    /// Whether an `Authorization` header holds a token that is still good.
    pub(super) fn allows(&self, authorization: Option<&str>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|header| header.split_once(' ')) else { return false };
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        scheme.eq_ignore_ascii_case("bearer") && until.get(token.trim()).is_some_and(|until| Instant::now() < *until)
    }

    /// Answers a token request: status and body.
    pub(super) fn grant(&self, authorization: Option<&str>, form: &[u8]) -> (u16, Value) {
        let form: HashMap<String, String> = form_urlencoded::parse(form).into_owned().collect();
        let field = |name: &str| form.get(name).cloned();
        if field("grant_type").as_deref() != Some("client_credentials") {
            return (400, json!({ "error": "unsupported_grant_type" }));
        }
        let given = basic(authorization).or_else(|| Some((field("client_id")?, field("client_secret")?)));
        if given != Some((self.client.id.clone(), self.client.secret.clone())) {
            return (401, json!({ "error": "invalid_client" }));
        }
        let token = Uuid::new_v4().to_string();
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| now < *until);
        until.insert(token.clone(), now + self.client.lifetime);
        let seconds = self.client.lifetime.as_secs();
        (200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": seconds }))
    }
}

/// Name and password of a `Basic` header.
fn basic(authorization: Option<&str>) -> Option<(String, String)> {
    let (scheme, encoded) = authorization?.split_once(' ')?;
    let text = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (name.to_owned(), password.to_owned()))
}
