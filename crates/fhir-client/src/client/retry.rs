//! How long to wait before a request is sent again.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::surroundings::Clock;

/// Limits of the retries of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryOptions {
    /// Attempts in total, the first one counted. Defaults to 5.
    pub attempts_max: u32,
    /// The wait before the second attempt; it doubles from there. Defaults to
    /// 250 ms.
    pub delay_first: Duration,
    /// No wait of our own choosing is longer. Defaults to 10 s.
    pub delay_max: Duration,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { attempts_max: 5, delay_first: Duration::from_millis(250), delay_max: Duration::from_secs(10) }
    }
}

/// Gives the waits between the attempts of one request.
#[derive(Debug)]
pub(crate) struct Backoff<'c> {
    options: RetryOptions,
    attempts: u32,
    clock: &'c dyn Clock,
}

impl<'c> Backoff<'c> {
    pub(crate) fn new(options: RetryOptions, clock: &'c dyn Clock) -> Backoff<'c> {
        Backoff { options, attempts: 1, clock }
    }

    /// The wait before the next attempt; none when there were enough of them.
    ///
    /// What the server asked for is a lower bound, never shortened, and both
    /// kinds of wait are spread: writers that failed together must not come
    /// back together (fhir-conversion.md quirk 40).
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.attempts >= self.options.attempts_max {
            return None;
        }
        let doubled = self.options.delay_first.saturating_mul(1 << (self.attempts - 1).min(16));
        self.attempts += 1;
        let own = doubled.min(self.options.delay_max);
        Some(match asked {
            Some(asked) => asked + spread(own.min(Duration::from_secs(1)).max(asked / 10), self.clock) / 2,
            None => own / 2 + spread(own / 2, self.clock),
        })
    }
}

/// A random part of `longest`.
pub(crate) fn spread(longest: Duration, clock: &dyn Clock) -> Duration {
    longest.mul_f64((clock.random() >> 11) as f64 / (1_u64 << 53) as f64)
}

/// How long the server wants to be left alone: `x-ms-retry-after-ms` in
/// milliseconds, or `Retry-After` in seconds or as an HTTP date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let milliseconds = headers.get("x-ms-retry-after-ms").and_then(|value| value.to_str().ok());
    if let Some(milliseconds) = milliseconds.and_then(|text| text.trim().parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let milliseconds = then.as_millisecond().saturating_sub(now.as_millisecond());
    Some(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surroundings::SystemClock;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn reads_every_form_of_retry_after() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let cases = [
            ("retry-after", "3", Some(Duration::from_secs(3))),
            ("retry-after", "Sat, 21 Nov 2026 12:00:07 GMT", Some(Duration::from_secs(7))),
            ("retry-after", "Sat, 21 Nov 2026 11:00:00 GMT", Some(Duration::ZERO)),
            ("retry-after", "soon", None),
            ("x-ms-retry-after-ms", "120", Some(Duration::from_millis(120))),
            ("x-other", "1", None),
        ];
        for (name, value, expected) in cases {
            assert_eq!(retry_after(&headers(name, value), now), expected, "{name}: {value}");
        }
    }

    #[test]
    fn waits_longer_each_time_and_gives_up() {
        let options = RetryOptions {
            attempts_max: 4,
            delay_first: Duration::from_millis(100),
            delay_max: Duration::from_millis(150),
        };
        let mut backoff = Backoff::new(options, &SystemClock);
        for (least, most) in [(50, 100), (75, 150), (75, 150)] {
            let wait = backoff.next(None).unwrap();
            assert!((Duration::from_millis(least)..=Duration::from_millis(most)).contains(&wait), "{wait:?}");
        }
        assert_eq!(backoff.next(None), None);
    }

    #[test]
    fn waits_at_least_as_long_as_the_server_asks() {
        let mut backoff = Backoff::new(RetryOptions::default(), &SystemClock);
        let asked = Duration::from_secs(20);
        let wait = backoff.next(Some(asked)).unwrap();
        assert!((asked..asked + Duration::from_secs(2)).contains(&wait), "{wait:?}");
    }
}
