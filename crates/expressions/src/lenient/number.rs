//! Numbers as Newtonsoft reads them: octal and hexadecimal, and all that .NET
//! takes for a double.

use std::borrow::Cow;

use super::Token;

/// The longest integer that is read, in characters.
pub(crate) const INTEGER_LENGTH_MAX: usize = 380;

const INVALID: &str = "a number is not valid";

/// Whether a number is read on over `c`.
pub(super) fn is_part(c: char) -> bool {
    matches!(c, '-' | '+' | '.' | 'x' | 'X' | 'a'..='f' | 'A'..='F' | '0'..='9')
}

/// What the characters of a number mean.
pub(super) fn token(text: &str) -> Result<Token<'_>, &'static str> {
    match text.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => in_base(digits, 16),
        [b'0', b'.' | b'e' | b'E', ..] | [b'0'] => decimal(text),
        [b'0', digits @ ..] => in_base(digits, 8),
        _ => decimal(text),
    }
}

/// Bits of an `i64` in octal or hexadecimal: the highest one is the sign.
fn in_base(digits: &[u8], base: u32) -> Result<Token<'static>, &'static str> {
    let digits = str::from_utf8(digits).map_err(|_| INVALID)?;
    if digits.starts_with('+') {
        return Err(INVALID);
    }
    let bits = u64::from_str_radix(digits, base).map_err(|_| INVALID)?;
    Ok(Token::Integer((bits as i64).to_string().into()))
}

fn decimal(text: &str) -> Result<Token<'_>, &'static str> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let is_integer = !unsigned.is_empty() && unsigned.bytes().all(|c| c.is_ascii_digit());
    if !is_integer {
        return float(text);
    }
    match text.parse::<i64>() {
        // Leading zeros after a sign, and the zero that has one, are dropped.
        Ok(value) if unsigned.starts_with('0') => Ok(Token::Integer(value.to_string().into())),
        Ok(_) => Ok(Token::Integer(text.into())),
        Err(_) if text.len() > INTEGER_LENGTH_MAX => Err("an integer is too long"),
        Err(_) if unsigned.starts_with('0') => {
            let sign = &text[..text.len() - unsigned.len()];
            Ok(Token::BigInteger(format!("{sign}{}", unsigned.trim_start_matches('0')).into()))
        }
        Err(_) => Ok(Token::BigInteger(text.into())),
    }
}

fn float(text: &str) -> Result<Token<'_>, &'static str> {
    let is_plain = text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    if !is_plain || text.parse::<f64>().is_err() {
        return Err(INVALID);
    }
    let end = text.find(['e', 'E']).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(end);
    let (sign, digits) = mantissa.split_at(usize::from(mantissa.starts_with('-')));
    let before = if digits.starts_with('.') { "0" } else { "" };
    let after = if digits.ends_with('.') { "0" } else { "" };
    if before.is_empty() && after.is_empty() {
        return Ok(Token::Float(Cow::Borrowed(text)));
    }
    Ok(Token::Float(format!("{sign}{before}{digits}{after}{exponent}").into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match token(text) {
            Ok(Token::Integer(value)) => format!("integer {value}"),
            Ok(Token::BigInteger(value)) => format!("big {value}"),
            Ok(Token::Float(value)) => format!("float {value}"),
            Ok(other) => format!("{other:?}"),
            Err(_) => "error".to_owned(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn reads_integers() {
        check("0", "integer 0");
        check("-0", "integer 0");
        check("-007", "integer -7");
        check("-9223372036854775808", "integer -9223372036854775808");
        check("9223372036854775808", "big 9223372036854775808");
        check("-0009322228221128653712", "big -9322228221128653712");
        check("0x1F", "integer 31");
        check("0xffffffffffffffff", "integer -1");
        check("010", "integer 8");
        check("00", "integer 0");
        check(&"1".repeat(380), &format!("big {}", "1".repeat(380)));
    }

    #[test]
    fn reads_floats() {
        check(".5", "float 0.5");
        check("-.5e1", "float -0.5e1");
        check("5.", "float 5.0");
        check("5.e3", "float 5.0e3");
        check("1e400", "float 1e400");
        check("0.10", "float 0.10");
        check("0e5", "float 0e5");
    }

    #[test]
    fn rejects_the_rest() {
        for text in
            ["-", ".", "1-2", "--1", "1e", "08", "0x", "0x1.5", "00.5", "-0x1F", "1a", "0b1", "0x10000000000000000"]
        {
            check(text, "error");
        }
        check(&"1".repeat(381), "error");
    }
}
