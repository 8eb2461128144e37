//! Ids of documents and operations (resource-provider.md 2.7, 3.5).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How long an id is.
pub const LENGTH: usize = 25;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// An id of a stored document: 25 characters of `[0-9a-z]`. That of an operation
/// is the last segment of its URLs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(String);

impl DocumentId {
    /// The id of a random number, all 128 bits of it.
    pub fn from_random(mut number: u128) -> DocumentId {
        let mut digits = [b'0'; LENGTH];
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[(number % 36) as usize];
            number /= 36;
        }
        DocumentId(digits.iter().map(|digit| char::from(*digit)).collect())
    }

    /// The id that a text is, if it has the form of one.
    pub fn read(text: &str) -> Option<DocumentId> {
        let fits = text.len() == LENGTH && text.bytes().all(|byte| DIGITS.contains(&byte));
        fits.then(|| DocumentId(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_gives_an_id_of_its_own() {
        let ids = [0, 1, 36, u128::MAX, u128::MAX - 1].map(DocumentId::from_random);
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(DocumentId::read(id.as_str()).as_ref(), Some(id));
            assert!(!ids[..index].contains(id));
        }
        assert_eq!(ids[0].as_str(), "0".repeat(25));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "i56w6ng7yo05aikg5x4m1ybp", "I56w6ng7yo05aikg5x4m1ybpd", "i56w6ng7yo05aikg5x4m1ybpdx"] {
            assert_eq!(DocumentId::read(text), None, "{text}");
        }
    }
}
