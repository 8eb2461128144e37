//! Numbers and text, as .NET converts them with the invariant culture.

use std::fmt::Write;

/// Appends `value` as .NET 8 prints a double (device-mapping.md 5.1): the
/// fewest digits that give the same double again, scientific from 1e17 up and
/// below 1e-4, and `NaN`, `Infinity`, `-Infinity`.
pub fn write_double(value: f64, out: &mut String) {
    if !value.is_finite() {
        out.push_str(match value {
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ => "NaN",
        });
        return;
    }
    let size = value.abs();
    // Writing to a `String` cannot fail.
    if size == 0.0 || (1e-4..1e17).contains(&size) {
        let _ = write!(out, "{value}");
        return;
    }
    let start = out.len();
    let _ = write!(out, "{value:E}");
    let Some(at) = out[start..].find('E').map(|at| start + at + 1) else { return };
    let exponent = out.split_off(at);
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent.as_str()),
    };
    let _ = write!(out, "{sign}{digits:0>2}");
}

/// Appends the decimal digits of `value`.
pub fn write_integer(value: i64, out: &mut String) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push('-');
    }
    // They are ASCII.
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// Reads an integer as .NET `Convert.ToInt64` and `long.Parse` do: blanks
/// around it and a sign before it are allowed.
pub fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim_matches(is_blank);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with(['-', '+']) {
        return None;
    }
    text.parse().ok()
}

/// Reads a double as .NET `double.TryParse` does with `NumberStyles.Float`,
/// which is what `to_number` of JMESPath uses (device-mapping.md 7.3): `.5`,
/// `5.`, `1e3`, `Infinity` and `NaN` in any case, blanks around. A number too
/// large for a double is infinite.
pub fn parse_double(text: &str) -> Option<f64> {
    parse_symbol(text).or_else(|| parse_finite(text.trim_matches(is_blank)))
}

/// Reads a double as .NET `Convert.ToDouble` does, which is what comparisons
/// of JSONPath use (device-mapping.md 6.5): [`parse_double`], and commas
/// anywhere between the first digit and the point are passed over.
pub fn parse_double_with_thousands(text: &str) -> Option<f64> {
    if !text.contains(',') {
        return parse_double(text);
    }
    let text = text.trim_matches(is_blank);
    let first_digit = text.find(|c: char| c.is_ascii_digit())?;
    let end = text.find(['.', 'e', 'E']).unwrap_or(text.len());
    if text[..first_digit].contains(',') || text[end..].contains(',') {
        return None;
    }
    parse_finite(&text.replace(',', ""))
}

/// What .NET takes for a blank around a number.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

fn parse_symbol(text: &str) -> Option<f64> {
    let text = text.trim();
    let (is_negative, symbol) = match text.strip_prefix('-') {
        Some(symbol) => (true, symbol),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if symbol.eq_ignore_ascii_case("Infinity") {
        return Some(if is_negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    symbol.eq_ignore_ascii_case("NaN").then_some(f64::NAN)
}

fn parse_finite(text: &str) -> Option<f64> {
    // Rust also reads `inf` and the like, which .NET does not.
    let is_plain = text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'));
    if is_plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_written(value: f64, expected: &str) {
        let mut actual = String::from("12.");
        write_double(value, &mut actual);
        assert_eq!(actual, format!("12.{expected}"));
    }

    #[test]
    fn writes_doubles_as_dotnet_does() {
        check_written(1.0, "1");
        check_written(72.40, "72.4");
        check_written(1e3, "1000");
        check_written(0.0, "0");
        check_written(-0.0, "-0");
        check_written(1e16, "10000000000000000");
        check_written(99_999_999_999_999_984.0, "99999999999999980");
        check_written(1e17, "1E+17");
        check_written(-123_456_789_012_345_678.0, "-1.2345678901234568E+17");
        check_written(0.0001, "0.0001");
        check_written(0.00001, "1E-05");
        check_written(0.000012345, "1.2345E-05");
        check_written(1e100, "1E+100");
        check_written(5e-324, "5E-324");
        check_written(1.981_199_999_999_999_9, "1.9811999999999999");
        check_written(f64::NAN, "NaN");
        check_written(f64::INFINITY, "Infinity");
        check_written(f64::NEG_INFINITY, "-Infinity");
    }

    #[test]
    fn prints_integers_at_the_limits() {
        for number in [0, 7, -7, i64::MAX, i64::MIN] {
            let mut out = String::new();
            write_integer(number, &mut out);
            assert_eq!(out, number.to_string());
        }
    }

    #[test]
    fn reads_integers() {
        assert_eq!(parse_integer(" 78\n"), Some(78));
        assert_eq!(parse_integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_integer("+1"), Some(1));
        assert_eq!(parse_integer("007"), Some(7));
        for text in ["2.5", "abc", "", " ", "- 1", "+-1", "1e3", "9223372036854775808", "1,000", "\u{a0}1"] {
            assert_eq!(parse_integer(text), None, "{text}");
        }
    }

    #[test]
    fn reads_doubles() {
        for (text, value) in [
            ("2.5", 2.5),
            (" 1e3 ", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+1", 1.0),
            ("-1E-2", -0.01),
            ("1e400", f64::INFINITY),
        ] {
            assert_eq!(parse_double(text), Some(value), "{text}");
        }
        assert_eq!(parse_double("Infinity"), Some(f64::INFINITY));
        assert_eq!(parse_double(" -infinity "), Some(f64::NEG_INFINITY));
        assert!(parse_double("NaN").is_some_and(f64::is_nan));
        for text in ["1,000", "", ".", "1e", "e3", "inf", "0x1", "1 2", "--1", "- 1", "1_0", "abc"] {
            assert_eq!(parse_double(text), None, "{text}");
        }
    }

    #[test]
    fn passes_over_thousands() {
        assert_eq!(parse_double_with_thousands("1,000.5"), Some(1000.5));
        assert_eq!(parse_double_with_thousands("2.5"), Some(2.5));
        for text in [",1", "1.0,0", "1e1,0", ",", "-,1"] {
            assert_eq!(parse_double_with_thousands(text), None, "{text}");
        }
    }
}
