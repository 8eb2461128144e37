//! HTTP functions: `/api/<route>`, in the host's two ways
//! (functions-eventhubs-keda.md 1.11).
//!
//! By default the request is described in an invocation, without its body when
//! it has no `Content-Length`; with `enableForwardingHttpRequest` it is sent on
//! as it is. `authLevel` is not enforced, as with the tools for local work.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use url::form_urlencoded;
use uuid::Uuid;

use crate::functions_host::answered::{Answered, Audience};
use crate::functions_host::function::HttpTrigger;
use crate::functions_host::invocation::{Members, json_text, quote, sys};
use crate::functions_host::invoker::{InvocationFailed, Invoker, member};

/// Largest request that is taken: the host's own limit.
const BODY_BYTES_MAX: usize = 100 * 1024 * 1024;

/// The HTTP functions of an app.
#[derive(Debug)]
pub(super) struct HttpFunctions {
    pub(super) functions: Vec<(String, HttpTrigger)>,
    /// `api` unless host.json says otherwise.
    pub(super) prefix: String,
    /// `enableForwardingHttpRequest`.
    pub(super) forwards: bool,
    pub(super) invoker: Invoker,
    /// Who wants to know what functions answer to requests that are sent on.
    pub(super) answered: Option<Arc<dyn Audience>>,
}

/// A request from outside.
struct Incoming {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Values of a route's `{name}`s.
type Params = Vec<(String, String)>;

pub(super) fn routes(functions: HttpFunctions) -> Router {
    Router::new().fallback(serve).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(Arc::new(functions))
}

async fn serve(
    State(functions): State<Arc<HttpFunctions>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    // The host's own page, which probes ask for.
    if uri.path() == "/" {
        return response(StatusCode::OK, HeaderMap::new(), Bytes::from_static(b"The Functions host stand-in runs"));
    }
    let Some((name, trigger, params)) = functions.find(&method, uri.path()) else {
        return response(StatusCode::NOT_FOUND, HeaderMap::new(), Bytes::new());
    };
    let incoming = Incoming { method, uri, headers, body };
    let outcome = match functions.forwards && trigger.can_forward {
        true => functions.forward(name, incoming).await,
        false => describe(&functions.invoker, name, trigger, &params, &incoming).await,
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!(function = name, error = %error, "An HTTP invocation failed");
        response(StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), Bytes::new())
    })
}

impl HttpFunctions {
    fn find(&self, method: &Method, path: &str) -> Option<(&str, &HttpTrigger, Params)> {
        self.functions.iter().find_map(|(name, trigger)| {
            let is_method = trigger.methods.is_empty() || trigger.methods.iter().any(|known| known == method.as_str());
            let params = params(&format!("{}/{}", self.prefix, trigger.route), path)?;
            is_method.then_some((name.as_str(), trigger, params))
        })
    }

    async fn forward(&self, name: &str, incoming: Incoming) -> Result<Response<Body>, InvocationFailed> {
        let path = incoming.uri.path_and_query().map_or("/", |whole| whole.as_str()).to_owned();
        let headers = without_framing(incoming.headers);
        let id = Uuid::new_v4();
        let (answer, body) = self.invoker.forward(incoming.method, &path, headers, id, incoming.body).await?;
        if let Some(answered) = self.answered.as_ref().filter(|_| answer.status().is_success())
            && let Ok(return_value) = serde_json::from_slice(&body)
        {
            let (partition, sequence_numbers) = (String::new(), Vec::new());
            answered.hear(Answered { function: name.to_owned(), partition, sequence_numbers, return_value });
        }
        Ok(response(answer.status(), without_framing(answer.headers().clone()), body))
    }
}

