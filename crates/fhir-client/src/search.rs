//! The text of a search, and what a searchset holds. Pure.

use std::fmt;

use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;

/// An identifier to search for.
///
/// No system means: whatever the system. It is not the same as the empty
/// system, for which FHIR writes a leading `|`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identifier<'i> {
    /// The system, if it decides.
    pub system: Option<&'i str>,
    /// The value, never empty.
    pub value: &'i str,
}

impl fmt::Debug for Identifier<'_> {
    /// Leaves the value out: it is a patient's or a device's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identifier").field("system", &self.system).finish_non_exhaustive()
    }
}

impl Identifier<'_> {
    /// The query of a search for it, percent-encoded: `identifier=s%7Cv`.
    pub fn query(&self) -> String {
        let token = match self.system {
            Some(system) => format!("{}|{}", escape(system), escape(self.value)),
            None => escape(self.value),
        };
        format!("identifier={}", encode(&token))
    }

    /// Whether `resource` has this identifier, exactly.
    ///
    /// Servers compare less than that: one only the first 128 characters, some
    /// any letter case (fhir-conversion.md quirks 37 and 57). Only system and
    /// value count, not a `use` or `type` that someone added (quirk 38).
    pub fn is_of(&self, resource: &Value) -> bool {
        let Some(identifiers) = resource.get("identifier").and_then(Value::as_array) else { return false };
        identifiers.iter().any(|identifier| {
            let text = |name| identifier.get(name).and_then(Value::as_str);
            text("value") == Some(self.value)
                && self.system.is_none_or(|system| text("system").unwrap_or_default() == system)
        })
    }
}

