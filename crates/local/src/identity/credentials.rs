//! Credential URLs, as Resource Manager gives them with the identities that it
//! makes: who may ask gets the identity's certificate and key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{ClientCertificate, Https, IdentityError, PrivateCa};

/// Who may ask, by bearer token.
type MayAsk = dyn Fn(&str) -> bool + Send + Sync;

/// Running credential URLs. Gone when they are dropped.
#[derive(Debug)]
pub struct Credentials {
    https: Https,
    shared: Arc<Shared>,
}

struct Shared {
    may_ask: Box<MayAsk>,
    state: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// By principal id.
    credentials: HashMap<String, Value>,
    is_away: bool,
    asked: usize,
}

/// Without the credentials.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credentials {
    /// Of no identity yet.
    pub async fn start(
        ca: &PrivateCa,
        may_ask: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<Credentials, IdentityError> {
        let shared = Arc::new(Shared { may_ask: Box::new(may_ask), state: Mutex::default() });
        let routes = Router::new().route("/credentials/{principal}", get(credential)).with_state(shared.clone());
        Ok(Credentials { https: Https::start(ca, routes).await?, shared })
    }

    /// Gives an identity a certificate that is to be renewed at a time, RFC 3339;
    /// the identity's credential URL.
    pub fn give(
        &self,
        principal_id: &str,
        certificate: &ClientCertificate,
        renew_after: &str,
    ) -> Result<String, IdentityError> {
        let credential = json!({
            "client_id": format!("client of {principal_id}"),
            "client_secret": certificate.pkcs12()?,
            "client_secret_url": "https://localhost/",
            "tenant_id": "00000000-0000-0000-0000-000000000001",
            "object_id": principal_id,
            "authentication_endpoint": "https://login.microsoftonline.com/",
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2099-01-01T00:00:00Z",
            "renew_after": renew_after,
            "cannot_renew_after": "2099-01-01T00:00:00Z",
        });
        self.shared.state().credentials.insert(principal_id.to_owned(), credential);
        Ok(format!("{}/credentials/{principal_id}?sid=s3cret", self.https.url()))
    }

    /// Whether all requests fail from now on.
    pub fn set_away(&self, is_away: bool) {
        self.shared.state().is_away = is_away;
    }

    /// How many credentials were given.
    pub fn asked(&self) -> usize {
        self.shared.state().asked
    }
}

async fn credential(
    State(shared): State<Arc<Shared>>,
    Path(principal_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|text| text.strip_prefix("Bearer "));
    let mut state = shared.state();
    if state.is_away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if !token.is_some_and(|token| (shared.may_ask)(token)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match state.credentials.get(&principal_id).cloned() {
        Some(credential) => {
            state.asked += 1;
            Json(credential).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
