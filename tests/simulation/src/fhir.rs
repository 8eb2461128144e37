//! The FHIR server as processes see it, and the people who use it beside us.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Request, Response};
use delivery::Runtime;
use fhir_client::{Clock, Missing, NoAnswer, Transport};
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use jiff::Timestamp;
use local::fhir_server::InProcessFhirServer;
use serde_json::{Value, json};
use simulator::SimulatedRuntime;

use crate::record::Record;
use crate::world::{Fault, World};

/// Time and chance of a process, for its client.
#[derive(Debug)]
pub struct ProcessClock {
    process: Arc<SimulatedRuntime>,
    /// What `elapsed` counts from.
    start: Instant,
}

impl ProcessClock {
    /// The clock of `process`.
    pub fn new(process: Arc<SimulatedRuntime>) -> ProcessClock {
        ProcessClock { process, start: Instant::now() }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Instant {
        self.start + self.process.elapsed()
    }

    fn sleep_until(&self, then: Instant) -> BoxFuture<'_, ()> {
        let left = then.saturating_duration_since(self.now());
        async move { self.process.sleep(left).await }.boxed()
    }

    fn random(&self) -> u64 {
        self.process.random()
    }
}

/// A server in the world's memory; clones are the same one.
#[derive(Clone)]
pub struct Server {
    fhir: InProcessFhirServer,
    runtime: Arc<SimulatedRuntime>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("fhir", &self.fhir).finish_non_exhaustive()
    }
}

impl Server {
    /// A server whose clock is that of `runtime`.
    pub fn new(fhir: InProcessFhirServer, runtime: Arc<SimulatedRuntime>) -> Server {
        Server { fhir, runtime }
    }

    /// Its base.
    pub fn url(&self) -> &str {
        self.fhir.url()
    }

    /// Answers a request now.
    pub async fn answer(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let now = Timestamp::from_millisecond(self.runtime.now().unix_milliseconds()).unwrap_or(Timestamp::UNIX_EPOCH);
        self.fhir.answer(request, now).await
    }

    /// Answers a request with a resource, or none, as its body. Gives the status
    /// and the resource.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> (u16, Value) {
        let uri = format!("{}/{path}", self.url());
        let headers = headers
            .iter()
            .fold(Request::builder().method(method).uri(uri), |request, (name, value)| request.header(*name, *value));
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        // Only we make these, and they are good.
        let Ok(request) = headers.header("content-type", "application/fhir+json").body(body) else {
            return (0, Value::Null);
        };
        let answer = self.answer(request).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
    }

    /// All Observations that are there, by id.
    pub async fn observations(&self) -> BTreeMap<String, Value> {
        let (_, bundle) = self.ask("GET", "Observation?_count=1000", None, &[("cache-control", "no-cache")]).await;
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let with_id = |entry: Value| Some((entry["resource"]["id"].as_str()?.to_owned(), entry["resource"].clone()));
        entries.into_iter().filter_map(with_id).collect()
    }
}

/// The network between a process and the server.
#[derive(Debug)]
pub struct FarServer {
    /// The server.
    pub server: Server,
    /// Who asks.
    pub process: Arc<SimulatedRuntime>,
    /// What is in between.
    pub world: Arc<World>,
    /// Where it is recorded.
    pub record: Arc<Record>,
}

impl Transport for FarServer {
    fn send(&self, request: reqwest::Request) -> BoxFuture<'_, Result<reqwest::Response, NoAnswer>> {
        async move {
            let limit = request.timeout().copied().unwrap_or(Duration::from_secs(60));
            let answer = self.exchange(request).boxed();
            let limit = self.world.runtime().sleep(limit).boxed();
            let answer = match select(answer, limit).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => Err(Missing::Timeout.into()),
            };
            self.process.thawed().await;
            answer
        }
        .boxed()
    }
}

