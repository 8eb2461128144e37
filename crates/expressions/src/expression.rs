//! A compiled expression in one of the three languages.

use std::ops::ControlFlow;

use crate::document::{Document, NodeId};
use crate::names::Names;
use crate::value::Value;

/// The language of an expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// The JSONPath dialect of Newtonsoft.Json 13 (device-mapping.md 6).
    #[default]
    JsonPath,
    /// JMESPath as JmesPath.Net 1.0.205 has it, with the connector's eight
    /// functions (device-mapping.md 7).
    JmesPath,
    /// Standard JSONPath, RFC 9535. Strings in ISO form stay text.
    JsonPathRfc9535,
}

/// Why an expression cannot be used; found when a mapping loads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at character {position}")]
pub struct CompileError {
    /// What is wrong, in the reference connector's words where it has any.
    pub message: String,
    /// Where in the expression, in characters from 0.
    pub position: usize,
    /// Whether it is a call of a JMESPath function that is unknown or has the
    /// wrong number of arguments.
    pub is_function: bool,
}

/// Why evaluating an expression failed for one event. Never quotes a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// One value was wanted and the path gave a second one.
    #[error("Path returned multiple tokens.")]
    SeveralTokens,
    /// A JSONPath failed while it ran.
    #[error("{0}")]
    JsonPath(String),
    /// A JMESPath function was given a value of a type it does not take.
    #[error("{0}")]
    Function(String),
    /// An integer was divided by zero.
    #[error("Attempted to divide by zero.")]
    DivideByZero,
    /// A number left the range of its type.
    #[error("{0}")]
    Overflow(String),
    /// An argument of a function was outside what it takes.
    #[error("{0}")]
    OutOfRange(String),
    /// A limit that keeps hostile input from running away was reached.
    #[error("{0}")]
    Limit(String),
}

/// A compiled expression; made for one [`Names`] and its copies.
#[derive(Debug)]
pub struct Expression {
    program: Program,
}

#[derive(Debug)]
enum Program {
    // JsonPath(crate::jsonpath::Path), JmesPath(crate::jmespath::Program), Rfc9535(crate::rfc9535::Query)
}

impl Expression {
    /// Compiles `text`. The member names it mentions are interned in `names`.
    pub fn compile(text: &str, language: Language, names: &mut Names) -> Result<Expression, CompileError> {
        let _ = (text, language, names);
        todo!()
    }

    /// Gives every match in order, as a type match wants them
    /// (device-mapping.md 4.2): each token of a JSONPath; each element of a
    /// JMESPath projection, any other JMESPath result as one match and null as
    /// none. `root` is what `$` and `@` mean. Stops early when `found` breaks.
    pub fn select<'d>(
        &self,
        document: Document<'d>,
        root: NodeId,
        found: &mut dyn FnMut(Value<'d>) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        let _ = (document, root, found);
        match self.program {}
    }

    /// Gives one value, as ids, times and values want it (device-mapping.md
    /// 4.3): none when nothing is there, an error when there are several. A
    /// JMESPath projection of at most one element is an array.
    pub fn select_one<'d>(&self, document: Document<'d>, root: NodeId) -> Result<Option<Value<'d>>, EvaluateError> {
        let _ = (document, root);
        match self.program {}
    }
}
