//! Documents of others that say who may call: the certificates of the front door, the
//! keys of an issuer. They are read over https, or from this machine; from where the
//! settings say and from nowhere else; and to a length.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use azure::connection_string::is_loopback;
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;
use url::Url;

/// How long a document may be, in bytes; real ones have some thousand.
const BYTES_MAX: usize = 1 << 20;

/// What documents are read with: it goes where it is told to and no further.
///
/// # Errors
///
/// TLS cannot be used.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().redirect(Policy::none()).build()
}

/// Whether what stands at a URL may be believed: nobody else can answer there.
pub fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url.host_str().unwrap_or_default())
}

/// Reads a document, JSON, within `limit`.
///
/// # Errors
///
/// It is not there, too long, or of another form; nothing of it is quoted but, by the
/// reader of JSON, a word.
pub async fn read<T: DeserializeOwned>(client: &reqwest::Client, url: &Url, limit: Duration) -> anyhow::Result<T> {
    ensure!(is_safe(url), "its URL is not https");
    let mut response = client.get(url.clone()).timeout(limit).send().await?;
    ensure!(response.status().is_success(), "the answer is {}", response.status());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > BYTES_MAX {
            bail!("it is longer than {BYTES_MAX} bytes");
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).context("it has another form")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn a_document_is_read_from_where_it_is_said_to_be_and_to_a_length() {
        let text = |length: usize| format!("\"{}\"", "a".repeat(length - 2));
        let routes = Router::new()
            .route("/", get(move || async move { text(BYTES_MAX) }))
            .route("/long", get(move || async move { text(BYTES_MAX + 1) }))
            .route("/elsewhere", get(|| async { Redirect::temporary("/") }))
            .route("/html", get(|| async { "<html>" }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let client = client().unwrap();
        for (url, why) in [
            (format!("http://{address}/"), ""),
            (format!("http://{address}/long"), "it is longer than 1048576 bytes"),
            (format!("http://{address}/elsewhere"), "the answer is 307 Temporary Redirect"),
            (format!("http://{address}/none"), "the answer is 404 Not Found"),
            (format!("http://{address}/html"), "it has another form"),
            ("http://keys.example/".to_owned(), "its URL is not https"),
        ] {
            let read = read::<Value>(&client, &url.parse().unwrap(), Duration::from_secs(30)).await;
            assert_eq!(read.map_err(|error| error.to_string()).err().unwrap_or_default(), why, "{url}");
        }
    }
}
