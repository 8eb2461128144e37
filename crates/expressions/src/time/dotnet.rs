//! Timestamps as text, read as .NET `DateTime.Parse` does with the invariant
//! culture (device-mapping.md 5.2).
//!
//! Taken are the ISO family, US order, RFC 1123 and English month names. Text
//! that .NET completes from the clock (a time alone, a day without year) is
//! refused, and so are decimal numbers, of which it makes months.

use super::{DateKind, DateTime, TICKS_PER_SECOND, UtcTime};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// 0001-01-01 was a Monday.
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl DateTime {
    /// Reads text as .NET parses a timestamp (device-mapping.md 5.2): without
    /// a zone the kind is Unspecified, with `Z`, `GMT` or an offset Local.
    pub fn parse_dotnet(text: &str) -> Option<DateTime> {
        let mut parser = Parser { rest: text.trim().as_bytes(), ..Parser::default() };
        while !parser.rest.is_empty() {
            parser.part()?;
        }
        parser.date_time()
    }
}

/// A number of the date.
#[derive(Clone, Copy, Default)]
struct Number {
    value: u32,
    digits: usize,
}

impl Number {
    /// Whether it can only be a year.
    fn is_year(self) -> bool {
        self.digits == 4
    }
}

#[derive(Default)]
struct Parser<'t> {
    rest: &'t [u8],
    numbers: [Number; 3],
    count: usize,
    month: Option<u32>,
    weekday: Option<usize>,
    /// Numbers of the date stand apart by something else than `/` and `-`.
    is_loose: bool,
    time: Option<(u32, u32, u32, i64)>,
    is_afternoon: Option<bool>,
    /// The date was complete when the time was read.
    is_date_first: bool,
    offset: Option<i64>,
}

