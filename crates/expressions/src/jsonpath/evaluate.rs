//! Runs the steps of a path over a document (device-mapping.md 6.2 to 6.5).
//!
//! Depth first: the first node goes through all steps before the second is
//! looked for, which gives the order of the reference connector's lazy streams
//! and its errors, without lists.

use std::ops::ControlFlow;

use super::compare::{self, Scalar};
use super::pattern::{self, Pattern};
use super::{Comparison, Condition, Operator, Path, Side, Step};
use crate::budget::{BYTES_A_STEP, Budget, CHILDREN_A_STEP, NODES_A_STEP};
use crate::document::{Document, Kind, NodeId};
use crate::expression::{CompileOptions, EvaluateError};
use crate::names::Symbol;

/// How many values the right side of a comparison may have: they are kept
/// while the left side is walked. A body of 1 MB has half as many nodes.
pub(super) const OPERANDS_MAX: usize = 1 << 20;

/// The bytes of text in which a pattern is looked for in the time of a step.
const PATTERN_BYTES_A_STEP: usize = 2;

/// What a match counts for that may go back; up to its limit it takes some
/// milliseconds, mostly much less.
const BACKTRACKING_STEPS: usize = 10_000;

/// What compiling a pattern counts for at the least that stands in the document; it is
/// about a millisecond at the most, unless the pattern is long.
const PATTERN_STEPS: usize = 100_000;

/// What it counts for beyond: for each byte that [`pattern::effort`] gives.
const STEPS_OF_EFFORT: usize = 8;

/// Goes on, or stops: with an error, or because enough was found.
type Flow<T = ()> = ControlFlow<Option<EvaluateError>, T>;

const GO_ON: Flow = ControlFlow::Continue(());
const ENOUGH: Flow = ControlFlow::Break(None);

/// See [`Path::select`].
pub(super) fn select(
    path: &Path,
    document: Document<'_>,
    root: NodeId,
    budget: &Budget,
    found: &mut dyn FnMut(NodeId) -> ControlFlow<()>,
) -> Result<(), EvaluateError> {
    let walk = Walk {
        document,
        bare: document.without_matched(),
        root: Place { node: root, is_bare: false },
        budget,
        options: path.options,
    };
    match walk.run(&path.steps, walk.root, &mut |place| found(place.node).map_break(|()| None)) {
        ControlFlow::Break(Some(error)) => Err(error),
        _ => Ok(()),
    }
}

/// A node and how it is seen. `is_bare` is the root without its member
/// `matchedToken`: what that member holds when the match is the whole document.
#[derive(Clone, Copy)]
struct Place {
    node: NodeId,
    is_bare: bool,
}

impl Place {
    /// A node reached from another. Only the match leads back to the root.
    fn below(node: NodeId) -> Place {
        Place { node, is_bare: node == Document::ROOT }
    }
}

/// One side of a comparison.
#[derive(Clone, Copy)]
enum Operand<'p> {
    Place(Place),
    Literal(&'p super::Literal),
}

/// One evaluation.
struct Walk<'d, 'b> {
    document: Document<'d>,
    bare: Document<'d>,
    root: Place,
    budget: &'b Budget,
    options: CompileOptions,
}

