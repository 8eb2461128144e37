//! What a path needs of a document: member names without which it selects
//! nothing and cannot fail.
//!
//! A mapping tests with them whether a template can match at all, and a scan
//! which objects are worth a look. Names are sets of [`Symbol::bit`]s, so
//! "needed" stays true for names that share a bit.

use super::pattern::Pattern;
use super::{Comparison, Condition, Operator, Side, Step};
use crate::names::Symbol;

/// Notes in each scan of a filter, nested ones too, which names it needs.
pub(super) fn note(steps: &mut [Step], coerced_comparison_errors: bool) {
    for step in steps {
        match step {
            Step::Filter(condition) => note_in(condition, coerced_comparison_errors),
            Step::ScanFilter(filter) => {
                note_in(&mut filter.condition, coerced_comparison_errors);
                filter.needed = of_condition(&filter.condition, Where::There, coerced_comparison_errors);
                filter.members = members(&filter.condition);
            }
            _ => {}
        }
    }
}

fn note_in(condition: &mut Condition, coerced_comparison_errors: bool) {
    let note_side = |side: &mut Side| match side {
        Side::Current(steps) | Side::Root(steps) => note(steps, coerced_comparison_errors),
        Side::Literal(_) => {}
    };
    match condition {
        Condition::All(conditions) | Condition::Any(conditions) => {
            conditions.iter_mut().for_each(|condition| note_in(condition, coerced_comparison_errors));
        }
        Condition::Exists(side) => note_side(side),
        Condition::Compare(comparison) => {
            note_side(&mut comparison.left);
            note_side(&mut comparison.right);
        }
    }
}

/// The names of a condition that only asks for members.
fn members(condition: &Condition) -> Option<Box<[Symbol]>> {
    let asked_for = |condition: &Condition| match condition {
        Condition::Exists(Side::Current(steps)) => match steps[..] {
            [Step::Member(name)] => Some(name),
            _ => None,
        },
        _ => None,
    };
    match condition {
        Condition::All(conditions) => conditions.iter().map(asked_for).collect(),
        other => asked_for(other).map(|name| Box::from([name])),
    }
}

/// The names that a document must have somewhere.
pub(super) fn of_path(steps: &[Step], coerced_comparison_errors: bool) -> u64 {
    let mut names = 0;
    for step in steps {
        names |= match step {
            Step::Member(name) | Step::ScanMember(name) => name.bit(),
            Step::Filter(condition) => of_condition(condition, Where::Anywhere, coerced_comparison_errors),
            Step::ScanFilter(filter) => of_condition(&filter.condition, Where::Anywhere, coerced_comparison_errors),
            _ => 0,
        };
        // What comes later may be missing, but its absence must not hide an error.
        if step_can_fail(step, coerced_comparison_errors) {
            break;
        }
    }
    names
}

/// Where a name is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// In the value that a condition tests.
    There,
    /// In the whole document.
    Anywhere,
}

/// The names without which the condition does not hold and does not fail.
fn of_condition(condition: &Condition, place: Where, coerced_comparison_errors: bool) -> u64 {
    let of_side = |side: &Side| of_side(side, place, coerced_comparison_errors);
    match condition {
        Condition::Exists(side) => of_side(side),
        // Without a left or a right value nothing is compared (6.5). The right
        // side is looked for after the left one.
        Condition::Compare(comparison) if side_can_fail(&comparison.left, coerced_comparison_errors) => {
            of_side(&comparison.left)
        }
        Condition::Compare(comparison) => of_side(&comparison.left) | of_side(&comparison.right),
        Condition::All(conditions) => {
            let mut names = 0;
            for condition in conditions {
                names |= of_condition(condition, place, coerced_comparison_errors);
                if can_fail(condition, coerced_comparison_errors) {
                    break;
                }
            }
            names
        }
        Condition::Any(conditions) => {
            conditions.iter().fold(u64::MAX, |names, one| names & of_condition(one, place, coerced_comparison_errors))
        }
    }
}

/// The names that a side asks for: in the tested value only that of its first
/// step.
fn of_side(side: &Side, place: Where, coerced_comparison_errors: bool) -> u64 {
    match (side, place) {
        (Side::Current(steps), Where::There) => match steps.first() {
            Some(Step::Member(name)) => name.bit(),
            _ => 0,
        },
        (Side::Current(steps) | Side::Root(steps), Where::Anywhere) => of_path(steps, coerced_comparison_errors),
        (Side::Root(_), Where::There) | (Side::Literal(_), _) => 0,
    }
}

fn can_fail(condition: &Condition, coerced_comparison_errors: bool) -> bool {
    let side_can_fail = |side: &Side| side_can_fail(side, coerced_comparison_errors);
    match condition {
        Condition::All(conditions) | Condition::Any(conditions) => {
            conditions.iter().any(|condition| can_fail(condition, coerced_comparison_errors))
        }
        Condition::Exists(side) => side_can_fail(side),
        Condition::Compare(comparison) => {
            comparison_can_fail(comparison, coerced_comparison_errors)
                || side_can_fail(&comparison.left)
                || side_can_fail(&comparison.right)
        }
    }
}

fn comparison_can_fail(comparison: &Comparison, coerced_comparison_errors: bool) -> bool {
    match comparison.operator {
        Operator::Equal | Operator::StrictlyEqual | Operator::NotEqual | Operator::StrictlyNotEqual => false,
        // A pattern from the document may be none, and one that goes back has a limit.
        Operator::Matches => !matches!(comparison.pattern, Some(Pattern::Linear(_))),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            coerced_comparison_errors
        }
    }
}

fn side_can_fail(side: &Side, coerced_comparison_errors: bool) -> bool {
    match side {
        Side::Current(steps) | Side::Root(steps) => {
            steps.iter().any(|step| step_can_fail(step, coerced_comparison_errors))
        }
        Side::Literal(_) => false,
    }
}

fn step_can_fail(step: &Step, coerced_comparison_errors: bool) -> bool {
    match step {
        Step::Filter(condition) => can_fail(condition, coerced_comparison_errors),
        Step::ScanFilter(filter) => can_fail(&filter.condition, coerced_comparison_errors),
        _ => false,
    }
}
