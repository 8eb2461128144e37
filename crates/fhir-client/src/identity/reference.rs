//! References between resources, as the reference connector reads them.

use serde_json::Value;

/// The logical id in a reference of the form `Type/id`; the type in any letter
/// case, the id of letters, digits and `_ . - ~ #`.
///
/// Absolute addresses, `urn:uuid:` and references to a version give none
/// (fhir-conversion.md 7.3).
pub fn reference_id<'r>(reference: &'r str, kind: &str) -> Option<&'r str> {
    let (found, id) = reference.split_once('/')?;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '~' | '#');
    (found.eq_ignore_ascii_case(kind) && !id.is_empty() && id.chars().all(valid)).then_some(id)
}

/// The logical id of the Patient that a Device names.
pub(super) fn patient_of(device: &Value) -> Option<&str> {
    reference_id(device.get("patient")?.get("reference")?.as_str()?, "Patient")
}

/// The logical id of a resource, if it is one that can stand in an address.
pub(super) fn id_of(resource: &Value) -> Option<&str> {
    let id = resource.get("id")?.as_str()?;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let dots_only = id.chars().all(|c| c == '.');
    (!dots_only && id.chars().all(valid)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_relative_references_only() {
        let cases = [
            ("Patient/123", Some("123")),
            ("patient/123", Some("123")),
            ("Patient/a.b-c_d~e#f", Some("a.b-c_d~e#f")),
            ("Patient/", None),
            ("Patient/123?_id=123", None),
            ("Patient/1/_history/1", None),
            ("https://fhir.example/Patient/123", None),
            ("urn:uuid:c757873d-ec9a-4326-a141-556f43239520", None),
            ("Group/123", None),
            ("Not a reference in the form of: ResourceName/Identifier", None),
        ];
        for (reference, expected) in cases {
            assert_eq!(reference_id(reference, "Patient"), expected, "{reference}");
        }
    }

    #[test]
    fn takes_no_id_that_could_lead_elsewhere() {
        for (id, expected) in [("a-1.b", true), ("", false), ("..", false), ("a/b", false), ("a?b", false)] {
            assert_eq!(id_of(&json!({ "id": id })).is_some(), expected, "{id}");
        }
    }
}
