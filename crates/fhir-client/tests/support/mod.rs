//! A FHIR server for tests: in memory, with the habits of real servers, and a
//! hook before each request for faults and for other writers.

#![allow(dead_code)] // Each test file uses its own part.

pub mod samples;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response, Uri};
use fhir_client::client::{Client, ClientOptions, RetryOptions, base_url};
use serde_json::{Value, json};

/// What real servers do, see crates-and-components.md 6.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// 412 to `If-None-Match: *` when the resource exists; most overwrite.
    pub keeps_if_none_match: bool,
    /// Answer to a stale `If-Match`.
    pub stale: u16,
    /// Answer to an `If-Match` on an absent id; 201 creates.
    pub absent: u16,
    /// A PUT of the same content makes no new version.
    pub same_version_for_same_content: bool,
    /// Status of a PUT over a deletion.
    pub after_delete: u16,
    /// Version ids are opaque.
    pub opaque_versions: bool,
    /// Etags in bundles lack the `W/""`.
    pub bare_etags: bool,
    /// One bad entry refuses the bundle.
    pub refuses_whole_bundle: bool,
    /// There is a batch interaction.
    pub batch: bool,
}

pub const HAPI: Habits = Habits {
    keeps_if_none_match: false,
    stale: 409,
    absent: 201,
    same_version_for_same_content: true,
    after_delete: 201,
    opaque_versions: false,
    bare_etags: true,
    refuses_whole_bundle: true,
    batch: true,
};

pub const SEKMET: Habits = Habits {
    stale: 412,
    absent: 412,
    same_version_for_same_content: false,
    bare_etags: false,
    refuses_whole_bundle: false,
    ..HAPI
};

pub const AZURE: Habits =
    Habits { stale: 412, absent: 404, after_delete: 200, bare_etags: false, refuses_whole_bundle: false, ..HAPI };

pub const UUID: Habits = Habits { opaque_versions: true, keeps_if_none_match: true, ..SEKMET };

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// `Observation/a`, `Device?identifier=x`, or nothing for a bundle.
    pub path: String,
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub authorization: Option<String>,
    pub body: Value,
}

