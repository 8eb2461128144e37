//! Retries and tokens, against a FHIR server over HTTP.

#![allow(clippy::unwrap_used)] // A test may fail by it.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fhir_client::auth::{AccessToken, CachedTokens, ClientCredentials, TokenEndpoint, TokenError};
use fhir_client::client::{Client, ClientOptions, RequestObserver, SentRequest, ServerAway, base_url};
use fhir_client::search::Identifier;
use serde_json::json;
use support::{HAPI, Reply, Server, outcome, soon, start};

const D1: Identifier<'static> = Identifier { system: None, value: "d1" };

async fn search(client: &Client, deadline: Instant) -> String {
    match client.search("Device", D1, deadline).await {
        Ok(found) => format!("{} found", found.len()),
        Err(error) => error.to_string(),
    }
}

/// Answers the first requests with these, then as usual.
fn first(server: &Server, answers: Vec<Reply>) {
    let mut answers = answers.into_iter();
    server.before(move |_, _| answers.next());
}

#[tokio::test]
async fn tries_again_what_may_succeed_later() {
    let wait = vec![("x-ms-retry-after-ms", "20".to_owned())];
    let cases = [
        (vec![(429, wait.clone(), json!("a page"))], "0 found", 2),
        (vec![(503, vec![], json!(null)), (500, vec![], outcome()), (408, vec![], json!(null))], "0 found", 4),
        (vec![(503, vec![], json!(null)); 4], "the FHIR server answers with status 503", 4),
        (vec![(403, vec![], outcome())], "the FHIR server answers with status 403", 1),
        (vec![(401, vec![], outcome())], "the FHIR server answers with status 401", 1),
        (vec![(400, vec![], outcome())], "the FHIR server answers a search with status 400", 1),
    ];
    for (answers, expected, requests) in cases {
        let server = start(HAPI).await;
        first(&server, answers);
        assert_eq!(search(&server.client(), soon()).await, expected);
        assert_eq!(server.requests().len(), requests, "{expected}");
        // Nothing else is asked after a failure (quirk 41).
        assert!(server.requests().iter().all(|request| request.starts_with("GET Device?")), "{:?}", server.requests());
    }
}

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<SentRequest>>);

impl RequestObserver for Told {
    fn sent(&self, request: &SentRequest) {
        self.0.lock().unwrap().push(*request);
    }
}

