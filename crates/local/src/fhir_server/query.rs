//! Search parameters: what they mean, and which resources match.
//!
//! Served: `_id`, `identifier`, `code`, `patient`, `subject`, `device`,
//! `encounter`, `date`, `status`, `_lastUpdated`, `_count`, `_offset` (of our own
//! `next` links), `_summary=count`, `_sort` by `_lastUpdated` or `date`. Anything
//! else is refused: a parameter that is passed over in silence would widen the
//! search.

use serde_json::Value;
use url::form_urlencoded;

use crate::fhir_server::date::{self, Span};
use crate::fhir_server::failure::Failure;
use crate::fhir_server::store::Store;

/// Most matches on one page, whatever `_count` says.
const PAGE_SIZE_MAX: usize = 1000;

/// A checked search over one type of resource.
#[derive(Clone, Debug)]
pub(super) struct Query {
    kind: String,
    filters: Vec<Filter>,
    sort: Option<Sort>,
    /// `_count`, at most [`PAGE_SIZE_MAX`].
    pub(super) count: Option<usize>,
    /// Matches to leave out in front.
    pub(super) offset: usize,
    /// `_summary=count`: only the total is wanted.
    pub(super) only_total: bool,
}

/// One parameter: its values are alternatives, several parameters must all match.
#[derive(Clone, Debug)]
enum Filter {
    Id(Vec<String>),
    Identifier(Vec<Token>),
    Code(Vec<Token>),
    Status(Vec<Token>),
    Reference { element: &'static str, targets: Vec<String> },
    Date { element: DateElement, bounds: Vec<(Comparison, Span)> },
}

#[derive(Clone, Debug)]
struct Sort {
    element: DateElement,
    descending: bool,
}

#[derive(Clone, Copy, Debug)]
enum DateElement {
    LastUpdated,
    Occurrence,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `system|value`, `|value`, `value` or `system|`.
#[derive(Clone, Debug)]
struct Token {
    /// `None`: any system. Empty: no system.
    system: Option<String>,
    /// `None`: any value.
    value: Option<String>,
}

impl Query {
    /// Reads the text after the `?`.
    pub(super) fn parse(kind: &str, text: &str) -> Result<Self, Failure> {
        let mut query =
            Self { kind: kind.to_owned(), filters: Vec::new(), sort: None, count: None, offset: 0, only_total: false };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            query.add(&name, &value)?;
        }
        Ok(query)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "_count" => self.count = Some(number(name, value)?.min(PAGE_SIZE_MAX)),
            "_offset" => self.offset = number(name, value)?,
            "_summary" => self.only_total = value == "count",
            "_sort" => self.sort = Some(sort(value)?),
            // About the form of the answer, which is always JSON with a total.
            "_total" | "_format" | "_pretty" => {}
            _ => self.filters.push(filter(&self.kind, name, value)?),
        }
        Ok(())
    }

    /// Whether nothing narrows the search: never a condition for a write.
    pub(super) fn is_unconditional(&self) -> bool {
        self.filters.is_empty()
    }

    /// The ids of all current resources that match, in order.
    pub(super) fn matching_ids(&self, store: &Store) -> Vec<String> {
        let mut found: Vec<(String, Option<Span>)> = Vec::new();
        for id in self.candidates(store) {
            let Some(stored) = store.current(&self.kind, &id).and_then(|version| version.resource.as_ref()) else {
                continue;
            };
            if self.filters.is_empty() && self.sort.is_none() {
                found.push((id, None));
                continue;
            }
            let value = stored.value();
            if self.filters.iter().all(|filter| filter.matches(&id, &value)) {
                let key = self.sort.as_ref().and_then(|sort| sort.element.span(&value));
                found.push((id, key));
            }
        }
        if let Some(sort) = &self.sort {
            found.sort_by_key(|(_, key)| *key);
            if sort.descending {
                found.reverse();
            }
        }
        found.into_iter().map(|(id, _)| id).collect()
    }

