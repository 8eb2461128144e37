//! A compiled expression in one of the three languages.

use std::ops::ControlFlow;

use crate::budget::Budget;
use crate::document::{Document, NodeId};
use crate::names::Names;
use crate::value::Value;
use crate::{jmespath, jsonpath, rfc9535};

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

impl CompileError {
    /// The reference connector's words for an expression that does not
    /// compile.
    pub fn text(&self, expression: &str, language: Language) -> String {
        let language = match language {
            Language::JsonPath | Language::JsonPathRfc9535 => "JsonPath",
            Language::JmesPath => "JmesPath",
        };
        format!("The following {language} expression could not be parsed: {expression}. Cause: {}", self.message)
    }
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

/// What of the reference connector's behaviour an expression keeps; the
/// default is all of it (the switches `Compatibility__…` of the same names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// In a JSONPath filter, an ordering comparison whose sides cannot be
    /// converted to one type is an error; otherwise it is false
    /// (device-mapping.md quirk 45).
    pub coerced_comparison_errors: bool,
    /// The JMESPath function `fromUnixTimestamp` takes a Float without a
    /// fraction, which the reference connector does not (quirk 57).
    pub integral_float_timestamps: bool,
    /// Regular expressions may have look-around and back references, as those
    /// of .NET, and then run by backtracking up to a limit. Otherwise all run in
    /// linear time and those are errors when they are compiled (quirk 49).
    pub backtracking_patterns: bool,
    /// `..` from the root finds what is in the match twice: in its place and
    /// below `matchedToken`. Otherwise in its place only (quirk 7). About
    /// JSONPath of the old dialect.
    pub matched_token_twice: bool,
    /// Dates that a JMESPath makes or holds are dates; otherwise they are ISO
    /// text, which goes with [`ReadOptions::dates`](crate::ReadOptions::dates)
    /// being off (quirks 1 and 56).
    pub dates: bool,
}

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions {
            coerced_comparison_errors: true,
            integral_float_timestamps: false,
            backtracking_patterns: true,
            matched_token_twice: true,
            dates: true,
        }
    }
}

/// An expression that means something else than it seems to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pitfall {
    /// `a && b || c` in a JSONPath means `a && (b || c)` (device-mapping.md
    /// quirk 43).
    AndBeforeOr,
    /// A JMESPath gives a list, also of one value, which is none that an id, a
    /// time or a value can be (quirk 53).
    List,
}

/// A compiled expression; made for one [`Names`] and its copies.
#[derive(Debug)]
pub struct Expression {
    program: Program,
}

#[derive(Debug)]
enum Program {
    JsonPath(jsonpath::Path),
    JmesPath(jmespath::Program),
    Rfc9535(rfc9535::Query),
}

impl Expression {
    /// Compiles `text`. The member names it mentions are interned in `names`.
    pub fn compile(
        text: &str,
        language: Language,
        options: CompileOptions,
        names: &mut Names,
    ) -> Result<Expression, CompileError> {
        let program = match language {
            Language::JsonPath => Program::JsonPath(jsonpath::Path::compile_with(text, options, names)?),
            Language::JmesPath => Program::JmesPath(jmespath::Program::compile(text, options, names)?),
            Language::JsonPathRfc9535 => Program::Rfc9535(rfc9535::Query::compile(text)?),
        };
        Ok(Expression { program })
    }

    /// Gives every match in order, as a type match wants them
    /// (device-mapping.md 4.2): each token of a JSONPath; each element of a
    /// JMESPath projection, any other JMESPath result as one match and null as
    /// none. `root` is what `$` and `@` mean. Stops early when `found` breaks.
    /// The steps of a [`Budget`] may be taken.
    pub fn select<'d>(
        &self,
        document: Document<'d>,
        root: NodeId,
        found: &mut dyn FnMut(Value<'d>) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        self.select_within(document, root, &Budget::default(), found)
    }

    /// [`Expression::select`] with the budget of an event.
    pub fn select_within<'d>(
        &self,
        document: Document<'d>,
        root: NodeId,
        budget: &Budget,
        found: &mut dyn FnMut(Value<'d>) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        match &self.program {
            Program::JsonPath(path) => path.select(document, root, budget, &mut |node| found(Value::Node(node))),
            Program::JmesPath(program) => program.select(document, root, budget, found),
            Program::Rfc9535(query) => query.select(document, root, budget, &mut |node| found(Value::Node(node))),
        }
    }

    /// Gives one value, as ids, times and values want it (device-mapping.md
    /// 4.3): none when nothing is there, an error when there are several. A
    /// JMESPath projection of at most one element is an array.
    pub fn select_one<'d>(&self, document: Document<'d>, root: NodeId) -> Result<Option<Value<'d>>, EvaluateError> {
        self.select_one_within(document, root, &Budget::default())
    }

    /// [`Expression::select_one`] with the budget of an event.
    pub fn select_one_within<'d>(
        &self,
        document: Document<'d>,
        root: NodeId,
        budget: &Budget,
    ) -> Result<Option<Value<'d>>, EvaluateError> {
        if let Some(found) = self.select_member(document, root, budget) {
            return Ok(found.map(Value::Node));
        }
        if let Program::JmesPath(program) = &self.program {
            return program.select_one(document, root, budget);
        }
        let mut one = None;
        let mut is_second = false;
        self.select_within(document, root, budget, &mut |value| {
            is_second = one.replace(value).is_some();
            if is_second { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if is_second { Err(EvaluateError::SeveralTokens) } else { Ok(one) }
    }

    /// What its author may not have meant: worth a word when a mapping loads.
    pub fn pitfall(&self) -> Option<Pitfall> {
        match &self.program {
            Program::JsonPath(path) if path.has_and_before_or() => Some(Pitfall::AndBeforeOr),
            Program::JmesPath(program) if program.is_projection() => Some(Pitfall::List),
            _ => None,
        }
    }

    /// What [`Expression::select_one`] gives, if the expression is no more than
    /// a path of members (`$.a.b` or `a.b`), which nearly all are: the node or
    /// nothing. `None` says to call that, which also tells when the budget is
    /// used up.
    #[inline]
    pub fn select_member(&self, document: Document<'_>, root: NodeId, budget: &Budget) -> Option<Option<NodeId>> {
        match &self.program {
            Program::JsonPath(path) => path.select_member(document, root, budget),
            Program::JmesPath(program) => program.select_member(document, root, budget),
            Program::Rfc9535(_) => None,
        }
    }

    /// Member names, as [bits](crate::Symbol::bit), without which the document gives no
    /// match and [`Expression::select`] does not fail; 0 when none is known.
    /// Most templates of a mapping are passed over for most events by this.
    pub fn needed_names(&self) -> u64 {
        match &self.program {
            Program::JsonPath(path) => path.needed_names(),
            Program::JmesPath(program) => program.needed_names(),
            Program::Rfc9535(_) => 0,
        }
    }
}
