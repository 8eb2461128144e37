//! How often a subscription may write (resource-provider.md 2.17).

use std::num::NonZeroU32;

use arm::{ArmError, ErrorCode, Route};
use governor::clock::DefaultClock;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
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

    /// Counts a write at a path, as the API reads it. What belongs to no subscription is
    /// not counted, nor what the API refuses by its path, nor what Azure Resource Manager
    /// tells of a subscription: its customer may not hold that up.
    ///
    /// # Errors
    ///
    /// `TooManyRequests`.
    pub fn check(&self, path: &str) -> Result<(), ArmError> {
        let Some(subscription) = counted(path) else { return Ok(()) };
        if self.buckets.len() > BUCKETS_MAX {
            self.buckets.retain_recent();
        }
        self.buckets.check_key(&subscription).map_err(|_| {
            let message = "There are too many writes of this subscription. Try again later.";
            ArmError::new(ErrorCode::TooManyRequests, message)
        })
    }
}

/// Whose bucket a write at a path is counted in: that of a subscription, however it is
/// written.
fn counted(path: &str) -> Option<String> {
    match Route::of_path(path) {
        Ok(Route::Subscription { .. }) | Err(_) => None,
        Ok(route) => route.subscription().map(str::to_ascii_lowercase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscription_does_not_hold_up_another() {
        let one = NonZeroU32::new(1).unwrap();
        let throttle = Throttle::new(ThrottleSettings { writes_per_second: one, burst: one });
        let workspace = "providers/Microsoft.HealthcareApis/workspaces/ws1";
        let path = |subscription: &str| format!("/subscriptions/{subscription}/resourceGroups/g/{workspace}");
        let (a, b) = ("0b1f6471-1bf0-4dda-aec3-11112222333a", "0b1f6471-1bf0-4dda-aec3-11112222333b");
        let operations = "/providers/Microsoft.HealthcareApis/operations".to_owned();
        for (path, is_let_in) in [
            (path(a), true),
            (path(&a.to_uppercase()), false),
            (path(&a.replace('a', "%61")), false),
            (path(a).replace("subscriptions", "%73ubscriptions"), false),
            (path(a).replace("/subscriptions", "/SubScriptions"), false),
            // Azure Resource Manager's, and what is nothing.
            (format!("/subscriptions/{a}"), true),
            (format!("/subscriptions/{a}"), true),
            (format!("/subscriptions/{a}/resourceGroups/g"), true),
            (path(b), true),
            (path(b), false),
            (operations.clone(), true),
            (operations, true),
        ] {
            let checked = throttle.check(&path);
            assert_eq!(checked.is_ok(), is_let_in, "{path}");
            let is_told = |error: ArmError| error.code == ErrorCode::TooManyRequests && error.can_be_retried();
            assert!(checked.map_err(is_told).err().unwrap_or(true), "{path}");
        }
    }
}
