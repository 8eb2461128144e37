//! Certificates of the vault: imported as PKCS #12, read, deleted softly,
//! recovered and purged. Their keys are secrets of the same name.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use openssl::pkcs12::Pkcs12;
use serde_json::{Value, json};

use super::{Held, Shared, error, refusal};

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/certificates/{name}", get(read).delete(remove))
        .route("/certificates/{name}/import", post(import))
        .route("/deletedcertificates/{name}", delete(purge))
        .route("/deletedcertificates/{name}/recover", post(recover))
}

fn bundle(state: &Held, name: &str, headers: &HeaderMap) -> Value {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let version = state.secrets.get(name).map_or(0, Vec::len).saturating_sub(1);
    json!({
        "id": format!("https://{host}/certificates/{name}/{version}"),
        "sid": format!("https://{host}/secrets/{name}/{version}"),
        "attributes": { "enabled": true },
        "tags": state.certificates.get(name),
    })
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "CertificateNotFound", None)
}

async fn read(State(shared): State<Arc<Shared>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = refusal(&shared, &headers) {
        return refused;
    }
    let state = shared.state();
    match state.certificates.contains_key(&name) {
        true => Json(bundle(&state, &name, &headers)).into_response(),
        false => not_found(),
    }
}

async fn import(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refused) = refusal(&shared, &headers) {
        return refused;
    }
    let Some(value) = body.get("value").and_then(Value::as_str).filter(|value| is_certificate(value)) else {
        return error(StatusCode::BAD_REQUEST, "BadParameter", None);
    };
    let tags = body.get("tags").cloned().unwrap_or_else(|| json!({}));
    let is_text = |tag: &Value| tag.as_str().is_some_and(|text| text.len() <= 256);
    let are_tags = tags.as_object().is_some_and(|tags| tags.len() <= 15 && tags.values().all(is_text));
    let is_exportable = body.pointer("/policy/key_props/exportable") == Some(&Value::Bool(true));
    if !are_tags || !is_exportable {
        return error(StatusCode::BAD_REQUEST, "BadParameter", None);
    }
    let mut state = shared.state();
    if state.deleted.contains_key(&name) {
        return error(StatusCode::CONFLICT, "Conflict", Some("ObjectIsDeletedButRecoverable"));
    }
    state.secrets.entry(name.clone()).or_default().push(value.to_owned());
    state.certificates.insert(name.clone(), tags);
    Json(bundle(&state, &name, &headers)).into_response()
}

/// Whether it is a key with its certificate, without a password.
fn is_certificate(value: &str) -> bool {
    let der = BASE64_STANDARD.decode(value).unwrap_or_default();
    let parsed = Pkcs12::from_der(&der).and_then(|pkcs12| pkcs12.parse2(""));
    parsed.is_ok_and(|parsed| parsed.pkey.is_some() && parsed.cert.is_some())
}

async fn remove(State(shared): State<Arc<Shared>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = refusal(&shared, &headers) {
        return refused;
    }
    let mut state = shared.state();
    let deleted = bundle(&state, &name, &headers);
    let Some(tags) = state.certificates.remove(&name) else { return not_found() };
    let versions = state.secrets.remove(&name).unwrap_or_default();
    state.deleted.insert(name, (tags, versions));
    Json(deleted).into_response()
}

async fn purge(State(shared): State<Arc<Shared>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = refusal(&shared, &headers) {
        return refused;
    }
    let mut state = shared.state();
    if state.is_protected {
        return error(StatusCode::FORBIDDEN, "Forbidden", Some("OperationNotAllowed"));
    }
    match state.deleted.remove(&name) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => not_found(),
    }
}

async fn recover(State(shared): State<Arc<Shared>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = refusal(&shared, &headers) {
        return refused;
    }
    let mut state = shared.state();
    let Some((tags, versions)) = state.deleted.remove(&name) else { return not_found() };
    state.certificates.insert(name.clone(), tags);
    state.secrets.insert(name.clone(), versions);
    Json(bundle(&state, &name, &headers)).into_response()
}
