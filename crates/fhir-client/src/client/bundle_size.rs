//! How large a bundle may be, learnt from what the server takes.
//!
//! ```text
//! refused, and the answer names a number   that many entries, from then on
//! refused, and its halves were taken       half of its entries, or of its bytes after a 413, from then on
//! no answer                                half for now, growing back: it may have taken too long
//! no batches at all                        single requests, from then on
//! ```
//!
//! No CapabilityStatement has a member for it, so the first refusal is what
//! tells; what it tells is kept for as long as the process knows the server.
//! The settings are upper bounds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

/// The limits of a bundle now.
#[derive(Debug)]
pub(super) struct BundleSize {
    /// What the server takes, as far as we know.
    most: AtomicUsize,
    now: AtomicUsize,
    bytes: AtomicUsize,
    /// The server has taken a bundle, so it knows batches.
    taken: AtomicBool,
}

impl BundleSize {
    pub(super) fn new(entries: usize, bytes: usize) -> BundleSize {
        let entries = entries.max(1);
        BundleSize {
            most: AtomicUsize::new(entries),
            now: AtomicUsize::new(entries),
            bytes: AtomicUsize::new(bytes),
            taken: AtomicBool::new(false),
        }
    }

    /// How many entries.
    pub(super) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// How many bytes of resources.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A bundle was taken.
    pub(super) fn grow(&self) {
        self.taken.store(true, Ordering::Relaxed);
        let (size, most) = (self.now(), self.most.load(Ordering::Relaxed));
        if (2..most).contains(&size) {
            self.now.store((size + size.div_ceil(10)).min(most), Ordering::Relaxed);
        }
    }

    /// There was no answer to a bundle of `entries`. Never goes below 2, where
    /// a bundle still says whether the server takes bundles.
    pub(super) fn shrink(&self, entries: usize) {
        self.now.fetch_min((entries / 2).max(2), Ordering::Relaxed);
    }

    /// The server takes no bundle of more than `entries`.
    pub(super) fn limit_entries(&self, entries: usize) {
        let entries = entries.max(2);
        self.most.fetch_min(entries, Ordering::Relaxed);
        self.now.fetch_min(entries, Ordering::Relaxed);
    }

    /// The server takes no bundle of more than `bytes`.
    pub(super) fn limit_bytes(&self, bytes: usize) {
        self.bytes.fetch_min(bytes.max(1), Ordering::Relaxed);
    }

    /// Whether the server has taken one.
    pub(super) fn was_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// The server needs single requests.
    pub(super) fn single(&self) {
        self.most.store(1, Ordering::Relaxed);
        self.now.store(1, Ordering::Relaxed);
    }
}

/// The number of entries that the refusal of a bundle of `entries` names as the
/// most: `The number of entries in the bundle exceeded the configured limit of
/// 500.` It has to speak of a limit, and the number has to be one that would
/// explain the refusal.
pub(super) fn named_limit(body: &[u8], entries: usize) -> Option<usize> {
    let outcome: Value = serde_json::from_slice(body).ok()?;
    let texts = outcome
        .get("issue")?
        .as_array()?
        .iter()
        .flat_map(|issue| [issue.get("diagnostics"), issue.get("details").and_then(|details| details.get("text"))]);
    let numbers =
        texts.flatten().filter_map(Value::as_str).filter(|text| speaks_of_a_limit(text)).flat_map(|text| {
            text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<usize>().ok())
        });
    numbers.filter(|number| (2..entries).contains(number)).max()
}

fn speaks_of_a_limit(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    has(&["entries", "entry", "bundle"]) && has(&["limit", "exceed", "maximum", "at most", "more than", "max"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn grows_back_to_what_the_server_takes() {
        let size = BundleSize::new(100, 1000);
        size.shrink(100);
        assert_eq!(size.now(), 50);
        size.grow();
        assert_eq!(size.now(), 55);
        (0..20).for_each(|_| size.grow());
        assert_eq!(size.now(), 100);
        size.limit_entries(30);
        (0..20).for_each(|_| size.grow());
        assert_eq!(size.now(), 30, "what was refused once is not tried again");
        size.limit_bytes(500);
        size.limit_bytes(700);
        assert_eq!(size.bytes(), 500);
        size.shrink(3);
        assert_eq!(size.now(), 2);
        size.single();
        size.grow();
        assert_eq!(size.now(), 1);
    }

    #[test]
    fn reads_the_limit_that_a_refusal_names() {
        let named = |text: &str| {
            let outcome = json!({ "resourceType": "OperationOutcome", "issue": [{ "diagnostics": text }] });
            named_limit(outcome.to_string().as_bytes(), 100)
        };
        let cases = [
            ("The number of entries in the bundle exceeded the configured limit of 50.", Some(50)),
            ("the bundle has 100 entries; at most 30 are taken", Some(30)),
            ("the bundle exceeds 4194304 bytes", None),
            ("entry 7 of the bundle is not valid", None),
            ("the limit is 20 requests a second", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(named(text), expected, "{text}");
        }
        assert_eq!(named_limit(b"<html>", 100), None);
    }
}
