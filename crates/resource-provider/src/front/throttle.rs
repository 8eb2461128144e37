//! How often a subscription may write (resource-provider.md 2.17).

use std::num::NonZeroU32;

use arm::{ArmError, ErrorCode};
use governor::clock::DefaultClock;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// What a subscription may write; the rest waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ThrottleSettings {
    /// On the average.
    pub writes_per_second: NonZeroU32,
    /// At once, after a rest: a template has so many resources.
    pub burst: NonZeroU32,
}

impl Default for ThrottleSettings {
    /// Far above what templates do, and far below what would hold up others.
    fn default() -> ThrottleSettings {
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("above zero");
        const BURST: NonZeroU32 = NonZeroU32::new(200).expect("above zero");
        ThrottleSettings { writes_per_second: PER_SECOND, burst: BURST }
    }
}

/// A token bucket for each subscription.
#[derive(Debug)]
pub struct Throttle {
    buckets: RateLimiter<String, HashMapStateStore<String>, DefaultClock>,
}

/// From how many buckets on the full ones are forgotten.
const BUCKETS_MAX: usize = 10_000;

impl Throttle {
    /// With full buckets.
    pub fn new(settings: ThrottleSettings) -> Throttle {
        let quota = Quota::per_second(settings.writes_per_second).allow_burst(settings.burst);
        Throttle { buckets: RateLimiter::hashmap(quota) }
    }

    /// Counts a write at a path. What belongs to no subscription is not counted.
    ///
    /// # Errors
    ///
    /// `TooManyRequests`.
    pub fn check(&self, path: &str) -> Result<(), ArmError> {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let is_subscriptions = segments.next().is_some_and(|first| first.eq_ignore_ascii_case("subscriptions"));
        let Some(subscription) = segments.next().filter(|_| is_subscriptions) else { return Ok(()) };
        if self.buckets.len() > BUCKETS_MAX {
            self.buckets.retain_recent();
        }
        // As the API reads it: one subscription has one bucket, however it is written.
        let subscription = percent_decode_str(subscription).decode_utf8_lossy().to_ascii_lowercase();
        self.buckets.check_key(&subscription).map_err(|_| {
            let message = "There are too many writes of this subscription. Try again later.";
            ArmError::new(ErrorCode::TooManyRequests, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscription_does_not_hold_up_another() {
        let one = NonZeroU32::new(1).unwrap();
        let throttle = Throttle::new(ThrottleSettings { writes_per_second: one, burst: one });
        let path = |subscription: &str| format!("/subscriptions/{subscription}/resourceGroups/g");
        assert!(throttle.check(&path("a")).is_ok());
        let error = throttle.check(&path("A")).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooManyRequests);
        assert!(error.can_be_retried());
        assert!(throttle.check(&path("%61")).is_err(), "it is the same one");
        assert!(throttle.check(&path("b")).is_ok());
        assert!(throttle.check("/providers/Microsoft.HealthcareApis/operations").is_ok());
        assert!(throttle.check("/providers/Microsoft.HealthcareApis/operations").is_ok());
    }
}
