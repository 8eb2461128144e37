//! A dead letter as it is stored: one JSON form and one key, whether it lies in
//! a folder, in a blob container or in a hub. Pure.
//!
//! ```text
//! <stage>/<hub>/<partition>/<sequence number>-<measurement>-<reason>-<identity>
//! ```
//!
//! A key says where a letter comes from and why it is one. `<identity>` is a
//! hash over the event's origin and body, so the same letter written again has
//! the same key and another letter never has: not that of a hub that was made
//! anew and counts from 0 again, nor of another namespace or consumer group.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use expressions::UtcTime;
use expressions::time::DateTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::batch::{Position, Source};
use crate::dead_letter::{DeadLetter, Stage};
use crate::text::KeptProperties;

/// How much of the hash is in a key, in bytes: enough that no two letters of
/// one place meet.
const IDENTITY_BYTES: usize = 8;

/// How much of a name from outside is in a key: a folder takes 255 bytes. The
/// identity tells apart what is the same up to here.
const NAME_CHARACTERS_MAX: usize = 100;

/// A dead letter as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredDeadLetter {
    /// `normalize` or `group-convert`.
    pub stage: Stage,
    /// The stable code of the reason.
    pub reason: String,
    /// What was wrong, and where in the mapping.
    pub message: String,
    /// The version of the mapping that was in use.
    pub mapping_version: String,
    /// The hub's namespace.
    pub namespace: String,
    /// The hub.
    pub hub: String,
    /// The consumer group that read.
    pub consumer_group: String,
    /// The partition.
    pub partition: String,
    /// The place in the partition; absent for what came by HTTP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sequence_number: Option<i64>,
    /// Of an event with several measurements, which.
    pub measurement: usize,
    /// When the hub received it, as ISO text in UTC.
    pub enqueued_time: String,
    /// When the letter was stored first, as ISO text in UTC.
    #[serde(default)]
    pub recorded_time: String,
    /// The event's bytes, in base64.
    pub body: String,
    /// The application properties as JSON text, or empty.
    pub properties: String,
    /// Which of the application properties are dates.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub property_dates: Vec<String>,
    /// The system properties as JSON text, or empty.
    pub system_properties: String,
    /// Which of the system properties are dates.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub system_property_dates: Vec<String>,
    /// The letter was too large for its place with body and properties, which
    /// were left out: it cannot be replayed from here.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub payload_omitted: bool,
}

/// Without what the event holds: that is a patient's.
impl fmt::Debug for StoredDeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredDeadLetter")
            .field("stage", &self.stage)
            .field("reason", &self.reason)
            .field("hub", &self.hub)
            .field("partition", &self.partition)
            .field("sequence_number", &self.sequence_number)
            .field("measurement", &self.measurement)
            .finish_non_exhaustive()
    }
}

impl StoredDeadLetter {
    /// The stored form of a letter that is stored at `recorded`.
    pub fn new(letter: &DeadLetter<'_>, recorded: UtcTime) -> StoredDeadLetter {
        let Position { source, sequence_number, enqueued_time, .. } = &letter.position;
        StoredDeadLetter {
            stage: letter.stage,
            reason: letter.reason.code.to_string(),
            message: letter.reason.message.clone(),
            mapping_version: letter.mapping_version.clone(),
            namespace: source.namespace.clone(),
            hub: source.hub.clone(),
            consumer_group: source.consumer_group.clone(),
            partition: source.partition.clone(),
            sequence_number: *sequence_number,
            measurement: letter.measurement,
            enqueued_time: iso(*enqueued_time),
            recorded_time: iso(recorded),
            body: BASE64_STANDARD.encode(letter.body),
            properties: letter.properties.text.clone(),
            property_dates: letter.properties.dates.clone(),
            system_properties: letter.system_properties.text.clone(),
            system_property_dates: letter.system_properties.dates.clone(),
            payload_omitted: false,
        }
    }

    /// The same letter without what the event holds.
    #[must_use]
    pub fn without_payload(self) -> StoredDeadLetter {
        StoredDeadLetter {
            body: String::new(),
            properties: String::new(),
            property_dates: Vec::new(),
            system_properties: String::new(),
            system_property_dates: Vec::new(),
            payload_omitted: true,
            ..self
        }
    }

    /// Where the event comes from.
    pub fn source(&self) -> Source {
        Source {
            namespace: self.namespace.clone(),
            hub: self.hub.clone(),
            consumer_group: self.consumer_group.clone(),
            partition: self.partition.clone(),
        }
    }

    /// When the hub received it; none when the text is no time.
    pub fn enqueued(&self) -> Option<UtcTime> {
        DateTime::parse_token(&self.enqueued_time).map(|time| time.instant)
    }

    /// The event's bytes; none when they were left out or are not base64.
    pub fn body_bytes(&self) -> Option<Vec<u8>> {
        if self.payload_omitted { None } else { BASE64_STANDARD.decode(&self.body).ok() }
    }