#[tokio::test]
async fn tells_of_each_request_and_of_fewer_at_once() {
    let server = start(HAPI).await;
    first(&server, vec![(429, vec![], json!("a page")), (500, vec![], outcome())]);
    let told = Arc::new(Told::default());
    let options = ClientOptions { observer: Some(told.clone()), ..server.options() };
    assert_eq!(search(&Client::new(options, None).unwrap(), soon()).await, "0 found");
    let show = |sent: &SentRequest| (sent.kind, sent.status, sent.concurrency < 8);
    let shown: Vec<_> = told.0.lock().unwrap().iter().map(show).collect();
    assert_eq!(shown, [("search", Some(429), true), ("search", Some(500), true), ("search", Some(200), true)]);

    let nowhere = ClientOptions::new(base_url("http://127.0.0.1:9/fhir").unwrap());
    let told = Arc::new(Told::default());
    let options = ClientOptions { observer: Some(told.clone()), retry: server.options().retry, ..nowhere };
    search(&Client::new(options, None).unwrap(), soon()).await;
    assert!(told.0.lock().unwrap().iter().all(|sent| sent.status.is_none()), "{told:?}");
    assert!(!told.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn waits_as_long_as_the_server_asks() {
    let server = start(HAPI).await;
    first(&server, vec![(429, vec![("retry-after", "1".to_owned())], json!(null))]);
    let begin = Instant::now();
    assert_eq!(search(&server.client(), soon()).await, "0 found");
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

/// As an HTTP date, whose last part is cut off: so two seconds are one at
/// least.
#[tokio::test]
async fn waits_until_the_time_that_the_server_asks_for() {
    let server = start(HAPI).await;
    let begin = Instant::now();
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let then = then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    first(&server, vec![(503, vec![("retry-after", then)], json!(null))]);
    assert_eq!(search(&server.client(), soon()).await, "0 found");
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

/// What one request was told holds for all.
#[tokio::test]
async fn leaves_the_server_alone_with_every_request() {
    let server = start(HAPI).await;
    let client = server.client();
    first(&server, vec![(429, vec![("retry-after", "60".to_owned())], json!(null))]);
    let deadline = Instant::now() + Duration::from_secs(5);
    for _ in 0..3 {
        assert_eq!(search(&client, deadline).await, "the FHIR server answers with status 429");
    }
    assert_eq!(server.requests().len(), 1);
    first(&server, vec![]);
    let other = server.client();
    first(&server, vec![(429, vec![("retry-after", "1".to_owned())], json!(null))]);
    let begin = Instant::now();
    let searches = futures::future::join_all((0..3).map(|_| search(&other, soon()))).await;
    assert_eq!(searches, ["0 found"; 3]);
    assert_eq!(search(&other, soon()).await, "0 found");
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn ends_before_the_deadline() {
    let server = start(HAPI).await;
    server.before(|_, _| Some((429, vec![("retry-after", "60".to_owned())], json!(null))));
    let begin = Instant::now();
    let client = server.client();
    let away = client.search("Device", D1, begin + Duration::from_secs(5)).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(5));
    let fhir_client::client::SearchError::Away(away) = away else { panic!("{away}") };
    assert!(matches!(away, ServerAway::Status { status: 429, .. }));
    assert_eq!(away.retry_after(), Some(Duration::from_secs(60)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn sends_fewer_at_once_to_a_busy_server() {
    let server = start(HAPI).await;
    let client = server.client();
    let before = client.concurrency();
    first(&server, vec![(429, vec![], json!(null))]);
    search(&client, soon()).await;
    assert!(client.concurrency() < before);
}

#[tokio::test]
async fn an_unreachable_server_is_away_and_names_no_identifier() {
    let server = start(HAPI).await;
    let mut options = server.options();
    options.base_url = fhir_client::client::base_url("http://127.0.0.1:1/fhir").unwrap();
    let client = Client::new(options, None).unwrap();
    let away = client.search("Device", Identifier { system: None, value: "secret" }, soon()).await.unwrap_err();
    let mut text = String::new();
    let mut error: Option<&dyn std::error::Error> = Some(&away);
    while let Some(cause) = error {
        text.push_str(&format!("{cause:?} {cause} "));
        error = cause.source();
    }
    assert!(text.contains("no answer from the FHIR server: connection"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn follows_pages() {
    let server = start(HAPI).await;
    let base = server.base.clone();
    server.before(move |_, seen| {
        let device = |id: &str| json!([{ "resource": { "resourceType": "Device", "id": id } }]);
        let link = json!([{ "relation": "next", "url": format!("{base}?page=2") }]);
        Some(match seen.path.as_str() {
            "?page=2" => (200, vec![], json!({ "resourceType": "Bundle", "entry": device("2") })),
            _ => (200, vec![], json!({ "resourceType": "Bundle", "entry": device("1"), "link": link })),
        })
    });
    assert_eq!(search(&server.client(), soon()).await, "2 found");
}

#[tokio::test]
async fn renews_an_expired_token_once() {
    let server = start(HAPI).await;
    server.before(|_, seen| {
        let fresh = seen.authorization.as_deref() == Some("Bearer t1");
        (!fresh).then(|| (401, vec![], outcome()))
    });
    let count = AtomicUsize::new(0);
    let source = move |scope: String| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            assert_eq!(scope, "the-scope");
            Ok(AccessToken { secret: format!("t{number}").into(), lifetime: Duration::from_secs(3600) })
        }
    };
    let tokens = Arc::new(CachedTokens::new(Arc::new(source), "the-scope"));
    let client = Client::new(server.options(), Some(tokens)).unwrap();
    assert_eq!(search(&client, soon()).await, "0 found");
    assert_eq!(search(&client, soon()).await, "0 found");
    let shown: Vec<_> = server.seen().into_iter().filter_map(|seen| seen.authorization).collect();
    assert_eq!(shown, ["Bearer t0", "Bearer t1", "Bearer t1"]);
}

#[tokio::test]
async fn gets_tokens_by_client_credentials() {
    let server = start(HAPI).await;
    server.before(|_, _| Some((200, vec![], json!({ "access_token": "abc", "expires_in": 60 }))));
    let endpoint = TokenEndpoint::from_authority(&format!("{}/auth/token", server.base)).unwrap();
    let source = ClientCredentials::new(endpoint, "iot", "s3cret".to_owned().into()).unwrap();
    let tokens = CachedTokens::new(Arc::new(source), "system/*.*");
    tokens.token().await.unwrap();
    // HTTP Basic of iot:s3cret.
    assert_eq!(server.seen()[0].authorization.as_deref(), Some("Basic aW90OnMzY3JldA=="));
    server.before(|_, _| Some((400, vec![], json!({ "error": "invalid_client" }))));
    let endpoint = TokenEndpoint::from_authority(&server.base).unwrap();
    let source = ClientCredentials::new(endpoint, "iot", "s3cret".to_owned().into()).unwrap();
    let error = CachedTokens::new(Arc::new(source), "s").token().await.unwrap_err();
    assert_eq!(error.to_string(), "the token issuer answers with status 400, error `invalid_client`");
    assert_eq!(server.requests()[1], "POST oauth2/v2.0/token");
    assert!(!format!("{error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_token_issuer_that_hangs_does_not_outlast_the_deadline() {
    let server = start(HAPI).await;
    let source = |_scope: String| std::future::pending::<Result<AccessToken, TokenError>>();
    let tokens = Arc::new(CachedTokens::new(Arc::new(source), "s"));
    let client = Client::new(server.options(), Some(tokens)).unwrap();
    let deadline = Instant::now() + Duration::from_millis(50);
    let searches = futures::future::join_all((0..20).map(|_| search(&client, deadline)));
    let ends = tokio::time::timeout(Duration::from_secs(10), searches).await.unwrap();
    assert!(ends.iter().all(|end| end == "no access token for the FHIR server"), "{ends:?}");
    assert_eq!(server.requests().len(), 0);
}
