//! Instants in 100 ns ticks, as .NET counts them, and their text forms.

mod dotnet;

use std::time::SystemTime;

/// 100 ns ticks in a second.
pub const TICKS_PER_SECOND: i64 = 10_000_000;
const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// 1970-01-01T00:00:00Z in ticks.
const UNIX_EPOCH: i64 = 719_162 * TICKS_PER_DAY;

/// An instant: 100 ns ticks since 0001-01-01T00:00:00 UTC, up to the end of
/// the year 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtcTime(i64);

impl UtcTime {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: UtcTime = UtcTime(0);
    /// 9999-12-31T23:59:59.9999999Z.
    pub const MAX: UtcTime = UtcTime(3_155_378_975_999_999_999);

    /// From ticks; none outside the years 1 to 9999.
    pub fn from_ticks(ticks: i64) -> Option<UtcTime> {
        (0..=Self::MAX.0).contains(&ticks).then_some(UtcTime(ticks))
    }

    /// From milliseconds since 1970-01-01T00:00:00Z; none outside the years 1
    /// to 9999.
    pub fn from_unix_milliseconds(milliseconds: i64) -> Option<UtcTime> {
        Self::from_ticks(milliseconds.checked_mul(10_000)?.checked_add(UNIX_EPOCH)?)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, rounded down.
    pub fn unix_milliseconds(self) -> i64 {
        (self.0 - UNIX_EPOCH).div_euclid(10_000)
    }

    /// From parts in UTC; none when one is out of range. `ticks` is the
    /// fraction of the second.
    pub fn from_parts(date: (i64, u32, u32), time: (u32, u32, u32), ticks: i64) -> Option<UtcTime> {
        let (year, month, day) = date;
        let (hour, minute, second) = time;
        if !(1..=9999).contains(&year) || day == 0 || day > days_in_month(year, month)? {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 || !(0..TICKS_PER_SECOND).contains(&ticks) {
            return None;
        }
        let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        Some(UtcTime(days_before(year, month, day) * TICKS_PER_DAY + seconds * TICKS_PER_SECOND + ticks))
    }

    /// Ticks since 0001-01-01T00:00:00Z.
    pub fn ticks(self) -> i64 {
        self.0
    }

    /// This instant moved by `ticks`, kept within the years 1 to 9999.
    pub fn saturating_add(self, ticks: i64) -> UtcTime {
        UtcTime(self.0.saturating_add(ticks).clamp(0, Self::MAX.0))
    }

    /// The start of the hour or day (any span of `seconds` that divides a day).
    pub fn floor(self, seconds: i64) -> UtcTime {
        UtcTime(self.0 - self.0.rem_euclid(seconds * TICKS_PER_SECOND))
    }

    /// Year, month, day.
    pub fn date(self) -> (i64, u32, u32) {
        // Howard Hinnant's civil-from-days, with days since 0000-03-01.
        let days = self.0.div_euclid(TICKS_PER_DAY) + 306;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
        (year_of_era + era * 400 + year, month as u32, day as u32)
    }

    /// Hour, minute, second, and the fraction of the second in ticks.
    pub fn time(self) -> (u32, u32, u32, i64) {
        let ticks = self.0.rem_euclid(TICKS_PER_DAY);
        let seconds = ticks / TICKS_PER_SECOND;
        ((seconds / 3600) as u32, (seconds / 60 % 60) as u32, (seconds % 60) as u32, ticks % TICKS_PER_SECOND)
    }

    /// Appends `yyyy-MM-ddTHH:mm:ss`, the fraction without trailing zeros (none
    /// when it is zero), and no zone.
    pub fn write_iso_without_zone(self, out: &mut String) {
        push_ascii(out, &self.seconds());
        let (.., mut fraction) = self.time();
        if fraction == 0 {
            return;
        }
        let mut digits = 7;
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        let mut text = *b".0000000";
        put_digits(&mut text[1..=digits], fraction as u64);
        push_ascii(out, &text[..=digits]);
    }

    /// Appends `yyyy-MM-ddTHH:mm:ss[.fffffff]Z`, the fraction without trailing
    /// zeros: the form of normalized messages (device-mapping.md 8.1).
    pub fn write_iso(self, out: &mut String) {
        self.write_iso_without_zone(out);
        out.push('Z');
    }

    /// Appends `yyyy-MM-ddTHH:mm:ss.fffffffZ`, always seven digits: the form of
    /// `effectivePeriod` (fhir-conversion.md 5.3).
    pub fn write_iso7(self, out: &mut String) {
        let mut text = *b"0000-00-00T00:00:00.0000000Z";
        text[..19].copy_from_slice(&self.seconds());
        put_digits(&mut text[20..27], self.time().3 as u64);
        push_ascii(out, &text);
    }

    /// Appends `yyyyMMddHHmmssZ`: the form in identifiers (fhir-conversion.md 3.3).
    pub fn write_compact(self, out: &mut String) {
        let from = self.seconds();
        let mut text = *b"00000000000000Z";
        for (to, at) in [(0, 0), (2, 2), (4, 5), (6, 8), (8, 11), (10, 14), (12, 17)] {
            text[to..to + 2].copy_from_slice(&from[at..at + 2]);
        }
        push_ascii(out, &text);
    }

    /// Appends `MM/dd/yyyy HH:mm:ss`: how .NET prints a date as text
    /// (device-mapping.md 5.1).
    pub fn write_us(self, out: &mut String) {
        let from = self.seconds();
        let mut text = *b"00/00/0000 00:00:00";
        for (to, at) in [(0, 5..7), (3, 8..10), (6, 0..4), (11, 11..19)] {
            text[to..to + at.len()].copy_from_slice(&from[at]);
        }
        push_ascii(out, &text);
    }

    /// `yyyy-MM-ddTHH:mm:ss`.
    fn seconds(self) -> [u8; 19] {
        let ((year, month, day), (hour, minute, second, _)) = (self.date(), self.time());
        let mut text = *b"0000-00-00T00:00:00";
        put_digits(&mut text[..4], year as u64);
        for (at, part) in [(5, month), (8, day), (11, hour), (14, minute), (17, second)] {
            text[at] += (part / 10) as u8;
            text[at + 1] += (part % 10) as u8;
        }
        text
    }
}

/// A time of a machine's clock; outside the years 1 to 9999 the nearest.
impl From<SystemTime> for UtcTime {
    fn from(time: SystemTime) -> UtcTime {
        // 100 ns ticks of any duration that a clock can be off fit an i128.
        let ticks = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i128::from(UNIX_EPOCH) + after.as_nanos() as i128 / 100,
            Err(before) => i128::from(UNIX_EPOCH) - before.duration().as_nanos() as i128 / 100,
        };
        UtcTime(ticks.clamp(0, i128::from(Self::MAX.0)) as i64)
    }
}

/// What a date said of its zone (device-mapping.md 1.3). The host's zone is
/// taken to be UTC, as in the official deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateKind {
    /// Ended in `Z`.
    Utc,
    /// No zone: taken as UTC.
    Unspecified,
    /// A numeric offset, already applied.
    Local,
}

