//! FHIR's dates: which texts are allowed, and the span of time each covers.
//!
//! A `dateTime` may stop after the year, month or day; with a time it needs
//! seconds and a zone (FHIR R4, datatypes, `dateTime`).

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// First moment covered, and first moment after it.
pub(super) type Span = (Timestamp, Timestamp);

/// The span that a `dateTime`, `date` or `instant` covers, `None` when the text
/// is none of them. Dates without a zone are read as UTC.
pub(super) fn span(text: &str) -> Option<Span> {
    if !text.is_ascii() {
        return None;
    }
    match text.len() {
        4 => day_span(&format!("{text}-01-01"), |day| day.checked_add(1.year()).ok()),
        7 => day_span(&format!("{text}-01"), |day| day.checked_add(1.month()).ok()),
        10 => day_span(text, |day| day.checked_add(1.day()).ok()),
        _ => instant_span(text),
    }
}

/// Whether the text is a `date`: year, month or day.
pub(super) fn is_date(text: &str) -> bool {
    text.len() <= 10 && span(text).is_some()
}

/// Whether the text is an `instant`: date, time with seconds, zone.
pub(super) fn is_instant(text: &str) -> bool {
    instant_span(text).is_some()
}

/// Whether the text is a `time`: `hh:mm:ss` with an optional fraction.
pub(super) fn is_time(text: &str) -> bool {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, digits)| (clock, Some(digits)));
    like(clock, "##:##:##") && fraction.is_none_or(is_digits) && clock.parse::<jiff::civil::Time>().is_ok()
}

fn day_span(text: &str, next: impl Fn(Date) -> Option<Date>) -> Option<Span> {
    if !like(text, "####-##-##") {
        return None;
    }
    let first: Date = text.parse().ok()?;
    let midnight = |day: Date| Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp());
    Some((midnight(first)?, midnight(next(first)?)?))
}

fn instant_span(text: &str) -> Option<Span> {
    let seconds = text.get(..19)?;
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("", rest),
    };
    let has_fraction = rest.starts_with('.');
    let zone_is_valid = zone == "Z" || like(zone, "+##:##") || like(zone, "-##:##");
    if !like(seconds, "####-##-##T##:##:##") || (has_fraction && fraction.is_empty()) || !zone_is_valid {
        return None;
    }
    // More than nine digits are valid FHIR; a span needs no finer ones.
    let digits = fraction.len().min(9);
    let point = if has_fraction { "." } else { "" };
    let start: Timestamp = format!("{seconds}{point}{}{zone}", &fraction[..digits]).parse().ok()?;
    let finest = 10_i64.pow(9 - u32::try_from(digits).ok()?);
    Some((start, start.checked_add(SignedDuration::from_nanos(finest)).ok()?))
}

/// Whether `text` has the form of `pattern`, where `#` is a digit.
fn like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(c, p)| if p == b'#' { c.is_ascii_digit() } else { c == p })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_fhir_calls_a_date_time() {
        let cases = [
            ("2020", true),
            ("2020-11", true),
            ("2020-11-01", true),
            ("2020-11-01T12:00:00Z", true),
            ("2020-11-01T12:00:00.1234567Z", true),
            ("2020-11-01T12:00:00.123456789123+02:00", true),
            ("2020-11-01T12:00:00", false),
            ("2020-11-01T12:00Z", false),
            ("2020-11-01 12:00:00Z", false),
            ("2020-11-01T12:00:00.Z", false),
            ("2020-11-01T12:00:00.5", false),
            ("2020-13-01", false),
            ("2020-02-30", false),
            ("20-11-01", false),
            ("", false),
            ("2020-11-0\u{0661}", false),
        ];
        for (text, expected) in cases {
            assert_eq!(span(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn a_day_covers_until_the_next() {
        let (start, end) = span("2020-12-31").unwrap();
        assert_eq!(
            (start.to_string(), end.to_string()),
            ("2020-12-31T00:00:00Z".into(), "2021-01-01T00:00:00Z".into())
        );
    }

    #[test]
    fn takes_times_of_day() {
        for (text, expected) in [("12:00:00", true), ("12:00:00.5", true), ("12:00", false), ("25:00:00", false)] {
            assert_eq!(is_time(text), expected, "{text}");
        }
    }
}