/// Escapes what separates the parts of a FHIR search value: `\ , | $`
/// (fhir-conversion.md quirk 36).
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '|' | '$') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Percent-encodes one value of a query.
fn encode(value: &str) -> String {
    // Forms write a blank as `+`; `%20` is understood wherever `+` is.
    byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The absolute or relative address of the next page of a searchset.
pub fn next_link(bundle: &Value) -> Option<&str> {
    let links = bundle.get("link")?.as_array()?;
    let next = links.iter().find(|link| link.get("relation").and_then(Value::as_str) == Some("next"))?;
    next.get("url")?.as_str()
}

/// The page `link` leads to, always on the server of `base`.
///
/// A server behind a gateway often writes its own name into links; our token
/// must not go anywhere else in any case.
pub(crate) fn page_address(base: &Url, link: &str) -> Option<Url> {
    let mut address = base.join(link).ok()?;
    if address.origin() != base.origin() {
        address.set_scheme(base.scheme()).ok()?;
        address.set_host(base.host_str()).ok()?;
        address.set_port(base.port()).ok()?;
    }
    Some(address)
}

/// The resources of type `kind` in a searchset; what else a server puts there,
/// such as an OperationOutcome, does not count.
pub fn resources_of(bundle: Value, kind: &str) -> Vec<Value> {
    let Value::Object(mut bundle) = bundle else { return Vec::new() };
    let Some(Value::Array(entries)) = bundle.remove("entry") else { return Vec::new() };
    let resources = entries.into_iter().filter_map(|mut entry| Some(entry.get_mut("resource")?.take()));
    resources.filter(|resource| resource.get("resourceType").and_then(Value::as_str) == Some(kind)).collect()
}

/// The one resource of `found`, if there is one.
pub fn only_one(kind: &'static str, mut found: Vec<Value>) -> Result<Option<Value>, MultipleResourcesFound> {
    match found.len() {
        0 | 1 => Ok(found.pop()),
        count => Err(MultipleResourcesFound { kind, count }),
    }
}

/// An identifier that must belong to one resource belongs to several.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} resources of type {kind} have the same identifier")]
pub struct MultipleResourcesFound {
    /// The resource type.
    pub kind: &'static str,
    /// How many were found.
    pub count: usize,
}

/// The query by which the reference connector can look for an Observation
/// through its parts: `subject=…&device=…&code=…&date=ge…&date=le…`, made of
/// an identifier `patient.device.type.start.end`; `identifier=…` for every
/// other identifier. Not encoded. Our own reads go by id (design.md D6).
pub fn expanded_query(identifier: Identifier<'_>) -> String {
    let whole = || match identifier.system {
        Some(system) => format!("identifier={system}|{}", identifier.value),
        None => format!("identifier={}", identifier.value),
    };
    let parts: Vec<&str> = identifier.value.split('.').collect();
    let [patient, device, kind @ .., start, end] = parts.as_slice() else { return whole() };
    match (segment_time(start), segment_time(end)) {
        (Some(start), Some(end)) if !kind.is_empty() => {
            format!("subject={patient}&device={device}&code={}&date=ge{start}&date=le{end}", kind.join("."))
        }
        _ => whole(),
    }
}

/// `20220909121314Z` as `2022-09-09T12:13:14Z`.
fn segment_time(text: &str) -> Option<String> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let time = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &digits[..4],
        &digits[4..6],
        &digits[6..8],
        &digits[8..10],
        &digits[10..12],
        &digits[12..]
    );
    time.parse::<jiff::Timestamp>().is_ok().then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn encodes_what_would_break_a_search() {
        let cases = [
            (None, "deviceId", "identifier=deviceId"),
            (Some("http://s"), "d1", "identifier=http%3A%2F%2Fs%7Cd1"),
            (Some(""), "d1", "identifier=%7Cd1"),
            (None, "a&b#c+d%e f", "identifier=a%26b%23c%2Bd%25e%20f"),
            (None, r"a,b|c$d\e", "identifier=a%5C%2Cb%5C%7Cc%5C%24d%5C%5Ce"),
        ];
        for (system, value, expected) in cases {
            assert_eq!(Identifier { system, value }.query(), expected);
        }
    }

    #[test]
    fn compares_system_and_value_only() {
        let resource = json!({ "identifier": [
            { "value": "x" },
            { "system": "s", "value": "v", "use": "official", "type": { "text": "t" } },
        ] });
        let cases = [
            (Some("s"), "v", true),
            (None, "v", true),
            (None, "V", false),
            (Some("t"), "v", false),
            (Some(""), "x", true),
            (Some("s"), "x", false),
            (None, "v2", false),
        ];
        for (system, value, expected) in cases {
            assert_eq!(Identifier { system, value }.is_of(&resource), expected, "{system:?} {value}");
        }
        assert!(!Identifier { system: None, value: "v" }.is_of(&json!({})));
    }

    #[test]
    fn follows_next_links_on_the_same_server_only() {
        let base = Url::parse("https://fhir.example:8443/r4/").unwrap();
        let page = |link| page_address(&base, link).map(String::from);
        assert_eq!(page("https://fhir.example:8443/r4?page=2"), Some("https://fhir.example:8443/r4?page=2".to_owned()));
        assert_eq!(page("http://inner/r4?page=2"), Some("https://fhir.example:8443/r4?page=2".to_owned()));
        assert_eq!(page("?page=2"), Some("https://fhir.example:8443/r4/?page=2".to_owned()));
        let bundle = json!({ "link": [{ "relation": "self", "url": "a" }, { "relation": "next", "url": "b" }] });
        assert_eq!(next_link(&bundle), Some("b"));
        assert_eq!(next_link(&json!({ "link": [] })), None);
    }

    #[test]
    fn counts_resources_of_the_wanted_type_only() {
        let bundle = json!({ "entry": [
            { "resource": { "resourceType": "OperationOutcome" } },
            { "resource": { "resourceType": "Device", "id": "1" } },
            { "response": { "status": "200" } },
        ] });
        assert_eq!(resources_of(bundle, "Device").len(), 1);
        assert_eq!(only_one("Device", vec![]), Ok(None));
        assert!(only_one("Device", vec![json!(1), json!(2)]).is_err());
    }

    #[test]
    fn expands_identifiers_of_a_period() {
        let cases = [
            (
                "p.d.type.20220909121314Z.20220909121315Z",
                "subject=p&device=d&code=type&date=ge2022-09-09T12:13:14Z&date=le2022-09-09T12:13:15Z",
            ),
            (
                "p.d.a.b.20220909121314Z.20220909121314Z",
                "subject=p&device=d&code=a.b&date=ge2022-09-09T12:13:14Z&date=le2022-09-09T12:13:14Z",
            ),
            ("p.d.t.20220909121314Z.x", "identifier=p.d.t.20220909121314Z.x"),
            ("p.d.t.2022090912131415Z.2022090912131415Z", "identifier=p.d.t.2022090912131415Z.2022090912131415Z"),
            ("p.d.t.20221309121314Z.20220909121314Z", "identifier=p.d.t.20221309121314Z.20220909121314Z"),
            ("p", "identifier=p"),
        ];
        for (value, expected) in cases {
            assert_eq!(expanded_query(Identifier { system: None, value }), expected);
        }
    }
}
