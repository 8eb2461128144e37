//! A request in FHIR's terms, the same for HTTP and for an entry of a bundle.

use crate::fhir_server::failure::Failure;
use crate::fhir_server::query::{self, Query};
use crate::fhir_server::resource::Stored;
use crate::fhir_server::shape;
use crate::fhir_server::store::Version;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Interaction {
    Capabilities,
    /// A batch or a transaction.
    Bundle,
    Create {
        kind: String,
    },
    Read {
        kind: String,
        id: String,
    },
    VersionRead {
        kind: String,
        id: String,
        version_id: String,
    },
    Update {
        kind: String,
        id: String,
    },
    ConditionalUpdate {
        kind: String,
        query: Query,
    },
    Delete {
        kind: String,
        id: String,
    },
    /// `query` is the text after the `?`, for the links of the answer.
    Search {
        kind: String,
        query: Query,
        text: String,
    },
    History {
        kind: String,
        id: Option<String>,
        page: HistoryPage,
    },
}

/// Which part of a history is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct HistoryPage {
    pub(super) count: Option<usize>,
    pub(super) offset: usize,
    pub(super) since: Option<jiff::Timestamp>,
}

/// The conditions that come as headers, or as members of a bundle's entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// `If-Match`, without `W/""`.
    pub(super) if_match: Option<String>,
    /// `If-None-Match`, without `W/""`; may be `*`.
    pub(super) if_none_match: Option<String>,
    /// `If-None-Exist`: a query.
    pub(super) if_none_exist: Option<String>,
}

/// What comes back when the request was not refused.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Option<Stored>,
    /// `meta.versionId` and `meta.lastUpdated` of the resource.
    pub(super) version: Option<(String, String)>,
    /// `Type/id/_history/version`, of what was written.
    pub(super) location: Option<String>,
    /// The search was answered from the cache.
    pub(super) from_cache: bool,
}

impl Reply {
    /// An answer about no stored resource.
    pub(super) fn plain(status: u16, body: Option<Stored>) -> Self {
        Self { status, body, version: None, location: None, from_cache: false }
    }

    /// An answer about a version that was read.
    pub(super) fn read(version: &Version) -> Self {
        let stamp = (version.version_id.clone(), version.last_updated.clone());
        Self { version: Some(stamp), ..Self::plain(200, version.resource.clone()) }
    }

    /// An answer about a version that was written, or found in place of it.
    pub(super) fn written(status: u16, kind: &str, id: &str, version: &Version) -> Self {
        let location = format!("{kind}/{id}/_history/{}", version.version_id);
        Self { status, location: Some(location), ..Self::read(version) }
    }
}

impl Interaction {
    /// Reads a method and a URL below the base, such as
    /// `Observation?identifier=a`.
    pub(super) fn parse(method: &str, url: &str) -> Result<Self, Failure> {
        let (path, text) = url.split_once('?').unwrap_or((url, ""));
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match (method, parts.as_slice()) {
            ("GET", ["metadata"]) => Ok(Self::Capabilities),
            ("POST", []) => Ok(Self::Bundle),
            (_, [kind, rest @ ..]) if shape::is_supported(kind) => Self::of_type(method, kind, rest, text),
            _ => Err(Failure::new(404, "not-supported", "there is nothing at this address")),
        }
    }

    fn of_type(method: &str, kind: &str, path: &[&str], text: &str) -> Result<Self, Failure> {
        let name = kind;
        let kind = kind.to_owned();
        match (method, path) {
            ("GET", []) | ("POST", ["_search"]) => {
                Ok(Self::Search { query: Query::parse(name, text)?, kind, text: text.to_owned() })
            }
            ("POST", []) => Ok(Self::Create { kind }),
            ("PUT", []) => Ok(Self::ConditionalUpdate { query: condition(name, text)?, kind }),
            ("GET", ["_history"]) => Ok(Self::History { kind, id: None, page: history_page(text)? }),
            ("GET", [id, "_history"]) => Ok(Self::History { kind, id: Some(read_id(id)?), page: history_page(text)? }),
            ("GET", [id, "_history", version_id]) => {
                Ok(Self::VersionRead { kind, id: read_id(id)?, version_id: (*version_id).to_owned() })
            }
            ("GET", [id]) => Ok(Self::Read { kind, id: read_id(id)? }),
            ("PUT", [id]) if shape::is_id(id) => Ok(Self::Update { kind, id: (*id).to_owned() }),
            ("PUT", [_]) => {
                Err(Failure::new(400, "value", "the id has more than 64 characters or one that is not allowed"))
            }
            ("DELETE", [id]) => Ok(Self::Delete { kind, id: read_id(id)? }),
            _ => Err(Failure::not_supported("this interaction")),
        }
    }
}

/// A search that decides about a write: it must narrow something.
pub(super) fn condition(kind: &str, text: &str) -> Result<Query, Failure> {
    let query = Query::parse(kind, text)?;
    if query.is_unconditional() {
        return Err(Failure::new(412, "invalid", "the condition names no search parameter"));
    }
    Ok(query)
}

/// A version id out of `W/"2"`, `"2"` or `2`.
pub(super) fn version_of_etag(etag: &str) -> String {
    let etag = etag.trim();
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"').to_owned()
}

fn read_id(id: &str) -> Result<String, Failure> {
    if shape::is_id(id) { Ok(id.to_owned()) } else { Err(Failure::not_found()) }
}

fn history_page(text: &str) -> Result<HistoryPage, Failure> {
    let mut page = HistoryPage::default();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        let number = || value.parse().map_err(|_| Failure::invalid(format!("`{name}` is not a number")));
        match name.as_ref() {
            "_count" => page.count = Some(number()?),
            "_offset" => page.offset = number()?,
            "_since" => page.since = Some(query::since(&value)?),
            "_format" | "_pretty" | "_total" | "_summary" => {}
            _ => return Err(Failure::invalid("a history has no such parameter here")),
        }
    }
    Ok(page)
}
