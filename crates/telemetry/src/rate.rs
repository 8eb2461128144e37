//! Says whether one more log line may be written: the first at once, then at
//! most so many in a minute, each with how many were left out before it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// A limit of lines a minute.
#[derive(Debug)]
pub struct RateLimit {
    lines_a_minute: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl RateLimit {
    /// At most this many lines a minute; 0 for none at all.
    pub const fn new(lines_a_minute: u32) -> RateLimit {
        RateLimit { lines_a_minute, state: Mutex::new(State { began: None, written: 0, left_out: 0 }) }
    }

    /// Whether a line may be written now, and then how many were left out since
    /// the last one that was.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.turn(now);
        if state.written == self.lines_a_minute {
            state.left_out += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.left_out))
    }

    /// Whether [`RateLimit::take`] would let a line through.
    pub fn is_open(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.turn(now);
        state.written < self.lines_a_minute
    }
}

impl State {
    fn turn(&mut self, now: Instant) {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= MINUTE) {
            self.began = Some(now);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_the_first_lines_of_each_minute_through_and_counts_the_others() {
        let limit = RateLimit::new(2);
        let start = Instant::now();
        let at = |seconds| limit.take(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(2), at(59)], [Some(0), Some(0), None, None]);
        assert!(!limit.is_open(start + Duration::from_secs(59)));
        assert!(limit.is_open(start + MINUTE));
        assert_eq!([at(60), at(61), at(62)], [Some(2), Some(0), None]);
        assert_eq!(RateLimit::new(0).take(start), None);
    }
}
