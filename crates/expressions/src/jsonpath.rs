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
mod needs;
mod parse;
mod pattern;

#[cfg(test)]
mod rfc9535_outcomes;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use crate::budget::{Budget, CHILDREN_A_STEP, NODES_A_STEP};
use crate::document::{Document, NodeId};
use crate::expression::{CompileError, CompileOptions, EvaluateError};
use crate::names::{Names, Symbol};

use parse::Parsed;
use pattern::Pattern;

/// A compiled path.
#[derive(Clone, Debug)]
pub struct Path {
    steps: Vec<Step>,
    /// The names of a path that is only `$.a.b.c`.
    members: Option<Box<[Symbol]>>,
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
    ScanFilter(Box<ScanFilter>),
}

/// A filter that is tested on a value and everything below it, which nearly
/// all type matches are.
#[derive(Clone, Debug)]
struct ScanFilter {
    condition: Condition,
    /// The names, as [`Symbol::bit`]s, that a value must have for the condition
    /// to hold or to fail; 0 when there is none.
    needed: u64,
    /// The names of a condition that only asks for members: `@a && @b`.
    members: Option<Box<[Symbol]>>,
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
        let Parsed { mut steps, and_before_or } = parse::parse(text, options.backtracking_patterns, names)?;
        needs::note(&mut steps, options.coerced_comparison_errors);
        let members = steps.iter().map(|step| match step {
            Step::Member(name) => Some(*name),
            _ => None,
        });
        let members = members.collect();
        Ok(Path { steps, members, and_before_or, options })
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
        match &self.steps[..] {
            // What nearly all type matches are; not in a document that is in itself.
            [Step::ScanFilter(filter)] if document.matched != Some(Document::ROOT) => match &filter.members {
                Some(names) => self.scan_members(filter.needed, names, document, root, budget, found),
                None => evaluate::select(self, document, root, budget, found),
            },
            _ => evaluate::select(self, document, root, budget, found),
        }
    }

    /// Runs `$..[?(@a && @b)]`.
    fn scan_members(
        &self,
        needed: u64,
        names: &[Symbol],
        document: Document<'_>,
        root: NodeId,
        budget: &Budget,
        found: &mut dyn FnMut(NodeId) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        budget.spend(document.size(root) / NODES_A_STEP)?;
        let scanned = document.visit_having(root, needed, self.options.matched_token_twice, |node| {
            if let Err(error) = budget.spend(names.len() * (1 + document.child_count(node) / CHILDREN_A_STEP)) {
                return ControlFlow::Break(Err(error));
            }
            let has_all = names.iter().all(|name| document.member(node, *name).is_some());
            if has_all && found(node).is_break() { ControlFlow::Break(Ok(())) } else { ControlFlow::Continue(()) }
        });
        match scanned {
            ControlFlow::Break(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// What `$.a.b` and the like lead to, which nearly all paths of ids, times
    /// and values are: the node or nothing. `None` for any other path; then
    /// [`Path::select`] says.
    #[inline]
    pub fn select_member(&self, document: Document<'_>, root: NodeId, budget: &Budget) -> Option<Option<NodeId>> {
        document.follow(root, self.members.as_deref()?, budget)
    }

    /// Whether it has `a && b || c`, which means `a && (b || c)` here and
    /// nowhere else (quirk 43).
    pub fn has_and_before_or(&self) -> bool {
        self.and_before_or
    }

    /// Member names, as [`Symbol::bit`]s, of which a document must have every
    /// one, wherever it stands, for the path to select something in it or to
    /// fail; 0 when none is known.
    pub fn needed_names(&self) -> u64 {
        needs::of_path(&self.steps, self.options.coerced_comparison_errors)
    }
}