/// Fits a path to a route such as `api/devices/{id}` or `api/{*rest}`.
fn params(route: &str, path: &str) -> Option<Params> {
    let mut path = path.split('/').filter(|part| !part.is_empty());
    let mut params = Params::new();
    for part in route.split('/').filter(|part| !part.is_empty()) {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        match name.map(|name| name.split([':', '?', '=']).next().unwrap_or(name)) {
            Some(name) if name.starts_with('*') => {
                let rest = path.collect::<Vec<_>>().join("/");
                params.push((name.trim_start_matches('*').to_owned(), rest));
                return Some(params);
            }
            Some(name) => params.push((name.to_owned(), path.next()?.to_owned())),
            None if path.next()?.eq_ignore_ascii_case(part) => {}
            None => return None,
        }
    }
    path.next().is_none().then_some(params)
}

async fn describe(
    invoker: &Invoker,
    name: &str,
    trigger: &HttpTrigger,
    params: &Params,
    incoming: &Incoming,
) -> Result<Response<Body>, InvocationFailed> {
    let body = invocation(name, trigger, params, incoming);
    let answer = invoker.invoke(name, Uuid::new_v4(), body).await?;
    let output = match trigger.output.as_deref() {
        Some("$return") => member(&answer, "ReturnValue"),
        Some(name) => member(&answer, "Outputs").and_then(|outputs| member(outputs, name)),
        None => None,
    };
    Ok(output.filter(|output| !output.is_null()).map_or_else(no_content, output_response))
}

/// The request in words (functions-eventhubs-keda.md 1.11).
fn invocation(name: &str, trigger: &HttpTrigger, params: &Params, incoming: &Incoming) -> String {
    let query = pairs(form_urlencoded::parse(incoming.uri.query().unwrap_or_default().as_bytes()));
    let mut lists = Members::default();
    let mut firsts = Members::default();
    for header in incoming.headers.keys() {
        let all = incoming.headers.get_all(header).iter();
        let values: Vec<String> = all.map(|value| quote(&String::from_utf8_lossy(value.as_bytes()))).collect();
        firsts.json(&title_case(header), values.first().cloned().unwrap_or_default());
        lists.json(&title_case(header), format!("[{}]", values.join(",")));
    }
    let host = incoming.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut request = Members::default();
    request.json("Url", quote(&format!("http://{host}{}", incoming.uri)));
    request.json("Method", quote(incoming.method.as_str()));
    request.json("Query", query.clone());
    request.json("Headers", lists.text());
    request.json("Params", pairs(params.iter().map(|(name, value)| (name, value))));
    request.json("Identities", "[]");
    if let Some(body) = described_body(incoming) {
        request.json("Body", quote(&body));
    }
    let mut data = Members::default();
    data.json(&trigger.binding, request.text());
    let mut metadata = Members::default();
    metadata.json("Query", query);
    metadata.json("Headers", firsts.text());
    metadata.json("sys", sys(name));
    format!("{{\"Data\":{},\"Metadata\":{}}}", data.text(), metadata.text())
}

/// Text, or base64 of what says it is bytes; nothing without a length.
fn described_body(incoming: &Incoming) -> Option<String> {
    let header = |name| incoming.headers.get(name).and_then(|value| value.to_str().ok());
    header(header::CONTENT_LENGTH)?.parse::<u64>().ok().filter(|length| *length > 0)?;
    let kind = header(header::CONTENT_TYPE).unwrap_or_default().to_lowercase();
    if kind.contains("octet-stream") || kind.starts_with("multipart/") {
        return Some(BASE64.encode(&incoming.body));
    }
    Some(String::from_utf8_lossy(&incoming.body).into_owned())
}

fn pairs(pairs: impl Iterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> String {
    let mut members = Members::default();
    for (name, value) in pairs {
        members.json(name.as_ref(), quote(value.as_ref()));
    }
    members.text()
}

/// `content-type` as `Content-Type`, the way callers write it.
fn title_case(name: &HeaderName) -> String {
    let parts = name.as_str().split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        format!("{}{rest}", first.to_uppercase())
    });
    parts.collect::<Vec<_>>().join("-")
}