/// A date token: an instant, and what was said of its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// The instant.
    pub instant: UtcTime,
    /// What was said of the zone.
    pub kind: DateKind,
}

impl DateTime {
    /// Reads text that the reader took for a date: one of the two shapes of
    /// device-mapping.md 1.3, ISO or `/Date(ms)/`. None for any other text.
    pub fn parse_token(text: &str) -> Option<DateTime> {
        let bytes = text.as_bytes();
        if bytes.first() == Some(&b'/') { parse_microsoft(text) } else { parse_iso(bytes) }
    }

    /// Appends the canonical ISO text: `Z`, nothing or `+00:00` by kind.
    pub fn write_iso(self, out: &mut String) {
        self.instant.write_iso_without_zone(out);
        match self.kind {
            DateKind::Utc => out.push('Z'),
            DateKind::Unspecified => {}
            DateKind::Local => out.push_str("+00:00"),
        }
    }
}

fn parse_iso(text: &[u8]) -> Option<DateTime> {
    if !(19..=40).contains(&text.len()) {
        return None;
    }
    let number = |from: usize, digits: usize| -> Option<u32> {
        text.get(from..from + digits)?
            .iter()
            .try_fold(0, |n, c| c.is_ascii_digit().then(|| n * 10 + u32::from(c - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, c)| text[*at] != *c) {
        return None;
    }
    let date = (i64::from(number(0, 4)?), number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let mut at = 19;
    let mut fraction = 0;
    if text.get(at) == Some(&b'.') {
        let digits = text[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
        if !(1..=7).contains(&digits) {
            return None;
        }
        fraction = i64::from(number(at + 1, digits)?) * 10_i64.pow(7 - digits as u32);
        at += 1 + digits;
    }
    let midnight = hour == 24 && minute == 0 && second == 0 && fraction == 0;
    let time = (if midnight { 0 } else { hour }, minute, second);
    let mut instant = UtcTime::from_parts(date, time, fraction)?;
    if midnight {
        instant = UtcTime::from_ticks(instant.0 + TICKS_PER_DAY)?;
    }
    let (kind, offset) = match &text[at..] {
        [] => (DateKind::Unspecified, 0),
        [b'Z' | b'z'] => (DateKind::Utc, 0),
        [sign @ (b'+' | b'-'), rest @ ..] => (DateKind::Local, parse_offset(*sign, rest)?),
        _ => return None,
    };
    Some(DateTime { instant: instant.saturating_add(-offset), kind })
}

/// `hh`, `hhmm` or `hh:mm`, each at most 99, as ticks.
fn parse_offset(sign: u8, text: &[u8]) -> Option<i64> {
    let (hours, minutes) = match text {
        [a, b] => ([*a, *b], [b'0', b'0']),
        [a, b, c, d] | [a, b, b':', c, d] => ([*a, *b], [*c, *d]),
        _ => return None,
    };
    let pair =
        |p: [u8; 2]| p.iter().all(u8::is_ascii_digit).then(|| i64::from(p[0] - b'0') * 10 + i64::from(p[1] - b'0'));
    let ticks = (pair(hours)? * 3600 + pair(minutes)? * 60) * TICKS_PER_SECOND;
    Some(if sign == b'-' { -ticks } else { ticks })
}

/// `/Date(ms)/`, `/Date(ms+hhmm)/`: the offset says only that there was one.
fn parse_microsoft(text: &str) -> Option<DateTime> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let sign = inner.char_indices().skip(1).find(|(_, c)| *c == '+' || *c == '-');
    let (milliseconds, kind) = match sign {
        Some((at, sign)) => {
            parse_offset(sign as u8, &inner.as_bytes()[at + 1..])?;
            (&inner[..at], DateKind::Local)
        }
        None => (inner, DateKind::Utc),
    };
    if milliseconds.starts_with('+') {
        return None;
    }
    let milliseconds = milliseconds.parse().ok()?;
    Some(DateTime { instant: UtcTime::from_unix_milliseconds(milliseconds)?, kind })
}

fn days_in_month(year: i64, month: u32) -> Option<u32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days from 0001-01-01 to the given date.
fn days_before(year: i64, month: u32, day: u32) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * i64::from(month) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 306
}

/// The last digits of `number`, as many as there is room for.
fn put_digits(room: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn push_ascii(out: &mut String, text: &[u8]) {
    out.push_str(std::str::from_utf8(text).expect("digits and what stands between them are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut actual = String::new();
        match DateTime::parse_token(text) {
            Some(date) => date.write_iso(&mut actual),
            None => actual.push_str("text"),
        }
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn takes_the_two_date_shapes() {
        check("2019-02-01T22:46:01Z", "2019-02-01T22:46:01Z");
        check("2019-02-01T22:46:01.8750000Z", "2019-02-01T22:46:01.875Z");
        check("2019-02-01T22:46:01", "2019-02-01T22:46:01");
        check("2019-02-01T22:46:01+01:00", "2019-02-01T21:46:01+00:00");
        check("2019-02-01T22:46:01-0130", "2019-02-02T00:16:01+00:00");
        check("2019-02-01T24:00:00", "2019-02-02T00:00:00");
        check("2020-02-29T00:00:00z", "2020-02-29T00:00:00Z");
        check("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z");
        check("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999999Z");
        check("/Date(1549061161875)/", "2019-02-01T22:46:01.875Z");
        check("/Date(-62135596800000)/", "0001-01-01T00:00:00Z");
        check("/Date(0+0100)/", "1970-01-01T00:00:00+00:00");
    }

    #[test]
    fn leaves_everything_else_text() {
        for text in [
            "2019-02-01",
            "2019-02-01T22:46",
            "2019-02-01 22:46:01Z",
            "2019-02-01t22:46:01Z",
            "2019-02-01T22:46:01.12345678Z",
            "2019-02-01T22:46:60Z",
            "2019-02-29T22:46:01Z",
            " 2019-02-01T22:46:01Z",
            "2019-02-01T24:00:01Z",
            "2019-02-01T22:46:01.Z",
            "2019-02-01T22:46:01+1:00",
            "/Date(x)/",
            "/Date()/",
            "/Date(+1)/",
        ] {
            check(text, "text");
        }
    }

    #[test]
    fn prints_the_forms_of_messages() {
        let time = DateTime::parse_token("2023-10-09T19:18:23.541Z").map(|d| d.instant).unwrap_or_default();
        let mut out = String::new();
        time.write_iso7(&mut out);
        out.push(' ');
        time.write_compact(&mut out);
        out.push(' ');
        time.write_us(&mut out);
        assert_eq!(out, "2023-10-09T19:18:23.5410000Z 20231009191823Z 10/09/2023 19:18:23");
        assert_eq!(time.floor(3600), UtcTime::from_parts((2023, 10, 9), (19, 0, 0), 0).unwrap_or_default());
    }
}
