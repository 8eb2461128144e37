//! Tags of tracked resources (resource-provider.md 2.10).

use std::collections::BTreeMap;

use crate::error::{ArmError, ErrorCode};

/// Tags, by their keys.
pub type Tags = BTreeMap<String, String>;

/// Checks tags: at most `count_max`, keys of 512 and values of 256 characters,
/// and no `< > % & \ ? /` or control character in a key.
///
/// # Errors
///
/// `InvalidTag`; neither keys nor values are quoted.
pub fn check(tags: &Tags, count_max: usize) -> Result<(), ArmError> {
    let refused = |message: String| Err(ArmError::at(ErrorCode::InvalidTag, "tags", message));
    if tags.len() > count_max {
        return refused(format!("There are {} tags; at most {count_max} are allowed.", tags.len()));
    }
    let forbidden = |letter: char| "<>%&\\?/".contains(letter) || letter.is_control();
    for (position, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > 512 || key.contains(forbidden) {
            return refused(format!(
                "The key of tag {position}, in the order of keys, is not allowed: 1 to 512 characters, none of \
                 < > % & \\ ? / and no control characters."
            ));
        }
        if value.chars().count() > 256 {
            return refused(format!(
                "The value of tag {position}, in the order of keys, is longer than 256 characters."
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_one(key: &str, value: &str, good: bool) {
        let tags = Tags::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(check(&tags, 15).is_ok(), good, "{key}={value}");
    }

    #[test]
    fn keys_and_values_have_limits() {
        check_one("env", "", true);
        check_one(&"k".repeat(512), &"v".repeat(256), true);
        check_one(&"k".repeat(513), "", false);
        check_one("k", &"v".repeat(257), false);
        for key in ["", "a/b", "a<b", "a%b", "a&b", "a\\b", "a?b", "a\u{7}b"] {
            check_one(key, "v", false);
        }
    }

    #[test]
    fn their_number_has_a_limit() {
        let tags: Tags = (0..16).map(|number| (number.to_string(), String::new())).collect();
        assert!(check(&tags, 15).is_err());
        assert!(check(&tags, 16).is_ok());
    }
}
