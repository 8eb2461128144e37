//! Which partition key a device's measurements travel under
//! (device-mapping.md 8.2).
//!
//! All readings of a device share a key, so that they keep their order. The
//! function must not change: on a live hub that would tear a device's backlog
//! from its new readings.

use std::fmt;

/// The partition key of a device: one of 256 buckets, `"0"` to `"255"` on the
/// wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey(u8);

impl PartitionKey {
    /// How many keys there are.
    pub const COUNT: usize = 256;

    /// The key of a device, letter case ignored.
    pub fn of_device(device_id: &str) -> PartitionKey {
        PartitionKey((hash(device_id.chars().map(lower_case)) % Self::COUNT as u32) as u8)
    }

    /// Its number, below [`PartitionKey::COUNT`].
    pub fn bucket(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A measurement without device id has no partition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DeviceId is missing")]
pub struct NoDeviceId;

/// The partition key of a measurement that the reference connector sends by
/// itself: the device id as it stands. We send batches only, under
/// [`PartitionKey`]; whoever sends single measurements to the internal hub
/// beside us keeps a device's order among its own with this one
/// (device-mapping.md 8.2).
pub fn key_of_single(device_id: Option<&str>) -> Result<&str, NoDeviceId> {
    device_id.filter(|id| !id.trim().is_empty()).ok_or(NoDeviceId)
}

/// The bucket of a text as it stands; none when there are no buckets. What
/// [`PartitionKey`] builds upon, for any number of buckets.
pub fn bucket(text: &str, count: u32) -> Option<u32> {
    hash(text.chars()).checked_rem(count)
}

/// Runs over UTF-16 code units in wrapping 32-bit arithmetic. The reference
/// connector fails for ever on a text whose hash is the smallest number, since
/// that has no absolute value; here it has (quirk 21).
fn hash(text: impl Iterator<Item = char>) -> u32 {
    let mut hash = 0_i32;
    for c in text {
        for unit in c.encode_utf16(&mut [0; 2]) {
            hash = hash.wrapping_mul(31).wrapping_add(i32::from(*unit));
        }
    }
    hash.unsigned_abs()
}

/// One character for one, as .NET's invariant culture does it: the one
/// character that would become two stays.
fn lower_case(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_keys_of_the_reference_connector() {
        for (device_id, expected) in [
            ("abba", "32"),
            ("ABBA", "32"),
            ("aaabbb", "191"),
            ("abcdefghijklmnopqrstuvwxyz", "173"),
            ("abc", "98"),
            ("Device123", "28"),
            ("device1", "155"),
            ("device2", "156"),
            ("", "0"),
        ] {
            assert_eq!(PartitionKey::of_device(device_id).to_string(), expected, "{device_id}");
        }
    }

    #[test]
    fn takes_the_text_that_the_reference_connector_fails_on() {
        assert_eq!(PartitionKey::of_device("polygenelubricants").bucket(), 0);
    }

    #[test]
    fn counts_utf16_units() {
        assert_eq!(bucket("😀", 256), Some(99));
        assert_eq!(bucket("test", 0), None);
    }
}