/// Headers without those that are about this connection and framing.
fn without_framing(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// The answer that an `http` output describes.
fn output_response(output: &Value) -> Response<Body> {
    let part = |name| member(output, name);
    let status = part("statusCode").or_else(|| part("status"));
    // Numbers may come as text.
    let status = status.and_then(|status| status.as_u64().or_else(|| status.as_str()?.parse().ok()));
    let status = status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    let body = if output.is_object() { part("body") } else { Some(output) };
    let (kind, text) = match body {
        None | Some(Value::Null) => (None, String::new()),
        Some(Value::String(text)) => (Some("text/plain; charset=utf-8"), text.clone()),
        Some(json) => (Some("application/json; charset=utf-8"), json_text(json)),
    };
    let mut headers = HeaderMap::new();
    headers.extend(kind.map(|kind| (header::CONTENT_TYPE, HeaderValue::from_static(kind))));
    for (name, value) in part("headers").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.insert(name, value);
        }
    }
    response(status.unwrap_or(StatusCode::OK), without_framing(headers), text.into())
}

fn no_content() -> Response<Body> {
    response(StatusCode::NO_CONTENT, HeaderMap::new(), Bytes::new())
}

fn response(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn routes_have_parameters() {
        let cases = [
            ("api/ingest", "/api/ingest", Some(vec![])),
            ("api/ingest", "/API/Ingest/", Some(vec![])),
            ("api/ingest", "/api/ingest/x", None),
            ("api/ingest", "/api", None),
            ("api/d/{id:int}", "/api/d/7", Some(vec![("id", "7")])),
            ("api/{*rest}", "/api/a/b", Some(vec![("rest", "a/b")])),
        ];
        for (route, path, expected) in cases {
            let expected = expected.map(|pairs: Vec<(&str, &str)>| {
                pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Params>()
            });
            assert_eq!(params(route, path), expected, "{route} {path}");
        }
    }

    fn incoming(headers: &[(&'static str, &'static str)]) -> Incoming {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let uri = "/api/health?probe=1".parse().unwrap();
        Incoming { method: Method::POST, uri, headers: map, body: Bytes::from_static(b"hi") }
    }

    #[test]
    fn a_request_is_described_as_the_host_does() {
        let trigger = HttpTrigger {
            binding: "req".into(),
            output: None,
            route: "health".into(),
            methods: vec![],
            can_forward: false,
        };
        let text =
            invocation("health", &trigger, &vec![], &incoming(&[("host", "localhost:7071"), ("content-length", "2")]));
        let expected = "{\"Data\":{\"req\":{\"Url\":\"http://localhost:7071/api/health?probe=1\",\"Method\":\"POST\",\
            \"Query\":{\"probe\":\"1\"},\"Headers\":{\"Host\":[\"localhost:7071\"],\"Content-Length\":[\"2\"]},\
            \"Params\":{},\"Identities\":[],\"Body\":\"hi\"}},\"Metadata\":{\"Query\":{\"probe\":\"1\"},\
            \"Headers\":{\"Host\":\"localhost:7071\",\"Content-Length\":\"2\"},\"sys\":{";
        assert_eq!(text.get(..expected.len()), Some(expected));
    }

    #[test]
    fn a_body_without_length_is_left_out_and_bytes_are_base64() {
        assert_eq!(described_body(&incoming(&[("transfer-encoding", "chunked")])), None);
        let bytes = [("content-length", "2"), ("content-type", "application/octet-stream")];
        assert_eq!(described_body(&incoming(&bytes)), Some("aGk=".to_owned()));
    }

    #[test]
    fn an_output_becomes_an_answer() {
        let answer =
            output_response(&json!({ "StatusCode": "201", "headers": { "x-a": "b" }, "body": { "ok": true } }));
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-a"]), (201, &HeaderValue::from_static("b")));
        assert_eq!(answer.headers()["content-type"], "application/json; charset=utf-8");
        assert_eq!(output_response(&json!("text")).headers()["content-type"], "text/plain; charset=utf-8");
    }
}
