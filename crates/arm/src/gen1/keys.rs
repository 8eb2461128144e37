//! The keys of a connection (resource-provider.md 3.8). Never stored, never
//! logged: neither type prints itself.

use std::fmt;

use serde::Serialize;

use crate::body::Body;
use crate::error::{ArmError, ErrorCode};

/// What `listKeys` and `regenerateKeys` answer.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionKeys {
    /// The rule's name, which is the connection's.
    pub key_name: String,
    /// The first key.
    pub primary_key: String,
    /// The second.
    pub secondary_key: String,
    /// What a device is given, with the first key.
    pub primary_connection_string: String,
    /// The same with the second.
    pub secondary_connection_string: String,
}

impl fmt::Debug for ConnectionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionKeys").field("key_name", &self.key_name).finish_non_exhaustive()
    }
}

/// Which key is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

impl KeyType {
    /// As Event Hubs calls it, and our own API.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyType::Primary => "PrimaryKey",
            KeyType::Secondary => "SecondaryKey",
        }
    }

    /// Reads the body of `regenerateKeys`: `{"keyType":"PrimaryKey"}`, or
    /// `keyName`, `primary`.
    ///
    /// # Errors
    ///
    /// `InvalidRequestContent`, `InvalidPropertyValue`.
    pub fn read(bytes: &[u8]) -> Result<KeyType, ArmError> {
        let body = Body::read(bytes)?;
        let (kind, name): (Option<String>, Option<String>) =
            (body.read_member("keyType")?, body.read_member("keyName")?);
        let is = |text: &Option<String>, word: &str| text.as_ref().is_some_and(|text| text.eq_ignore_ascii_case(word));
        let [primary, secondary] = [("PrimaryKey", "primary"), ("SecondaryKey", "secondary")]
            .map(|(of_kind, of_name)| (kind.is_none() || is(&kind, of_kind)) && (name.is_none() || is(&name, of_name)));
        // Neither, or both for want of a word: a key is not made anew by a guess.
        match (primary, secondary) {
            (true, false) => Ok(KeyType::Primary),
            (false, true) => Ok(KeyType::Secondary),
            _ => {
                let message = "`keyType` has to be `PrimaryKey` or `SecondaryKey`.";
                Err(ArmError::at(ErrorCode::InvalidPropertyValue, "keyType", message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_in_either_way() {
        let read = |text: &str| KeyType::read(text.as_bytes()).map_err(|error| error.code);
        assert_eq!(read(r#"{"keyType":"PrimaryKey"}"#), Ok(KeyType::Primary));
        assert_eq!(read(r#"{"keyName":"secondary"}"#), Ok(KeyType::Secondary));
        for wrong in ["{}", r#"{"keyType":"PrimaryKey","keyName":"secondary"}"#, r#"{"keyType":"primary"}"#] {
            assert_eq!(read(wrong), Err(ErrorCode::InvalidPropertyValue), "{wrong}");
        }
        assert_eq!(read("[]"), Err(ErrorCode::InvalidRequestContent));
        assert_eq!(read(r#"{"keyType":1}"#), Err(ErrorCode::InvalidRequestContent));
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = ConnectionKeys {
            key_name: "conn1".into(),
            primary_key: "MARK".into(),
            secondary_key: "MARK".into(),
            primary_connection_string: "MARK".into(),
            secondary_connection_string: "MARK".into(),
        };
        assert!(!format!("{keys:?}").contains("MARK"));
    }
}
