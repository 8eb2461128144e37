//! ETags and conditions (resource-provider.md 2.9).

use crate::error::{ArmError, ErrorCode};

/// The conditions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions<'r> {
    /// `If-Match`.
    pub if_match: Option<&'r str>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'r str>,
}

impl Conditions<'_> {
    /// Whether a request may go on with a resource that has this ETag, quotes
    /// included, or that is not there.
    ///
    /// # Errors
    ///
    /// `PreconditionFailed`.
    pub fn check(&self, etag: Option<&str>) -> Result<(), ArmError> {
        // RFC 9110 13.1: a weak tag is no match for a write, and enough to be told of one.
        let strong = |tag: &str| !tag.starts_with("W/");
        let holds = self.if_match.is_none_or(|tags| names(tags, etag, strong))
            && !self.if_none_match.is_some_and(|tags| names(tags, etag, |_| true));
        if holds {
            return Ok(());
        }
        let message = match etag {
            Some(_) => "The resource is not in the state that the condition of the request names. Read it again.",
            None => "The condition of the request names a resource that does not exist.",
        };
        Err(ArmError::new(ErrorCode::PreconditionFailed, message))
    }
}

/// Whether a list of ETags names this one by one that counts. `*` names any that is
/// there.
fn names(tags: &str, etag: Option<&str>, counts: impl Fn(&str) -> bool) -> bool {
    let Some(etag) = etag else { return false };
    let named = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    tags.split(',').map(str::trim).any(|tag| counts(tag) && named(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(if_match: Option<&str>, if_none_match: Option<&str>, etag: Option<&str>, expected: bool) {
        let conditions = Conditions { if_match, if_none_match };
        assert_eq!(conditions.check(etag).is_ok(), expected, "{conditions:?} {etag:?}");
    }

    #[test]
    fn the_table_of_the_contract() {
        check(None, None, None, true);
        check(None, None, Some("\"x\""), true);
        check(Some("*"), None, None, false);
        check(Some("*"), None, Some("\"x\""), true);
        check(Some("\"x\""), None, None, false);
        check(Some("\"x\""), None, Some("\"x\""), true);
        check(Some("\"x\""), None, Some("\"y\""), false);
        check(None, Some("*"), None, true);
        check(None, Some("*"), Some("\"x\""), false);
        check(None, Some("\"y\""), Some("\"x\""), true);
    }

    #[test]
    fn lists_and_weak_tags() {
        check(Some("\"a\", \"x\""), None, Some("\"x\""), true);
        check(Some("W/\"x\""), None, Some("\"x\""), false);
        check(None, Some("W/\"x\""), Some("\"x\""), false);
        check(Some("x"), None, Some("\"x\""), false);
    }
}
