//! The bundles that answer: search results, histories, and the entries of a
//! batch.
//!
//! Resources go in as the text they are stored as, never by way of a parsed
//! value, which would lose digits.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fhir_server::failure::Failure;
use crate::fhir_server::personality::Personality;
use crate::fhir_server::query::Query;
use crate::fhir_server::request::{HistoryPage, Reply};
use crate::fhir_server::resource::Stored;
use crate::fhir_server::store::{Store, Version};

/// Versions on a page of history when the client names no `_count`.
const HISTORY_PAGE_SIZE: usize = 100;

/// A FHIR Bundle.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BundleJson<'a> {
    resource_type: &'static str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    link: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry: Vec<EntryJson<'a>>,
}

/// An entry of a Bundle.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntryJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) full_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) search: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Value>,
}

impl<'a> BundleJson<'a> {
    /// A bundle without links, such as a `batch-response`.
    pub(super) fn new(kind: &'a str, entry: Vec<EntryJson<'a>>) -> Self {
        Self { resource_type: "Bundle", r#type: kind, total: None, link: Vec::new(), entry }
    }

    pub(super) fn reply(&self) -> Result<Reply, Failure> {
        Ok(Reply::plain(200, Some(Stored::of(self)?)))
    }
}

/// Lists what is in the store.
pub(super) struct Listing<'a> {
    pub(super) store: &'a Store,
    pub(super) personality: Personality,
    pub(super) base: &'a str,
}

impl<'a> Listing<'a> {
    /// One page of the resources with these ids; the deleted are left out.
    pub(super) fn matches(&self, kind: &str, query: &Query, text: &str, ids: &[String]) -> Result<Reply, Failure> {
        let there = |id: &String| self.store.current(kind, id).and_then(|version| version.resource.as_ref());
        let matches: Vec<(&String, &Stored)> = ids.iter().filter_map(|id| Some((id, there(id)?))).collect();
        let count = query.count.unwrap_or(self.personality.page_size());
        let count = if query.only_total { 0 } else { count };
        let page = matches.iter().skip(query.offset).take(count);
        let entry: Vec<EntryJson<'_>> = page
            .map(|(id, stored)| EntryJson {
                full_url: Some(format!("{}/{kind}/{id}", self.base)),
                resource: Some(stored.raw()),
                search: Some(json!({ "mode": "match" })),
                ..EntryJson::default()
            })
            .collect();
        let link = self.links(kind, text, count, query.offset + entry.len(), matches.len());
        BundleJson { total: Some(matches.len()), link, ..BundleJson::new("searchset", entry) }.reply()
    }

    /// The versions of one resource, or of all of a type, newest first.
    pub(super) fn history(&self, kind: &str, id: Option<&str>, page: &HistoryPage) -> Result<Reply, Failure> {
        let ids: Vec<&str> = id.map_or_else(|| self.store.ids(kind).collect(), |id| vec![id]);
        let of_id = |id| self.store.versions(kind, id).iter().map(move |version| (id, version));
        let mut versions: Vec<(&str, &Version)> = ids.into_iter().flat_map(of_id).collect();
        if id.is_some() && versions.is_empty() {
            return Err(Failure::not_found());
        }
        if let Some(since) = page.since {
            versions.retain(|(_, version)| version.last_updated.parse().is_ok_and(|at: Timestamp| at >= since));
        }
        versions.sort_by_key(|(_, version)| std::cmp::Reverse(version.order));
        let count = page.count.unwrap_or(HISTORY_PAGE_SIZE);
        let shown = versions.iter().skip(page.offset).take(count);
        let entry: Vec<EntryJson<'_>> = shown.map(|(id, version)| self.history_entry(kind, id, version)).collect();
        let path = id.map_or_else(|| format!("{kind}/_history"), |id| format!("{kind}/{id}/_history"));
        let since = page.since.map_or_else(String::new, |since| format!("_since={since}"));
        let link = self.links(&path, &since, count, page.offset + entry.len(), versions.len());
        BundleJson { total: Some(versions.len()), link, ..BundleJson::new("history", entry) }.reply()
    }

    fn history_entry(&self, kind: &str, id: &str, version: &'a Version) -> EntryJson<'a> {
        let (method, status) = match (&version.resource, version.number) {
            (None, _) => ("DELETE", self.personality.deleted_status()),
            (Some(_), 1) => ("PUT", 201),
            (Some(_), _) => ("PUT", 200),
        };
        EntryJson {
            full_url: Some(format!("{}/{kind}/{id}", self.base)),
            resource: version.resource.as_ref().map(Stored::raw),
            request: Some(json!({ "method": method, "url": format!("{kind}/{id}") })),
            response: Some(json!({
                "status": status.to_string(),
                "etag": format!("W/\"{}\"", version.version_id),
                "lastModified": version.last_updated,
            })),
            ..EntryJson::default()
        }
    }

    /// `self`, and `next` when there is more behind `end`.
    fn links(&self, path: &str, query: &str, count: usize, end: usize, total: usize) -> Vec<Value> {
        let mut links = vec![self.link("self", path, query)];
        if count > 0 && end < total {
            links.push(self.link("next", path, &page_at(query, count, end)));
        }
        links
    }

    fn link(&self, relation: &str, path: &str, query: &str) -> Value {
        let mark = if query.is_empty() { "" } else { "?" };
        json!({ "relation": relation, "url": format!("{}/{path}{mark}{query}", self.base) })
    }
}

/// The query text of the page that starts at `offset`.
fn page_at(query: &str, count: usize, offset: usize) -> String {
    let rest = without_paging(query);
    let mark = if rest.is_empty() { "" } else { "&" };
    format!("{rest}{mark}_count={count}&_offset={offset}")
}

/// The query text that all pages of one search share.
pub(super) fn without_paging(query: &str) -> String {
    let is_paging = |part: &&str| part.starts_with("_count=") || part.starts_with("_offset=");
    query.split('&').filter(|part| !is_paging(part)).collect::<Vec<_>>().join("&")
}
