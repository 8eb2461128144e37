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
    #[inline]
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
    pub const fn saturating_add(self, ticks: i64) -> UtcTime {
        match self.0.saturating_add(ticks) {
            ..=0 => Self::MIN,
            ticks if ticks > Self::MAX.0 => Self::MAX,
            ticks => UtcTime(ticks),
        }
    }

    /// The start of the hour or day (any span of `seconds` that divides a day).
    pub fn floor(self, seconds: i64) -> UtcTime {
        UtcTime(self.0 - self.0.rem_euclid(seconds * TICKS_PER_SECOND))
    }

    /// Year, month, day.
    pub fn date(self) -> (i64, u32, u32) {
        // Howard Hinnant's civil-from-days, with days since 0000-03-01. No day
        // is before that, and 32 bits do.
        let days = (self.0 as u64 / TICKS_PER_DAY as u64) as u32 + 306;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
        (i64::from(year_of_era + era * 400 + year), month, day)
    }

    /// Hour, minute, second, and the fraction of the second in ticks.
    pub fn time(self) -> (u32, u32, u32, i64) {
        let ticks = self.0 as u64 % TICKS_PER_DAY as u64;
        let seconds = (ticks / TICKS_PER_SECOND as u64) as u32;
        (seconds / 3600, seconds / 60 % 60, seconds % 60, (ticks % TICKS_PER_SECOND as u64) as i64)
    }

    /// `yyyy-MM-ddTHH:mm:ss[.fffffff]Z`, the fraction without trailing zeros
    /// (none when it is zero): the form of normalized messages
    /// (device-mapping.md 8.1).
    #[inline]
    pub fn iso(self) -> IsoText {
        let mut text = [b'Z'; 28];
        text[..27].copy_from_slice(&self.iso7());
        let mut end = 27;
        while text[end - 1] == b'0' && end > SECONDS_END + 1 {
            end -= 1;
        }
        if end == SECONDS_END + 1 {
            end = SECONDS_END;
        }
        text[end] = b'Z';
        IsoText { text, length: end + 1 }
    }

    /// Appends [`UtcTime::iso`] without its zone.
    pub fn write_iso_without_zone(self, out: &mut String) {
        let text = self.iso();
        push_ascii(out, &text.as_bytes()[..text.length - 1]);
    }

    /// Appends [`UtcTime::iso`].
    pub fn write_iso(self, out: &mut String) {
        push_ascii(out, self.iso().as_bytes());
    }

    /// Appends `yyyy-MM-ddTHH:mm:ss.fffffffZ`, always seven digits: the form of
    /// `effectivePeriod` (fhir-conversion.md 5.3).
    pub fn write_iso7(self, out: &mut String) {
        push_ascii(out, &self.iso7());
        out.push('Z');
    }

    /// Appends `yyyyMMddHHmmssZ`: the form in identifiers (fhir-conversion.md 3.3).
    pub fn write_compact(self, out: &mut String) {
        let ((year, month, day), (hour, minute, second, _)) = (self.date(), self.time());
        let mut text = *b"yyyyMMddHHmmssZ";
        put(&mut text[..4], year as u64);
        for (at, part) in [month, day, hour, minute, second].into_iter().enumerate() {
            put(&mut text[4 + 2 * at..][..2], part.into());
        }
        push_ascii(out, &text);
    }

    /// Appends `MM/dd/yyyy HH:mm:ss`: how .NET prints a date as text
    /// (device-mapping.md 5.1).
    pub fn write_us(self, out: &mut String) {
        let ((year, month, day), (hour, minute, second, _)) = (self.date(), self.time());
        let mut text = *b"MM/dd/yyyy HH:mm:ss";
        put(&mut text[6..10], year as u64);
        for (at, part) in [(0, month), (3, day), (11, hour), (14, minute), (17, second)] {
            put(&mut text[at..at + 2], part.into());
        }
        push_ascii(out, &text);
    }

    /// `yyyy-MM-ddTHH:mm:ss.fffffff`.
    #[inline]
    fn iso7(self) -> [u8; 27] {
        let ((year, month, day), (hour, minute, second, fraction)) = (self.date(), self.time());
        let (year, fraction) = (year as u32, fraction as u32);
        let mut text = *b"yyyy-MM-ddTHH:mm:ss.fffffff";
        text[20] = b'0' + (fraction / 1_000_000) as u8;
        let pairs = [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, hour),
            (14, minute),
            (17, second),
            (21, fraction / 10_000 % 100),
            (23, fraction / 100 % 100),
            (25, fraction % 100),
        ];
        for (at, pair) in pairs {
            text[at..at + 2].copy_from_slice(&PAIRS[pair as usize % PAIRS.len()]);
        }
        text
    }
}

