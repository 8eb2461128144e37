//! The test's end of the handler: what it was asked, and what it is to answer.

use std::convert::Infallible;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Long enough for a busy machine; only a failing test waits it out.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that the handler has got and not yet answered.
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    answer: oneshot::Sender<Answer>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Call {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the request is JSON")
    }

    /// What `Metadata` says in a member that is a text with JSON in it.
    pub fn metadata(&self, name: &str) -> Value {
        let json = self.json();
        let text = json["Metadata"][name].as_str().expect("the member is a text");
        serde_json::from_str(text).expect("the text is JSON")
    }

    /// The bodies of the events, of a trigger with text.
    pub fn events(&self) -> Vec<String> {
        let json = self.json();
        let text = json["Data"]["events"].as_str().expect("there are events");
        serde_json::from_str(text).expect("the text is a list")
    }

    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).map_or_else(String::new, |value| value.to_str().expect("a text").to_owned())
    }

    /// 200 and the least that is an answer.
    pub fn succeed(self) {
        self.answer(200, "{}");
    }

    pub fn answer(self, status: u16, body: &str) {
        self.answer_with(status, body, vec![("content-type", "application/json".to_owned())]);
    }

    pub fn exit(self, code: i32) {
        self.answer_with(200, "", vec![("x-exit", code.to_string())]);
    }

    pub fn answer_with(self, status: u16, body: &str, headers: Vec<(&'static str, String)>) {
        // A handler that was killed meanwhile no longer waits.
        let _ = self.answer.send(Answer { status, headers, body: body.to_owned() });
    }
}

pub struct Control {
    pub url: String,
    starts: mpsc::UnboundedReceiver<Call>,
    calls: mpsc::UnboundedReceiver<Call>,
    deaths: mpsc::UnboundedReceiver<()>,
}

#[derive(Clone)]
struct Senders {
    starts: mpsc::UnboundedSender<Call>,
    calls: mpsc::UnboundedSender<Call>,
    deaths: mpsc::UnboundedSender<()>,
}

/// Says so when the handler's open request breaks off.
struct Alive(mpsc::UnboundedSender<()>);

impl Drop for Alive {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Control {
    pub async fn new() -> Self {
        let (start, starts) = mpsc::unbounded_channel();
        let (call, calls) = mpsc::unbounded_channel();
        let (death, deaths) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let senders = Senders { starts: start, calls: call, deaths: death };
        let routes = Router::new().fallback(take).with_state(senders);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, starts, calls, deaths }
    }

    /// The handler has been started and waits to be told to go on.
    pub async fn start(&mut self) -> Call {
        next(&mut self.starts, "a start").await
    }

    /// Lets the handler start.
    pub async fn started(&mut self) -> Value {
        let start = self.start().await;
        let about = start.json();
        start.succeed();
        about
    }

    pub async fn call(&mut self) -> Call {
        next(&mut self.calls, "an invocation").await
    }

    /// A handler process has ended.
    pub async fn death(&mut self) {
        next(&mut self.deaths, "the end of a handler").await;
    }

    pub fn has_call(&mut self) -> bool {
        !self.calls.is_empty()
    }

    pub fn has_start(&mut self) -> bool {
        !self.starts.is_empty()
    }
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>, what: &str) -> T {
    match tokio::time::timeout(PATIENCE, receiver.recv()).await {
        Ok(Some(item)) => item,
        _ => panic!("{what} did not come"),
    }
}

async fn take(State(senders): State<Senders>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    if uri.path() == "/alive" {
        // An answer without end, so that the handler knows it is connected.
        let alive = Alive(senders.deaths);
        let endless = futures::stream::poll_fn(move |_| {
            let _held = &alive;
            Poll::<Option<Result<Bytes, Infallible>>>::Pending
        });
        return Response::new(Body::from_stream(endless));
    }
    let to = if uri.path() == "/start" { senders.starts } else { senders.calls };
    let (answer, answered) = oneshot::channel();
    let _ = to.send(Call { path: uri.to_string(), headers, body, answer });
    let Ok(answer) = answered.await else {
        // The test dropped the call: no answer ever.
        return std::future::pending().await;
    };
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("a status");
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().expect("a header's value"));
    }
    response
}
