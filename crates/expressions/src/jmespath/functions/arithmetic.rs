//! Functions on numbers. Integers and doubles are types of their own: a
//! numeric string is neither.

use crate::expression::EvaluateError;
use crate::jmespath::data::{View, function_error, not_convertible, view};
use crate::jmespath::interpreter::Outcome;
use crate::time::{DateKind, DateTime, UtcTime};
use crate::value::Value;

use super::Call;

/// The outcome of a function.
type Result<T> = std::result::Result<T, EvaluateError>;

/// The two operands of a function: doubles as soon as one of them is.
enum Operands {
    Integers(i64, i64),
    Floats(f64, f64),
}

impl Call<'_, '_> {
    fn operands(&self) -> Result<Operands> {
        for at in 0..2 {
            let is_number = matches!(self.view(at)?, View::Integer(_) | View::BigInteger(_) | View::Float(_));
            if !is_number {
                return Err(self.expected(at, "Integer|Float"));
            }
        }
        match (self.view(0)?, self.view(1)?) {
            (View::Integer(left), View::Integer(right)) => Ok(Operands::Integers(left, right)),
            (left @ View::Float(_), right) | (left, right @ View::Float(_)) => {
                Ok(Operands::Floats(left.float()?, right.float()?))
            }
            _ => Err(not_convertible()),
        }
    }

    /// The number that is the only argument.
    fn number(&self) -> Result<View<'_>> {
        let view = self.view(0)?;
        if view.type_name()? != "number" {
            return Err(self.error("only accepts numbers"));
        }
        Ok(view)
    }

    /// The error of an argument that has none of the named token types.
    pub(super) fn expected(&self, at: usize, types: &str) -> EvaluateError {
        let name = self.name;
        function_error(format!(
            "Error: invalid-type, function {name} expects argument {at} to be one of the following: {types}"
        ))
    }

    /// The numbers in the array that is the only argument.
    fn numbers(&mut self) -> Result<Vec<f64>> {
        let items = self.array(0)?;
        let mut numbers = Vec::with_capacity(items.len());
        for item in &items {
            let view = view(self.run.document, item);
            if view.type_name()? != "number" {
                return Err(self.error("expects an array of number"));
            }
            numbers.push(view.float()?);
        }
        Ok(numbers)
    }
}

pub(super) fn add<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(match call.operands()? {
        Operands::Integers(left, right) => integer(left.wrapping_add(right)),
        Operands::Floats(left, right) => float(left + right),
    })
}

pub(super) fn subtract<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(match call.operands()? {
        Operands::Integers(left, right) => integer(left.wrapping_sub(right)),
        Operands::Floats(left, right) => float(left - right),
    })
}

pub(super) fn multiply<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(match call.operands()? {
        Operands::Integers(left, right) => integer(left.wrapping_mul(right)),
        Operands::Floats(left, right) => float(left * right),
    })
}

pub(super) fn divide<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(match call.operands()? {
        Operands::Integers(_, 0) => return Err(EvaluateError::DivideByZero),
        Operands::Integers(left, right) => integer(
            left.checked_div(right)
                .ok_or_else(|| EvaluateError::Overflow("Arithmetic operation resulted in an overflow.".to_owned()))?,
        ),
        Operands::Floats(left, right) => float(left / right),
    })
}

/// Integers go through doubles, and lose digits beyond 2^53.
pub(super) fn pow<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(match call.operands()? {
        Operands::Integers(left, right) => integer(rounded_to_i64((left as f64).powf(right as f64))?),
        Operands::Floats(left, right) => float(left.powf(right)),
    })
}

/// Integers must fit 32 bits.
pub(super) fn abs<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(match call.number()? {
        View::Integer(value) => {
            let absolute = i32::try_from(value).map_err(|_| too_large("Int32"))?.checked_abs();
            integer(absolute.map(i64::from).ok_or_else(|| {
                let message = "Negating the minimum value of a twos complement number is invalid.";
                EvaluateError::Overflow(message.to_owned())
            })?)
        }
        other => float(other.float()?.abs()),
    })
}

pub(super) fn ceil<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(integer(rounded_to_i64(call.number()?.float()?.ceil())?))
}

pub(super) fn floor<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    Ok(integer(rounded_to_i64(call.number()?.float()?.floor())?))
}

/// A double, and an Integer when it has no fraction.
pub(super) fn sum<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let sum: f64 = call.numbers()?.iter().fold(0.0, |sum, number| sum + number);
    if sum.is_finite() && sum.fract() == 0.0 {
        return Ok(integer(rounded_to_i64(sum)?));
    }
    Ok(float(sum))
}

pub(super) fn avg<'a>(mut call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let numbers = call.numbers()?;
    if numbers.is_empty() {
        return Ok(Outcome::Missing);
    }
    Ok(float(numbers.iter().fold(0.0, |sum, number| sum + number) / numbers.len() as f64))
}

pub(super) fn from_unix_timestamp<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    let seconds = timestamp(&call)?;
    match seconds.checked_mul(1000).and_then(UtcTime::from_unix_milliseconds) {
        Some(instant) => Ok(date(&call, instant)),
        None => Err(EvaluateError::OutOfRange(
            "Valid values are between -62135596800 and 253402300799, inclusive. (Parameter 'seconds')".to_owned(),
        )),
    }
}

pub(super) fn from_unix_timestamp_ms<'a>(call: Call<'_, 'a>) -> Result<Outcome<'a>> {
    match UtcTime::from_unix_milliseconds(timestamp(&call)?) {
        Some(instant) => Ok(date(&call, instant)),
        None => Err(EvaluateError::OutOfRange(
            "Valid values are between -62135596800000 and 253402300799999, inclusive. (Parameter 'milliseconds')"
                .to_owned(),
        )),
    }
}

fn timestamp(call: &Call<'_, '_>) -> Result<i64> {
    match call.view(0)? {
        View::Integer(value) => Ok(value),
        View::BigInteger(_) => Err(not_convertible()),
        View::Float(value) if call.run.options.integral_float_timestamps && value.fract() == 0.0 => {
            rounded_to_i64(value)
        }
        _ => Err(call.expected(0, "Integer")),
    }
}

/// `Convert.ToInt64`: half to even.
fn rounded_to_i64(value: f64) -> Result<i64> {
    let rounded = value.round_ties_even();
    // 2^63 itself is out of range; NaN is in none.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
        return Ok(rounded as i64);
    }
    Err(too_large("Int64"))
}

/// `Convert.ToInt32`: half to even.
pub(super) fn rounded_to_i32(value: f64) -> Result<i32> {
    let rounded = value.round_ties_even();
    if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&rounded) {
        return Ok(rounded as i32);
    }
    Err(too_large("Int32"))
}

pub(super) fn too_large(kind: &str) -> EvaluateError {
    EvaluateError::Overflow(format!("Value was either too large or too small for an {kind}."))
}

pub(super) fn integer<'a>(value: i64) -> Outcome<'a> {
    Outcome::Value(Value::Integer(value))
}

pub(super) fn float<'a>(value: f64) -> Outcome<'a> {
    Outcome::Value(Value::Float(value))
}

fn date<'a>(call: &Call<'_, 'a>, instant: UtcTime) -> Outcome<'a> {
    let date = DateTime { instant, kind: DateKind::Utc };
    if call.run.options.dates {
        return Outcome::Value(Value::Date(date));
    }
    let mut text = String::new();
    date.write_iso(&mut text);
    Outcome::Value(Value::String(text.into()))
}
