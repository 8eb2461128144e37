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
