//! Waiting for something that can be looked at.

use std::time::{Duration, Instant};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(50);

/// Looks until there is something, and gives it.
///
/// # Panics
/// When there is nothing after `limit`; the text says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    try_until(limit, look).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Looks until there is something, and gives it, or none after `limit`.
pub fn try_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = look();
        if found.is_some() || start.elapsed() >= limit {
            return found;
        }
        std::thread::sleep(PERIOD);
    }
}