    /// A superset of the matches, by way of an index where there is one.
    fn candidates(&self, store: &Store) -> Vec<String> {
        for filter in &self.filters {
            if let Filter::Id(ids) = filter {
                return ids.clone();
            }
            if let Filter::Identifier(tokens) = filter
                && let Some(values) = tokens.iter().map(|token| token.value.as_deref()).collect::<Option<Vec<_>>>()
            {
                let ids = values.into_iter().flat_map(|value| store.ids_with_identifier(&self.kind, value));
                let mut ids: Vec<String> = ids.map(str::to_owned).collect();
                ids.sort_by_key(|id| store.versions(&self.kind, id).first().map(|version| version.order));
                ids.dedup();
                return ids;
            }
        }
        store.ids(&self.kind).map(str::to_owned).collect()
    }
}

/// The moment of a history's `_since`.
pub(super) fn since(text: &str) -> Result<jiff::Timestamp, Failure> {
    date::span(text).map(|(start, _)| start).ok_or_else(|| bad_value("_since"))
}

impl Filter {
    fn matches(&self, id: &str, resource: &Value) -> bool {
        match self {
            Self::Id(ids) => ids.iter().any(|wanted| wanted == id),
            Self::Identifier(tokens) => {
                list(&resource["identifier"]).iter().any(|i| any_token(tokens, &i["system"], &i["value"]))
            }
            Self::Code(tokens) => {
                list(&resource["code"]["coding"]).iter().any(|c| any_token(tokens, &c["system"], &c["code"]))
            }
            Self::Status(tokens) => any_token(tokens, &Value::Null, &resource["status"]),
            Self::Reference { element, targets } => resource[element]["reference"]
                .as_str()
                .is_some_and(|reference| targets.iter().any(|target| refers_to(reference, target))),
            Self::Date { element, bounds } => {
                element.span(resource).is_some_and(|span| bounds.iter().any(|(how, bound)| how.holds(span, *bound)))
            }
        }
    }
}

impl DateElement {
    fn span(self, resource: &Value) -> Option<Span> {
        let text = |value: &Value| value.as_str().and_then(date::span);
        match self {
            Self::LastUpdated => text(&resource["meta"]["lastUpdated"]),
            Self::Occurrence => {
                if let Some(span) = text(&resource["effectiveDateTime"]).or_else(|| text(&resource["effectiveInstant"]))
                {
                    return Some(span);
                }
                let period = [&resource["effectivePeriod"], &resource["period"]].into_iter().find(|p| p.is_object())?;
                let start = text(&period["start"]).map_or(jiff::Timestamp::MIN, |(start, _)| start);
                Some((start, text(&period["end"]).map_or(jiff::Timestamp::MAX, |(_, end)| end)))
            }
        }
    }
}

