//! What a request asks for.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is a bundle.
    pub is_bundle: bool,
    /// The entries of a bundle, or the request itself.
    pub entries: Vec<Entry>,
}

/// One thing that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `GET`, `PUT`, ….
    pub method: String,
    /// The path below the base, with the query: `Observation/a`.
    pub path: String,
    /// The version that must be there.
    pub if_match: Option<String>,
    /// Whether there must be none.
    pub if_none_match: bool,
}

impl Entry {
    /// Whether it writes an Observation.
    pub fn writes_observation(&self) -> bool {
        self.method == "PUT" && self.path.starts_with("Observation/")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    resource_type: String,
    #[serde(default)]
    entry: Vec<BundleEntry>,
}

#[derive(Deserialize)]
struct BundleEntry {
    request: BundleRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundleRequest {
    method: String,
    url: String,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Seen {
    /// Reads a request for `path` below the base.
    pub(super) fn read(method: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Seen {
        let path = path.trim_start_matches('/');
        let bundle =
            if path.is_empty() && method == "POST" { serde_json::from_slice::<Bundle>(body).ok() } else { None };
        if let Some(bundle) = bundle.filter(|bundle| bundle.resource_type == "Bundle") {
            let entries = bundle.entry.into_iter().map(|BundleEntry { request }| Entry {
                method: request.method,
                path: request.url,
                if_match: request.if_match,
                if_none_match: request.if_none_match.is_some(),
            });
            return Seen { is_bundle: true, entries: entries.collect() };
        }
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
        let entry = Entry {
            method: method.to_owned(),
            path: path.to_owned(),
            if_match: text(IF_MATCH),
            if_none_match: headers.contains_key(IF_NONE_MATCH),
        };
        Seen { is_bundle: false, entries: vec![entry] }
    }

    /// An answer that refuses each entry with `status`.
    pub(super) fn refusal(&self, status: u16) -> Response<Full<Bytes>> {
        let outcome = json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": "error", "code": "conflict", "diagnostics": "a fault was injected" }],
        });
        let (http_status, body) = match self.is_bundle {
            true => {
                let entry = json!({ "response": { "status": status.to_string(), "outcome": outcome } });
                let entries = vec![entry; self.entries.len()];
                (200, json!({ "resourceType": "Bundle", "type": "batch-response", "entry": entries }))
            }
            false => (status, outcome),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/fhir+json"));
        let http_status = hyper::StatusCode::from_u16(http_status).unwrap_or_default();
        super::response(http_status, headers, body.to_string().into())
    }
}

/// A bundle whose entries are copied as they are.
#[derive(Serialize, Deserialize)]
struct RawBundle {
    #[serde(rename = "resourceType")]
    resource_type: String,
    r#type: String,
    entry: Vec<Box<RawValue>>,
}

/// The bundle with the first half of its entries; none when it is no bundle.
pub(super) fn first_half(body: &[u8]) -> Option<Vec<u8>> {
    let mut bundle: RawBundle = serde_json::from_slice(body).ok()?;
    bundle.entry.truncate(bundle.entry.len().div_ceil(2));
    serde_json::to_vec(&bundle).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_bundle_asks_for() {
        let body = r#"{"resourceType":"Bundle","type":"batch","entry":[
            {"resource":{"v":1.10},"request":{"method":"PUT","url":"Observation/a","ifNoneMatch":"*"}},
            {"resource":{"v":2.20},"request":{"method":"PUT","url":"Observation/b","ifMatch":"W/\"3\""}},
            {"request":{"method":"GET","url":"Device?identifier=d"}}]}"#;
        let seen = Seen::read("POST", "/", &HeaderMap::new(), body.as_bytes());
        let kinds: Vec<_> =
            seen.entries.iter().map(|e| (e.writes_observation(), e.if_none_match, e.if_match.is_some())).collect();
        assert_eq!(kinds, [(true, true, false), (true, false, true), (false, false, false)]);
        let half = String::from_utf8(first_half(body.as_bytes()).unwrap_or_default()).unwrap_or_default();
        assert!(half.contains("1.10") && half.contains("2.20") && !half.contains("Device"), "{half}");
    }
}
