//! JMESPath as JmesPath.Net 1.0.205 has it, with the eight functions of the
//! reference connector (device-mapping.md 7).
//!
//! ```text
//! text --lexer--> tokens --parser--> Program --interpreter--> Evaluated
//! ```
//!
//! Where the reference connector deviates from the JMESPath specification, so
//! does this: see `interpreter` for nulls and projections and `functions`
//! for functions. Two defects are mended: text is sorted in ordinal order
//! (quirk 58), and words without quotes in a literal are strings (quirk 59).

mod data;
mod functions;
mod interpreter;
mod lexer;
mod literal;
mod parser;
mod program;

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::document::{Document, NodeId};
use crate::expression::{CompileError, CompileOptions, EvaluateError};
use crate::names::Names;
use crate::value::Value;

use interpreter::{Outcome, Run};
use program::Expr;

/// A compiled JMESPath expression.
#[derive(Debug)]
pub struct Program {
    expr: Expr,
    options: CompileOptions,
}

/// What an expression gives.
#[derive(Clone, Debug)]
pub enum Evaluated<'d> {
    /// A value; null when nothing is there.
    Value(Value<'d>),
    /// The elements of a projection, nulls included (device-mapping.md 7.4).
    Projection(Vec<Value<'d>>),
}

impl Program {
    /// Compiles `text`, interning the member names it mentions. Unknown
    /// functions and wrong numbers of arguments are errors, too.
    pub fn compile(text: &str, options: CompileOptions, names: &mut Names) -> Result<Program, CompileError> {
        let expr = parser::parse(text, options.dates, names)?;
        Ok(Program { expr, options })
    }

    /// Whether it gives a list whatever is there, since it ends in a projection
    /// (quirk 53).
    pub fn is_projection(&self) -> bool {
        self.expr.projects()
    }

    /// Evaluates with `root` as `@`.
    pub fn evaluate<'d>(&self, document: Document<'d>, root: NodeId) -> Result<Evaluated<'d>, EvaluateError> {
        Ok(match self.run(document, root)? {
            Outcome::Projection(items) => {
                Evaluated::Projection(items.into_iter().map(|item| detached(item.into_value())).collect())
            }
            outcome => Evaluated::Value(detached(outcome.into_value())),
        })
    }

    /// Gives the matches of a type match (device-mapping.md 4.2): each element
    /// of a projection; any other outcome as one match; null as none.
    pub fn select<'d>(
        &self,
        document: Document<'d>,
        root: NodeId,
        found: &mut dyn FnMut(Value<'d>) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        match self.run(document, root)? {
            Outcome::Missing => {}
            Outcome::Value(value) => {
                if !data::is_null(document, &value) {
                    // There is no second match that could be stopped.
                    let _ = found(detached(value));
                }
            }
            Outcome::Projection(items) => {
                for item in items {
                    if found(detached(item.into_value())).is_break() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives the one value that an id, a time or a value wants
    /// (device-mapping.md 4.3): none for null, a list for a projection of at
    /// most one element, an error for one of more.
    pub fn select_one<'d>(&self, document: Document<'d>, root: NodeId) -> Result<Option<Value<'d>>, EvaluateError> {
        match self.run(document, root)? {
            Outcome::Missing => Ok(None),
            Outcome::Projection(items) if items.len() > 1 => Err(EvaluateError::SeveralTokens),
            outcome => {
                let value = detached(outcome.into_value());
                Ok(if data::is_null(document, &value) { None } else { Some(value) })
            }
        }
    }

    fn run<'a>(&'a self, document: Document<'a>, root: NodeId) -> Result<Outcome<'a>, EvaluateError> {
        Run::new(document, self.options).evaluate(&self.expr, &Value::Node(root))
    }
}

/// The reference connector's words for [`EvaluateError::SeveralTokens`]. It
/// prints the name of a type where this prints the expression.
pub fn several_tokens_text(expression: &str) -> String {
    format!("Multiple tokens were returned using expression {expression}")
}

/// `value` without what it borrows from the program.
fn detached<'d>(value: Value<'_>) -> Value<'d> {
    match value {
        Value::Node(node) => Value::Node(node),
        Value::Null => Value::Null,
        Value::Bool(value) => Value::Bool(value),
        Value::Integer(value) => Value::Integer(value),
        Value::Float(value) => Value::Float(value),
        Value::String(text) => Value::String(Cow::Owned(text.into_owned())),
        Value::Date(date) => Value::Date(date),
        Value::Array(items) => Value::Array(items.into_iter().map(detached).collect()),
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), detached(value))).collect(),
        ),
    }
}

#[cfg(test)]
mod tests;
