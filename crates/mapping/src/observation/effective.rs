//! The time that a stored Observation stands for, however precisely a server
//! gives it back (fhir-conversion.md 6.4).

use expressions::UtcTime;
use expressions::time::TICKS_PER_SECOND;

use super::Observation;
use crate::convert_error::ConvertError;
use crate::json;

/// `effectivePeriod`, or `effectiveDateTime` as a period of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effective {
    pub(super) start: UtcTime,
    pub(super) end: UtcTime,
    /// How many ticks the last digit of the end's text stands for.
    pub(super) end_precision: i64,
    /// Whether it is a period already.
    pub(super) is_period: bool,
}

impl Effective {
    pub(super) fn read(observation: &Observation) -> Result<Effective, ConvertError> {
        let members = &observation.members;
        let time = |text: &str| parse_date_time(text).ok_or(ConvertError::EffectiveNotSupported);
        if let Some(period) = members.get("effectivePeriod") {
            if json::members(period).is_none() {
                return Err(ConvertError::EffectiveNotSupported);
            }
            let text = |name: &str| json::member(period, name).and_then(json::text);
            let (Some(start), Some(end)) = (text("start"), text("end")) else {
                return Err(ConvertError::EffectiveIncomplete);
            };
            let ((start, _), (end, end_precision)) = (time(&start)?, time(&end)?);
            return Ok(Effective { start, end, end_precision, is_period: true });
        }
        if !members.iter().any(|(name, _)| name.starts_with("effective")) {
            return Err(ConvertError::EffectiveIncomplete);
        }
        let text = members.text("effectiveDateTime").ok_or(ConvertError::EffectiveNotSupported)?;
        let (instant, end_precision) = time(&text)?;
        Ok(Effective { start: instant, end: instant, end_precision, is_period: false })
    }

    /// Whether `end` is later than what is stored, and not just what a server
    /// has cut off or rounded. A server that keeps milliseconds gives
    /// `….9999999` back as `….999`; taking that for a change would send the
    /// Observation with every batch (quirk 43).
    pub(super) fn ends_before(&self, end: UtcTime) -> bool {
        end.ticks() - self.end.ticks() >= self.end_precision
    }
}

/// Reads a FHIR dateTime of any precision, its first instant; without zone it
/// is UTC. Also gives the ticks that its last digit stands for, where that is a
/// second or less, and otherwise one.
fn parse_date_time(text: &str) -> Option<(UtcTime, i64)> {
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |month| digits(month, 2))?;
    let day = parts.next().map_or(Some(1), |day| digits(day, 2))?;
    if parts.next().is_some() {
        return None;
    }
    let date = (i64::from(year), month, day);
    let Some(time) = time else { return Some((UtcTime::from_parts(date, (0, 0, 0), 0)?, 1)) };

    let zone = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(zone);
    let (time, fraction) = time.split_once('.').map_or((time, ""), |(time, fraction)| (time, fraction));
    let mut parts = time.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    // A leap second is taken for the second before it.
    let second = parts.next().map_or(Some(0), |second| digits(second, 2))?.min(59);
    if parts.next().is_some() || !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let shown = fraction.len().min(7);
    let precision = TICKS_PER_SECOND / 10_i64.pow(shown as u32);
    let ticks = fraction[..shown].parse().unwrap_or(0) * precision;
    let local = UtcTime::from_parts(date, (hour, minute, second), ticks)?;
    Some((local.saturating_add(-offset(zone)?), precision))
}

/// A zone as ticks: nothing, `Z`, or `+hh:mm`.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first() {
        None | Some(b'Z' | b'z') => return (zone.len() <= 1).then_some(0),
        Some(b'-') => -1,
        _ => 1,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let seconds = i64::from(digits(hours, 2)?) * 3600 + i64::from(digits(minutes, 2)?) * 60;
    Some(sign * seconds * TICKS_PER_SECOND)
}

fn digits(text: &str, count: usize) -> Option<u32> {
    let is_number = text.len() == count && text.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut actual = String::new();
        match parse_date_time(text) {
            Some((time, precision)) => {
                time.write_iso7(&mut actual);
                actual.push_str(&format!(" {precision}"));
            }
            None => actual.push_str("none"),
        }
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn reads_every_precision_of_fhir() {
        check("2023", "2023-01-01T00:00:00.0000000Z 1");
        check("2023-10", "2023-10-01T00:00:00.0000000Z 1");
        check("2023-10-09", "2023-10-09T00:00:00.0000000Z 1");
        check("2023-10-09T19:18", "2023-10-09T19:18:00.0000000Z 10000000");
        check("2023-10-09T19:18:23Z", "2023-10-09T19:18:23.0000000Z 10000000");
        check("2023-10-09T19:18:23.5Z", "2023-10-09T19:18:23.5000000Z 1000000");
        check("2023-10-09T19:18:23.1234567Z", "2023-10-09T19:18:23.1234567Z 1");
        check("2023-10-09T19:18:23.123456789Z", "2023-10-09T19:18:23.1234567Z 1");
        check("2023-10-09T21:18:23.541+02:00", "2023-10-09T19:18:23.5410000Z 10000");
        check("2023-10-09T19:18:23", "2023-10-09T19:18:23.0000000Z 10000000");
        check("2023-12-31T23:59:60Z", "2023-12-31T23:59:59.0000000Z 10000000");
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in ["", "23", "2023-13", "2023-10-09-01", "2023-10-09T", "2023-10-09T19", "2023-10-09T19:18:23Zx"] {
            check(text, "none");
        }
        for text in ["2023-10-09T19:18:23+2", "2023-10-09T19:18:23.xZ", "2023-02-30", "9x23"] {
            check(text, "none");
        }
    }
}
