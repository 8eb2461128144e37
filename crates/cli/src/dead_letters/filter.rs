//! Which dead letters are meant.

use delivery::stored_letter::{LetterKey, plain};
use delivery::{Stage, StoredDeadLetter};
use expressions::{DateTime, UtcTime};

use super::place::Place;

/// Flags that choose letters; each has to fit.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which of them")]
pub struct Filter {
    /// Rejected by `normalize` or by `group-convert`.
    #[arg(long, value_name = "STAGE", value_parser = stage)]
    pub stage: Option<Stage>,
    /// Rejected for this reason, such as `InvalidDataFormat`; may be given
    /// several times.
    #[arg(long, value_name = "CODE")]
    pub reason: Vec<String>,
    /// The hub that the event came from.
    #[arg(long, value_name = "HUB")]
    pub origin: Option<String>,
    /// The partition that the event came from.
    #[arg(long, value_name = "PARTITION")]
    pub partition: Option<String>,
    /// Sequence numbers from this one on.
    #[arg(long, value_name = "NUMBER")]
    pub first: Option<i64>,
    /// Sequence numbers up to this one.
    #[arg(long, value_name = "NUMBER")]
    pub last: Option<i64>,
    /// Events that the hub received at this time or later: a date, or a time
    /// such as 2026-11-26T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub since: Option<UtcTime>,
    /// Events that the hub received before this time.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub until: Option<UtcTime>,
    /// Those too that were replayed already.
    #[arg(long)]
    pub replayed: bool,
}

impl Filter {
    /// The keys of the letters that may be meant, in their order: what a key
    /// says is not read.
    pub async fn keys(&self, place: &Place) -> anyhow::Result<Vec<LetterKey>> {
        let mut keys = place.keys().await?;
        keys.retain(|key| self.fits_key(key));
        Ok(keys)
    }

    fn fits_key(&self, key: &LetterKey) -> bool {
        // What is no key is read, so that it is not passed by in silence.
        let Some(parts) = key.parts() else { return true };
        let number = parts.sequence_number;
        (self.replayed || !key.replayed)
            && self.stage.is_none_or(|stage| stage.as_str() == parts.stage)
            && (self.reason.is_empty() || self.reason.iter().any(|code| plain(code) == parts.reason))
            && self.origin.as_ref().is_none_or(|hub| plain(hub).eq_ignore_ascii_case(parts.hub))
            && self.partition.as_ref().is_none_or(|partition| plain(partition) == parts.partition)
            && self.first.is_none_or(|first| number.is_some_and(|number| number >= first))
            && self.last.is_none_or(|last| number.is_some_and(|number| number <= last))
    }

    /// Whether a letter, whose key fits, is meant.
    pub fn fits(&self, letter: &StoredDeadLetter) -> bool {
        let time = letter.enqueued();
        // Event Hubs ignores the case of a hub's name.
        self.origin.as_ref().is_none_or(|hub| hub.eq_ignore_ascii_case(&letter.hub))
            && self.partition.as_ref().is_none_or(|partition| *partition == letter.partition)
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
    }
}

/// A stage by its name.
pub fn stage(text: &str) -> Result<Stage, String> {
    let stage = [Stage::Normalize, Stage::GroupConvert].into_iter().find(|stage| stage.as_str() == text);
    stage.ok_or_else(|| "expected `normalize` or `group-convert`".to_owned())
}

/// A time, or a date for its midnight; in UTC unless it says otherwise.
fn instant(text: &str) -> Result<UtcTime, String> {
    let time = DateTime::parse_token(text).or_else(|| DateTime::parse_token(&format!("{text}T00:00:00Z")));
    time.map(|time| time.instant).ok_or_else(|| "expected a time such as 2026-11-26T08:00:00Z, or a date".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(change: impl FnOnce(&mut Filter), key: &str) -> bool {
        let mut filter = Filter::default();
        change(&mut filter);
        filter.fits_key(&LetterKey { text: key.to_owned(), replayed: false })
    }

    #[test]
    fn what_a_key_says_decides() {
        let key = "normalize/device_data/0/00000000000000000007-0-MissingValue-0011223344556677";
        let http = "normalize/ingest/_/http-0-MissingValue-0011223344556677";
        assert!(fits(|_| (), key) && fits(|_| (), http));
        assert!(fits(|filter| filter.stage = Some(Stage::Normalize), key));
        assert!(!fits(|filter| filter.stage = Some(Stage::GroupConvert), key));
        assert!(fits(|filter| filter.reason = vec!["Other".to_owned(), "MissingValue".to_owned()], key));
        assert!(!fits(|filter| filter.reason = vec!["Other".to_owned()], key));
        assert!(fits(|filter| filter.origin = Some("device.data".to_owned()), key));
        assert!(fits(|filter| filter.origin = Some("Device.Data".to_owned()), key));
        assert!(!fits(|filter| filter.origin = Some("other".to_owned()), key));
        assert!(!fits(|filter| filter.partition = Some("1".to_owned()), key));
        assert!(fits(|filter| (filter.first, filter.last) = (Some(7), Some(7)), key));
        assert!(!fits(|filter| filter.first = Some(8), key));
        assert!(!fits(|filter| filter.last = Some(6), key));
        assert!(!fits(|filter| filter.first = Some(0), http), "it has no number");
    }

    #[test]
    fn a_replayed_letter_is_meant_only_when_asked_for() {
        let key = LetterKey { text: "normalize/h/0/00000000000000000007-0-R-00".to_owned(), replayed: true };
        assert!(!Filter::default().fits_key(&key));
        assert!(Filter { replayed: true, ..Filter::default() }.fits_key(&key));
    }

    #[test]
    fn reads_times_and_dates() {
        assert_eq!(instant("2026-11-26"), instant("2026-11-26T00:00:00Z"));
        assert_eq!(instant("2026-11-26T01:00:00+01:00"), instant("2026-11-26T00:00:00Z"));
        assert!(instant("2026-11-26T01:00:00").is_ok());
        assert!(instant("yesterday").is_err());
    }
}
