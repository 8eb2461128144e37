//! How many events wait for a workload.

use std::time::Duration;

use delivery::{Away, Bounds, Hub, Positions};
use futures::{StreamExt, TryStreamExt, stream};

/// How long a reading may take. KEDA waits for three seconds; a reading that takes
/// longer is for the next time that it asks (`readings`).
pub const READ_LIMIT: Duration = Duration::from_secs(20);

/// How many partitions are read at once.
const AT_ONCE: usize = 8;

/// The events of one partition that are retained and come after its position.
///
/// ```
/// # use delivery::Bounds;
/// # use operator::lag::reading::waiting;
/// let bounds = Bounds { first: 10, last: 29 };
/// assert_eq!(waiting(bounds, Some(19)), 10);
/// assert_eq!(waiting(bounds, None), 20);
/// ```
pub fn waiting(bounds: Bounds, position: Option<i64>) -> u64 {
    let before_first = bounds.first.saturating_sub(1);
    let from = match position {
        // Those in between were deleted before they were read: they wait no more.
        Some(position) if position < before_first => before_first,
        // A hub that was made anew: the position is the old one's.
        Some(position) if position > bounds.last => before_first,
        Some(position) => position,
        None => before_first,
    };
    u64::try_from(bounds.last.saturating_sub(from)).unwrap_or(0)
}

/// The events that wait in all partitions of a hub.
pub async fn lag(hub: &impl Hub, positions: &impl Positions) -> Result<u64, Away> {
    let partitions = hub.partitions().await?;
    let waits: Vec<_> = partitions.into_iter().map(|partition| one(hub, positions, partition)).collect();
    let mut waits = stream::iter(waits).buffer_unordered(AT_ONCE);
    let mut lag = 0_u64;
    while let Some(waits) = waits.try_next().await? {
        lag = lag.saturating_add(waits);
    }
    Ok(lag)
}

/// The hub answers one question at a time over its connection; the storage is
/// asked meanwhile.
async fn one(hub: &impl Hub, positions: &impl Positions, partition: String) -> Result<u64, Away> {
    let (bounds, position) = tokio::try_join!(hub.bounds(&partition), positions.checkpoint(&partition))?;
    Ok(waiting(bounds, position.map(|(checkpoint, _)| checkpoint.sequence_number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_waits() {
        let cases = [
            ("never an event", (0, -1), None, 0),
            ("one event, its number is 0", (0, 0), None, 1),
            ("one event, its number is 0, read", (0, 0), Some(0), 0),
            ("seeded before the first", (0, 9), Some(-1), 10),
            ("seeded before the first retained", (100, 109), Some(99), 10),
            ("no position yet", (100, 109), None, 10),
            ("one retained event", (100, 100), None, 1),
            ("some are read", (100, 109), Some(104), 5),
            ("all are read", (100, 109), Some(109), 0),
            ("deleted before they were read", (100, 109), Some(50), 10),
            ("emptied", (110, 109), Some(50), 0),
            ("emptied without a position", (110, 109), None, 0),
            ("emptied, and all was read", (110, 109), Some(109), 0),
            ("the hub was made anew", (0, 4), Some(1000), 5),
        ];
        for (name, (first, last), position, expected) in cases {
            assert_eq!(waiting(Bounds { first, last }, position), expected, "{name}");
        }
    }
}