/// Status, headers and body of an answer.
pub type Reply = (u16, Vec<(&'static str, String)>, Value);

type Hook = Box<dyn FnMut(&mut State, &Seen) -> Option<Reply> + Send>;

/// The resources: versions of each, none for a deletion.
#[derive(Default)]
pub struct State {
    habits: Option<Habits>,
    stored: BTreeMap<String, Vec<Option<Value>>>,
    pub seen: Vec<Seen>,
    hook: Option<Hook>,
}

#[derive(Clone)]
pub struct Server {
    pub base: String,
    state: Arc<Mutex<State>>,
}

pub async fn start(habits: Habits) -> Server {
    let state = Arc::new(Mutex::new(State { habits: Some(habits), ..State::default() }));
    let shared = state.clone();
    let app = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let shared = shared.clone();
        async move { answer(&mut shared.lock().unwrap(), &method, &uri, &headers, &body) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/fhir", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Server { base, state }
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

impl Server {
    pub fn options(&self) -> ClientOptions {
        let mut options = ClientOptions::new(base_url(&self.base).unwrap());
        options.retry = RetryOptions {
            attempts_max: 4,
            delay_first: Duration::from_millis(5),
            delay_max: Duration::from_millis(20),
        };
        options
    }

    pub fn client(&self) -> Arc<Client> {
        Arc::new(Client::new(self.options(), None).unwrap())
    }

    /// Runs before each request; an answer of its own replaces the server's.
    pub fn before(&self, hook: impl FnMut(&mut State, &Seen) -> Option<Reply> + Send + 'static) {
        self.state.lock().unwrap().hook = Some(Box::new(hook));
    }

    pub fn put(&self, resource: Value) {
        self.state.lock().unwrap().write(resource);
    }

    pub fn delete(&self, path: &str) {
        self.state.lock().unwrap().delete(path);
    }

    /// The current content, without `meta`.
    pub fn get(&self, path: &str) -> Option<Value> {
        let state = self.state.lock().unwrap();
        let mut resource = state.stored.get(path)?.last()?.clone()?;
        resource.as_object_mut().unwrap().remove("meta");
        Some(resource)
    }

    pub fn versions(&self, path: &str) -> usize {
        self.state.lock().unwrap().stored.get(path).map_or(0, Vec::len)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The requests as `GET Device?identifier=x`.
    pub fn requests(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path).trim().to_owned()).collect()
    }
}

fn answer(state: &mut State, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let whole = uri.path_and_query().unwrap().as_str();
    let seen = Seen {
        method: method.to_string(),
        path: whole.strip_prefix("/fhir").unwrap_or(whole).trim_start_matches('/').to_owned(),
        if_match: text("if-match"),
        if_none_match: text("if-none-match"),
        authorization: text("authorization"),
        body: serde_json::from_slice(body).unwrap_or(Value::Null),
    };
    state.seen.push(seen.clone());
    let (status, headers, body) = state.with_hook(&seen);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
    response.body(Body::from(body)).unwrap()
}

impl State {
    fn habits(&self) -> Habits {
        self.habits.unwrap()
    }

    fn with_hook(&mut self, seen: &Seen) -> Reply {
        let mut hook = self.hook.take();
        let own = hook.as_mut().and_then(|hook| hook(self, seen));
        self.hook = self.hook.take().or(hook);
        own.unwrap_or_else(|| self.handle(seen))
    }

    fn handle(&mut self, seen: &Seen) -> Reply {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        match (seen.method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
            ("POST", [""]) => self.batch(&seen.body),
            ("GET", ["metadata"]) => (200, vec![], json!({ "resourceType": "CapabilityStatement" })),
            ("GET", [kind]) => self.search(kind, query),
            ("GET", [kind, id]) => self.read(&format!("{kind}/{id}")),
            ("GET", [kind, id, "_history"]) => self.history(&format!("{kind}/{id}")),
            ("GET", [kind, id, "_history", version]) => self.version(&format!("{kind}/{id}"), version),
            ("PUT", [_, _]) => self.update(path, seen),
            _ => (404, vec![], outcome()),
        }
    }

    /// Writes as another client would.
    pub fn write(&mut self, resource: Value) {
        let path = path_of(&resource);
        self.stored.entry(path).or_default().push(Some(resource));
    }

    /// Deletes as another client would.
    pub fn delete(&mut self, path: &str) {
        self.stored.get_mut(path).unwrap().push(None);
    }

    /// Removes every trace, as an administrator can.
    pub fn forget(&mut self, path: &str) {
        self.stored.remove(path);
    }

    fn version_id(&self, number: usize) -> String {
        if self.habits().opaque_versions { format!("v-{:x}", number * 7919) } else { number.to_string() }
    }

    fn with_meta(&self, resource: &Value, number: usize) -> Value {
        let mut resource = resource.clone();
        resource["meta"] = json!({ "versionId": self.version_id(number), "lastUpdated": "2026-11-21T12:00:00Z" });
        resource
    }

    fn etag(&self, number: usize) -> Vec<(&'static str, String)> {
        vec![("etag", format!("W/\"{}\"", self.version_id(number)))]
    }

    fn read(&self, path: &str) -> Reply {
        match self.stored.get(path).map(|versions| (versions.len(), versions.last().cloned().flatten())) {
            None => (404, vec![], outcome()),
            Some((_, None)) => (410, vec![], outcome()),
            Some((number, Some(resource))) => (200, self.etag(number), self.with_meta(&resource, number)),
        }
    }

    fn version(&self, path: &str, version: &str) -> Reply {
        let versions = self.stored.get(path).map_or(&[][..], Vec::as_slice);
        let at = (1..=versions.len()).find(|number| self.version_id(*number) == version);
        match at.map(|number| (number, &versions[number - 1])) {
            None => (404, vec![], outcome()),
            Some((_, None)) => (410, vec![], outcome()),
            Some((number, Some(resource))) => (200, self.etag(number), self.with_meta(resource, number)),
        }
    }

    fn history(&self, path: &str) -> Reply {
        let versions = self.stored.get(path).map_or(&[][..], Vec::as_slice);
        let entries: Vec<Value> = (1..=versions.len())
            .rev()
            .map(|number| match &versions[number - 1] {
                Some(resource) => {
                    json!({ "resource": self.with_meta(resource, number), "request": { "method": "PUT" } })
                }
                None => json!({ "request": { "method": "DELETE" } }),
            })
            .collect();
        (200, vec![], json!({ "resourceType": "Bundle", "type": "history", "entry": entries }))
    }

    fn search(&self, kind: &str, query: &str) -> Reply {
        let wanted = query.strip_prefix("identifier=").map(decode).unwrap_or_default();
        let found: Vec<Value> = self
            .stored
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("{kind}/")))
            .filter_map(|(_, versions)| Some((versions.len(), versions.last()?.as_ref()?)))
            .filter(|(_, resource)| has_token(resource, &wanted))
            .map(|(number, resource)| json!({ "resource": self.with_meta(resource, number) }))
            .collect();
        (200, vec![], json!({ "resourceType": "Bundle", "type": "searchset", "entry": found }))
    }

    fn update(&mut self, path: &str, seen: &Seen) -> Reply {
        let habits = self.habits();
        let mut resource = seen.body.clone();
        let Some(members) = resource.as_object_mut() else { return (400, vec![], outcome()) };
        members.remove("meta");
        if resource.get("bogus").is_some() || path_of(&resource) != path {
            return (400, vec![], outcome());
        }
        let versions = self.stored.get(path).cloned().unwrap_or_default();
        let current = versions.last().cloned().flatten();
        if seen.if_none_match.is_some() && current.is_some() && habits.keeps_if_none_match {
            return (412, vec![], outcome());
        }
        if let Some(tag) = &seen.if_match {
            if current.is_none() && habits.absent != 201 {
                return (habits.absent, vec![], outcome());
            }
            if current.is_some() && *tag != self.etag(versions.len())[0].1 {
                return (habits.stale, vec![], outcome());
            }
        }
        if habits.same_version_for_same_content && current.as_ref() == Some(&resource) {
            return (200, self.etag(versions.len()), self.with_meta(&resource, versions.len()));
        }
        let status = match (versions.is_empty(), &current) {
            (true, _) => 201,
            (false, None) => habits.after_delete,
            (false, Some(_)) => 200,
        };
        self.write(resource.clone());
        let number = versions.len() + 1;
        (status, self.etag(number), self.with_meta(&resource, number))
    }

    fn batch(&mut self, bundle: &Value) -> Reply {
        if !self.habits().batch {
            return (405, vec![], outcome());
        }
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let bad = |entry: &Value| entry["resource"].get("bogus").is_some();
        if self.habits().refuses_whole_bundle && entries.iter().any(bad) {
            return (400, vec![], outcome());
        }
        let answers: Vec<Value> = entries.iter().map(|entry| self.entry(entry)).collect();
        (200, vec![], json!({ "resourceType": "Bundle", "type": "batch-response", "entry": answers }))
    }

    fn entry(&mut self, entry: &Value) -> Value {
        let text = |name: &str| entry["request"][name].as_str().map(str::to_owned);
        let seen = Seen {
            method: text("method").unwrap(),
            path: text("url").unwrap(),
            if_match: text("ifMatch"),
            if_none_match: text("ifNoneMatch"),
            authorization: None,
            body: entry["resource"].clone(),
        };
        let (status, headers, body) = self.with_hook(&seen);
        let mut answer = json!({ "response": { "status": format!("{status} Something") } });
        if let Some((_, etag)) = headers.iter().find(|(name, _)| *name == "etag") {
            let bare = etag.trim_start_matches("W/").trim_matches('"');
            answer["response"]["etag"] = if self.habits().bare_etags { json!(bare) } else { json!(etag) };
        }
        if status < 300 {
            answer["resource"] = body;
        }
        answer
    }
}

pub fn outcome() -> Value {
    json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "processing" }] })
}

fn path_of(resource: &Value) -> String {
    format!("{}/{}", resource["resourceType"].as_str().unwrap_or("?"), resource["id"].as_str().unwrap_or("?"))
}

/// Compares as loosely as a server may: any letter case.
fn has_token(resource: &Value, wanted: &str) -> bool {
    let unescaped = wanted.replace("\\,", ",").replace("\\$", "$").replace("\\|", "\u{1}");
    let (system, value) = unescaped.split_once('|').map_or((None, unescaped.as_str()), |(s, v)| (Some(s), v));
    let value = value.replace('\u{1}', "|");
    resource["identifier"].as_array().into_iter().flatten().any(|identifier| {
        identifier["value"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(&value))
            && system.is_none_or(|system| identifier["system"].as_str().unwrap_or_default() == system)
    })
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
