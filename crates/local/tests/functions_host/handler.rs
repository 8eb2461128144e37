//! A custom handler that does what a test tells it.
//!
//! It sends each request on to the test at `TEST_CONTROL` and gives the test's
//! answer; with a header `x-exit` in it, it ends with that code instead. It
//! asks the test before it listens, and holds a request open while it lives.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use serde_json::json;

#[derive(Clone)]
struct Control {
    url: String,
    client: reqwest::Client,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let control =
        Control { url: std::env::var("TEST_CONTROL")?, client: reqwest::Client::builder().no_proxy().build()? };
    let port: u16 = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT")?.parse()?;
    // Its body never ends; held until this process does.
    let _alive = control.client.get(format!("{}/alive", control.url)).send().await?;
    let about = json!({
        "environment": std::env::vars().collect::<std::collections::BTreeMap<_, _>>(),
        "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
        "folder": std::env::current_dir()?,
    });
    let start = control.client.post(format!("{}/start", control.url)).json(&about).send().await?;
    exit_if_told(start.headers());
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    axum::serve(listener, Router::new().fallback(pass_on).with_state(control)).await?;
    Ok(())
}

async fn pass_on(
    State(control): State<Control>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if uri.path() == "/" {
        *response.status_mut() = axum::http::StatusCode::NOT_FOUND;
        return response;
    }
    // The original is described, since it is changed on its way.
    for name in ["transfer-encoding", "content-length", "host"] {
        if let Some(value) = headers.remove(name) {
            let name = axum::http::HeaderName::try_from(format!("x-original-{name}"));
            headers.extend(name.ok().map(|name| (name, value)));
        }
    }
    let url = format!("{}{uri}", control.url);
    let Ok(answer) = control.client.request(method, url).headers(headers).body(body).send().await else {
        std::process::exit(99);
    };
    exit_if_told(answer.headers());
    *response.status_mut() = answer.status();
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" && name != "content-length" {
            response.headers_mut().append(name, value.clone());
        }
    }
    *response.body_mut() = Body::from(answer.bytes().await.unwrap_or_default());
    response
}

fn exit_if_told(headers: &HeaderMap) {
    let code = headers.get("x-exit").and_then(|code| code.to_str().ok()).and_then(|code| code.parse().ok());
    if let Some(code) = code {
        std::process::exit(code);
    }
}
