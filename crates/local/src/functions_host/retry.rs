//! Retry policies of function.json and host.json (functions-eventhubs-keda.md 2.3).

use std::time::Duration;

use crate::functions_host::settings::{SettingError, time_span};

/// How often and how soon a failed invocation is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetryPolicy {
    /// `None`: without end.
    pub(super) max_retry_count: Option<u32>,
    delay: Delay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delay {
    Fixed(Duration),
    Exponential { minimum: Duration, maximum: Duration },
}

impl RetryPolicy {
    /// Reads a policy whose members `get` gives; `None` when there is none.
    pub(super) fn read<'a>(place: &str, get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Self>, SettingError> {
        let Some(strategy) = get("strategy") else { return Ok(None) };
        let value = |name: &str, expected| SettingError::value(place, &format!("retry:{name}"), get(name), expected);
        let time = |name: &str| get(name).and_then(time_span).ok_or_else(|| value(name, "a time such as `00:00:05`"));
        let delay = match strategy.to_lowercase().as_str() {
            "fixeddelay" => Delay::Fixed(time("delayInterval")?),
            "exponentialbackoff" => {
                let (minimum, maximum) = (time("minimumInterval")?, time("maximumInterval")?);
                if minimum > maximum {
                    return Err(value("minimumInterval", "a time not above `maximumInterval`"));
                }
                Delay::Exponential { minimum, maximum }
            }
            _ => return Err(value("strategy", "`fixedDelay` or `exponentialBackoff`")),
        };
        let count = get("maxRetryCount").and_then(|text| text.parse::<i32>().ok()).filter(|count| *count >= -1);
        let count = count.ok_or_else(|| value("maxRetryCount", "a number, or `-1` for no end"))?;
        Ok(Some(Self { max_retry_count: u32::try_from(count).ok(), delay }))
    }

    /// `MaxRetryCount` as `RetryContext` shows it.
    pub(super) fn max_retry_count_shown(&self) -> i64 {
        self.max_retry_count.map_or(-1, i64::from)
    }

    /// Whether a try follows after `retries` retries have failed.
    pub(super) fn goes_on(&self, retries: u32) -> bool {
        self.max_retry_count.is_none_or(|max| retries < max)
    }

    /// How long to wait after `retries` retries have failed.
    ///
    /// The host doubles from the minimum and adds up to 20 % by chance, which
    /// is left out here so that runs can be compared.
    pub(super) fn delay(&self, retries: u32) -> Duration {
        match self.delay {
            Delay::Fixed(delay) => delay,
            Delay::Exponential { minimum, maximum } => {
                let doubled = minimum.checked_mul(2_u32.saturating_pow(retries));
                doubled.map_or(maximum, |delay| delay.min(maximum))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(members: &[(&str, &'static str)]) -> Result<Option<RetryPolicy>, SettingError> {
        let members: BTreeMap<&str, &'static str> = members.iter().copied().collect();
        RetryPolicy::read("function.json", |name| members.get(name).copied())
    }

    #[test]
    fn exponential_backoff_doubles_up_to_its_maximum() {
        let policy = read(&[
            ("strategy", "exponentialBackoff"),
            ("maxRetryCount", "-1"),
            ("minimumInterval", "00:00:02"),
            ("maximumInterval", "00:00:09"),
        ]);
        let policy = policy.unwrap().unwrap();
        let delays: Vec<u64> = (0..5).map(|retries| policy.delay(retries).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 9, 9]);
        assert_eq!(policy.delay(u32::MAX).as_secs(), 9);
        assert!(policy.goes_on(u32::MAX) && policy.max_retry_count_shown() == -1);
    }

    #[test]
    fn fixed_delay_ends_after_its_count() {
        let policy = [("strategy", "fixedDelay"), ("maxRetryCount", "2"), ("delayInterval", "00:00:10")];
        let policy = read(&policy).unwrap().unwrap();
        assert_eq!([0, 1, 2].map(|retries| policy.goes_on(retries)), [true, true, false]);
        assert_eq!(policy.delay(1).as_secs(), 10);
    }

    #[test]
    fn names_what_is_wrong() {
        let cases: [(&[(&str, &'static str)], &str); 3] = [
            (
                &[("strategy", "fixedDelay"), ("delayInterval", "00:00:10")],
                "`retry:maxRetryCount` of function.json is missing; expected a number, or `-1` for no end",
            ),
            (
                &[("strategy", "often")],
                "`retry:strategy` of function.json is `often`; expected `fixedDelay` or `exponentialBackoff`",
            ),
            (
                &[("strategy", "fixedDelay"), ("delayInterval", "5")],
                "`retry:delayInterval` of function.json is `5`; expected a time such as `00:00:05`",
            ),
        ];
        for (members, expected) in cases {
            assert_eq!(read(members).unwrap_err().to_string(), expected);
        }
        assert_eq!(read(&[]).unwrap(), None);
    }
}