/// See [`UtcTime::iso`].
#[derive(Clone, Copy, Debug)]
pub struct IsoText {
    text: [u8; 28],
    length: usize,
}

impl IsoText {
    /// The text, ASCII.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut pair = 0;
    while pair < 100 {
        pairs[pair] = [b'0' + pair as u8 / 10, b'0' + pair as u8 % 10];
        pair += 1;
    }
    pairs
};

/// Where the seconds end in `yyyy-MM-ddTHH:mm:ss`.
const SECONDS_END: usize = 19;

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
    #[inline]
    pub fn parse_token(text: &str) -> Option<DateTime> {
        Self::parse_token_bytes(text.as_bytes())
    }

    #[inline]
    pub(crate) fn parse_token_bytes(text: &[u8]) -> Option<DateTime> {
        match text.first() {
            Some(b'/') => parse_microsoft(std::str::from_utf8(text).ok()?),
            _ => parse_iso(text),
        }
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

#[inline]
fn parse_iso(text: &[u8]) -> Option<DateTime> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let (date, (hour, minute, second)) = parse_seconds(head)?;
    let (fraction, zone) = match rest {
        [b'.', rest @ ..] => parse_fraction(rest)?,
        _ => (0, rest),
    };
    let (kind, offset) = match zone {
        [] => (DateKind::Unspecified, 0),
        [b'Z' | b'z'] => (DateKind::Utc, 0),
        [sign @ (b'+' | b'-'), rest @ ..] => (DateKind::Local, parse_offset(*sign, rest)?),
        _ => return None,
    };
    let midnight = hour == 24 && minute == 0 && second == 0 && fraction == 0;
    let time = (if midnight { 0 } else { hour }, minute, second);
    let mut instant = UtcTime::from_parts(date, time, fraction)?;
    if midnight {
        instant = UtcTime::from_ticks(instant.0 + TICKS_PER_DAY)?;
    }
    Some(DateTime { instant: instant.saturating_add(-offset), kind })
}

/// Year, month, day; hour, minute, second.
type Parts = ((i64, u32, u32), (u32, u32, u32));

/// Reads `yyyy-MM-ddTHH:mm:ss`; the parts may be out of range.
#[inline]
fn parse_seconds(text: &[u8; 19]) -> Option<Parts> {
    let mut is_good = text[4] == b'-' && text[7] == b'-' && text[10] == b'T' && text[13] == b':' && text[16] == b':';
    // All digits are looked at before one decides: that needs no jumps.
    let mut pair = |at: usize| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        is_good &= tens <= 9 && ones <= 9;
        u32::from(tens) * 10 + u32::from(ones)
    };
    let year = i64::from(pair(0)) * 100 + i64::from(pair(2));
    let parts = ((year, pair(5), pair(8)), (pair(11), pair(14), pair(17)));
    is_good.then_some(parts)
}

/// Reads 1 to 7 digits as ticks; gives what stands after them.
#[inline]
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text.iter().take(8).take_while(|c| c.is_ascii_digit()).count();
    if !(1..=7).contains(&digits) {
        return None;
    }
    let (fraction, rest) = text.split_at(digits);
    let fraction = fraction.iter().fold(0, |n, c| n * 10 + i64::from(c - b'0'));
    const SCALES: [i64; 8] = [0, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    Some((fraction * SCALES[digits], rest))
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

#[inline]
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
#[inline]
fn days_before(year: i64, month: u32, day: u32) -> i64 {
    // The year is 1 to 9999, so that of its March is not negative.
    let year = year as u32;
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    i64::from(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year) - 306
}

/// Fills `digits` with a number, padded with zeros.
#[inline]
fn put(digits: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Appends text of ASCII; nothing when it is not.
fn push_ascii(out: &mut String, text: &[u8]) {
    out.push_str(std::str::from_utf8(text).unwrap_or_default());
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
