//! A key vault that gives secrets to who has a token.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::{Https, IdentityError, PrivateCa};

/// Who may read, by bearer token.
type MayRead = dyn Fn(&str) -> bool + Send + Sync;

/// A running vault. Gone when it is dropped; what it holds as well.
#[derive(Debug)]
pub struct KeyVault {
    https: Https,
    shared: Arc<Shared>,
}

struct Shared {
    may_read: Box<MayRead>,
    state: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Versions by name, oldest first.
    secrets: BTreeMap<String, Vec<String>>,
    is_away: bool,
    reads: usize,
}

/// Without the secrets.
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

impl KeyVault {
    /// An empty vault for whoever `may_read`.
    pub async fn start(
        ca: &PrivateCa,
        may_read: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<KeyVault, IdentityError> {
        let shared = Arc::new(Shared { may_read: Box::new(may_read), state: Mutex::default() });
        let routes = Router::new()
            .route("/secrets/{name}", get(newest))
            .route("/secrets/{name}/", get(newest))
            .route("/secrets/{name}/{version}", get(version))
            .with_state(shared.clone());
        Ok(KeyVault { https: Https::start(ca, routes).await?, shared })
    }

    /// The address of a certificate, without a version.
    pub fn certificate_uri(&self, name: &str) -> String {
        format!("{}/certificates/{name}", self.https.url())
    }

    /// Adds a version of a secret.
    pub fn put(&self, name: &str, value: &str) {
        self.shared.state().secrets.entry(name.to_owned()).or_default().push(value.to_owned());
    }

    /// Whether all requests fail from now on.
    pub fn set_away(&self, is_away: bool) {
        self.shared.state().is_away = is_away;
    }

    /// How many secrets were read.
    pub fn reads(&self) -> usize {
        self.shared.state().reads
    }
}

async fn newest(State(shared): State<Arc<Shared>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer(&shared, &name, None, &headers)
}

async fn version(
    State(shared): State<Arc<Shared>>,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&shared, &name, Some(&version), &headers)
}

fn answer(shared: &Shared, name: &str, version: Option<&str>, headers: &HeaderMap) -> Response {
    let error = |status: StatusCode, code: &str| {
        let body = json!({ "error": { "code": code, "message": "see the code" } });
        (status, axum::Json(body)).into_response()
    };
    if shared.state().is_away {
        return error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
    }
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|text| text.strip_prefix("Bearer "));
    if !token.is_some_and(|token| (shared.may_read)(token)) {
        // A client that has no token yet learns here what to ask one for.
        let challenge = r#"Bearer authorization="https://localhost/tenant", resource="https://vault.azure.net""#;
        let mut refused = error(StatusCode::UNAUTHORIZED, "Unauthorized");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(challenge));
        return refused;
    }
    let mut state = shared.state();
    let versions = state.secrets.get(name).map(Vec::as_slice).unwrap_or_default();
    let index = match version {
        None => versions.len().checked_sub(1),
        Some(version) => version.parse().ok(),
    };
    let Some((index, value)) = index.and_then(|index: usize| Some((index, versions.get(index)?.clone()))) else {
        return error(StatusCode::NOT_FOUND, "SecretNotFound");
    };
    state.reads += 1;
    let body = json!({
        "value": value,
        "contentType": "application/x-pem-file",
        "id": format!("https://localhost/secrets/{name}/{index}"),
        "attributes": { "enabled": true },
    });
    axum::Json(body).into_response()
}
