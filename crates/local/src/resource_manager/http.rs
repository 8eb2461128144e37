//! Requests and answers.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use super::address::Address;
use super::faults::{self, FaultKind};
use super::handle::Reply;
use super::kinds::{Course, Kind};
use super::state::Held;

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|text| text.strip_prefix("Bearer "));
    if !token.is_some_and(|token| (shared.may_call)(token)) {
        return respond(Reply::error(401, "AuthenticationFailed"), "");
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned();
    let mut state = shared.state();
    let path = uri.path();
    let fault = faults::take(&mut state.faults, method.as_str(), path);
    match &fault {
        Some(FaultKind::Answer { status, code, retry_after }) => {
            let mut response = respond(Reply::error(*status, code), &host);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            }
            return response;
        }
        Some(FaultKind::CutBefore) => return cut(),
        _ => {}
    }
    let fails = fault == Some(FaultKind::OperationFails);
    let reply = route(&mut state, &method, path, &query, &body, fails);
    if fault == Some(FaultKind::CutAfter) {
        return cut();
    }
    let goes_on = reply.operation.is_some() || path.starts_with("/operations/");
    let mut response = respond(reply, &host);
    if goes_on {
        // It takes looks here, and no time.
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(0));
    }
    response
}

fn route(
    state: &mut Held,
    method: &Method,
    path: &str,
    query: &HashMap<String, String>,
    body: &[u8],
    fails: bool,
) -> Reply {
    let Some(version) = query.get("api-version") else { return Reply::error(400, "MissingApiVersionParameter") };
    if let Some(number) = path.strip_prefix("/operations/") {
        return look(state, number, query.contains_key("end"));
    }
    let is_post = method == Method::POST;
    let Some(address) = Address::read(path, is_post) else { return Reply::error(404, "InvalidResourceType") };
    let kind = Kind::of(&address.kind_key());
    if kind.is_some_and(|kind| !kind.versions.contains(&version.as_str())) {
        return Reply::error(400, "NoRegisteredProviderFound");
    }
    let body: Value = match body.is_empty() {
        true => Value::Null,
        false => match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(_) => return Reply::error(400, "InvalidRequestContent"),
        },
    };
    let right = match (method.as_str(), &address.action) {
        ("GET", _) => "read".to_owned(),
        ("PUT" | "PATCH", _) => "write".to_owned(),
        ("DELETE", _) => "delete".to_owned(),
        (_, Some(action)) => format!("{action}/action"),
        _ => return Reply::error(405, "MethodNotAllowed"),
    };
    let kind = match address.kind.as_str() {
        "resourceGroups" => "Microsoft.Resources/subscriptions/resourceGroups",
        other => other,
    };
    state.actions.insert(format!("{kind}/{right}"));
    if method != Method::GET {
        state.write_count += 1;
    }
    match method.as_str() {
        "GET" => state.get(&address, query.get("$filter").map(String::as_str)),
        "DELETE" => state.delete(&address, fails),
        "POST" => state.act(&address, address.action.as_deref().unwrap_or_default(), &body),
        verb => state.write(&address, body, verb == "PATCH", fails),
    }
}

fn look(state: &mut Held, number: &str, tells_the_end: bool) -> Reply {
    let ended = number.parse().ok().and_then(|number| state.look(number));
    let status = match ended {
        None => return Reply::error(404, "OperationNotFound"),
        Some(Ok(true)) => "Succeeded",
        Some(Ok(false)) => "InProgress",
        Some(Err(())) => "Failed",
    };
    match (tells_the_end, status) {
        (true, "InProgress") => Reply::of(202, Value::Null),
        (true, "Failed") => Reply::error(500, "InternalServerError"),
        (true, _) => Reply::of(200, Value::Null),
        (false, "Failed") => Reply::of(200, json!({ "status": status, "error": { "code": "InternalServerError" } })),
        (false, _) => Reply::of(200, json!({ "status": status })),
    }
}

fn respond(reply: Reply, host: &str) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match reply.body {
        Value::Null => status.into_response(),
        body => (status, axum::Json(body)).into_response(),
    };
    if let Some((number, course)) = reply.operation {
        let (name, query) = match course {
            Course::Status => ("azure-asyncoperation", ""),
            _ => ("location", "&end="),
        };
        let link = format!("https://{host}/operations/{number}?api-version=2020-01-01{query}");
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(name, link);
        }
    }
    response
}

/// An answer whose body breaks off: the connection is closed.
fn cut() -> Response {
    let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(broken))
}
