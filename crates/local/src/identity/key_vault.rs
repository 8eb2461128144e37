//! A key vault that gives secrets to who has a token, and takes certificates.

mod certificates;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

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
    /// The tags of certificates; the secret of the same name has their keys.
    certificates: BTreeMap<String, Value>,
    /// What was deleted and can come back: tags and versions.
    deleted: BTreeMap<String, (Value, Vec<String>)>,
    /// Whether what was deleted stays.
    is_protected: bool,
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
            .merge(certificates::routes())
            .with_state(shared.clone());
        Ok(KeyVault { https: Https::start(ca, routes).await?, shared })
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.https.url()
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

    /// Whether what is deleted can be purged from now on.
    pub fn set_protected(&self, is_protected: bool) {
        self.shared.state().is_protected = is_protected;
    }

    /// The names of certificates, and how many versions each has.
    pub fn certificates(&self) -> BTreeMap<String, usize> {
        let state = self.shared.state();
        let versions = |name: &String| state.secrets.get(name).map_or(0, Vec::len);
        state.certificates.keys().map(|name| (name.clone(), versions(name))).collect()
    }

    /// The names of certificates that were deleted and can come back.
    pub fn deleted(&self) -> Vec<String> {
        self.shared.state().deleted.keys().cloned().collect()
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

/// An error as a vault says it.
fn error(status: StatusCode, code: &str, inner: Option<&str>) -> Response {
    let mut error = json!({ "code": code, "message": "see the code" });
    if let Some(inner) = inner {
        error["innererror"] = json!({ "code": inner });
    }
    (status, axum::Json(json!({ "error": error }))).into_response()
}

/// Why a request gets no answer; none when it gets one.
fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    if shared.state().is_away {
        return Some(error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", None));
    }
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|text| text.strip_prefix("Bearer "));
    if token.is_some_and(|token| (shared.may_read)(token)) {
        return None;
    }
    // A client that has no token yet learns here what to ask one for.
    let challenge = r#"Bearer authorization="https://localhost/tenant", resource="https://vault.azure.net""#;
    let mut refused = error(StatusCode::UNAUTHORIZED, "Unauthorized", None);
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(challenge));
    Some(refused)
}

fn answer(shared: &Shared, name: &str, version: Option<&str>, headers: &HeaderMap) -> Response {
    if let Some(refused) = refusal(shared, headers) {
        return refused;
    }
    let mut state = shared.state();
    let versions = state.secrets.get(name).map(Vec::as_slice).unwrap_or_default();
    let index = match version {
        None => versions.len().checked_sub(1),
        Some(version) => version.parse().ok(),
    };
    let Some((index, value)) = index.and_then(|index: usize| Some((index, versions.get(index)?.clone()))) else {
        return error(StatusCode::NOT_FOUND, "SecretNotFound", None);
    };
    state.reads += 1;
    let content_type = if value.starts_with("-----") { "application/x-pem-file" } else { "application/x-pkcs12" };
    let body = json!({
        "value": value,
        "contentType": content_type,
        "id": format!("https://localhost/secrets/{name}/{index}"),
        "attributes": { "enabled": true },
    });
    axum::Json(body).into_response()
}
