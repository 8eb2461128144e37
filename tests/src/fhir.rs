//! A FHIR server from outside: its Observations, in a form in which those of
//! different servers can be compared.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Observations by id, as text in which only what counts differs: members in
/// the order of their names, no blanks, and numbers as they are written, since
/// FHIR's decimals say by that how exact they are.
///
/// Left out are `meta`, which is the server's; `issued`, which is when it was
/// made; and `status`, which says whether readings came in one batch (`final`)
/// or in several (`amended`).
pub type Observations = BTreeMap<String, String>;

/// What differs, a line each: what is missing, and what is there instead.
pub fn difference(expected: &Observations, found: &Observations) -> String {
    let only = |these: &Observations, those: &Observations, sign: char| -> String {
        these
            .iter()
            .filter(|(id, text)| those.get(*id) != Some(text))
            .map(|(_, text)| format!("{sign} {text}\n"))
            .collect()
    };
    only(expected, found, '-') + &only(found, expected, '+')
}

/// A FHIR server.
#[derive(Clone, Debug)]
pub struct Fhir {
    /// Its base URL, without a slash at the end.
    pub url: String,
    http: Client,
}

impl Fhir {
    /// The server at a base URL.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    pub fn new(url: &str) -> Fhir {
        let http = Client::builder().no_proxy().timeout(LIMIT).build();
        let http = http.unwrap_or_else(|error| panic!("no HTTP client: {error}"));
        Fhir { url: url.trim_end_matches('/').to_owned(), http }
    }

    /// The CapabilityStatement, when the server answers.
    pub fn metadata(&self) -> Option<String> {
        let answer = self.http.get(format!("{}/metadata", self.url)).send().ok()?;
        answer.error_for_status().ok()?.text().ok()
    }

    /// All Observations by id, as canonical text; none when the server
    /// does not answer, which it may not while it is being started again.
    pub fn try_observations(&self) -> Option<Observations> {
        let mut observations = Observations::new();
        let mut url = Some(format!("{}/Observation?_count=200", self.url));
        while let Some(page) = url.take() {
            // HAPI answers an equal search from a cache for a minute otherwise.
            let answer = self.http.get(page).header("cache-control", "no-cache").send().ok()?;
            let text = answer.error_for_status().ok()?.text().ok()?;
            let page: Page = parse(&text);
            for entry in &page.entry {
                let (id, text) = canonical_resource(entry.resource.get());
                observations.insert(id, text);
            }
            url = page.link.into_iter().find(|link| link.relation == "next").map(|link| link.url);
        }
        Some(observations)
    }

    /// The same, of a server that is there.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn observations(&self) -> Observations {
        self.try_observations().unwrap_or_else(|| panic!("{} does not answer", self.url))
    }

    /// Writes resources under their own ids, 100 at once.
    ///
    /// # Panics
    /// When the server takes one of them not.
    pub fn put_all(&self, resources: &[Value]) {
        for part in resources.chunks(100) {
            let entry = |resource: &Value| {
                let text = |name: &str| resource[name].as_str().unwrap_or_default();
                let url = format!("{}/{}", text("resourceType"), text("id"));
                json!({ "resource": resource, "request": { "method": "PUT", "url": url } })
            };
            let entries: Vec<Value> = part.iter().map(entry).collect();
            let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries });
            let sent =
                self.http.post(&self.url).header("content-type", "application/fhir+json").body(bundle.to_string());
            let answer = sent.send().and_then(|answer| answer.error_for_status()?.text());
            let answer: Value = parse(&answer.unwrap_or_else(|error| panic!("{} takes no batch: {error}", self.url)));
            let statuses: Vec<&str> = answer["entry"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|e| e["response"]["status"].as_str())
                .collect();
            let all_taken = statuses.len() == part.len() && statuses.iter().all(|status| status.starts_with("20"));
            assert!(all_taken, "{} answers {statuses:?}", self.url);
        }
    }

    /// The text of one resource as the server has it.
    pub fn read_text(&self, path: &str) -> Option<String> {
        self.http.get(format!("{}/{path}", self.url)).send().ok()?.error_for_status().ok()?.text().ok()
    }

    /// Writes a resource, whatever is there.
    ///
    /// # Panics
    /// When the server does not take it.
    pub fn put_text(&self, path: &str, text: &str) {
        let put = self.http.put(format!("{}/{path}", self.url)).header("content-type", "application/fhir+json");
        let answer = put.body(text.to_owned()).send();
        let status = answer.map(|answer| answer.status().as_u16());
        assert!(matches!(status, Ok(200 | 201)), "{} answers {status:?} to a write", self.url);
    }

    /// Deletes a resource.
    ///
    /// # Panics
    /// When the server does not do it.
    pub fn delete(&self, path: &str) {
        let status = self.http.delete(format!("{}/{path}", self.url)).send().map(|answer| answer.status().as_u16());
        assert!(matches!(status, Ok(200 | 202 | 204)), "{} answers {status:?} to a delete", self.url);
    }

    /// One resource as the server has it.
    pub fn read(&self, kind: &str, id: &str) -> Option<Value> {
        let answer = self.http.get(format!("{}/{kind}/{id}", self.url)).send().ok()?;
        serde_json::from_str(&answer.error_for_status().ok()?.text().ok()?).ok()
    }
}

