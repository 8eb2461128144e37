//! Where in a partition a receiver starts, and how that is written in AMQP.
//!
//! A receiver says it by a selector filter on its source, such as
//! `amqp.annotation.x-opt-offset > '4200'` (functions-eventhubs-keda.md 7.5).
//! Clients differ in quotes and blanks; `>=` includes the event at the position.

use std::fmt;

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

    #[test]
    fn refuses_what_names_no_position() {
        for expression in [
            "",
            "x > 1",
            "amqp.annotation.x-opt-offset < 1",
            "amqp.annotation.x-opt-offset > 'a'",
            "amqp.annotation.other > 1",
        ] {
            assert_eq!(StartPosition::parse(expression), Err(InvalidFilter), "{expression}");
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
