//! Where in a partition a receiver starts, and how that is written in AMQP.
//!
//! A receiver says it by a selector filter on its source, such as
//! `amqp.annotation.x-opt-offset > '4200'` (functions-eventhubs-keda.md 7.5).
//! Clients differ in quotes and blanks; `>=` includes the event at the position.

use std::fmt;

use super::log::Entry;

/// Where a receiver starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// At the first event of the partition.
    Earliest,
    /// Behind the last event that is there when the receiver attaches.
    Latest,
    /// After (or, `inclusive`, at) the event with this offset.
    Offset {
        /// As events carry it in `x-opt-offset`.
        offset: u64,
        /// Whether the event at the offset itself is wanted.
        inclusive: bool,
    },
    /// After (or, `inclusive`, at) this sequence number.
    SequenceNumber {
        /// As events carry it in `x-opt-sequence-number`; -1 is before the first.
        sequence_number: i64,
        /// Whether the event with this number itself is wanted.
        inclusive: bool,
    },
    /// After (or, `inclusive`, from) this time.
    EnqueuedTime {
        /// Milliseconds since 1970.
        milliseconds: i64,
        /// Whether events enqueued in this very millisecond are wanted.
        inclusive: bool,
    },
}

/// A filter expression that names no position.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a filter such as `amqp.annotation.x-opt-offset > '-1'`")]
pub struct InvalidFilter;

impl StartPosition {
    /// Reads a selector expression.
    pub fn parse(expression: &str) -> Result<Self, InvalidFilter> {
        let rest = expression.trim().strip_prefix("amqp.annotation.").ok_or(InvalidFilter)?;
        let (name, rest) = rest.split_once('>').ok_or(InvalidFilter)?;
        let (inclusive, rest) = match rest.strip_prefix('=') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let value = rest.trim().trim_matches('\'');
        if value == "@latest" {
            return Ok(Self::Latest);
        }
        let number: i64 = value.parse().map_err(|_| InvalidFilter)?;
        match name.trim() {
            "x-opt-offset" => Ok(match u64::try_from(number) {
                Ok(offset) => Self::Offset { offset, inclusive },
                Err(_) => Self::Earliest,
            }),
            "x-opt-sequence-number" => Ok(Self::SequenceNumber { sequence_number: number, inclusive }),
            "x-opt-enqueued-time" => Ok(Self::EnqueuedTime { milliseconds: number, inclusive }),
            _ => Err(InvalidFilter),
        }
    }

    /// The sequence number of the first event to deliver. `entries` are the
    /// events that are there, by sequence number.
    pub fn first_sequence_number(&self, entries: &[Entry]) -> u64 {
        let count = entries.len() as u64;
        match *self {
            Self::Earliest => 0,
            Self::Latest => count,
            // An offset between two events is taken as the one before it.
            Self::Offset { offset, inclusive } => {
                entries.partition_point(|entry| entry.offset < offset || (!inclusive && entry.offset == offset)) as u64
            }
            Self::SequenceNumber { sequence_number, inclusive } => {
                let first = sequence_number.saturating_add(i64::from(!inclusive));
                u64::try_from(first).unwrap_or(0).min(count)
            }
            Self::EnqueuedTime { milliseconds, inclusive } => entries.partition_point(|entry| {
                entry.enqueued_ms < milliseconds || (!inclusive && entry.enqueued_ms == milliseconds)
            }) as u64,
        }
    }
}

/// The selector expression, as the Rust and .NET clients write it.
impl fmt::Display for StartPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, inclusive, value) = match self {
            Self::Earliest => ("offset", false, "-1".to_owned()),
            Self::Latest => ("offset", false, "@latest".to_owned()),
            Self::Offset { offset, inclusive } => ("offset", *inclusive, offset.to_string()),
            Self::SequenceNumber { sequence_number, inclusive } => {
                ("sequence-number", *inclusive, sequence_number.to_string())
            }
            Self::EnqueuedTime { milliseconds, inclusive } => ("enqueued-time", *inclusive, milliseconds.to_string()),
        };
        write!(f, "amqp.annotation.x-opt-{name} {} '{value}'", if inclusive { ">=" } else { ">" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four events at offsets 0, 10, 20, 30, enqueued at 100, 100, 200, 300.
    fn first(expression: &str) -> Result<u64, InvalidFilter> {
        let entries =
            [(0, 100), (10, 100), (20, 200), (30, 300)].map(|(offset, enqueued_ms)| Entry { offset, enqueued_ms });
        StartPosition::parse(expression).map(|position| position.first_sequence_number(&entries))
    }

    #[test]
    fn finds_the_first_event_for_every_way_clients_write_it() {
        let cases = [
            ("amqp.annotation.x-opt-offset > '-1'", 0),
            ("amqp.annotation.x-opt-offset > -1", 0),
            ("amqp.annotation.x-opt-offset >= '-1'", 0),
            ("amqp.annotation.x-opt-offset > '@latest'", 4),
            ("amqp.annotation.x-opt-offset > @latest", 4),
            ("amqp.annotation.x-opt-offset >'10'", 2),
            ("amqp.annotation.x-opt-offset >= 10", 1),
            ("amqp.annotation.x-opt-offset>'15'", 2),
            ("amqp.annotation.x-opt-offset > '99'", 4),
            ("amqp.annotation.x-opt-sequence-number >'1'", 2),
            ("amqp.annotation.x-opt-sequence-number >= 1", 1),
            ("amqp.annotation.x-opt-sequence-number > '-1'", 0),
            ("amqp.annotation.x-opt-sequence-number > 9223372036854775807", 4),
            ("amqp.annotation.x-opt-enqueued-time >'100'", 2),
            ("amqp.annotation.x-opt-enqueued-time >= '100'", 0),
            ("amqp.annotation.x-opt-enqueued-time > 150", 2),
            ("amqp.annotation.x-opt-enqueued-time > 300", 4),
        ];
        for (expression, expected) in cases {
            assert_eq!(first(expression), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn refuses_what_names_no_position() {
        for expression in [
            "",
            "x > 1",
            "amqp.annotation.x-opt-offset < 1",
            "amqp.annotation.x-opt-offset > 'a'",
            "amqp.annotation.other > 1",
        ] {
            assert_eq!(first(expression), Err(InvalidFilter), "{expression}");
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        let positions = [
            StartPosition::Earliest,
            StartPosition::Latest,
            StartPosition::Offset { offset: 4200, inclusive: true },
            StartPosition::SequenceNumber { sequence_number: 41, inclusive: false },
            StartPosition::EnqueuedTime { milliseconds: 1_700_000_000_000, inclusive: true },
        ];
        for position in positions {
            assert_eq!(StartPosition::parse(&position.to_string()), Ok(position));
        }
    }
}
