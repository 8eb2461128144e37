//! HTTPS ingest: IoT Central's export to a webhook, and plain posts.
//!
//! ```text
//! POST /api/ingest   Authorization: Bearer <token>   body: one event, or an array of events
//! 200 {"events": 2, "fates": [{"index": 0, "fate": "normalized", "measurements": 1}, …]}
//! ```
//!
//! The answer is 2xx only once the measurements are in the internal hub and
//! what was rejected is recorded; 503 means that nothing is known to be stored
//! and the sender is to try again. The host forwards these requests as they
//! are (`enableForwardingHttpRequest`), since its other mode loses bodies that
//! are sent in chunks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use delivery::away::error_chain;
use delivery::{Batch, BatchEvent, EventFate, Source, Unfenced};
use expressions::{Properties, UtcTime};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::function::Normalize;

/// The largest request taken: 16 full messages of IoT Central.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most events of one request: each takes a place in the answer.
const EVENTS_MAX: usize = 10_000;

/// Requests whose bodies are in memory at the same time; others wait.
const REQUESTS_MAX: usize = 8;

/// How long a body may take to arrive: while it does, it has one of the turns.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a sender is told to wait, in seconds, when a dependency is away.
const RETRY_AFTER_SECONDS: &str = "5";

struct Ingest {
    normalize: Arc<Normalize>,
    token: Option<SecretString>,
    source: Source,
    turns: Semaphore,
}

/// The route of the HTTP function. Without a token nothing is let in.
pub fn router(normalize: Arc<Normalize>, token: Option<SecretString>) -> Router {
    let source = Source { hub: "ingest".to_owned(), ..Source::default() };
    let state = Arc::new(Ingest { normalize, token, source, turns: Semaphore::new(REQUESTS_MAX) });
    Router::new().route("/api/ingest", post(ingest)).with_state(state)
}

#[derive(Serialize)]
struct Answer {
    events: usize,
    fates: Vec<IndexedFate>,
}

#[derive(Serialize)]
struct IndexedFate {
    index: usize,
    #[serde(flatten)]
    fate: EventFate,
}

async fn ingest(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    // Before the body: nobody without the token makes us read it.
    if !is_authorized(ingest.token.as_ref(), request.headers()) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let message = "the `Authorization` header has to carry the token of the app setting `Ingest__Token`";
        return (StatusCode::UNAUTHORIZED, challenge, message).into_response();
    }
    let Ok(_turn) = ingest.turns.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let body = match timeout(BODY_TIMEOUT, to_bytes(request.into_body(), REQUEST_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Err(_) => {
            let message = format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs());
            return (StatusCode::REQUEST_TIMEOUT, message).into_response();
        }
        Ok(Err(_)) => {
            let message = "the body broke off, or is larger than 16 MiB";
            return (StatusCode::PAYLOAD_TOO_LARGE, message).into_response();
        }
    };
    let events = events(&body);
    if events.len() > EVENTS_MAX {
        let message = format!("an array of {} events is too long; at most {EVENTS_MAX} at once", events.len());
        return (StatusCode::PAYLOAD_TOO_LARGE, message).into_response();
    }
    let enqueued_time = UtcTime::from(SystemTime::now());
    let events = events.into_iter().map(|body| BatchEvent {
        body,
        properties: Properties::NONE,
        system_properties: Properties::NONE,
        sequence_number: None,
        enqueued_time,
    });
    let batch = Batch { source: &ingest.source, events: events.collect() };
    match ingest.normalize.normalize(&batch, &Unfenced).await {
        Ok(fates) => axum::Json(answer(fates)).into_response(),
        Err(error) => {
            tracing::error!(error = error_chain(&error), "Ingest cannot store events");
            let retry = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)];
            // The reason names files, hubs and mappings, which are not the sender's business.
            (StatusCode::SERVICE_UNAVAILABLE, retry, "the events cannot be stored for now").into_response()
        }
    }
}

/// The elements of an array, or the whole body as one event: what is not JSON
/// gets its fate as any other event does.
fn events(body: &[u8]) -> Vec<&[u8]> {
    match serde_json::from_slice::<Vec<&RawValue>>(body) {
        Ok(elements) => elements.into_iter().map(|element| element.get().as_bytes()).collect(),
        Err(_) => vec![body],
    }
}

fn answer(fates: Vec<EventFate>) -> Answer {
    let fates = fates.into_iter().enumerate().map(|(index, fate)| IndexedFate { index, fate });
    Answer { events: fates.len(), fates: fates.collect() }
}

fn is_authorized(token: Option<&SecretString>, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let given = given.and_then(|value| value.split_at_checked("Bearer ".len()));
    let Some((scheme, given)) = given else { return false };
    token.is_some_and(|token| {
        scheme.eq_ignore_ascii_case(b"Bearer ") && equal_in_constant_time(token.expose_secret().as_bytes(), given)
    })
}

/// Compares without telling by its time how much was right.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use delivery::Reason;
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_each_fate_with_its_index() {
        let reason = Reason::new("IncompatibleData", "no timestamp");
        let fates = vec![EventFate::Normalized { measurements: 1 }, EventFate::Rejected { reason, measurements: 0 }];
        let first = json!({ "index": 0, "fate": "normalized", "measurements": 1 });
        let second = json!({
            "index": 1, "fate": "rejected", "measurements": 0, "reason": "IncompatibleData", "message": "no timestamp"
        });
        let expected = json!({ "events": 2, "fates": [first, second] });
        assert_eq!(serde_json::to_value(answer(fates)).expect("JSON"), expected);
    }

    #[test]
    fn takes_an_array_for_several_events_and_anything_else_for_one() {
        let cases: [(&[u8], Vec<&[u8]>); 4] = [
            (b"[{\"a\":1}, 2]", vec![b"{\"a\":1}", b"2"]),
            (b"{\"a\":[1]}", vec![b"{\"a\":[1]}"]),
            (b"[]", vec![]),
            (b"[1", vec![b"[1"]),
        ];
        for (body, expected) in cases {
            assert_eq!(events(body), expected);
        }
    }

    #[test]
    fn lets_in_only_who_has_the_token() {
        let token = SecretString::from("t0ken");
        let cases = [
            (Some(&token), Some("Bearer t0ken"), true),
            (Some(&token), Some("bearer t0ken"), true),
            (Some(&token), Some("Bearer t0keN"), false),
            (Some(&token), Some("Bearer t0ken2"), false),
            (Some(&token), Some("Bearer "), false),
            (Some(&token), Some("Basic t0ken"), false),
            (Some(&token), None, false),
            (None, Some("Bearer t0ken"), false),
            (None, Some("Bearer "), false),
        ];
        for (token, header, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header::AUTHORIZATION, header.parse().expect("a header"));
            }
            assert_eq!(is_authorized(token, &headers), expected, "{header:?}");
        }
    }
}
