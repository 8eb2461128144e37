//! Versions of the API (resource-provider.md 2.3).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{ArmError, ErrorCode};

/// A version that some type of ours has, in its canonical spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ApiVersion(&'static str);

/// Of the first generation.
pub(crate) const GEN1: &[ApiVersion] = &[ApiVersion("2020-05-01-preview")];
/// The one of the seed documents for the second generation; the types
/// `destinations` and `mappings` have no other.
pub(crate) const GEN2_FIRST: &[ApiVersion] = &[ApiVersion("2020-11-01-preview")];
/// Of workspaces and connectors.
pub(crate) const GEN2: &[ApiVersion] = &[
    ApiVersion("2020-11-01-preview"),
    ApiVersion("2021-06-01-preview"),
    ApiVersion("2021-11-01"),
    ApiVersion("2022-01-31-preview"),
    ApiVersion("2022-05-15"),
    ApiVersion("2022-06-01"),
    ApiVersion("2022-10-01-preview"),
    ApiVersion("2022-12-01"),
    ApiVersion("2023-02-28"),
    ApiVersion("2023-09-06"),
    ApiVersion("2023-11-01"),
    ApiVersion("2023-12-01"),
    ApiVersion("2024-03-01"),
    ApiVersion("2024-03-31"),
    ApiVersion("2025-03-01-preview"),
    ApiVersion("2025-04-01-preview"),
];

impl ApiVersion {
    /// As the query has it.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether resources show `systemData`: not in the versions of 2020.
    pub fn has_system_data(self) -> bool {
        !self.0.starts_with("2020-")
    }

    /// Whether destinations are `destinations`, as in the seed documents, and
    /// not `fhirdestinations`.
    pub fn has_short_destinations(self) -> bool {
        GEN2_FIRST.contains(&self)
    }

    /// Reads the parameter for a type that has `versions`, called `what` in the
    /// error.
    pub fn read(text: Option<&str>, versions: &[ApiVersion], what: &str) -> Result<ApiVersion, ArmError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            let message = "The api-version query parameter (?api-version=) is required for all requests.";
            return Err(ArmError::new(ErrorCode::MissingApiVersionParameter, message));
        };
        if let Some(version) = versions.iter().find(|version| version.0.eq_ignore_ascii_case(text)) {
            return Ok(*version);
        }
        if !is_date_with_stage(text) {
            let message = "The api-version is not a date YYYY-MM-DD, which -preview, -alpha, -beta, -rc or \
                           -privatepreview may follow.";
            return Err(ArmError::new(ErrorCode::InvalidApiVersionParameter, message));
        }
        let list: Vec<&str> = versions.iter().map(|version| version.0).collect();
        let message = format!(
            "No registered resource provider found for API version '{text}' for type '{what}'. The supported \
             api-versions are '{}'.",
            list.join(", ")
        );
        Err(ArmError::new(ErrorCode::NoRegisteredProviderFound, message))
    }

    /// Every version that any type has, oldest first.
    pub fn all() -> Vec<ApiVersion> {
        let mut all = [GEN1, GEN2].concat();
        all.sort_unstable();
        all
    }
}

/// Whether a text has the form of a version.
fn is_date_with_stage(text: &str) -> bool {
    let Some((date, stage)) = text.split_at_checked(10) else { return false };
    let date_fits = date.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let stages = ["", "-preview", "-alpha", "-beta", "-rc", "-privatepreview"];
    date_fits && stages.iter().any(|known| known.eq_ignore_ascii_case(stage))
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de> Deserialize<'de> for ApiVersion {
    /// Of what was stored: a version that some type of ours has.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<ApiVersion, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = ApiVersion::all().into_iter().find(|version| version.0 == text);
        known.ok_or_else(|| serde::de::Error::custom("a version that this program does not know"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: Option<&str>, expected: Result<&str, ErrorCode>) {
        let read = ApiVersion::read(text, GEN2, "workspaces").map(ApiVersion::as_str);
        assert_eq!(read.map_err(|error| error.code), expected, "{text:?}");
    }

    #[test]
    fn versions_are_read_without_letter_case() {
        check(Some("2020-11-01-PREVIEW"), Ok("2020-11-01-preview"));
        check(Some("2024-03-31"), Ok("2024-03-31"));
    }

    #[test]
    fn the_three_ways_to_be_wrong() {
        check(None, Err(ErrorCode::MissingApiVersionParameter));
        check(Some(""), Err(ErrorCode::MissingApiVersionParameter));
        for text in ["latest", "2024-3-31", "2024-03-31-ga", "2024-03-31x", "2024/03/31", "２０２４-03-31"] {
            check(Some(text), Err(ErrorCode::InvalidApiVersionParameter));
        }
        check(Some("2020-05-01-preview"), Err(ErrorCode::NoRegisteredProviderFound));
        check(Some("2019-01-01-rc"), Err(ErrorCode::NoRegisteredProviderFound));
    }

    #[test]
    fn the_list_of_versions_is_in_the_message() {
        let error = ApiVersion::read(Some("2019-01-01"), GEN1, "services/iomtconnectors").unwrap_err();
        assert!(error.message.contains("2020-05-01-preview"), "{}", error.message);
    }
}
