//! A FHIR server that quotes: whatever it refuses, it says back, in every place
//! that an answer has.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuses {
    /// Nothing: the server behind it answers.
    Nothing,
    /// Everything, with this status.
    Everything(u16),
    /// Each entry of a bundle, and single requests, with this status.
    Entries(u16),
    /// Each entry that writes, or a single write.
    Writes(u16),
    /// Each entry that looks for an identifier, or a single such search.
    Searches(u16),
    /// Nothing, but what it answers is cut off in the middle.
    HalfAnswers,
    /// Nothing, but what it answers is no FHIR: a page that quotes the request.
    Pages,
}

/// A running server; it ends with the test.
pub struct Quoting {
    pub url: String,
    refuses: Arc<Mutex<(Refuses, usize)>>,
}

#[derive(Clone)]
struct Server {
    behind: String,
    http: reqwest::Client,
    refuses: Arc<Mutex<(Refuses, usize)>>,
}

impl Quoting {
    /// One in front of the FHIR server with this base URL.
    pub fn start(behind: &str) -> Quoting {
        let refuses = Arc::new(Mutex::new((Refuses::Nothing, 0)));
        let (tell, address) = std::sync::mpsc::channel::<SocketAddr>();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let server = Server { behind: behind.trim_end_matches("/fhir").to_owned(), http, refuses: refuses.clone() };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, Router::new().fallback(answer).with_state(server)).await.unwrap();
            });
        });
        Quoting { url: format!("http://{}/fhir", address.recv().unwrap()), refuses }
    }

    /// What it refuses from now on, and for how many requests.
    pub fn refuse(&self, what: Refuses, requests: usize) {
        *self.refuses.lock().unwrap() = (what, requests);
    }

    /// Whether it has still to refuse something.
    pub fn is_refusing(&self) -> bool {
        self.refuses.lock().unwrap().1 > 0
    }
}

async fn answer(State(server): State<Server>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let refuses = match &mut *server.refuses.lock().unwrap() {
        (_, 0) => Refuses::Nothing,
        (refuses, left) => {
            *left -= 1;
            *refuses
        }
    };
    let asked = format!("{method} {uri} {}", String::from_utf8_lossy(&body));
    let bundle = serde_json::from_slice::<Value>(&body).ok().filter(|bundle| bundle["type"] == "batch");
    let is_search = asked.contains("identifier=");
    let is_write = bundle.is_none() && [Method::PUT, Method::POST].contains(&method);
    match (refuses, bundle) {
        (Refuses::Everything(status), _) | (Refuses::Entries(status), None) => refusal(status, &asked),
        (Refuses::Writes(status), None) if is_write => refusal(status, &asked),
        (Refuses::Searches(status), None) if is_search => refusal(status, &asked),
        (Refuses::Searches(status), Some(bundle)) if is_search => refused_entries(&bundle, status),
        (Refuses::Entries(status), Some(bundle)) => refused_entries(&bundle, status),
        (Refuses::Writes(status), Some(bundle)) if bundle["entry"].to_string().contains("\"PUT\"") => {
            refused_entries(&bundle, status)
        }
        (Refuses::Pages, _) => ([("content-type", "text/html")], format!("<html>{asked}</html>")).into_response(),
        (refuses, _) => server.forward(method, uri, headers, body, refuses == Refuses::HalfAnswers).await,
    }
}

/// An answer that quotes in its body and in its headers.
fn refusal(status: u16, asked: &str) -> Response {
    let quoted: String = asked.chars().filter(char::is_ascii_graphic).take(2000).collect();
    let headers = [
        ("content-type", "application/fhir+json".to_owned()),
        ("location", format!("/fhir/Observation/{quoted}")),
        ("www-authenticate", format!("Bearer error_description={quoted}")),
        ("x-diagnostics", quoted),
        ("retry-after", "1".to_owned()),
    ];
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    (status, headers, outcome(asked).to_string()).into_response()
}

fn refused_entries(bundle: &Value, status: u16) -> Response {
    let entry = |entry: &Value| {
        let asked = entry.to_string();
        json!({ "response": {
            "status": format!("{status} refused: {asked}"), "location": asked, "etag": asked, "outcome": outcome(&asked),
        } })
    };
    let entries: Vec<Value> = bundle["entry"].as_array().unwrap().iter().map(entry).collect();
    let bundle = json!({ "resourceType": "Bundle", "type": "batch-response", "entry": entries });
    ([("content-type", "application/fhir+json")], bundle.to_string()).into_response()
}

fn outcome(asked: &str) -> Value {
    json!({
        "resourceType": "OperationOutcome",
        "text": { "status": "generated", "div": format!("<div>{asked}</div>") },
        "issue": [{
            "severity": "error", "code": asked, "diagnostics": format!("cannot take {asked}"),
            "details": { "text": asked, "coding": [{ "code": asked, "display": asked }] }, "expression": [asked],
        }],
    })
}

impl Server {
    async fn forward(&self, method: Method, uri: Uri, headers: HeaderMap, body: Bytes, half: bool) -> Response {
        let mut request = self.http.request(method, format!("{}{uri}", self.behind)).body(body);
        for (name, value) in headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str())) {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove("transfer-encoding");
        let body = answer.bytes().await.unwrap();
        if !half {
            return (status, headers, body).into_response();
        }
        headers.remove("content-length");
        (status, headers, body.slice(..body.len() / 2)).into_response()
    }
}
