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
mod needs;
mod parser;
mod program;

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::budget::Budget;
use crate::document::{Document, Kind, NodeId};
use crate::expression::{CompileError, CompileOptions, EvaluateError};
use crate::names::{Names, Symbol};
use crate::value::Value;

use interpreter::{Outcome, Run};
use program::{Expr, Step};

/// A compiled JMESPath expression.
#[derive(Debug)]
pub struct Program {
    expr: Expr,
    /// The names of an expression that is only `a.b.c`.
    fields: Option<Box<[Symbol]>>,
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
        let fields = fields(&expr);
        Ok(Program { expr, fields, options })
    }

    /// Whether it gives a list whatever is there, since it ends in a projection
    /// (quirk 53).
    pub fn is_projection(&self) -> bool {
        self.expr.projects()
    }

    /// Evaluates with `root` as `@`.
    pub fn evaluate<'d>(&self, document: Document<'d>, root: NodeId) -> Result<Evaluated<'d>, EvaluateError> {
        let budget = Budget::default();
        let outcome = self.run(document, root, &budget)?;
        Ok(match outcome {
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
        budget: &Budget,
        found: &mut dyn FnMut(Value<'d>) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        match self.run(document, root, budget)? {
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
    pub fn select_one<'d>(
        &self,
        document: Document<'d>,
        root: NodeId,
        budget: &Budget,
    ) -> Result<Option<Value<'d>>, EvaluateError> {
        match self.run(document, root, budget)? {
            Outcome::Missing => Ok(None),
            Outcome::Projection(items) if items.len() > 1 => Err(EvaluateError::SeveralTokens),
            outcome => {
                let value = detached(outcome.into_value());
                Ok(if data::is_null(document, &value) { None } else { Some(value) })
            }
        }
    }

    /// What `a.b.c` leads to: the node, or nothing when that is not there or
    /// null. `None` for any other expression; then [`Program::select_one`] says.
    #[inline]
    pub fn select_member(&self, document: Document<'_>, root: NodeId, budget: &Budget) -> Option<Option<NodeId>> {
        let found = document.follow(root, self.fields.as_deref()?, budget)?;
        Some(found.filter(|node| document.kind(*node) != Kind::Null))
    }

    /// Member names, as [`Symbol::bit`]s, of which a document must have every
    /// one, wherever it stands, for [`Program::select`] to give a match or to
    /// fail; 0 when none is known.
    pub fn needed_names(&self) -> u64 {
        needs::of_type_match(&self.expr)
    }

    fn run<'a>(
        &'a self,
        document: Document<'a>,
        root: NodeId,
        budget: &'a Budget,
    ) -> Result<Outcome<'a>, EvaluateError> {
        let (document, root) = match document.whole_as_match(root) {
            Some((document, members)) => (document, Value::Object(members)),
            None => (document, Value::Node(root)),
        };
        Run::new(document, self.options, budget).evaluate(&self.expr, &root)
    }
}

type Members<'d> = Vec<(Cow<'d, str>, Value<'d>)>;

impl<'d> Document<'d> {
    /// When the match is the whole document: the document without it, and the
    /// members of the evaluation root. The node of the root cannot stand for
    /// both, as the match lacks `matchedToken` (device-mapping.md 4.2); taken
    /// for both it would hold itself without end.
    fn whole_as_match(self, root: NodeId) -> Option<(Document<'d>, Members<'d>)> {
        if root != Self::ROOT || self.matched != Some(Self::ROOT) {
            return None;
        }
        let document = self.without_matched();
        let members = document.children(root).map(|(name, child)| (document.name(name), child));
        let matched = (document.name(Symbol::MATCHED_TOKEN), root);
        let members = members.chain([matched]).map(|(name, node)| (Cow::Borrowed(name), Value::Node(node)));
        Some((document, members.collect()))
    }
}

/// The names of `a.b.c`, which nearly all paths of ids, times and values are.
fn fields(expr: &Expr) -> Option<Box<[Symbol]>> {
    let (first, rest) = match expr {
        Expr::Step(step) => (step, &[][..]),
        Expr::Chain(head, steps) => match &**head {
            Expr::Step(step) => (step, &steps[..]),
            _ => return None,
        },
        _ => return None,
    };
    let name = |step: &Step| match step {
        Step::Field(field) => Some(field.symbol),
        _ => None,
    };
    std::iter::once(first).chain(rest).map(name).collect()
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
