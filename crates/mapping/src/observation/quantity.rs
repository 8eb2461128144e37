//! Reads a value as a decimal number, as .NET does (fhir-conversion.md 5.4).

use rust_decimal::Decimal;

/// Appends the number that [`parse`] reads from a text; none, and nothing
/// appended, when it reads none.
pub(super) fn push(text: &str, out: &mut String) -> Option<()> {
    if prints_as_written(text) {
        out.push_str(text);
    } else {
        out.push_str(&parse(text)?.to_string());
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
/// the point, `.5` and `5.` are accepted; exponents, parentheses and words are
/// not. The scale is kept: `65.0` stays `65.0`. More digits than 28 are
/// rounded. None when it is no such number, or too large for a decimal.
pub(super) fn parse(text: &str) -> Option<Decimal> {
    let is_blank = |c: char| matches!(c, '\t'..='\r' | ' ');
    let text = text.trim_matches(is_blank);
    let (before, text) = take_sign(text, |text, sign| text.strip_prefix(sign));
    let (after, text) =
        if before.is_some() { (None, text) } else { take_sign(text, |text, sign| text.strip_suffix(sign)) };
    let text = if after.is_some() { text.trim_end_matches(is_blank) } else { text };

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
    let mut number: Decimal = digits.parse().ok()?;
    if before.or(after) == Some('-') && !number.is_zero() {
        number.set_sign_negative(true);
    }
    Some(number)
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
        fn copies_a_number_only_when_it_prints_so(text in "[ +-]?[0-9,]{0,20}(\\.[0-9]{0,20})?-?") {
            let mut pushed = String::new();
            let parsed = parse(&text).map(|number| number.to_string());
            prop_assert_eq!(push(&text, &mut pushed).map(|()| pushed), parsed);
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
            assert_eq!(parse(text).map(|number| number.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_dotnet_refuses() {
        let texts =
            ["", " ", ".", "-", "1e3", "NaN", "(5)", "0x1F", "True", "- 5", "--5", "-5-", ",5", "1.2.3", "1.2,3"];
        for text in texts.into_iter().chain(["1 2", "79228162514264337593543950336", "٣", "5\u{a0}"]) {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
