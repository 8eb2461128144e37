//! HTTP in front of the service: headers, statuses, bodies.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{Method, Response, StatusCode, Uri};
use axum::routing::{any, post};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::fhir_server::bundle::BundleOptions;
use crate::fhir_server::failure::Failure;
use crate::fhir_server::request::{self, Conditions, Interaction, Reply};
use crate::fhir_server::resource::Resource;
use crate::fhir_server::service::Service;
use crate::fhir_server::token::{BearerCheck, Tokens};

/// Path of the FHIR base.
pub(super) const BASE_PATH: &str = "/fhir";

/// Largest request body: far more than a bundle of 1000 Observations.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

/// What the handlers share.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) service: Service,
    /// `None`: everything is open.
    pub(super) tokens: Option<Tokens>,
    /// `None`: no tokens from elsewhere are asked for.
    pub(super) bearer: Option<BearerCheck>,
}

/// All routes of the server.
pub(super) fn routes(front: Arc<Front>) -> Router {
    Router::new()
        .route(BASE_PATH, any(fhir))
        .route("/fhir/", any(fhir))
        .route("/fhir/{*path}", any(fhir))
        // The addresses of Entra ID's endpoints too, so that a client that
        // builds them from an authority and a tenant finds them.
        .route("/oauth2/token", post(token))
        .route("/oauth2/v2.0/token", post(token))
        .route("/{tenant}/oauth2/token", post(token))
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(front)
}

async fn token(State(front): State<Arc<Front>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let (status, answer) = match &front.tokens {
        Some(tokens) => tokens.grant(text_of(&headers, header::AUTHORIZATION), &body),
        None => (404, json!({ "error": "this server asks for no tokens" })),
    };
    json_response(status, "application/json", answer.to_string())
}

pub(super) async fn fhir(
    State(front): State<Arc<Front>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let url = uri.path_and_query().map_or("", |whole| whole.as_str());
    let url = url.strip_prefix(BASE_PATH).unwrap_or(url);
    if url.trim_start_matches('/') == ".well-known/smart-configuration" {
        let token_endpoint = front.service.base.replace(BASE_PATH, "/oauth2/token");
        return json_response(200, "application/json", json!({ "token_endpoint": token_endpoint }).to_string());
    }
    let answer = answer(&front, &method, url, &headers, &body).await;
    // Nothing is said about the state before it is safe, reads included.
    let ticket = front.service.ticket();
    if let Some(ticket) = ticket
        && let Err(error) = ticket.durable().await
    {
        tracing::error!(error = %error, "The FHIR server cannot keep its state");
        return failure_response(&Failure::new(500, "exception", error.to_string()));
    }
    match answer {
        Ok(reply) => reply_response(reply, &front.service.base, &headers),
        Err(failure) => failure_response(&failure),
    }
}

async fn answer(front: &Front, method: &Method, url: &str, headers: &HeaderMap, body: &[u8]) -> Result<Reply, Failure> {
    let form = search_form(url, body);
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let interaction = Interaction::parse(method, form.as_deref().unwrap_or(url))?;
    let is_open = matches!(interaction, Interaction::Capabilities);
    let authorization = text_of(headers, header::AUTHORIZATION);
    let is_refused = front.tokens.as_ref().is_some_and(|tokens| !tokens.allows(authorization))
        || front.bearer.as_ref().is_some_and(|bearer| !bearer.allows(authorization));
    if !is_open && is_refused {
        return Err(Failure::new(401, "login", "a bearer token of this server is needed"));
    }
    check_accept(headers)?;
    let fresh_search = text_of(headers, header::CACHE_CONTROL)
        .is_some_and(|directives| directives.contains("no-cache") || directives.contains("no-store"));
    if matches!(interaction, Interaction::Bundle) {
        let options = BundleOptions { representation: prefers(headers).map(|form| form != "minimal"), fresh_search };
        return front.service.answer_bundle(json_body(headers, body)?, options).await;
    }
    let takes_body = matches!(
        interaction,
        Interaction::Create { .. } | Interaction::Update { .. } | Interaction::ConditionalUpdate { .. }
    );
    let resource = takes_body.then(|| Resource::parse(json_body(headers, body)?)).transpose()?;
    front.service.answer(&interaction, &conditions(headers), resource, fresh_search).await
}

/// `POST Type/_search` has its parameters in the body; the same as a URL.
fn search_form(url: &str, body: &[u8]) -> Option<String> {
    let path = url.split('?').next().unwrap_or(url);
    let form = std::str::from_utf8(body).ok()?;
    path.ends_with("/_search").then(|| format!("{path}?{form}"))
}

fn conditions(headers: &HeaderMap) -> Conditions {
    let version = |name| text_of(headers, name).map(request::version_of_etag);
    Conditions {
        if_match: version(header::IF_MATCH),
        if_none_match: version(header::IF_NONE_MATCH),
        if_none_exist: text_of(headers, HeaderName::from_static("if-none-exist")).map(str::to_owned),
    }
}

fn json_body<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a str, Failure> {
    let kind = text_of(headers, header::CONTENT_TYPE).unwrap_or("application/fhir+json");
    if !kind.contains("json") {
        return Err(Failure::new(415, "not-supported", "only JSON is understood"));
    }
    std::str::from_utf8(body).map_err(|_| Failure::structure("the body is not UTF-8"))
}

fn check_accept(headers: &HeaderMap) -> Result<(), Failure> {
    let accept = text_of(headers, header::ACCEPT).unwrap_or("*/*");
    if accept.contains("json") || accept.contains("*/*") || accept.contains("application/*") {
        return Ok(());
    }
    Err(Failure::new(406, "not-supported", "only JSON is given"))
}

/// The form that `Prefer: return=` asks for.
fn prefers(headers: &HeaderMap) -> Option<&str> {
    text_of(headers, HeaderName::from_static("prefer"))?
        .split([',', ';'])
        .find_map(|part| part.trim().strip_prefix("return="))
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn reply_response(reply: Reply, base: &str, headers: &HeaderMap) -> Response<Body> {
    let is_write = reply.location.is_some();
    let body = match prefers(headers) {
        Some("minimal") if is_write => None,
        Some("OperationOutcome") if is_write => Some(saved_outcome().to_string()),
        _ => reply.body.as_ref().map(|stored| stored.text().to_owned()),
    };
    let mut response = json_response(reply.status, FHIR_JSON, body.unwrap_or_default());
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    if let Some((version_id, last_updated)) = &reply.version {
        set(header::ETAG, format!("W/\"{version_id}\""));
        if let Ok(at) = last_updated.parse::<Timestamp>() {
            set(header::LAST_MODIFIED, at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        }
    }
    if let Some(location) = &reply.location {
        set(header::LOCATION, format!("{base}/{location}"));
        set(header::CONTENT_LOCATION, format!("{base}/{location}"));
    }
    if reply.from_cache {
        set(HeaderName::from_static("x-cache"), "HIT".to_owned());
    }
    response
}

fn saved_outcome() -> Value {
    json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "information", "code": "informational" }] })
}

fn failure_response(failure: &Failure) -> Response<Body> {
    let mut response = json_response(failure.status, FHIR_JSON, failure.outcome().to_string());
    if failure.status == 401 {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    response
}

fn json_response(status: u16, kind: &'static str, body: String) -> Response<Body> {
    let has_body = !body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if has_body {
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    }
    response
}
