//! HTTP functions (functions-eventhubs-keda.md 1.11).

use local::functions_host::FunctionsHost;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::App;

async fn app(forwards: bool) -> (App, FunctionsHost) {
    let function = json!({
        "bindings": [
            { "type": "httpTrigger", "name": "req", "methods": ["post"], "route": "ingest/{source}" },
            { "type": "http", "direction": "out", "name": "res" },
        ],
    });
    let mut app = App::new(function).await;
    app.set("customHandler__enableForwardingHttpRequest", if forwards { "true" } else { "false" });
    let host = app.host().await;
    app.control.started().await;
    (app, host)
}

fn url(host: &FunctionsHost, path: &str) -> String {
    format!("http://{}{path}", host.http_address())
}

/// A request of two chunks, written by hand; gives the answer's text.
async fn post_chunked(host: &FunctionsHost) -> String {
    let address = host.http_address();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = "POST /api/ingest/x?a=b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   2\r\n{\"\r\n5\r\na\":1}\r\n0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn by_default_a_request_is_described_and_an_output_is_the_answer() {
    let (mut app, host) = app(false).await;
    let post = reqwest::Client::new().post(url(&host, "/api/ingest/central?a=b")).body("payload").send();
    let answer = async {
        let call = app.control.call().await;
        assert_eq!(call.path, "/work");
        let request = call.json()["Data"]["req"].clone();
        assert_eq!((&request["Method"], &request["Body"]), (&json!("POST"), &json!("payload")));
        assert_eq!((&request["Query"]["a"], &request["Params"]["source"]), (&json!("b"), &json!("central")));
        call.answer(200, r#"{"Outputs":{"res":{"statusCode":202,"headers":{"x-a":"1"},"body":"taken"}}}"#);
    };
    let (response, ()) = tokio::join!(post, answer);
    let response = response.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-a"]), (202, &"1".parse().unwrap()));
    assert_eq!(response.text().await.unwrap(), "taken");
    host.stop().await;
}

#[tokio::test]
async fn by_default_a_chunked_body_is_lost() {
    let (mut app, host) = app(false).await;
    let answer = async {
        let call = app.control.call().await;
        assert!(call.json()["Data"]["req"].get("Body").is_none());
        call.succeed();
    };
    let (response, ()) = tokio::join!(post_chunked(&host), answer);
    assert!(response.starts_with("HTTP/1.1 204"), "{response}");
    host.stop().await;
}

#[tokio::test]
async fn forwarding_keeps_path_body_and_answer() {
    let (mut app, host) = app(true).await;
    let answer = async {
        let call = app.control.call().await;
        assert_eq!(call.path, "/api/ingest/x?a=b");
        assert_eq!(call.json(), json!({ "a": 1 }));
        assert_eq!(call.header("x-azure-functions-invocationid").len(), 36);
        call.answer_with(422, "no", vec![("x-reason", "because".to_owned())]);
    };
    let (response, ()) = tokio::join!(post_chunked(&host), answer);
    assert!(response.starts_with("HTTP/1.1 422") && response.ends_with("no"), "{response}");
    assert!(response.contains("x-reason: because"), "{response}");
    host.stop().await;
}

#[tokio::test]
async fn what_no_function_serves_is_not_found_and_a_failure_is_500() {
    let (mut app, host) = app(false).await;
    let client = reqwest::Client::new();
    assert_eq!(client.get(url(&host, "/api/ingest/x")).send().await.unwrap().status(), 404);
    assert_eq!(client.post(url(&host, "/ingest/x")).send().await.unwrap().status(), 404);
    let failing = async { app.control.call().await.answer(500, "") };
    let (response, ()) = tokio::join!(client.post(url(&host, "/api/ingest/x")).send(), failing);
    assert_eq!(response.unwrap().status(), 500);
    host.stop().await;
}
