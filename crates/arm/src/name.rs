//! Names in URLs: subscriptions, resource groups and resources
//! (resource-provider.md 2.1).
//!
//! Compared without letter case, kept and given back as they were written.

use crate::error::{ArmError, ErrorCode};

/// Checks the id of a subscription: a GUID.
pub fn check_subscription(text: &str) -> Result<(), ArmError> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    let hexadecimal = groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal && lengths.eq([8, 4, 4, 4, 12]) {
        return Ok(());
    }
    let message = "The subscription in the URL is not a GUID.";
    Err(ArmError::at(ErrorCode::InvalidResourceName, "subscriptionId", message))
}

/// Checks the name of a resource group: 1 to 90 letters, digits, `-`, `_`, `(`,
/// `)` and `.`, not ending in `.`.
pub fn check_group(text: &str) -> Result<(), ArmError> {
    let allowed = |letter: char| letter.is_alphanumeric() || "-_().".contains(letter);
    let length = text.chars().count();
    if (1..=90).contains(&length) && text.chars().all(allowed) && !text.ends_with('.') {
        return Ok(());
    }
    let message = "A resource group has 1 to 90 letters, digits, `-`, `_`, `(`, `)` or `.`, and does not end in `.`.";
    Err(ArmError::at(ErrorCode::InvalidResourceName, "resourceGroupName", message))
}

/// Checks the name of a workspace, connector, connection or destination: 3 to 24
/// letters, digits and inner hyphens.
pub fn check_resource(text: &str) -> Result<(), ArmError> {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let ends = [bytes.first(), bytes.last()].into_iter().flatten().all(u8::is_ascii_alphanumeric);
    if (3..=24).contains(&bytes.len()) && bytes.iter().all(inner) && ends {
        return Ok(());
    }
    let message = format!(
        "The name `{text}` is not allowed: 3 to 24 letters, digits and hyphens, with a letter or digit at both ends."
    );
    Err(ArmError::at(ErrorCode::InvalidResourceName, "name", message))
}

/// Checks the name of a Gen1 mapping, which says what it maps.
pub fn check_gen1_mapping(text: &str) -> Result<(), ArmError> {
    if ["device", "fhir"].iter().any(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(());
    }
    let message = format!("The name `{text}` is not allowed: a mapping is `device` or `fhir`.");
    Err(ArmError::at(ErrorCode::InvalidResourceName, "name", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&str) -> Result<(), ArmError>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule(text), Ok(()), "{text}");
        }
        for text in bad {
            assert!(rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn resources() {
        let longest = "a".repeat(24);
        let too_long = "a".repeat(25);
        check(
            check_resource,
            &["ws1", "Iot-1", "1-2", &longest],
            &["", "ab", "-ab", "ab-", "a_b", "a.b", "äöü", &too_long],
        );
    }

    #[test]
    fn groups() {
        let longest = "a".repeat(90);
        let too_long = "a".repeat(91);
        check(
            check_group,
            &["r", "RG (1)-_.x".replace(' ', "").as_str(), &longest],
            &["", "rg.", "r g", "r/g", &too_long],
        );
    }

    #[test]
    fn subscriptions() {
        check(
            check_subscription,
            &["0b1f6471-1bf0-4dda-aec3-111122223333", "0B1F6471-1BF0-4DDA-AEC3-111122223333"],
            &["", "sub", "0b1f64711bf04ddaaec3111122223333", "0b1f6471-1bf0-4dda-aec3-11112222333g"],
        );
    }

    #[test]
    fn gen1_mappings() {
        check(check_gen1_mapping, &["device", "FHIR"], &["devices", ""]);
    }
}
