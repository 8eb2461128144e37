//! Times as Newtonsoft.Json writes a .NET `DateTime`: sub-seconds only as far
//! as they are not zero, and at most seven digits.

use jiff::Timestamp;

/// With `Z`, for a time known to be UTC.
pub(super) fn utc(milliseconds: i64) -> String {
    format!("{}Z", unspecified(milliseconds))
}

/// Now, with `Z`.
pub(super) fn utc_now() -> String {
    format!("{}Z", text(Timestamp::now()))
}

/// Without `Z`: the extension's enqueued time has lost its kind.
pub(super) fn unspecified(milliseconds: i64) -> String {
    text(Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Without sub-seconds and without `Z`: what has been through `ToString`.
pub(super) fn whole_seconds(milliseconds: i64) -> String {
    let text = unspecified(milliseconds);
    text.split('.').next().unwrap_or(&text).to_owned()
}

fn text(time: Timestamp) -> String {
    let seconds = time.strftime("%Y-%m-%dT%H:%M:%S");
    let ticks = time.subsec_nanosecond().unsigned_abs() / 100;
    if ticks == 0 {
        return seconds.to_string();
    }
    format!("{seconds}.{}", format!("{ticks:07}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_sub_seconds_as_far_as_there_are_any() {
        let cases = [
            (1_763_640_000_000, "2025-11-20T12:00:00"),
            (1_763_640_000_500, "2025-11-20T12:00:00.5"),
            (1_763_640_000_123, "2025-11-20T12:00:00.123"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(unspecified(milliseconds), expected);
            assert_eq!(utc(milliseconds), format!("{expected}Z"));
            assert_eq!(whole_seconds(milliseconds), "2025-11-20T12:00:00");
        }
    }
}
