//! Reads app settings, checks them all, and reports every problem at once.
//!
//! ```text
//! environment --envy--> struct of optional texts --Checks--> checked struct | every problem
//! ```
//!
//! A binary declares its settings as a struct of `Option<String>` whose serde
//! names are the settings' names in lower case (envy and .NET both ignore
//! case), reads it with [`read`], and checks each field with [`Checks`].
//! Nothing below `main` reads the environment.

pub mod compatibility;
pub mod dead_letters;
pub mod error_page;
pub mod function;
pub mod host;
pub mod hub;
pub mod identity;
pub mod loops;
pub mod names;
pub mod parking;
pub mod source;
pub mod telemetry;

use std::fmt;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use url::Url;

pub use compatibility::{CompatibilitySettings, Profile, Switches, switches};
pub use dead_letters::{DeadLetterPlace, DeadLetterSettings, EitherDeadLetters};
pub use function::{Front, Function, FunctionSettings, MappingPlace, TemplateSettings};
pub use host::{HostOwnership, HostStorageSettings};
pub use hub::{HubTexts, NormalizationHubSettings};
pub use identity::{ExternalIdentitySettings, HostInputSettings, HubAccess};
pub use loops::{NamedHub, check_different};
pub use parking::{EitherParking, ParkingOptions, ParkingSettings};
pub use source::{
    EitherHub, EitherPositions, NativeOptions, NativeSettings, PositionOptions, PositionPlace, ProcessOptions,
    SourceTexts,
};

/// Reads settings from pairs of name and value, such as the environment.
///
/// Only optional texts can be read, so this fails only when `T` asks for
/// something else, which is a defect of the binary.
pub fn read<T: DeserializeOwned>(pairs: impl Iterator<Item = (String, String)>) -> Result<T, SettingsError> {
    envy::from_iter(pairs).map_err(|error| SettingsError(vec![error.to_string()]))
}

/// The pairs of the process' environment that are text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Every problem that was found, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Checks settings one by one and remembers what is wrong.
///
/// Each method gives the value, or a stand-in that is never used because
/// [`Checks::finish`] then fails.
#[derive(Debug, Default)]
pub struct Checks {
    problems: Vec<String>,
}

impl Checks {
    /// A text that has to be there.
    pub fn required(&mut self, name: &str, value: Option<String>, expected: &str) -> String {
        match non_blank(value) {
            Some(value) => value,
            None => {
                self.problem(format!("app setting `{name}` is not set; expected {expected}"));
                String::new()
            }
        }
    }

    /// Reads a value when there is one; `parse` gives none for a bad one.
    pub fn optional<T>(
        &mut self,
        name: &str,
        value: Option<String>,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = non_blank(value)?;
        let parsed = parse(value.trim());
        if parsed.is_none() {
            self.problem(format!("app setting `{name}` is `{}`; expected {expected}", without_secrets(&value)));
        }
        parsed
    }

    /// `true` or `false`, in any case.
    pub fn flag(&mut self, name: &str, value: Option<String>, default: bool) -> bool {
        let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        self.optional(name, value, "`true` or `false`", parse).unwrap_or(default)
    }

    /// A whole number within bounds.
    pub fn number(
        &mut self,
        name: &str,
        value: Option<String>,
        bounds: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let parse = |text: &str| text.parse().ok().filter(|number| bounds.contains(number));
        self.optional(name, value, &expected, parse).unwrap_or(default)
    }

    /// An absolute URL with the scheme http or https.
    pub fn url(&mut self, name: &str, value: Option<String>) -> Option<Url> {
        let parse = |text: &str| Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        self.optional(name, value, "an absolute URL with http or https", parse)
    }

    /// A text that must never be printed.
    pub fn secret(&mut self, value: Option<String>) -> Option<SecretString> {
        non_blank(value).map(SecretString::from)
    }

    /// Remembers a problem.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The checked settings, or every problem. `settings` is none only when a
    /// problem was found.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, SettingsError> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(SettingsError(self.problems)),
        }
    }
}

/// What of a value may be printed: a password before `@` and a query, which can
/// be a SAS or a key, are left out, and all of a connection string, which may
/// have come under the wrong name.
fn without_secrets(value: &str) -> String {
    let folded = value.to_ascii_lowercase();
    if ["accountkey", "sharedaccess", "sig=", "secret", "password", "pwd="].iter().any(|sign| folded.contains(sign)) {
        return "… (not shown: it holds a secret)".to_owned();
    }
    let value = match value.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://…@{rest}"),
            None => value.to_owned(),
        },
        None => value.to_owned(),
    };
    match value.split_once('?') {
        Some((address, _)) => format!("{address}?…"),
        None => value,
    }
}

/// A setting that is blank counts as not set, as in .NET.
pub fn non_blank(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Raw {
        #[serde(rename = "fhirservice__url")]
        url: Option<String>,
        #[serde(rename = "eventbatching__maxevents")]
        events: Option<String>,
        #[serde(rename = "template__fhirmapping")]
        mapping: Option<String>,
    }

    fn check(pairs: &[(&str, &str)]) -> Result<(Option<Url>, u64, String), SettingsError> {
        let raw: Raw = read(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))?;
        let mut checks = Checks::default();
        let url = checks.url("FhirService__Url", raw.url);
        let events = checks.number("EventBatching__MaxEvents", raw.events, 1..=1000, 300);
        let mapping = checks.required("Template__FhirMapping", raw.mapping, "the name of a file or blob");
        checks.finish(Some((url, events, mapping)))
    }

    #[test]
    fn reads_names_in_any_case_and_values_as_they_are() {
        let settings = [("FhirService__Url", "https://h/fhir"), ("TEMPLATE__FHIRMAPPING", "01e3.json")];
        let expected = (Url::parse("https://h/fhir").ok(), 300, "01e3.json".to_owned());
        assert_eq!(check(&settings), Ok(expected));
    }

    #[test]
    fn prints_no_secret_of_an_address() {
        let cases = [
            ("htp://st1.example/c?sv=1&code=s3cret", "htp://st1.example/c?…"),
            ("sv=1&sig=s3cret", "… (not shown: it holds a secret)"),
            ("Endpoint=sb://h/;SharedAccessKey=s3cret", "… (not shown: it holds a secret)"),
            ("AccountName=a;accountkey=s3cret", "… (not shown: it holds a secret)"),
            ("htp://user:s3cret@h/fhir?code=s3cret", "htp://…@h/fhir?…"),
            ("fhir", "fhir"),
        ];
        for (value, printed) in cases {
            assert_eq!(without_secrets(value), printed);
        }
    }

    #[test]
    fn reports_every_problem_at_once() {
        let error = check(&[("FhirService__Url", "fhir"), ("EventBatching__MaxEvents", "0")]).map(|_| ());
        let problems = [
            "app setting `FhirService__Url` is `fhir`; expected an absolute URL with http or https",
            "app setting `EventBatching__MaxEvents` is `0`; expected a whole number from 1 to 1000",
            "app setting `Template__FhirMapping` is not set; expected the name of a file or blob",
        ];
        assert_eq!(error.map_err(|error| error.to_string()), Err(problems.join("\n")));
    }
}
