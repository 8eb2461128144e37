//! The functions of JMESPath, with the reference connector's eight
//! (device-mapping.md 7.2 and 7.3): names, arguments, checks and errors.
//!
//! Error texts are the reference connector's and name the function, never a
//! value.

mod arithmetic;
mod lists;
mod objects;
mod text;

use std::borrow::Cow;

use crate::expression::EvaluateError;
use crate::value::Value;

use super::data::{View, function_error, view};
use super::interpreter::{Outcome, Run};
use super::program::Expr;

/// What a function does.
type Body = for<'c, 'a> fn(Call<'c, 'a>) -> Result<Outcome<'a>, EvaluateError>;

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    arguments: usize,
    /// Takes more arguments than `arguments`, too.
    is_variadic: bool,
    pub(super) body: Body,
}

const fn function(name: &'static str, arguments: usize, body: Body) -> Function {
    Function { name, arguments, is_variadic: false, body }
}

static FUNCTIONS: [Function; 34] = [
    function("abs", 1, arithmetic::abs),
    function("add", 2, arithmetic::add),
    function("avg", 1, arithmetic::avg),
    function("ceil", 1, arithmetic::ceil),
    function("contains", 2, text::contains),
    function("divide", 2, arithmetic::divide),
    function("ends_with", 2, text::ends_with),
    function("floor", 1, arithmetic::floor),
    function("fromUnixTimestamp", 1, arithmetic::from_unix_timestamp),
    function("fromUnixTimestampMs", 1, arithmetic::from_unix_timestamp_ms),
    function("insertString", 3, text::insert_string),
    function("join", 2, text::join),
    function("keys", 1, objects::keys),
    function("length", 1, text::length),
    function("map", 2, lists::map),
    function("max", 1, lists::max),
    function("max_by", 2, lists::max_by),
    Function { name: "merge", arguments: 1, is_variadic: true, body: objects::merge },
    function("min", 1, lists::min),
    function("min_by", 2, lists::min_by),
    function("multiply", 2, arithmetic::multiply),
    Function { name: "not_null", arguments: 1, is_variadic: true, body: objects::not_null },
    function("pow", 2, arithmetic::pow),
    function("reverse", 1, text::reverse),
    function("sort", 1, lists::sort),
    function("sort_by", 2, lists::sort_by),
    function("starts_with", 2, text::starts_with),
    function("subtract", 2, arithmetic::subtract),
    function("sum", 1, arithmetic::sum),
    function("to_array", 1, lists::to_array),
    function("to_number", 1, text::to_number),
    function("to_string", 1, text::to_string),
    function("type", 1, objects::type_name),
    function("values", 1, objects::values),
];

impl Function {
    /// The function `name`, if it takes `count` arguments; else what is wrong,
    /// in the reference connector's words.
    pub(super) fn find(name: &str, count: usize) -> Result<&'static Function, String> {
        let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
            return Err(format!("Error: unknown-function, no function named {name} has been registered."));
        };
        let expected = function.arguments;
        if count == expected || (function.is_variadic && count > expected) {
            return Ok(function);
        }
        let plural = if expected > 1 { "s" } else { "" };
        let more = if function.is_variadic { "or more " } else { "" };
        let supplied = if count == 0 { "none".to_owned() } else { count.to_string() };
        Err(format!(
            "Error: invalid-arity, the function {name} expects {expected} argument{plural} {more}but {supplied} were supplied."
        ))
    }
}

/// What a function is given.
#[derive(Debug)]
pub(super) enum Given<'a> {
    Value(Value<'a>),
    Expression(&'a Expr),
}

/// One call of a function. The number of arguments is right.
pub(super) struct Call<'c, 'a> {
    pub(super) run: &'c mut Run<'a>,
    pub(super) name: &'static str,
    pub(super) arguments: Vec<Given<'a>>,
}

impl<'a> Call<'_, 'a> {
    /// The argument `at`, which must not be an expression.
    fn argument(&self, at: usize) -> Result<&Value<'a>, EvaluateError> {
        match self.arguments.get(at) {
            Some(Given::Value(value)) => Ok(value),
            _ => Err(self.no_expression()),
        }
    }

    /// [`Call::argument`], moved out.
    fn take(&mut self, at: usize) -> Result<Value<'a>, EvaluateError> {
        match self.arguments.get_mut(at) {
            Some(Given::Value(value)) => Ok(std::mem::replace(value, Value::Null)),
            _ => Err(self.no_expression()),
        }
    }

    fn no_expression(&self) -> EvaluateError {
        let name = self.name;
        function_error(format!(
            "Error: invalid-type, unexpected expression type as a parameter to the function {name}."
        ))
    }

    /// What the argument `at` is.
    fn view(&self, at: usize) -> Result<View<'_>, EvaluateError> {
        Ok(view(self.run.document, self.argument(at)?))
    }

    /// The JMESPath type of the argument `at`.
    fn type_name(&self, at: usize) -> Result<&'static str, EvaluateError> {
        self.view(at)?.type_name()
    }

    /// The elements of the argument `at`, which must be an array.
    fn array(&mut self, at: usize) -> Result<Vec<Value<'a>>, EvaluateError> {
        if self.type_name(at)? != "array" {
            return Err(self.error("expects an array"));
        }
        let value = self.take(at)?;
        let items = self.run.elements(Cow::Owned(value))?.unwrap_or_default();
        items.iter().try_for_each(|item| self.run.spend_look(item))?;
        Ok(items)
    }

    /// `Error: invalid-type, function <name> <expectation>.`
    fn error(&self, expectation: &str) -> EvaluateError {
        function_error(format!("Error: invalid-type, function {} {expectation}.", self.name))
    }

    /// The JMESPath type that all items have; none when there are no items.
    fn common_type(&self, items: &[Value<'a>]) -> Result<Option<&'static str>, EvaluateError> {
        let mut common = None;
        for item in items {
            let item = view(self.run.document, item).type_name()?;
            if *common.get_or_insert(item) != item {
                let name = self.name;
                return Err(function_error(format!(
                    "Error: invalid-type, all items in the array to the function {name} must have the same type."
                )));
            }
        }
        Ok(common)
    }
}

#[cfg(test)]
mod tests;