    /// The application properties, and the system properties.
    pub fn kept_properties(&self) -> (KeptProperties, KeptProperties) {
        let kept = |text: &str, dates: &[String]| KeptProperties { text: text.to_owned(), dates: dates.to_vec() };
        (kept(&self.properties, &self.property_dates), kept(&self.system_properties, &self.system_property_dates))
    }
}

/// The key of a letter in its place, and whether it was replayed from there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterKey {
    /// As [`DeadLetter::key`].
    pub text: String,
    /// It was replayed, and is kept for the record.
    pub replayed: bool,
}

/// What a key says, for whoever looks for a letter without reading all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyParts<'k> {
    /// `normalize` or `group-convert`.
    pub stage: &'k str,
    /// The hub, as far as its characters are plain.
    pub hub: &'k str,
    /// The partition, likewise.
    pub partition: &'k str,
    /// None for what came by HTTP.
    pub sequence_number: Option<i64>,
    /// The code of the reason.
    pub reason: &'k str,
    /// The hash at its end, a short name for the letter.
    pub identity: &'k str,
}

impl LetterKey {
    /// Takes the key apart; none when it is no key.
    pub fn parts(&self) -> Option<KeyParts<'_>> {
        let mut folders = self.text.split('/');
        let (stage, hub, partition, name) = (folders.next()?, folders.next()?, folders.next()?, folders.next()?);
        let (place, rest) = name.split_once('-')?;
        let (_, rest) = rest.split_once('-')?;
        let (reason, identity) = rest.rsplit_once('-')?;
        let sequence_number = match place {
            "http" => None,
            place => Some(place.parse().ok()?),
        };
        folders.next().is_none().then_some(KeyParts { stage, hub, partition, sequence_number, reason, identity })
    }
}

