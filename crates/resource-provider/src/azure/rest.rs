//! One request to Azure and its answer: https, a token, JSON, and a limit of
//! time. Tries nothing twice; the worker does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::azure::TokenCredential;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Method, redirect};
use serde_json::Value;
use url::Url;

use super::failure::Failure;
use super::settings::AzureSettings;

/// More than any answer has that is asked for here.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Sends requests.
#[derive(Clone)]
pub struct Rest {
    http: Client,
    credential: Arc<dyn TokenCredential>,
    limit: Duration,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// A request. Its query and its body can be secrets, so it does not print itself.
pub struct Request<'r> {
    /// The verb.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// What its token has to be for.
    pub scope: &'r str,
    /// What is sent.
    pub body: Option<&'r Value>,
}

/// An answer that is no error.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null when there is none. It may hold keys.
    pub body: Value,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// When to come again.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        retry_after(&self.headers)
    }
}

impl Rest {
    /// A client that trusts the system's authorities and those it is told of.
    pub fn new(settings: &AzureSettings, credential: Arc<dyn TokenCredential>) -> Result<Rest, reqwest::Error> {
        let mut client = Client::builder()
            // A token of ours must not go over a wire in the clear, nor to whom
            // an answer points.
            .https_only(true)
            .redirect(redirect::Policy::none())
            // The client for blobs wants bodies as they come.
            .no_gzip()
            .no_deflate()
            .no_brotli()
            .connect_timeout(settings.request_limit)
            // Load balancers close what is idle for longer.
            .pool_idle_timeout(Duration::from_secs(60));
        if !settings.trusted_authorities.is_empty() {
            client = client.tls_certs_merge(Certificate::from_pem_bundle(&settings.trusted_authorities)?);
        }
        Ok(Rest { http: client.build()?, credential, limit: settings.request_limit })
    }

    /// The client, for what else is asked of Azure.
    pub fn http(&self) -> Client {
        self.http.clone()
    }

    /// Sends a request; an answer of 400 and more is a failure.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let what = described(&request);
        match tokio::time::timeout(self.limit, self.exchange(request, &what)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::no_answer(what, "no answer in time")),
        }
    }

    async fn exchange(&self, request: Request<'_>, what: &str) -> Result<Answer, Failure> {
        let no_answer = |reason: &str| Failure::no_answer(what.to_owned(), reason);
        let token = self.credential.get_token(&[request.scope], None).await.map_err(|error| {
            // The text repeats what was answered.
            let status = error.http_status().map(u16::from);
            tracing::warn!(scope = request.scope, status, "No token could be got");
            no_answer("no token could be got")
        })?;
        let mut sent = self.http.request(request.method, request.url).bearer_auth(token.token.secret());
        sent = match request.body {
            Some(body) => sent.json(body),
            None => sent.header("content-length", "0"),
        };
        let mut response = sent.send().await.map_err(|error| no_answer(reason(&error)))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(reason(&error)))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(no_answer("the answer is too long"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        if status >= 400 {
            let code = code_of(&body.unwrap_or_default()).unwrap_or_else(|| "no code".to_owned());
            let retry_after_seconds = retry_after(&headers);
            return Err(Failure { what: what.to_owned(), status: Some(status), code, retry_after_seconds });
        }
        let body = body.map_err(|_| no_answer("the answer is not JSON"))?;
        Ok(Answer { status, headers, body })
    }
}

/// The verb, and the last two segments of the path: which one, of what kind.
fn described(request: &Request<'_>) -> String {
    let segments: Vec<&str> = request.url.path_segments().map(Iterator::collect).unwrap_or_default();
    let last = segments.len().saturating_sub(2);
    format!("`{}` of `{}`", request.method, segments[last..].join("/"))
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// The innermost code of an error body: Key Vault says `Conflict`, and within it
/// which.
pub fn code_of(body: &Value) -> Option<String> {
    let error = body.get("error").unwrap_or(body);
    let mut code = error.get("code").and_then(Value::as_str);
    let mut inner = error.get("innererror").or_else(|| error.get("innerError"));
    while let Some(error) = inner {
        code = error.get("code").and_then(Value::as_str).or(code);
        inner = error.get("innererror").or_else(|| error.get("innerError"));
    }
    // A code is a word; what is longer is a text, which may say anything.
    let code = code.filter(|code| code.len() <= 80 && !code.contains(char::is_whitespace));
    code.map(str::to_owned)
}

fn reason(error: &reqwest::Error) -> &'static str {
    match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        _ => "the connection broke off",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_innermost_code_counts_and_a_text_is_none() {
        let conflict = json!({ "error": { "code": "Conflict", "innererror": { "code": "ObjectIsBeingDeleted" } } });
        let cases = [
            (json!({ "error": { "code": "AuthorizationFailed" } }), Some("AuthorizationFailed")),
            (json!({ "code": "Flat" }), Some("Flat")),
            (conflict, Some("ObjectIsBeingDeleted")),
            (json!({ "error": { "code": "some text of theirs" } }), None),
            (json!("text"), None),
        ];
        for (body, expected) in cases {
            assert_eq!(code_of(&body).as_deref(), expected, "{body}");
        }
    }
}