impl<'d> Walk<'d, '_> {
    fn run(&self, mut steps: &[Step], mut at: Place, found: &mut dyn FnMut(Place) -> Flow) -> Flow {
        // Steps to at most one node go on here; the others call back.
        while let Some((step, rest)) = steps.split_first() {
            self.spend(1)?;
            let next = match step {
                Step::Member(name) => {
                    self.spend(self.document.child_count(at.node) / CHILDREN_A_STEP)?;
                    self.view(at).member(at.node, *name)
                }
                Step::Element(index) => self.element(at, *index)?,
                _ => return self.spread(step, rest, at, found),
            };
            let Some(next) = next else { return GO_ON };
            (steps, at) = (rest, Place::below(next));
        }
        found(at)
    }

    /// Runs a step that may lead to several nodes, and the rest from each.
    fn spread(&self, step: &Step, rest: &[Step], at: Place, found: &mut dyn FnMut(Place) -> Flow) -> Flow {
        let view = self.view(at);
        let mut go = |node: NodeId| self.run(rest, Place::below(node), found);
        match step {
            Step::Members(names) => {
                self.spend(names.len() * (1 + view.child_count(at.node) / CHILDREN_A_STEP))?;
                names.iter().filter_map(|name| view.member(at.node, *name)).try_for_each(go)
            }
            Step::AllMembers if view.kind(at.node) == Kind::Object => {
                view.children(at.node).try_for_each(|(_, node)| go(node))
            }
            Step::AllElements if view.kind(at.node) == Kind::Array => {
                view.children(at.node).try_for_each(|(_, node)| go(node))
            }
            Step::Elements(indexes) => indexes.iter().try_for_each(|index| match self.element(at, *index)? {
                Some(node) => go(node),
                None => GO_ON,
            }),
            Step::Slice { start, end, step } => self.slice(at, (*start, *end, *step), &mut go),
            Step::ScanMember(name) => {
                self.scan_names(at, &mut |(symbol, node)| if symbol == *name { go(node) } else { GO_ON })
            }
            Step::ScanMembers(names) => self.scan_names(at, &mut |(symbol, node)| {
                names.iter().filter(|name| **name == symbol).try_for_each(|_| go(node))
            }),
            Step::ScanAll => {
                self.run(rest, at, found)?;
                self.scan(at, &mut |(_, node)| self.run(rest, Place::below(node), found))
            }
            Step::Filter(condition) if view.kind(at.node) == Kind::Array => view
                .children(at.node)
                .try_for_each(|(_, node)| if self.holds(condition, Place::below(node))? { go(node) } else { GO_ON }),
            Step::ScanFilter(filter) if filter.needed != 0 && view.matched != Some(Document::ROOT) => {
                self.spend(view.size(at.node) / NODES_A_STEP)?;
                view.visit_having(at.node, filter.needed, self.options.matched_token_twice, |node| {
                    self.spend(1 + view.child_count(node) / CHILDREN_A_STEP)?;
                    let place = Place { node, ..at };
                    if self.holds(&filter.condition, place)? { self.run(rest, place, found) } else { GO_ON }
                })
            }
            Step::ScanFilter(filter) => {
                if self.holds(&filter.condition, at)? {
                    self.run(rest, at, found)?;
                }
                self.scan(at, &mut |(_, node)| {
                    let place = Place::below(node);
                    if self.holds(&filter.condition, place)? { self.run(rest, place, found) } else { GO_ON }
                })
            }
            _ => GO_ON,
        }
    }

    fn scan(&self, at: Place, visit: &mut dyn FnMut((Symbol, NodeId)) -> Flow) -> Flow {
        let view = if self.goes_on_in_match() { self.view(at) } else { self.bare };
        view.descendants(at.node).try_for_each(|below| {
            self.spend(1)?;
            visit(below)
        })
    }

    /// [`Walk::scan`] for names: `matchedToken` itself has one, whether or not
    /// the scan goes on inside.
    fn scan_names(&self, at: Place, visit: &mut dyn FnMut((Symbol, NodeId)) -> Flow) -> Flow {
        self.scan(at, visit)?;
        match self.view(at).matched {
            Some(matched) if at.node == Document::ROOT && !self.goes_on_in_match() => {
                visit((Symbol::MATCHED_TOKEN, matched))
            }
            _ => GO_ON,
        }
    }

    /// Python's slices.
    fn slice(
        &self,
        at: Place,
        (start, end, step): (Option<i32>, Option<i32>, i32),
        visit: &mut dyn FnMut(NodeId) -> Flow,
    ) -> Flow {
        let view = self.view(at);
        let count = view.element_count(at.node) as i64;
        // Backwards they are listed first.
        self.spend(count as usize / 2)?;
        let from_end = |bound: i32| if bound < 0 { i64::from(bound) + count } else { i64::from(bound) };
        if step > 0 {
            let start = start.map_or(0, from_end).clamp(0, count);
            let end = end.map_or(count, from_end).clamp(start, count);
            let elements = view.children(at.node).take(end as usize).skip(start as usize);
            return elements.step_by(step as usize).try_for_each(|(_, node)| visit(node));
        }
        let start = start.map_or(count - 1, from_end).min(count - 1);
        let end = end.map_or(-1, from_end).max(-1);
        if start <= end {
            return GO_ON;
        }
        let elements: Vec<NodeId> = view.children(at.node).map(|child| child.1).collect();
        let wanted = elements[(end + 1) as usize..=start as usize].iter().rev();
        wanted.step_by(step.unsigned_abs() as usize).try_for_each(|node| visit(*node))
    }

    /// A negative index counts from the end (quirk 42).
    fn element(&self, at: Place, index: i32) -> Flow<Option<NodeId>> {
        let view = self.view(at);
        let count = view.element_count(at.node);
        let index = match index {
            0.. => Some(index as usize),
            _ => count.checked_sub(index.unsigned_abs() as usize),
        };
        let Some(index) = index.filter(|index| *index < count) else { return ControlFlow::Continue(None) };
        self.spend(1 + index / CHILDREN_A_STEP)?;
        ControlFlow::Continue(view.element(at.node, index))
    }

    fn holds(&self, condition: &Condition, at: Place) -> Flow<bool> {
        match condition {
            Condition::Exists(side) => {
                let mut exists = false;
                self.each(side, at, &mut |_| {
                    exists = true;
                    ENOUGH
                })?;
                ControlFlow::Continue(exists)
            }
            Condition::Compare(comparison) => self.compare(comparison, at),
            Condition::All(conditions) => self.first(conditions, at, false).map_continue(|found| !found),
            Condition::Any(conditions) => self.first(conditions, at, true),
        }
    }

    /// Whether one of `conditions` gives `wanted`; those after it are not tried.
    fn first(&self, conditions: &[Condition], at: Place, wanted: bool) -> Flow<bool> {
        for condition in conditions {
            if self.holds(condition, at)? == wanted {
                return ControlFlow::Continue(true);
            }
        }
        ControlFlow::Continue(false)
    }

    /// Whether any pair of the two sides satisfies the comparison. The right
    /// side is evaluated once, and only when the left side has something.
    fn compare<'p>(&self, comparison: &'p Comparison, at: Place) -> Flow<bool> {
        let mut holds = false;
        let mut rights: Option<Vec<Operand<'p>>> = None;
        self.each(&comparison.left, at, &mut |left| {
            if let Side::Literal(right) = &comparison.right {
                holds = self.pair(comparison, left, Operand::Literal(right))?;
                return if holds { ENOUGH } else { GO_ON };
            }
            if rights.is_none() {
                let mut operands = Vec::new();
                self.each(&comparison.right, at, &mut |right| {
                    if operands.len() == OPERANDS_MAX {
                        return limit(format!("one side of a comparison has more than {OPERANDS_MAX} values"));
                    }
                    operands.push(right);
                    GO_ON
                })?;
                rights = Some(operands);
            }
            for right in rights.iter().flatten() {
                if self.pair(comparison, left, *right)? {
                    holds = true;
                    return ENOUGH;
                }
            }
            GO_ON
        })?;
        ControlFlow::Continue(holds)
    }

    /// Hands each value of `side` to `visit`, until that has enough.
    fn each<'p>(&self, side: &'p Side, at: Place, visit: &mut dyn FnMut(Operand<'p>) -> Flow) -> Flow {
        let flow = match side {
            Side::Literal(literal) => visit(Operand::Literal(literal)),
            Side::Current(steps) => self.run(steps, at, &mut |place| visit(Operand::Place(place))),
            Side::Root(steps) => self.run(steps, self.root, &mut |place| visit(Operand::Place(place))),
        };
        match flow {
            ControlFlow::Break(Some(error)) => ControlFlow::Break(Some(error)),
            _ => GO_ON,
        }
    }

    fn pair(&self, comparison: &Comparison, left: Operand<'_>, right: Operand<'_>) -> Flow<bool> {
        self.spend(1 + (self.text_len(left) + self.text_len(right)) / BYTES_A_STEP)?;
        let (left, right) = (self.scalar(left), self.scalar(right));
        let (Some(left), Some(right)) = (left, right) else {
            // Objects and arrays compare with nothing (6.5).
            return ControlFlow::Continue(comparison.operator == Operator::NotEqual);
        };
        let result = match comparison.operator {
            Operator::Equal => compare::equal(&left, &right),
            Operator::NotEqual => compare::equal(&left, &right).map(|is_equal| !is_equal),
            Operator::StrictlyEqual => compare::strictly_equal(&left, &right),
            Operator::StrictlyNotEqual => compare::strictly_equal(&left, &right).map(|is_equal| !is_equal),
            Operator::Matches => return self.matches(comparison, &left, &right),
            Operator::Less => compare::order(&left, &right).map(|order| order.is_lt()),
            Operator::LessOrEqual => compare::order(&left, &right).map(|order| order.is_le()),
            Operator::Greater => compare::order(&left, &right).map(|order| order.is_gt()),
            Operator::GreaterOrEqual => compare::order(&left, &right).map(|order| order.is_ge()),
        };
        match result {
            Ok(holds) => ControlFlow::Continue(holds),
            Err(message) if self.options.coerced_comparison_errors => error(message),
            Err(_) => ControlFlow::Continue(false),
        }
    }

    fn matches(&self, comparison: &Comparison, left: &Scalar<'_>, right: &Scalar<'_>) -> Flow<bool> {
        let (Scalar::Text(text), Scalar::Text(written)) = (left, right) else {
            return ControlFlow::Continue(false);
        };
        self.spend(text.len() / PATTERN_BYTES_A_STEP)?;
        let matched = match &comparison.pattern {
            Some(pattern @ Pattern::Backtracking { .. }) => {
                self.spend(BACKTRACKING_STEPS)?;
                pattern.is_match(text)
            }
            Some(pattern) => pattern.is_match(text),
            // Whoever sends the text may not choose how long it is matched, so
            // a pattern from the document always runs in linear time.
            None => {
                self.spend(pattern::effort(written).saturating_mul(STEPS_OF_EFFORT).max(PATTERN_STEPS))?;
                match Pattern::compile(written, false, pattern::DOCUMENT_SIZE_MAX) {
                    Ok(pattern) => pattern.is_match(text),
                    // The pattern is a value of the document, so it is not quoted.
                    Err(_) => return error("a value used as a regular expression is not one that can be used"),
                }
            }
        };
        match matched {
            Ok(matched) => ControlFlow::Continue(matched),
            Err(limit) => ControlFlow::Break(Some(EvaluateError::Limit(limit.to_string()))),
        }
    }

    fn scalar<'v>(&self, operand: Operand<'v>) -> Option<Scalar<'v>>
    where
        'd: 'v,
    {
        match operand {
            Operand::Literal(literal) => Some(Scalar::of_literal(literal)),
            Operand::Place(place) => Scalar::of_node(self.document, place.node),
        }
    }

    fn text_len(&self, operand: Operand<'_>) -> usize {
        match operand {
            Operand::Literal(_) => 0,
            Operand::Place(place) => self.document.raw(place.node).len(),
        }
    }

    fn goes_on_in_match(&self) -> bool {
        self.document.goes_on_in_match(self.options.matched_token_twice)
    }

    fn view(&self, at: Place) -> Document<'d> {
        if at.is_bare { self.bare } else { self.document }
    }

    #[inline]
    fn spend(&self, steps: usize) -> Flow {
        match self.budget.spend(steps) {
            Ok(()) => GO_ON,
            Err(error) => ControlFlow::Break(Some(error)),
        }
    }
}

fn limit(message: String) -> Flow {
    ControlFlow::Break(Some(EvaluateError::Limit(message)))
}

fn error<T>(message: &str) -> Flow<T> {
    ControlFlow::Break(Some(EvaluateError::JsonPath(message.to_owned())))
}
