//! A FHIR server over HTTP that answers as a case says, and remembers what it
//! was asked.
//!
//! ```text
//! HTTP --Asked--> Script --Reply--> HTTP        a bundle is taken apart first
//! ```
//!
//! What the script knows it keeps; nothing here stores a resource.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use fhir_client::{Client, ClientOptions, RetryOptions, base_url};
use serde_json::{Value, json};
use url::form_urlencoded;

/// One interaction, by itself or as an entry of a bundle.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET`, `PUT` or `POST`.
    pub(crate) method: String,
    /// The path below the base, by segment: `Observation`, `a`.
    pub(crate) path: Vec<String>,
    /// The value searched for as `identifier`, without its escapes.
    pub(crate) identifier: Option<String>,
    pub(crate) if_match: Option<String>,
    pub(crate) body: Value,
    /// It came in a bundle, which was the request.
    pub(crate) in_bundle: bool,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The version, for the `ETag`.
    pub(crate) version: Option<String>,
    pub(crate) body: Value,
}

impl Reply {
    /// A status with an `OperationOutcome`.
    pub(crate) fn refusal(status: u16) -> Reply {
        Reply { status, version: None, body: json!({ "resourceType": "OperationOutcome", "issue": [] }) }
    }

    /// 200 with this body.
    pub(crate) fn found(body: Value) -> Reply {
        let version = body["meta"]["versionId"].as_str().map(str::to_owned);
        Reply { status: 200, version, body }
    }

    /// A page of search results.
    pub(crate) fn page(resources: &[Value]) -> Reply {
        let entries: Vec<Value> = resources.iter().map(|resource| json!({ "resource": resource })).collect();
        Reply::found(json!({ "resourceType": "Bundle", "type": "searchset", "entry": entries }))
    }
}

/// What a case says of its server.
pub(crate) trait Script: Send + 'static {
    fn answer(&mut self, asked: &Asked) -> Reply;
}

/// The running server.
pub(crate) struct ScriptedServer<S> {
    base: String,
    state: Arc<Mutex<State<S>>>,
}

struct State<S> {
    script: S,
    asked: Vec<Asked>,
}

/// Runs `run` against a server with this script, in a thread of its own: the
/// caller may be in a run time already.
pub(crate) fn against<S: Script, T: Send>(
    script: S,
    run: impl AsyncFnOnce(&ScriptedServer<S>) -> T + Send,
) -> io::Result<T> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { Ok(run(&ScriptedServer::start(script).await?).await) })
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| Err(io::Error::other("the case panicked")))
}

impl<S: Script> ScriptedServer<S> {
    async fn start(script: S) -> io::Result<ScriptedServer<S>> {
        let state = Arc::new(Mutex::new(State { script, asked: Vec::new() }));
        let shared = Arc::clone(&state);
        let app = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let shared = Arc::clone(&shared);
            async move { lock(&shared).serve(&method, &uri, &headers, &body) }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}/", listener.local_addr()?);
        tokio::spawn(axum::serve(listener, app).into_future());
        Ok(ScriptedServer { base, state })
    }

    /// A client of the server that asks once, so that what it asks can be
    /// counted.
    pub(crate) fn client(&self) -> Arc<Client> {
        let mut options = ClientOptions::new(base_url(&self.base).expect("a loopback address is a base"));
        options.retry = RetryOptions { attempts_max: 1, ..RetryOptions::default() };
        Arc::new(Client::new(options, None).expect("a client without tokens can be built"))
    }

    /// What was asked so far, entries of bundles too.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// How many requests were sent so far; a bundle is one.
    pub(crate) fn request_count(&self) -> usize {
        lock(&self.state).asked.iter().filter(|asked| !asked.in_bundle).count()
    }

    /// Looks at the script, or changes it.
    pub(crate) fn script<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut lock(&self.state).script)
    }
}

/// Far more than a case takes on a loaded machine.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn lock<S>(state: &Mutex<State<S>>) -> MutexGuard<'_, State<S>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Script> State<S> {
    fn serve(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
        let address = uri.path_and_query().map_or("", |address| address.as_str());
        let body = serde_json::from_slice(body).unwrap_or_default();
        let if_match = headers.get("if-match").and_then(|tag| tag.to_str().ok());
        let asked = Asked::new(method.as_str(), address, if_match, body);
        let entries = asked.body["entry"].as_array().cloned();
        self.asked.push(asked.clone());
        let reply = match entries {
            Some(entries) if asked.method == "POST" && asked.path.is_empty() => self.bundle(&entries),
            _ => self.answer(&asked),
        };
        let mut response = Response::new(Body::from(reply.body.to_string()));
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(tag) = reply.version.and_then(|version| format!("W/\"{version}\"").parse().ok()) {
            response.headers_mut().insert("etag", tag);
        }
        response
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        match (asked.method.as_str(), asked.path.as_slice()) {
            ("GET", [one]) if one == "metadata" => Reply::found(json!({ "resourceType": "CapabilityStatement" })),
            _ => self.script.answer(asked),
        }
    }

    fn bundle(&mut self, entries: &[Value]) -> Reply {
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            let text = |name: &str| entry["request"][name].as_str();
            let (method, address) = (text("method").unwrap_or_default(), text("url").unwrap_or_default());
            let asked = Asked::new(method, address, text("ifMatch"), entry["resource"].clone());
            let asked = Asked { in_bundle: true, ..asked };
            self.asked.push(asked.clone());
            let reply = self.answer(&asked);
            let etag = reply.version.map(|version| format!("W/\"{version}\""));
            let response = json!({ "status": reply.status.to_string(), "etag": etag });
            answers.push(json!({ "response": response, "resource": reply.body }));
        }
        Reply::found(json!({ "resourceType": "Bundle", "type": "batch-response", "entry": answers }))
    }
}

impl Asked {
    fn new(method: &str, address: &str, if_match: Option<&str>, body: Value) -> Asked {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let identifier = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "identifier");
        Asked {
            method: method.to_owned(),
            path: path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            identifier: identifier.map(|(_, value)| unescape(&value)),
            if_match: if_match.map(str::to_owned),
            body,
            in_bundle: false,
        }
    }

    /// The type and id of the resource that it is about.
    pub(crate) fn resource(&self) -> Option<(&str, &str)> {
        match self.path.as_slice() {
            [kind, id] => Some((kind, id)),
            _ => None,
        }
    }

    /// What it searches for, as the corpus writes it: `Device?identifier=d1`.
    pub(crate) fn search(&self) -> Option<String> {
        match (self.method.as_str(), self.path.as_slice(), &self.identifier) {
            ("GET", [kind], Some(identifier)) => Some(format!("{kind}?identifier={identifier}")),
            _ => None,
        }
    }
}

/// Takes away the escapes of a FHIR search value: the corpus writes values as
/// they are.
fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' { characters.next().unwrap_or(character) } else { character });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_asked() {
        let asked = Asked::new("GET", "/Device?identifier=s%7Ca%5C%2Cb%20c", None, Value::Null);
        assert_eq!(asked.search().as_deref(), Some("Device?identifier=s|a,b c"));
        let asked = Asked::new("PUT", "Observation/a", Some("W/\"1\""), Value::Null);
        assert_eq!((asked.search(), asked.resource()), (None, Some(("Observation", "a"))));
    }
}
