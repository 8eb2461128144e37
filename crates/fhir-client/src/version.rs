//! The version of a resource, as a server names it in `meta.versionId` and in
//! entity tags.

use serde_json::Value;

/// A version id: a number on most servers, an opaque text on some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// From an entity tag: `W/"2"`, `"2"`, and the bare `2` that HAPI writes
    /// into the entries of a bundle (crates-and-components.md 6).
    pub fn from_etag(etag: &str) -> Option<Version> {
        let etag = etag.trim();
        let etag = etag.strip_prefix("W/").unwrap_or(etag);
        let etag = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag);
        Self::new(etag)
    }

    /// From the location of a version: `…/Observation/a/_history/2`.
    pub fn from_location(location: &str) -> Option<Version> {
        let (_, version) = location.split_once("/_history/")?;
        Self::new(version.split(['/', '?']).next()?)
    }

    /// From `meta.versionId` of a resource.
    pub fn of_resource(resource: &Value) -> Option<Version> {
        Self::new(resource.get("meta")?.get("versionId")?.as_str()?)
    }

    /// A FHIR id can hold no other characters, and what goes into a header
    /// must not hold all of them.
    fn new(text: &str) -> Option<Version> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        (!text.is_empty() && text.chars().all(valid)).then(|| Version(text.to_owned()))
    }

    /// The version id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version as a number, if the server counts.
    pub fn number(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// The value of an `If-Match` header: a weak entity tag.
    pub fn if_match(&self) -> String {
        format!("W/\"{}\"", self.0)
    }
}

/// The `If-Match` header of an update of `resource`; none when it names no
/// version.
pub fn update_header(resource: &Value) -> Option<String> {
    Version::of_resource(resource).map(|version| version.if_match())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_etags_of_all_servers() {
        let cases = [
            ("W/\"2\"", Some("2")),
            ("\"2\"", Some("2")),
            ("2", Some("2")),
            (" W/\"7f-a\" ", Some("7f-a")),
            ("", None),
            ("\"\"", None),
            ("W/\"a\r\nb\"", None),
        ];
        for (etag, expected) in cases {
            assert_eq!(Version::from_etag(etag).as_ref().map(Version::as_str), expected, "{etag:?}");
        }
    }

    #[test]
    fn reads_the_version_in_a_location() {
        let of = |location| Version::from_location(location).map(|version| version.as_str().to_owned());
        assert_eq!(of("http://h/fhir/Observation/a/_history/3"), Some("3".to_owned()));
        assert_eq!(of("Observation/a/_history/3?x=1"), Some("3".to_owned()));
        assert_eq!(of("Observation/a"), None);
    }

    #[test]
    fn sends_a_weak_etag() {
        assert_eq!(update_header(&json!({ "meta": { "versionId": "3" } })), Some("W/\"3\"".to_owned()));
        assert_eq!(update_header(&json!({ "meta": {} })), None);
    }
}