impl Parser<'_> {
    /// Reads one part: a number with what follows it, a word or a separator.
    fn part(&mut self) -> Option<()> {
        let first = *self.rest.first()?;
        if self.offset.is_some() {
            return None;
        }
        match first {
            b'0'..=b'9' => self.number(),
            b'+' | b'-' if self.time.is_some() && (self.is_date_first || first == b'+') => self.offset(),
            b'-' | b'/' if self.count > 0 || self.month.is_some() => self.separator(),
            b' ' | b'\t' | b',' | b'.' => {
                let blanks = self.rest.iter().take_while(|c| matches!(c, b' ' | b'\t' | b',' | b'.')).count();
                self.is_loose |= self.time.is_none() && self.count > 0;
                self.rest = &self.rest[blanks..];
                Some(())
            }
            _ => self.word(),
        }
    }

    /// Moves past a separator, which has to stand right between two parts.
    fn separator(&mut self) -> Option<()> {
        self.rest = &self.rest[1..];
        self.rest.first().filter(|c| c.is_ascii_alphanumeric()).map(|_| ())
    }

    fn number(&mut self) -> Option<()> {
        let number = self.digits()?;
        if self.rest.first() == Some(&b':') {
            return self.time(number);
        }
        if self.is_date_first || self.count == self.numbers.len() || number.digits > 4 || number.digits == 3 {
            return None;
        }
        self.numbers[self.count] = number;
        self.count += 1;
        Some(())
    }

    /// Reads digits; none when there are none or too many.
    fn digits(&mut self) -> Option<Number> {
        let digits = self.rest.iter().take_while(|c| c.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let value = self.rest[..digits].iter().fold(0, |value, c| value * 10 + u32::from(c - b'0'));
        self.rest = &self.rest[digits..];
        Some(Number { value, digits })
    }

    /// Reads `:mm[:ss[.fffffff]]`.
    fn time(&mut self, hour: Number) -> Option<()> {
        let minute = self.digits_after_colon()?;
        let mut second = Number::default();
        let mut fraction = 0;
        if self.rest.first() == Some(&b':') {
            second = self.digits_after_colon()?;
            if let [b'.' | b',', rest @ ..] = self.rest {
                self.rest = rest;
                fraction = self.fraction()?;
            }
        }
        let is_valid = [hour, minute, second].iter().all(|part| part.digits <= 2);
        if !is_valid || self.time.is_some() {
            return None;
        }
        self.is_date_first = self.count > 0 || self.month.is_some();
        self.time = Some((hour.value, minute.value, second.value, fraction));
        Some(())
    }

    fn digits_after_colon(&mut self) -> Option<Number> {
        self.rest = &self.rest[1..];
        self.digits()
    }

    /// Reads the fraction of a second as ticks, rounded as .NET does it.
    fn fraction(&mut self) -> Option<i64> {
        let digits = self.rest.iter().take_while(|c| c.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let mut place = 0.1;
        let mut fraction = 0.0;
        for digit in &self.rest[..digits] {
            fraction += f64::from(digit - b'0') * place;
            place *= 0.1;
        }
        self.rest = &self.rest[digits..];
        Some((fraction * TICKS_PER_SECOND as f64).round_ties_even() as i64)
    }

    /// Reads `+h`, `+hh`, `+h:mm`, `+hh:mm` or `+hhmm`.
    fn offset(&mut self) -> Option<()> {
        let is_negative = self.rest[0] == b'-';
        self.rest = &self.rest[1..];
        let number = self.digits()?;
        let (hours, minutes) = match number.digits {
            1 | 2 if self.rest.first() == Some(&b':') => {
                (number.value, self.digits_after_colon().filter(|minutes| minutes.digits == 2)?.value)
            }
            1 | 2 => (number.value, 0),
            4 => (number.value / 100, number.value % 100),
            _ => return None,
        };
        let minutes = Some(hours * 60 + minutes).filter(|all| minutes < 60 && *all <= 14 * 60)?;
        let ticks = i64::from(minutes) * 60 * TICKS_PER_SECOND;
        self.offset = Some(if is_negative { -ticks } else { ticks });
        Some(())
    }

    fn word(&mut self) -> Option<()> {
        let length = self.rest.iter().take_while(|c| c.is_ascii_alphabetic()).count();
        let (word, rest) = self.rest.split_at(length);
        let word = str::from_utf8(word).ok()?.to_ascii_lowercase();
        self.rest = rest;
        let is_name = |name: &str| word == name || (word.len() == 3 && name.starts_with(&word));
        match word.as_str() {
            "t" if self.time.is_none() && self.count > 0 => {
                // Only a time with minutes may follow, which is to be the last.
                let hour = self.digits()?;
                if self.rest.first() == Some(&b':') { self.time(hour) } else { None }
            }
            "z" | "gmt" if self.time.is_some() => self.offset.replace(0).is_none().then_some(()),
            "am" | "pm" if self.time.is_some() => self.is_afternoon.replace(word == "pm").is_none().then_some(()),
            _ => {
                if let Some(month) = MONTHS.iter().position(|name| is_name(name)) {
                    let is_first = self.month.replace(month as u32 + 1).is_none();
                    return (is_first && !self.is_date_first).then_some(());
                }
                let weekday = WEEKDAYS.iter().position(|name| is_name(name))?;
                self.weekday.replace(weekday).is_none().then_some(())
            }
        }
    }

    /// What all the parts mean together.
    fn date_time(&self) -> Option<DateTime> {
        let (year, month, day) = self.date()?;
        let (hour, minute, second, fraction) = self.time.unwrap_or_default();
        let hour = match self.is_afternoon {
            Some(false) if hour > 12 => return None,
            Some(false) => hour % 12,
            Some(true) if hour < 12 => hour + 12,
            _ => hour,
        };
        // The fraction may have been rounded up to a whole second.
        let start = UtcTime::from_parts((i64::from(year), month, day), (hour, minute, second), 0)?;
        let instant = UtcTime::from_ticks(start.ticks() + fraction - self.offset.unwrap_or(0))?;
        let weekday = (start.floor(86_400).ticks() / (86_400 * TICKS_PER_SECOND) % 7) as usize;
        if self.weekday.is_some_and(|said| said != weekday) {
            return None;
        }
        let kind = if self.offset.is_some() { DateKind::Local } else { DateKind::Unspecified };
        Some(DateTime { instant, kind })
    }

    /// Year, month and day.
    fn date(&self) -> Option<(u32, u32, u32)> {
        let numbers = &self.numbers[..self.count];
        match (self.month, numbers) {
            (None, [year, month, day]) if year.is_year() && !month.is_year() && !day.is_year() => {
                Some((year.value, month.value, day.value))
            }
            (None, [month, day, year]) if !month.is_year() && !day.is_year() => {
                Some((full_year(*year)?, month.value, day.value))
            }
            (None, [year, month] | [month, year]) if year.is_year() && !month.is_year() && !self.is_loose => {
                Some((year.value, month.value, 1))
            }
            (Some(month), [year]) if year.is_year() => Some((year.value, month, 1)),
            (Some(month), [year, day]) if year.is_year() && !day.is_year() => Some((year.value, month, day.value)),
            (Some(month), [day, year]) if !day.is_year() => Some((full_year(*year)?, month, day.value)),
            _ => None,
        }
    }
}

/// A year of two digits is the one from 1950 to 2049.
fn full_year(year: Number) -> Option<u32> {
    match (year.digits, year.value) {
        (4, value) => Some(value),
        (1 | 2, value @ ..50) => Some(2000 + value),
        (2, value) => Some(1900 + value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut actual = String::new();
        match DateTime::parse_dotnet(text) {
            Some(date) => date.write_iso(&mut actual),
            None => actual.push_str("none"),
        }
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn takes_the_iso_family() {
        for text in ["2019-02-01", "2019-2-1", "2019/02/01", "2019.02.01", "2019-02", " 2019-02-01 ", "02/2019"] {
            check(text, "2019-02-01T00:00:00");
        }
        check("2019-02-01T22:46", "2019-02-01T22:46:00");
        check("2019-02-01t22:46:01", "2019-02-01T22:46:01");
        check("2019-02-01 22:46:01", "2019-02-01T22:46:01");
        check("2019-02-01 22:46:01.875", "2019-02-01T22:46:01.875");
        check("2019-02-01 22:46:01,875", "2019-02-01T22:46:01.875");
        check("2019-02-01T22:46:01.12345678", "2019-02-01T22:46:01.1234568");
        check("2019-02-01T22:46:59.99999999", "2019-02-01T22:47:00");
        check("0001-01-01", "0001-01-01T00:00:00");
    }

    #[test]
    fn applies_zones() {
        for text in [
            "2019-02-01T22:46:01Z",
            "2019-02-01 22:46:01z",
            "2019-02-01T22:46:01 Z",
            "2019-02-02T00:46:01+2:00",
            "2019-02-02T00:46:01 +02:00",
            "2019-02-02T00:46:01+0200",
            "2019-02-02T00:46:01+02",
            "2019-02-01T21:16:01-01:30",
            "Fri, 01 Feb 2019 22:46:01 GMT",
            "Fri, 01 Feb 2019 23:46:01 +0100",
            "2/1/2019 10:46:01 PM Z",
        ] {
            check(text, "2019-02-01T22:46:01+00:00");
        }
    }

    #[test]
    fn takes_us_order() {
        check("02/01/2019 22:46:01", "2019-02-01T22:46:01");
        check("2/1/2019 3:04:05 PM", "2019-02-01T15:04:05");
        check("2/1/2019 12:04 am", "2019-02-01T00:04:00");
        check("2/1/2019 12:04 PM", "2019-02-01T12:04:00");
        check("2.1.2019", "2019-02-01T00:00:00");
        check("12/31/49", "2049-12-31T00:00:00");
        check("12/31/50", "1950-12-31T00:00:00");
    }

    #[test]
    fn takes_month_names() {
        check("Feb 1, 2019 10:46 PM", "2019-02-01T22:46:00");
        check("1 Feb 2019", "2019-02-01T00:00:00");
        check("01-Feb-2019", "2019-02-01T00:00:00");
        check("01-FEB-19", "2019-02-01T00:00:00");
        check("Friday, February 1, 2019", "2019-02-01T00:00:00");
        check("10:46 PM Feb 1, 2019", "2019-02-01T22:46:00");
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "2019",
            "20190201",
            "20190201T224601Z",
            "2019-032",
            "2019-W05-5",
            "2019-02-01T22",
            "2019-02-01T22:46:01.Z",
            "2019-02-01T22:46:60",
            "2019-02-01T25:00:00",
            "2019-02-30",
            "2019-02-01 22:46:01 UTC",
            "2019-02-01 22:46:01 EST",
            "2019-02-01T22:46:01+01:00[America/New_York]",
            "2019-02-01_22:46:01",
            "13/01/2019",
            "Thursday, February 1, 2019",
            "Fri Feb 01 22:46:01 2019",
            "Fri Feb 01 2019 22:46:01 GMT+0100 (CET)",
            "Fri Feb 01 2019 22:46:01 GMT+0100",
            "1549061161",
            "1549061161.5",
            "",
            "  ",
            "yesterday",
            "2019-02-01T22:46:01+15:00",
            "2019-02-01T22:46:01+01:00Z",
            "12.2345",
            "1,2345",
            "02/01",
            "1 Feb",
            "Feb",
            "2019-02-01-",
            "2019--02-01",
            "-2019-02-01",
            "2019-02-01T",
            "Z",
            "é",
            "2019-02-01 22:46:01 10:00",
            "0001-01-01T00:00:00+01:00",
        ] {
            check(text, "none");
        }
    }

    #[test]
    fn refuses_a_time_alone() {
        for text in ["10:30", "10:30:00Z", "3:04 PM", "Friday 10:30"] {
            check(text, "none");
        }
    }
}