impl FarServer {
    /// What somebody else makes before a request does, each with its id and a
    /// note that it holds beside what we would write.
    fn rivals(&self, request: &Request<Vec<u8>>) -> Vec<(String, Value, String)> {
        let rival = |mut observation: Value| {
            let is_there = self.world.chance_of(Fault::FhirRival);
            let text = format!("made at {}", self.world.runtime().elapsed().as_micros());
            observation["note"] = json!([{ "text": text }]);
            is_there.then(|| (observation["id"].as_str().unwrap_or_default().to_owned(), observation, text))
        };
        creates(request).into_iter().filter_map(rival).collect()
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<reqwest::Response, NoAnswer> {
        let world = &self.world;
        world.trace(|| described(&request));
        if let Some(down) = world.down() {
            world.way().await;
            return down.map_or_else(|| Err(Missing::Connection.into()), |status| Ok(refusal(status, None)));
        }
        if world.strikes(Fault::FhirRefused) {
            world.way().await;
            return Err(Missing::Connection.into());
        }
        for (fault, status) in [(Fault::FhirThrottled, 429), (Fault::FhirUnavailable, 503)] {
            if world.strikes(fault) {
                world.way().await;
                let seconds = world.chance(|chance| chance.of(1..20));
                return Ok(refusal(status, (status == 429).then_some(seconds)));
            }
        }
        let Some(request) = owned(request) else { return Err(Missing::Connection.into()) };
        let (request, is_half) = match half(&request) {
            Some(half) if world.strikes(Fault::FhirHalfBundle) => (half, true),
            _ => (request, false),
        };
        let is_lost = is_half || world.strikes(Fault::FhirAnswerLost);
        let is_cut_in = !is_lost && world.strikes(Fault::FhirGateway);
        let (server, rivals) = (self.server.clone(), self.rivals(&request));
        let (record, traced) = (self.record.clone(), world.clone());
        let told = world.send(is_lost, async move {
            for (id, rival, text) in rivals {
                make_before(&server, &id, &rival, || {
                    traced.count(Fault::FhirRival);
                    record.note(&id, text);
                })
                .await;
            }
            server.answer(request).await
        });
        match told.await {
            Ok(_) if is_cut_in => Ok(refusal(504, None)),
            Ok(answer) => {
                world.trace(|| format!("  answer {}", summary(&answer)));
                Ok(reqwest::Response::from(answer))
            }
            // The connection is cut, or nothing ever comes.
            Err(_) if world.chance(|chance| chance.in_thousand(500)) => Err(Missing::CutOff.into()),
            Err(_) => futures::future::pending().await,
        }
    }
}

/// Makes an Observation unless it is there, or was.
async fn make_before(server: &Server, id: &str, observation: &Value, made: impl FnOnce()) {
    let path = format!("Observation/{id}");
    let (there, _) = server.ask("GET", &path, None, &[]).await;
    if there == 404 && server.ask("PUT", &path, Some(observation), &[]).await.0 == 201 {
        made();
    }
}

/// The Observations that a request makes.
fn creates(request: &Request<Vec<u8>>) -> Vec<Value> {
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let alone = request.headers().contains_key("if-none-match").then(|| body.clone());
    let of_entry = |entry: &Value| (!entry["request"]["ifNoneMatch"].is_null()).then(|| entry["resource"].clone());
    let entries = body["entry"].as_array().into_iter().flatten().filter_map(of_entry);
    alone.into_iter().chain(entries).filter(|resource| resource["resourceType"] == "Observation").collect()
}

fn refusal(status: u16, retry_after: Option<u64>) -> reqwest::Response {
    let mut refusal = Response::new(Vec::new());
    *refusal.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    if let Some(seconds) = retry_after {
        refusal.headers_mut().insert("retry-after", seconds.into());
    }
    reqwest::Response::from(refusal)
}

/// The request as the server in memory takes it.
pub(crate) fn owned(request: reqwest::Request) -> Option<Request<Vec<u8>>> {
    let body = request.body().and_then(|body| body.as_bytes()).map(<[u8]>::to_vec).unwrap_or_default();
    let mut owned = Request::builder().method(request.method().clone()).uri(request.url().as_str()).body(body).ok()?;
    *owned.headers_mut() = request.headers().clone();
    Some(owned)
}

/// The first half of a bundle of writes; none of what is no such bundle of several.
fn half(request: &Request<Vec<u8>>) -> Option<Request<Vec<u8>>> {
    let mut bundle: Value = serde_json::from_slice(request.body()).ok()?;
    let entries = bundle.get_mut("entry")?.as_array_mut()?;
    if entries.len() < 2 || entries.iter().any(|entry| entry["request"]["method"] == "GET") {
        return None;
    }
    entries.truncate(entries.len() / 2);
    let mut half = Request::new(bundle.to_string().into_bytes());
    (*half.method_mut(), *half.uri_mut()) = (request.method().clone(), request.uri().clone());
    *half.headers_mut() = request.headers().clone();
    Some(half)
}

/// What a request asks for, on a line.
fn described(request: &reqwest::Request) -> String {
    let body: Value = request.body().and_then(|body| serde_json::from_slice(body.as_bytes()?).ok()).unwrap_or_default();
    let entry = |entry: &Value| {
        let of = |name: &str| entry["request"][name].as_str().unwrap_or_default().to_owned();
        let condition = format!("{}{}", version(&of("ifMatch")), of("ifNoneMatch"));
        format!("{} {} {condition}{}", of("method"), of("url"), values(&entry["resource"]))
    };
    let entries = body["entry"].as_array().map(|entries| entries.iter().map(entry).collect::<Vec<_>>());
    let condition = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let condition = format!("{}{}", version(condition("if-match")), condition("if-none-match"));
    let alone = || vec![format!("{} {} {condition}{}", request.method(), request.url().path(), values(&body))];
    format!("> {}", entries.unwrap_or_else(alone).join(" | "))
}

/// A version, unless it is an opaque one: those are others in each run.
fn version(etag: &str) -> &str {
    let is_number = etag.trim_start_matches("W/").trim_matches('"').bytes().all(|byte| byte.is_ascii_digit());
    if is_number { etag } else { "W/…" }
}

/// The values of an Observation, for a reader of a trace.
fn values(observation: &Value) -> String {
    let mut values = Vec::new();
    for value in std::iter::once(observation).chain(observation["component"].as_array().into_iter().flatten()) {
        let sampled = value["valueSampledData"]["data"].as_str().map(str::to_owned);
        let quantity = || value["valueQuantity"]["value"].as_f64().map(|value| value.to_string());
        values.extend(sampled.or_else(quantity));
    }
    values.extend(observation["note"].as_array().map(|notes| format!("{} notes", notes.len())));
    if values.is_empty() {
        String::new()
    } else {
        format!(" ({})", values.iter().map(|one| short(one)).collect::<Vec<_>>().join("; "))
    }
}

/// Sampled data with its gaps counted: `60 E*12 61`.
pub(crate) fn short(data: &str) -> String {
    let mut words: Vec<(&str, usize)> = Vec::new();
    for word in data.split(' ') {
        match words.last_mut() {
            Some((last, count)) if *last == word && word == "E" => *count += 1,
            _ => words.push((word, 1)),
        }
    }
    let words =
        words.into_iter().map(|(word, count)| if count == 1 { word.to_owned() } else { format!("{word}*{count}") });
    words.collect::<Vec<_>>().join(" ")
}

fn summary(answer: &Response<Vec<u8>>) -> String {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let entry = |entry: &Value| {
        let of = |name: &str| entry["response"][name].as_str().unwrap_or_default();
        format!("{} {}{}", of("status"), version(of("etag")), values(&entry["resource"]))
    };
    let entries = body["entry"].as_array().map(|entries| entries.iter().map(entry).collect::<Vec<_>>().join(" | "));
    format!("{} {}", answer.status().as_u16(), entries.unwrap_or_else(|| values(&body)))
}

/// Somebody writes a note into an Observation, as a careful client does.
pub async fn write_note(server: Server, record: Arc<Record>, world: Arc<World>, pick: u64) {
    let Some((id, mut observation)) = one_of(server.observations().await, pick) else { return };
    let version = observation["meta"]["versionId"].as_str().unwrap_or_default();
    let etag = format!("W/\"{version}\"");
    let text = format!("seen {}", world.runtime().elapsed().as_millis());
    let mut notes = observation["note"].as_array().cloned().unwrap_or_default();
    notes.push(json!({ "text": text }));
    observation["note"] = Value::Array(notes);
    world.way().await;
    let path = format!("Observation/{id}");
    let (status, _) = server.ask("PUT", &path, Some(&observation), &[("if-match", &etag)]).await;
    world.trace(|| format!("note on {id}: {status}"));
    if status == 200 {
        world.count(Fault::FhirOtherWriter);
        record.note(&id, text);
    }
}

/// A clinician deletes an Observation.
pub async fn delete(server: Server, record: Arc<Record>, world: Arc<World>, pick: u64) {
    let Some((id, _)) = one_of(server.observations().await, pick) else { return };
    let (status, _) = server.ask("DELETE", &format!("Observation/{id}"), None, &[]).await;
    world.trace(|| format!("delete {id}: {status}"));
    if status < 300 {
        world.count(Fault::FhirDeleted);
        record.deleted(&id);
    }
}

fn one_of(observations: BTreeMap<String, Value>, pick: u64) -> Option<(String, Value)> {
    let count = observations.len().max(1);
    observations.into_iter().nth(pick as usize % count)
}
