//! Which event of a partition a start position means.

use hub_client::StartPosition;

use super::log::Entry;

/// The sequence number of the first event to deliver. `entries` are the
/// events that are there, by sequence number.
pub fn first_sequence_number(position: &StartPosition, entries: &[Entry]) -> u64 {
    let count = entries.len() as u64;
    match *position {
        StartPosition::Earliest => 0,
        StartPosition::Latest => count,
        // An offset between two events is taken as the one before it.
        StartPosition::Offset { offset, inclusive } => {
            entries.partition_point(|entry| entry.offset < offset || (!inclusive && entry.offset == offset)) as u64
        }
        StartPosition::SequenceNumber { sequence_number, inclusive } => {
            let first = sequence_number.saturating_add(i64::from(!inclusive));
            u64::try_from(first).unwrap_or(0).min(count)
        }
        StartPosition::EnqueuedTime { milliseconds, inclusive } => entries.partition_point(|entry| {
            entry.enqueued_ms < milliseconds || (!inclusive && entry.enqueued_ms == milliseconds)
        }) as u64,
    }
}

#[cfg(test)]
mod tests {
    use hub_client::InvalidFilter;

    use super::*;

    /// Four events at offsets 0, 10, 20, 30, enqueued at 100, 100, 200, 300.
    fn first(expression: &str) -> Result<u64, InvalidFilter> {
        let entries =
            [(0, 100), (10, 100), (20, 200), (30, 300)].map(|(offset, enqueued_ms)| Entry { offset, enqueued_ms });
        StartPosition::parse(expression).map(|position| first_sequence_number(&position, &entries))
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
}
