//! The JSONPath dialect of Newtonsoft.Json 13 (device-mapping.md 6).
//!
//! ```text
//! text --parse--> steps --evaluate over a document--> nodes, in order
//! ```
//!
//! Parsing reports, when a mapping loads, everything that the reference
//! connector finds out event by event (quirk 32): broken syntax, numbers out of
//! range, patterns that are no regular expressions. Evaluating hands each node
//! to the caller as it is met; it makes no list of nodes, and a path of plain
//! members allocates nothing.
//!
//! Where we differ, as device-mapping.md says with F: an object's members never
//! match a filter themselves (6.3), and a negative index counts from the end
//! (quirk 42).

mod compare;
mod evaluate;
mod parse;
mod pattern;

#[cfg(test)]
mod rfc9535_outcomes;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use crate::document::{Document, NodeId};
use crate::expression::{CompileError, CompileOptions, EvaluateError};
use crate::names::{Names, Symbol};

pub use evaluate::STEPS_MAX;
use parse::Parsed;
use pattern::Pattern;

/// A compiled path.
#[derive(Clone, Debug)]
pub struct Path {
    steps: Vec<Step>,
    /// The names of a path `$..[?(@a && @b)]`.
    scan_names: Option<Box<[Symbol]>>,
    /// Whether it has `a && b || c`.
    and_before_or: bool,
    options: CompileOptions,
}

/// One selector (device-mapping.md 6.2).
#[derive(Clone, Debug)]
enum Step {
    /// `.name`, `['name']`
    Member(Symbol),
    /// `['a','b']`
    Members(Vec<Symbol>),
    /// `.*`
    AllMembers,
    /// `..name`
    ScanMember(Symbol),
    /// `..['a','b']`
    ScanMembers(Vec<Symbol>),
    /// `..*`
    ScanAll,
    /// `[n]`
    Element(i32),
    /// `[n,m]`
    Elements(Vec<i32>),
    /// `[*]`
    AllElements,
    /// `[s:e:st]`
    Slice { start: Option<i32>, end: Option<i32>, step: i32 },
    /// `[?(…)]`
    Filter(Condition),
    /// `..[?(…)]`
    ScanFilter(Condition),
}

/// What a filter asks for (device-mapping.md 6.4).
#[derive(Clone, Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Exists(Side),
    Compare(Box<Comparison>),
}

#[derive(Clone, Debug)]
struct Comparison {
    left: Side,
    operator: Operator,
    right: Side,
    /// For `=~` with a pattern that is written in the path.
    pattern: Option<Pattern>,
}

#[derive(Clone, Debug)]
enum Side {
    /// `@…`
    Current(Vec<Step>),
    /// `$…`
    Root(Vec<Step>),
    Literal(Literal),
}

#[derive(Clone, Debug)]
enum Literal {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// A string, or a regular expression with its slashes and flags.
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    StrictlyEqual,
    NotEqual,
    StrictlyNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
}

impl Path {
    /// Compiles `text`; its member names are interned in `names`.
    /// `coerced_comparison_errors` says whether an ordering comparison whose
    /// sides cannot be converted is an error, as in the reference connector,
    /// or false (quirk 45). Patterns run in linear time.
    pub fn compile(text: &str, coerced_comparison_errors: bool, names: &mut Names) -> Result<Path, CompileError> {
        let linear = CompileOptions { backtracking_patterns: false, ..CompileOptions::default() };
        Path::compile_with(text, CompileOptions { coerced_comparison_errors, ..linear }, names)
    }

    /// Compiles `text` with the options that concern JSONPath.
    pub fn compile_with(text: &str, options: CompileOptions, names: &mut Names) -> Result<Path, CompileError> {
        let Parsed { steps, and_before_or } = parse::parse(text, options.backtracking_patterns, names)?;
        let scan_names = scan_names(&steps);
        Ok(Path { steps, scan_names, and_before_or, options })
    }

    /// Hands each node that the path selects to `found`, in order, until it
    /// breaks. `root` is what `$` means, here and in filters.
    pub fn select(
        &self,
        document: Document<'_>,
        root: NodeId,
        found: &mut dyn FnMut(NodeId) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        // The scan that nearly all type matches are; a match that is the whole
        // document is seen twice with different members, so not here.
        match &self.scan_names {
            Some(names) if self.options.matched_token_twice && document.matched != Some(Document::ROOT) => {
                select_having(document, root, names, found);
                Ok(())
            }
            _ => evaluate::select(self, document, root, STEPS_MAX, found),
        }
    }

    /// What `$.a.b` and the like lead to, which nearly all paths of ids, times
    /// and values are: the node or nothing. `None` for any other path, and when
    /// the whole document is in itself as `matchedToken`; then
    /// [`Path::select`] says.
    pub fn select_member(&self, document: Document<'_>, root: NodeId) -> Option<Option<NodeId>> {
        if document.matched == Some(Document::ROOT) {
            return None;
        }
        let mut at = Some(root);
        for step in &self.steps {
            let Step::Member(name) = step else { return None };
            at = at.and_then(|node| document.member(node, *name));
        }
        Some(at)
    }

    /// Whether it has `a && b || c`, which means `a && (b || c)` here and
    /// nowhere else (quirk 43).
    pub fn has_and_before_or(&self) -> bool {
        self.and_before_or
    }

    /// The names `a`, `b` … of a path that is exactly `$..[?(@a && @b …)]`.
    ///
    /// Such a path selects, in document order, the root and everything below
    /// it that has all these members. A mapping can thus test many of them in
    /// one walk: `name_set(node)` AND the names' bits first, then the members.
    pub fn scan_names(&self) -> Option<&[Symbol]> {
        self.scan_names.as_deref()
    }
}

/// Hands on the root and everything below it that has all `names`.
fn select_having(
    document: Document<'_>,
    root: NodeId,
    names: &[Symbol],
    found: &mut dyn FnMut(NodeId) -> ControlFlow<()>,
) {
    let bits = names.iter().fold(0, |bits, name| bits | name.bit());
    let below = document.descendants(root).map(|(_, node)| node);
    for node in std::iter::once(root).chain(below) {
        let perhaps = document.name_set(node) & bits == bits;
        if perhaps && names.iter().all(|name| document.member(node, *name).is_some()) && found(node).is_break() {
            return;
        }
    }
}

fn scan_names(steps: &[Step]) -> Option<Box<[Symbol]>> {
    let [Step::ScanFilter(condition)] = steps else { return None };
    match condition {
        Condition::All(conditions) => conditions.iter().map(member_asked_for).collect(),
        other => Some(Box::new([member_asked_for(other)?])),
    }
}

fn member_asked_for(condition: &Condition) -> Option<Symbol> {
    match condition {
        Condition::Exists(Side::Current(steps)) => match steps[..] {
            [Step::Member(name)] => Some(name),
            _ => None,
        },
        _ => None,
    }
}
