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

use regex::Regex;

use crate::budget::{Budget, CHILDREN_A_STEP};
use crate::document::{Document, NodeId};
use crate::expression::{CompileError, EvaluateError};
use crate::names::{Names, Symbol};

/// A compiled path.
#[derive(Clone, Debug)]
pub struct Path {
    steps: Vec<Step>,
    /// The names of a path `$..[?(@a && @b)]`.
    scan_names: Option<Box<[Symbol]>>,
    /// Whether an ordering comparison of what cannot be converted fails.
    coerced_comparison_errors: bool,
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
    regex: Option<Regex>,
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
    /// or false (quirk 45).
    pub fn compile(text: &str, coerced_comparison_errors: bool, names: &mut Names) -> Result<Path, CompileError> {
        let steps = parse::parse(text, names)?;
        let scan_names = scan_names(&steps);
        Ok(Path { steps, scan_names, coerced_comparison_errors })
    }

    /// Hands each node that the path selects to `found`, in order, until it
    /// breaks. `root` is what `$` means, here and in filters.
    pub fn select(
        &self,
        document: Document<'_>,
        root: NodeId,
        budget: &Budget,
        found: &mut dyn FnMut(NodeId) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        // The scan that nearly all type matches are; a match that is the whole
        // document is seen twice with different members, so not here.
        match &self.scan_names {
            Some(names) if document.matched != Some(Document::ROOT) => {
                budget.spend(document.size(root))?;
                select_having(document, root, names, found);
                Ok(())
            }
            _ => evaluate::select(self, document, root, budget, found),
        }
    }

    /// What `$.a.b` and the like lead to, which nearly all paths of ids, times
    /// and values are: the node or nothing. `None` for any other path, and when
    /// the whole document is in itself as `matchedToken`; then
    /// [`Path::select`] says.
    pub fn select_member(
        &self,
        document: Document<'_>,
        root: NodeId,
        budget: &Budget,
    ) -> Result<Option<Option<NodeId>>, EvaluateError> {
        if document.matched == Some(Document::ROOT) {
            return Ok(None);
        }
        let mut at = Some(root);
        let mut children = 0;
        for step in &self.steps {
            let Step::Member(name) = step else { return Ok(None) };
            let Some(node) = at else { continue };
            children += document.child_count(node);
            at = document.member(node, *name);
        }
        budget.spend(1 + self.steps.len() + children / CHILDREN_A_STEP)?;
        Ok(Some(at))
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
