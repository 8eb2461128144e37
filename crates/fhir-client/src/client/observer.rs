//! Tells somebody of each request, for metrics: no address and no content.

use std::fmt;
use std::time::Duration;

use reqwest::Method;

use super::Request;

/// Is told of requests. Called for each one that was sent, retries too, so it
/// must not take long.
pub trait RequestObserver: fmt::Debug + Send + Sync {
    /// A request was answered, or was not.
    fn sent(&self, request: &SentRequest);
}

/// A request that was sent, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentRequest {
    /// `read`, `search`, `history`, `write`, `batch` or `capabilities`.
    pub kind: &'static str,
    /// The status of the answer; none without a whole one.
    pub status: Option<u16>,
    /// From sending it to the end of the answer.
    pub took: Duration,
    /// How many requests may be under way at once after it.
    pub concurrency: usize,
}

/// What sort of request it is.
pub(super) fn kind(request: &Request) -> &'static str {
    let (path, query) = request.relative.split_once('?').unwrap_or((&request.relative, ""));
    match (&request.method, path) {
        (&Method::GET, "metadata") => "capabilities",
        (&Method::GET, path) if path.split('/').any(|segment| segment == "_history") => "history",
        (&Method::GET, _) if !query.is_empty() => "search",
        (&Method::GET, _) => "read",
        (_, "") => "batch",
        _ => "write",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, ClientOptions, base_url};

    #[test]
    fn names_the_sort_of_a_request() {
        let client = Client::new(ClientOptions::new(base_url("http://h/fhir").unwrap()), None).unwrap();
        let cases = [
            (Method::GET, "metadata", Some("_summary=true"), "capabilities"),
            (Method::GET, "Observation/a", None, "read"),
            (Method::GET, "Observation/a/_history", Some("_count=5"), "history"),
            (Method::GET, "Device", Some("identifier=a"), "search"),
            (Method::POST, "", None, "batch"),
            (Method::PUT, "Observation/a", None, "write"),
            (Method::POST, "Patient", None, "write"),
        ];
        for (method, path, query, expected) in cases {
            assert_eq!(kind(&client.request(method, path, query)), expected, "{path}");
        }
    }
}