impl Comparison {
    /// Compares spans as the standard says: `ge` also when they overlap.
    fn holds(self, (start, end): Span, (from, to): Span) -> bool {
        match self {
            Self::Equal => from <= start && end <= to,
            Self::NotEqual => start < from || to < end,
            Self::Less => start < from,
            Self::LessOrEqual => start < to,
            Self::Greater => to < end,
            Self::GreaterOrEqual => from < end,
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn any_token(tokens: &[Token], system: &Value, value: &Value) -> bool {
    tokens.iter().any(|token| {
        let system_fits = match token.system.as_deref() {
            None => true,
            Some("") => system.is_null(),
            Some(wanted) => system.as_str() == Some(wanted),
        };
        system_fits && token.value.as_deref().is_none_or(|wanted| value.as_str() == Some(wanted))
    })
}

/// Whether a stored reference, relative or absolute, means the target, given as
/// `Type/id` or `id`.
fn refers_to(reference: &str, target: &str) -> bool {
    let reference = reference.split("/_history/").next().unwrap_or(reference);
    reference == target || reference.strip_suffix(target).is_some_and(|rest| rest.ends_with('/'))
}

fn filter(kind: &str, name: &str, value: &str) -> Result<Filter, Failure> {
    let values = split(value, ',');
    let tokens = || values.iter().map(|value| token(value)).collect();
    let reference = |element| Filter::Reference { element, targets: values.iter().map(|v| unescape(v)).collect() };
    if values.iter().any(String::is_empty) {
        return Err(bad_value(name));
    }
    Ok(match (name, kind) {
        ("_id", _) => Filter::Id(values.iter().map(|value| unescape(value)).collect()),
        ("identifier", _) => Filter::Identifier(tokens()),
        ("code", "Observation") => Filter::Code(tokens()),
        ("status", "Observation" | "Device" | "Encounter") => Filter::Status(tokens()),
        ("patient", "Device") => reference("patient"),
        ("patient" | "subject", "Observation" | "Encounter") => reference("subject"),
        ("device", "Observation") => reference("device"),
        ("encounter", "Observation") => reference("encounter"),
        ("date", "Observation" | "Encounter") => {
            Filter::Date { element: DateElement::Occurrence, bounds: bounds(name, &values)? }
        }
        ("_lastUpdated", _) => Filter::Date { element: DateElement::LastUpdated, bounds: bounds(name, &values)? },
        _ => return Err(Failure::new(400, "not-supported", format!("{kind} has no such search parameter here"))),
    })
}

fn sort(value: &str) -> Result<Sort, Failure> {
    let (name, descending) = value.strip_prefix('-').map_or((value, false), |name| (name, true));
    let element = match name {
        "_lastUpdated" => DateElement::LastUpdated,
        "date" => DateElement::Occurrence,
        _ => return Err(bad_value("_sort")),
    };
    Ok(Sort { element, descending })
}

fn bounds(name: &str, values: &[String]) -> Result<Vec<(Comparison, Span)>, Failure> {
    values.iter().map(|value| bound(value).ok_or_else(|| bad_value(name))).collect()
}

fn bound(value: &str) -> Option<(Comparison, Span)> {
    let (comparison, rest) = match value.get(..2)? {
        "eq" => (Comparison::Equal, &value[2..]),
        "ne" => (Comparison::NotEqual, &value[2..]),
        "lt" => (Comparison::Less, &value[2..]),
        "le" => (Comparison::LessOrEqual, &value[2..]),
        "gt" => (Comparison::Greater, &value[2..]),
        "ge" => (Comparison::GreaterOrEqual, &value[2..]),
        _ => (Comparison::Equal, value),
    };
    Some((comparison, date::span(rest)?))
}

fn token(text: &str) -> Token {
    let parts = split(text, '|');
    match parts.split_first() {
        Some((system, rest)) if !rest.is_empty() => {
            let value = unescape(&rest.join("|"));
            Token { system: Some(unescape(system)), value: Some(value).filter(|value| !value.is_empty()) }
        }
        _ => Token { system: None, value: Some(unescape(text)) },
    }
}

/// Splits at a separator that no `\` stands before; escapes stay.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && !escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

fn number(name: &str, value: &str) -> Result<usize, Failure> {
    value.parse().map_err(|_| bad_value(name))
}

fn bad_value(name: &str) -> Failure {
    Failure::invalid(format!("search parameter `{name}` has a value that cannot be read"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(query: &str, expected: bool) {
        let resource = json!({
            "identifier": [{ "system": "urn:s", "value": "a,b|c" }, { "value": "plain" }],
            "status": "final",
            "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
            "subject": { "reference": "Patient/p1" },
            "device": { "reference": "http://x/fhir/Device/d1" },
            "effectiveDateTime": "2024-01-01T00:00:00Z",
        });
        let parsed = Query::parse("Observation", query).unwrap();
        assert_eq!(parsed.filters.iter().all(|filter| filter.matches("o1", &resource)), expected, "{query}");
    }

    #[test]
    fn matches_tokens() {
        check("identifier=urn:s%7Ca%5C,b%5C%7Cc", true);
        check("identifier=a%5C,b%5C%7Cc", true);
        check("identifier=urn:s|plain", false);
        check("identifier=|plain", true);
        check("identifier=%7Ca%5C,b%5C%7Cc", false);
        check("identifier=urn:s|", true);
        check("identifier=urn:t|", false);
        check("identifier=nope,plain", true);
        check("identifier=plai", false);
        check("identifier=plain&status=final&code=http://loinc.org|8867-4", true);
        check("identifier=plain&status=amended", false);
    }

    #[test]
    fn matches_references_and_dates() {
        check("subject=Patient/p1&patient=p1&device=d1&device=Device/d1", true);
        check("patient=1", false);
        check("date=ge2023-12-31", true);
        check("date=2024", true);
        check("date=lt2024-01-01", false);
        check("date=gt2024-01-01T00:00:00Z", false);
        check("date=le2024-01-01T00:00:00Z", true);
        check("_id=o2,o1", true);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for query in ["identifer=a", "identifier:exact=a", "date=yesterday", "_count=x", "identifier=", "_sort=code"] {
            assert_eq!(Query::parse("Observation", query).expect_err(query).status, 400, "{query}");
        }
    }
}
