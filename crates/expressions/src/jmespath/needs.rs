//! What an expression needs of a document: member names without which it gives
//! no match and cannot fail.
//!
//! Names are sets of [`Symbol::bit`]s; a field of something computed needs
//! nothing of the document.
//!
//! [`Symbol::bit`]: crate::names::Symbol::bit

use super::program::{Comparator, Expr, Step};
use crate::value::Value;

/// What is known of an expression, evaluated on something that is
/// `from_document` (a node, or a list of nodes).
#[derive(Clone, Copy)]
struct Known {
    /// Without these names it gives null or a projection of nothing.
    names: u64,
    /// What it gives is of the document.
    from_document: bool,
    /// Functions may fail, and then nothing that follows may hide it.
    can_fail: bool,
    /// How many projections stand one in the other, 2 for more. A projection
    /// drops what is missing but not a projection of nothing.
    projections: u8,
}

impl Known {
    const NOTHING: Known = Known { names: 0, from_document: false, can_fail: false, projections: 0 };
}

/// The names that a document must have somewhere.
pub(super) fn of_type_match(expr: &Expr) -> u64 {
    known(expr, true).names
}

fn known(expr: &Expr, from_document: bool) -> Known {
    match expr {
        Expr::Current => Known { from_document, ..Known::NOTHING },
        Expr::Constant(_) | Expr::Not(_) | Expr::Compare(..) => Known { can_fail: can_fail(expr), ..Known::NOTHING },
        Expr::Step(step) => after(Known { from_document, ..Known::NOTHING }, step),
        Expr::Chain(head, steps) => steps.iter().fold(known(head, from_document), after),
        // Null only when all parts are.
        Expr::Or(parts) => {
            let parts: Vec<Known> = parts.iter().map(|part| known(part, from_document)).collect();
            let can_fail = parts.iter().any(|part| part.can_fail);
            Known {
                names: if can_fail { 0 } else { parts.iter().fold(u64::MAX, |names, part| names & part.names) },
                from_document: parts.iter().all(|part| part.from_document),
                can_fail,
                projections: parts.iter().map(|part| part.projections).max().unwrap_or_default(),
            }
        }
        // The first part may be false without being null, and is then the result.
        Expr::And(parts) => Known {
            names: parts.first().map_or(0, |first| known(first, from_document).names),
            from_document: parts.iter().all(|part| known(part, from_document).from_document),
            can_fail: parts.iter().any(can_fail),
            projections: parts.iter().map(|part| known(part, from_document).projections).max().unwrap_or_default(),
        },
        Expr::Pipe(parts) => {
            let start = Known { from_document, ..Known::NOTHING };
            parts.iter().fold(start, |before, part| {
                let passes_nothing_on = passes_nothing_on(part);
                let part = known(part, before.from_document);
                let names = match (before.can_fail, passes_nothing_on) {
                    (true, _) => 0,
                    (false, true) => before.names | part.names,
                    // It is evaluated on null, too, and may make something of it.
                    (false, false) => part.names,
                };
                Known { names, can_fail: before.can_fail || part.can_fail, ..part }
            })
        }
    }
}

/// Whether `expr` makes nothing, again null or a projection, of null and of an
/// empty list.
fn passes_nothing_on(expr: &Expr) -> bool {
    let passes = |step: &Step| !matches!(step, Step::List(_) | Step::Hash(_) | Step::Call(..));
    match expr {
        Expr::Step(step) => passes(step),
        Expr::Chain(head, steps) => {
            (matches!(**head, Expr::Current) || passes_nothing_on(head)) && steps.iter().all(passes)
        }
        _ => false,
    }
}

/// What is known after one more step.
fn after(before: Known, step: &Step) -> Known {
    let needed = match step {
        Step::Field(field) if before.from_document && before.projections < 2 => field.symbol.bit(),
        Step::Filter(condition) if before.projections == 0 => needed_to_hold(condition, before.from_document),
        _ => 0,
    };
    let projections = match step {
        Step::Flatten => before.projections.max(1),
        step if step.projects() => (before.projections + 1).min(2),
        _ => before.projections,
    };
    let from_document = match step {
        Step::Hash(_) | Step::Call(..) => false,
        Step::List(items) => items.iter().all(|item| known(item, before.from_document).from_document),
        _ => before.from_document,
    };
    Known {
        names: if before.can_fail { before.names } else { before.names | needed },
        from_document,
        can_fail: before.can_fail || step_can_fail(step),
        projections,
    }
}

/// The names without which `condition` is false (null counts as that) and does
/// not fail.
fn needed_to_hold(condition: &Expr, from_document: bool) -> u64 {
    match condition {
        Expr::And(parts) => {
            let mut names = 0;
            for part in parts {
                names |= needed_to_hold(part, from_document);
                if can_fail(part) {
                    break;
                }
            }
            names
        }
        Expr::Or(parts) if !parts.iter().any(can_fail) => {
            parts.iter().fold(u64::MAX, |names, part| names & needed_to_hold(part, from_document))
        }
        Expr::Or(_) => 0,
        // What is missing is null or an empty list, which equals no scalar.
        Expr::Compare(Comparator::Equal, sides) => match &**sides {
            [path, Expr::Constant(value)] | [Expr::Constant(value), path]
                if !matches!(value, Value::Null | Value::Array(_)) =>
            {
                known(path, from_document).names
            }
            _ => 0,
        },
        other => known(other, from_document).names,
    }
}

fn can_fail(expr: &Expr) -> bool {
    match expr {
        Expr::Current | Expr::Constant(_) => false,
        Expr::Step(step) => step_can_fail(step),
        Expr::Chain(head, steps) => can_fail(head) || steps.iter().any(step_can_fail),
        Expr::Or(parts) | Expr::And(parts) | Expr::Pipe(parts) => parts.iter().any(can_fail),
        Expr::Not(inner) => can_fail(inner),
        // Numbers beyond 64 bits and values without conversions fail in the
        // ordering comparisons.
        Expr::Compare(comparator, sides) => {
            !matches!(comparator, Comparator::Equal | Comparator::NotEqual) || sides.iter().any(can_fail)
        }
    }
}

fn step_can_fail(step: &Step) -> bool {
    match step {
        Step::Call(..) => true,
        Step::Filter(condition) => can_fail(condition),
        Step::List(items) => items.iter().any(can_fail),
        Step::Hash(members) => members.iter().any(|(_, item)| can_fail(item)),
        _ => false,
    }
}
