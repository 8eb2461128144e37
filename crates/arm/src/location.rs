//! Regions (resource-provider.md 2.4).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A region, as it was written. Two are equal when they are without blanks and
/// letter case.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Location(String);

/// What the seed documents write for a region that is called otherwise
/// (resource-provider.md 9, row 19).
const ALIASES: [(&str, &str); 1] = [("uswest2", "westus2")];

impl Location {
    /// A region by its name, short or for people.
    pub fn new(text: impl Into<String>) -> Location {
        Location(text.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The short name, which URLs have: `westus2`.
    pub fn short(&self) -> String {
        let letters = self.0.chars().filter(|letter| !letter.is_whitespace());
        let short: String = letters.flat_map(char::to_lowercase).collect();
        ALIASES.iter().find(|(alias, _)| *alias == short).map_or(short, |(_, name)| (*name).to_owned())
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Location) -> bool {
        self.short() == other.short()
    }
}

impl Eq for Location {}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_letter_case_and_the_seeds_alias_do_not_count() {
        let westus2 = Location::new("westus2");
        for text in ["West US 2", "WESTUS2", "US West 2", " westus2 "] {
            assert_eq!(Location::new(text), westus2, "{text}");
        }
        assert_ne!(Location::new("westus"), westus2);
        assert_eq!(Location::new("West US 2").as_str(), "West US 2");
    }
}
