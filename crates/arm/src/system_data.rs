//! Who made and changed a resource, and when (resource-provider.md 2.10).

use serde::{Deserialize, Serialize};

/// `systemData`: texts of ARM's, given back as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SystemData {
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Whether that was a user or a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by_type: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Who changed it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_by: Option<String>,
    /// Whether that was a user or a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_by_type: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_at: Option<String>,
}

impl SystemData {
    /// What the header `x-ms-arm-resource-system-data` says; nothing, when it
    /// says nothing that can be read.
    pub fn of_header(text: Option<&str>) -> SystemData {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Of a resource that is changed: who made it stays as it was.
    pub fn changed(&self, header: SystemData) -> SystemData {
        let SystemData { created_by, created_by_type, created_at, .. } = self.clone();
        SystemData { created_by, created_by_type, created_at, ..header }
    }

    /// With what the header lacked: for proxies we are who knows. `now` is
    /// RFC 3339.
    pub fn filled(mut self, now: &str, is_new: bool) -> SystemData {
        self.last_modified_at.get_or_insert_with(|| now.to_owned());
        if is_new {
            self.created_at.get_or_insert_with(|| now.to_owned());
        }
        self
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == SystemData::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_who_made_it() {
        let made = SystemData::of_header(Some(r#"{"createdBy":"a","createdAt":"1","lastModifiedBy":"a"}"#));
        let changed = made.changed(SystemData::of_header(Some(r#"{"createdBy":"b","lastModifiedBy":"b"}"#)));
        assert_eq!(
            serde_json::to_string(&changed).unwrap(),
            r#"{"createdBy":"a","createdAt":"1","lastModifiedBy":"b"}"#
        );
    }

    #[test]
    fn an_unreadable_header_says_nothing() {
        for text in [None, Some(""), Some("{"), Some("[]"), Some(r#"{"createdBy":3}"#)] {
            assert!(SystemData::of_header(text).is_empty(), "{text:?}");
        }
    }
}
