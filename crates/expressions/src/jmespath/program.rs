//! What a JMESPath expression is compiled to.

use crate::names::Symbol;
use crate::value::Value;

use super::functions::Function;

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    /// `@`
    Current,
    /// A literal or a raw string.
    Constant(Value<'static>),
    /// A step that has nothing before it: it is taken from the current value.
    Step(Step),
    /// Steps one after the other. A null before a step ends it (7.4: "a
    /// sub-expression or index on null yields null").
    Chain(Box<Expr>, Vec<Step>),
    /// `a || b || …`
    Or(Vec<Expr>),
    /// `a && b && …`
    And(Vec<Expr>),
    /// `a | b | …`
    Pipe(Vec<Expr>),
    /// `!a`
    Not(Box<Expr>),
    /// `a == b` and the like
    Compare(Comparator, Box<[Expr; 2]>),
}

impl Expr {
    /// Whether its outcome is a projection.
    pub(super) fn projects(&self) -> bool {
        match self {
            Expr::Step(step) => step.projects(),
            Expr::Chain(head, steps) => head.projects() || steps.iter().any(Step::projects),
            Expr::Pipe(parts) => parts.last().is_some_and(Expr::projects),
            Expr::Or(parts) | Expr::And(parts) => parts.iter().any(Expr::projects),
            Expr::Current | Expr::Constant(_) | Expr::Not(_) | Expr::Compare(..) => false,
        }
    }
}

/// What leads from one value to another. After a projection it is taken from
/// each of its elements.
#[derive(Debug)]
pub(super) enum Step {
    /// `name`
    Field(Field),
    /// `[1]`, `[-1]`
    Index(i64),
    /// `[start:stop:step]`; a step of 0 does not get here.
    Slice(Option<i64>, Option<i64>, i64),
    /// `[*]`
    Elements,
    /// `[]`
    Flatten,
    /// `[?…]`
    Filter(Box<Expr>),
    /// `*`
    Members,
    /// `[a, b]`
    List(Vec<Expr>),
    /// `{a: b}`
    Hash(Vec<(Box<str>, Expr)>),
    /// `f(a, &b)`
    Call(&'static Function, Vec<Argument>),
}

impl Step {
    /// Whether this makes a projection.
    pub(super) fn projects(&self) -> bool {
        matches!(self, Step::Elements | Step::Flatten | Step::Filter(_) | Step::Slice(..) | Step::Members)
    }
}

/// A member name: by number for documents, by text for computed objects.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) symbol: Symbol,
    pub(super) name: Box<str>,
}

/// An argument of a function.
#[derive(Debug)]
pub(super) enum Argument {
    /// Evaluated before the call.
    Value(Expr),
    /// `&expression`: the function evaluates it.
    Reference(Expr),
}

/// See [`Expr::Compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