impl DeadLetter<'_> {
    /// What tells this letter from every other. Hub and partition come from
    /// outside, so nothing but plain characters of them gets in: a key is a
    /// path below a folder, and the name of a blob.
    pub fn key(&self) -> String {
        let Position { source, sequence_number, .. } = &self.position;
        let place = match sequence_number {
            Some(number) => format!("{number:020}"),
            None => "http".to_owned(),
        };
        format!(
            "{}/{}/{}/{place}-{}-{}-{}",
            self.stage.as_str(),
            plain(&source.hub.to_lowercase()),
            plain(&source.partition),
            self.measurement,
            plain(&self.reason.code),
            self.identity()
        )
    }

    /// Tells apart what the plain characters of a key do not.
    fn identity(&self) -> String {
        let Position { source, sequence_number, enqueued_time, .. } = &self.position;
        let mut hash = Sha256::new();
        // Event Hubs ignores the case of names, and one front may write them in
        // another case than the other.
        for text in [&source.namespace, &source.hub, &source.consumer_group, &source.partition] {
            let text = text.to_lowercase();
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        // What came by HTTP has no place, and its time is that of one attempt: the
        // same body posted again is the same letter.
        if let Some(number) = sequence_number {
            hash.update(number.to_be_bytes());
            hash.update(iso(*enqueued_time));
        }
        hash.update(self.body);
        hash.finalize()[..IDENTITY_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a key has of a name from outside.
pub fn plain(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' });
    let plain: String = plain.take(NAME_CHARACTERS_MAX).collect();
    if plain.is_empty() { "_".to_owned() } else { plain }
}

fn iso(time: UtcTime) -> String {
    let mut text = String::new();
    time.write_iso(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use expressions::time::DateKind;
    use expressions::{Properties, PropertyValue};

    use super::*;
    use crate::fate::Reason;
    use crate::text::properties_json;

    fn letter(body: &[u8], sequence_number: Option<i64>) -> DeadLetter<'_> {
        let source = Source { hub: "../devicedata".to_owned(), partition: "0".to_owned(), ..Source::default() };
        DeadLetter {
            stage: Stage::Normalize,
            reason: Reason::new("InvalidDataFormat", "not JSON"),
            mapping_version: "sha256:1".to_owned(),
            position: Position { source, sequence_number, index: 0, enqueued_time: UtcTime::MIN },
            measurement: 0,
            body,
            properties: KeptProperties::default(),
            system_properties: KeptProperties::default(),
        }
    }

    fn later() -> UtcTime {
        UtcTime::from_unix_milliseconds(1_604_232_000_000).expect("a time")
    }

    #[test]
    fn a_key_is_a_plain_path() {
        let mut hostile = letter(b"a", Some(7));
        hostile.position.source.partition = "ü".repeat(300);
        for (letter, start) in [
            (letter(b"a", Some(7)), "normalize/___devicedata/0/00000000000000000007-0-InvalidDataFormat-".to_owned()),
            (letter(b"a", None), "normalize/___devicedata/0/http-0-InvalidDataFormat-".to_owned()),
            (hostile, format!("normalize/___devicedata/{}/0000", "_".repeat(100))),
        ] {
            assert!(letter.key().starts_with(&start), "{} for {start}", letter.key());
        }
    }

    #[test]
    fn a_key_says_where_and_why() {
        let key = |text: &str| LetterKey { text: text.to_owned(), replayed: false };
        let text = letter(b"a", Some(7)).key();
        let identity = &text[text.len() - 16..];
        let expected = KeyParts {
            stage: "normalize",
            hub: "___devicedata",
            partition: "0",
            sequence_number: Some(7),
            reason: "InvalidDataFormat",
            identity,
        };
        assert_eq!(key(&text).parts(), Some(expected));
        assert_eq!(key(&letter(b"a", None).key()).parts().and_then(|parts| parts.sequence_number), None);
        for other in ["normalize/h/0/x-0-R-1", "normalize/h/0/7", "normalize/h/0/7-0-R-1/more", "7-0-R-1", ""] {
            assert_eq!(key(other).parts(), None, "{other}");
        }
    }

    #[test]
    fn keys_differ_when_letters_do() {
        let base = letter(b"a", Some(7));
        let source = |change: fn(&mut Source)| {
            let mut other = base.clone();
            change(&mut other.position.source);
            other
        };
        let anew = Position { enqueued_time: later(), ..base.position.clone() };
        let cases = [
            ("a hub made anew", DeadLetter { position: anew, ..base.clone() }),
            ("another body", DeadLetter { body: b"b", ..base.clone() }),
            ("another measurement", DeadLetter { measurement: 1, ..base.clone() }),
            ("another reason", DeadLetter { reason: Reason::new("MissingValue", ""), ..base.clone() }),
            ("another stage", DeadLetter { stage: Stage::GroupConvert, ..base.clone() }),
            ("another namespace", source(|source| source.namespace = "ns2".to_owned())),
            ("another consumer group", source(|source| source.consumer_group = "second".to_owned())),
            ("a hub whose plain name is the same", source(|source| source.hub = "__/devicedata".to_owned())),
            ("another partition", source(|source| source.partition = "1".to_owned())),
        ];
        for (case, other) in cases {
            assert_ne!(base.key(), other.key(), "{case}");
        }
    }

    #[test]
    fn a_repeat_has_the_same_key() {
        let base = letter(b"a", Some(7));
        let position = Position { index: 3, ..base.position.clone() };
        assert_eq!(base.key(), DeadLetter { position, ..base.clone() }.key(), "in another batch");
        let mut position = base.position.clone();
        position.source.hub = "../DeviceData".to_owned();
        assert_eq!(base.key(), DeadLetter { position, ..base.clone() }.key(), "read by another front");
        let posted = letter(b"a", None);
        let position = Position { enqueued_time: later(), ..posted.position.clone() };
        assert_eq!(posted.key(), DeadLetter { position, ..posted.clone() }.key(), "posted again");
    }

    #[test]
    fn the_stored_form_keeps_bytes_and_types() {
        let date = DateTime { instant: later(), kind: DateKind::Utc };
        let members = [
            ("text", PropertyValue::String("2020-11-01T12:00:00Z")),
            ("time", PropertyValue::Date(date)),
            ("float", PropertyValue::Float(2.0)),
            ("flag", PropertyValue::Bool(true)),
        ];
        let original =
            DeadLetter { properties: properties_json(Properties::Typed(&members)), ..letter(b"\xff\x00", Some(7)) };
        let stored = StoredDeadLetter::new(&original, later());
        let text = serde_json::to_string(&stored).expect("JSON");
        let read: StoredDeadLetter = serde_json::from_str(&text).expect("a letter");
        assert_eq!(read, stored);
        assert_eq!(read.body_bytes().as_deref(), Some(&b"\xff\x00"[..]));
        assert_eq!(read.enqueued(), Some(UtcTime::MIN));
        assert_eq!(read.source(), original.position.source);
        let (properties, _) = read.kept_properties();
        assert_eq!(properties, original.properties);
        assert_eq!(properties.date_names(), ["time"]);
        assert!(properties.text.contains(r#""float":2.0"#), "a float stays one: {}", properties.text);
    }

    #[test]
    fn says_when_the_payload_is_not_there() {
        let original = DeadLetter {
            properties: KeptProperties { text: r#"{"a":"mark4711"}"#.to_owned(), dates: vec!["a".to_owned()] },
            ..letter(b"mark4711", Some(7))
        };
        let stored = StoredDeadLetter::new(&original, later()).without_payload();
        assert_eq!((stored.body_bytes(), stored.payload_omitted), (None, true));
        assert!(!serde_json::to_string(&stored).expect("JSON").contains("mark4711"));
    }
}
