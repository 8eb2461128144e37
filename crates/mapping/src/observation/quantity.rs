//! Reads a value as a decimal number, as .NET does (fhir-conversion.md 5.4).
//!
//! FHIR lets a decimal have an exponent, but not every server keeps it and a
//! series cannot hold one, so a number that comes with an exponent is written
//! without: `9.860e1` is `98.60`.

use rust_decimal::Decimal;

/// Appends the number that [`parse`] reads from a text; none, and nothing
/// appended, when it reads none.
pub(super) fn push(text: &str, exponents: bool, out: &mut String) -> Option<()> {
    if prints_as_written(text) {
        out.push_str(text);
    } else {
        out.push_str(&parse(text, exponents)?.to_string());
    }
    Some(())
}

/// Whether a decimal prints just as it is written here: no superfluous digits
/// before the point, and few enough that none is rounded.
fn prints_as_written(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let is_zero = || digits.bytes().all(|c| matches!(c, b'0' | b'.'));
    digits.len() <= 28
        && is_number(whole)
        && is_number(fraction)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && (digits.len() == text.len() || !is_zero())
}

/// Blanks around, one sign before or after, commas between the digits before
/// the point, `.5` and `5.` are accepted; parentheses and words are not, and
/// exponents only when `exponents` says so. The scale is kept: `65.0` stays
/// `65.0`. More digits than 28 are rounded. None when it is no such number, or
/// too large or too small for a decimal.
pub(crate) fn parse(text: &str, exponents: bool) -> Option<Decimal> {
    let is_blank = |c: char| matches!(c, '\t'..='\r' | ' ');
    let text = text.trim_matches(is_blank);
    let (before, text) = take_sign(text, |text, sign| text.strip_prefix(sign));
    let (after, text) =
        if before.is_some() { (None, text) } else { take_sign(text, |text, sign| text.strip_suffix(sign)) };
    let text = if after.is_some() { text.trim_end_matches(is_blank) } else { text };

    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) if exponents && after.is_none() => (text, parse_exponent(exponent)?),
        _ => (text, 0),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    let grouped = whole.bytes().all(|c| c.is_ascii_digit() || c == b',') && !whole.starts_with(',');
    if !grouped || !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        digits.push('0');
    }
    if !fraction.is_empty() {
        digits.push('.');
        digits.push_str(fraction);
    }
    let mut number = shift(digits.parse().ok()?, exponent)?;
    if before.or(after) == Some('-') && !number.is_zero() {
        number.set_sign_negative(true);
    }
    Some(number)
}

/// A sign or none, and digits. More than a few cannot be a decimal's.
fn parse_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = take_sign(text, |text, sign| text.strip_prefix(sign));
    let is_number = (1..=10).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    let exponent: i64 = is_number.then(|| digits.parse().ok()).flatten()?;
    Some(if sign == Some('-') { -exponent } else { exponent })
}

/// `number` times ten to the `exponent`, with the digits that were written.
fn shift(number: Decimal, exponent: i64) -> Option<Decimal> {
    if exponent == 0 {
        return Some(number);
    }
    let scale = i64::from(number.scale()) - exponent;
    let mut shifted = number;
    match u32::try_from(scale) {
        Ok(scale) => shifted.set_scale(scale).ok()?,
        Err(_) => {
            shifted.set_scale(0).ok()?;
            let zeros = u32::try_from(-scale).ok().filter(|_| !number.is_zero()).unwrap_or_default();
            shifted = shifted.checked_mul(10_i128.checked_pow(zeros).map(Decimal::try_from)?.ok()?)?;
        }
    }
    Some(shifted)
}

fn take_sign<'t>(text: &'t str, strip: impl Fn(&'t str, char) -> Option<&'t str>) -> (Option<char>, &'t str) {
    let signed = |sign| strip(text, sign).map(|rest| (Some(sign), rest));
    signed('-').or_else(|| signed('+')).unwrap_or((None, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn copies_a_number_only_when_it_prints_so(
            text in "[ +-]?[0-9,]{0,20}(\\.[0-9]{0,20})?(e[+-]?[0-9])?-?",
            exponents: bool,
        ) {
            let mut pushed = String::new();
            let parsed = parse(&text, exponents).map(|number| number.to_string());
            prop_assert_eq!(push(&text, exponents, &mut pushed).map(|()| pushed), parsed);
        }
    }

    #[test]
    fn reads_numbers_as_dotnet_does() {
        let cases = [
            ("65", "65"),
            ("65.0", "65.0"),
            (" 12 ", "12"),
            ("-4", "-4"),
            ("+4", "4"),
            ("4-", "-4"),
            ("4 -", "-4"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-.5", "-0.5"),
            ("1,000", "1000"),
            ("1,0,0.25", "100.25"),
            ("007", "7"),
            ("-0", "0"),
            ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
            ("79228162514264337593543950335", "79228162514264337593543950335"),
            ("1.23456789012345678901234567894", "1.2345678901234567890123456789"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, false).map(|number| number.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_dotnet_refuses() {
        let texts =
            ["", " ", ".", "-", "1e3", "NaN", "(5)", "0x1F", "True", "- 5", "--5", "-5-", ",5", "1.2.3", "1.2,3"];
        for text in texts.into_iter().chain(["1 2", "79228162514264337593543950336", "٣", "5\u{a0}"]) {
            assert_eq!(parse(text, false), None, "{text}");
        }
    }

    #[test]
    fn writes_exponents_out_when_asked() {
        let cases = [
            ("1e3", Some("1000")),
            ("9.860e1", Some("98.60")),
            ("9.86E+1", Some("98.6")),
            ("1E-05", Some("0.00001")),
            ("-2.50e-2", Some("-0.0250")),
            ("1,000e-3", Some("1.000")),
            ("0e999", Some("0")),
            ("0.00e1", Some("0.0")),
            ("7.9228162514264337593543950335e28", Some("79228162514264337593543950335")),
            ("8e28", None),
            ("1e-29", None),
            ("1e99999999999", None),
            ("1e-9223372036854775808", None),
            ("1e", None),
            ("e3", None),
            ("1e3.5", None),
            ("1e3-", None),
            ("1e 3", None),
            ("1e3e3", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, true).map(|number| number.to_string()).as_deref(), expected, "{text}");
        }
    }
}