#[derive(serde::Deserialize)]
struct Page {
    #[serde(default)]
    entry: Vec<Entry>,
    #[serde(default)]
    link: Vec<Link>,
}

#[derive(serde::Deserialize)]
struct Entry {
    resource: Box<RawValue>,
}

#[derive(serde::Deserialize)]
struct Link {
    relation: String,
    url: String,
}

/// The id of an Observation as a server gave it, and its text without what
/// differs by server and time.
fn canonical_resource(text: &str) -> (String, String) {
    let members: BTreeMap<String, &RawValue> = parse(text);
    assert!(members.contains_key("meta"), "an Observation of a server has no `meta`");
    canonical_observation(text)
}

/// The id of an Observation, and its text without what differs by server and
/// time.
///
/// # Panics
/// When it is none of ours: without `issued`, or with a status of its own.
pub fn canonical_observation(text: &str) -> (String, String) {
    let mut members: BTreeMap<String, &RawValue> = parse(text);
    let status = members.remove("status").map(RawValue::get);
    assert!(matches!(status, Some("\"final\"" | "\"amended\"")), "status is {status:?}");
    members.remove("meta");
    assert!(members.remove("issued").is_some(), "an Observation has no `issued`");
    let id = members.get("id").map(|id| parse(id.get())).unwrap_or_default();
    (id, canonical_object(&members))
}

/// JSON text with the members of objects in order of their names and without
/// blanks; numbers stay as they are written.
fn canonical(value: &RawValue) -> String {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => canonical_object(&parse(text)),
        Some(b'[') => {
            let elements: Vec<_> = parse::<Vec<&RawValue>>(text).into_iter().map(canonical).collect();
            format!("[{}]", elements.join(","))
        }
        Some(b'"') => quoted(&parse::<String>(text)),
        _ => text.to_owned(),
    }
}

fn canonical_object(members: &BTreeMap<String, &RawValue>) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("{}:{}", quoted(name), canonical(value))).collect();
    format!("{{{}}}", members.join(","))
}

fn parse<'t, T: serde::Deserialize<'t>>(text: &'t str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("a FHIR server sent what is no resource: {error}"))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_resources_have_one_text() {
        let one = r#"{"id":"a","meta":{},"issued":"2020","status":"final","value":{"b":1.50,"a":["\u00e4", "\/"]}}"#;
        let other =
            r#"{ "value": {"a":["ä","/"], "b": 1.50}, "id": "a", "issued": "2021", "meta": {}, "status": "amended" }"#;
        assert_eq!(canonical_resource(one), canonical_resource(other));
        assert_ne!(canonical_resource(one), canonical_resource(&other.replace("1.50", "1.5")));
    }
}
