//! Runs a program over a document (device-mapping.md 7.4).
//!
//! Nodes stay nodes as long as nothing has to be computed, so a chain of
//! fields allocates nothing. Work is counted, so that a hostile event cannot
//! make an expression run away.

use std::borrow::Cow;

use crate::budget::Budget;
use crate::document::{Document, Kind};
use crate::expression::{CompileOptions, EvaluateError};
use crate::value::Value;

use super::data::{View, equal_scalars, is_false, is_null, member, order_text, part_count, parts, view};
use super::functions::{Call, Given};
use super::program::{Argument, Comparator, Expr, Step};

/// How much work one evaluation may do: each step on a value, each value
/// copied or compared and each [`TEXT_PER_WORK`] bytes of text written count
/// one. A filter over an event of 1 MB takes some 100 000.
pub(super) const WORK_MAX: usize = 2_000_000;

const TEXT_PER_WORK: usize = 16;

/// How many steps of the event's [`Budget`] work counts for.
const STEPS_PER_WORK: usize = 8;

/// How deep an evaluation may nest: what the parser lets through nests less,
/// unless it chains hundreds of comparisons.
pub(super) const DEPTH_MAX: usize = 300;

/// What an expression gives.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    /// The null of what is not there. A projection drops it, other than a null
    /// that stands in the document.
    Missing,
    /// A value.
    Value(Value<'a>),
    /// What `[*]` and the like give: the next step is taken from each element.
    Projection(Vec<Outcome<'a>>),
}

impl<'a> Outcome<'a> {
    /// The value it stands for: a projection is a list, what is missing null.
    pub(super) fn into_value(self) -> Value<'a> {
        match self {
            Outcome::Missing => Value::Null,
            Outcome::Value(value) => value,
            Outcome::Projection(items) => Value::Array(items.into_iter().map(Outcome::into_value).collect()),
        }
    }

    pub(super) fn bool(value: bool) -> Outcome<'a> {
        Outcome::Value(Value::Bool(value))
    }
}

/// One evaluation.
pub(super) struct Run<'a> {
    pub(super) document: Document<'a>,
    pub(super) options: CompileOptions,
    work: usize,
    depth: usize,
    budget: &'a Budget,
}

impl<'a> Run<'a> {
    pub(super) fn new(document: Document<'a>, options: CompileOptions, budget: &'a Budget) -> Run<'a> {
        Run { document, options, work: 0, depth: 0, budget }
    }

    /// Counts work.
    pub(super) fn spend(&mut self, work: usize) -> Result<(), EvaluateError> {
        self.work = self.work.saturating_add(work);
        if self.work > WORK_MAX {
            return Err(EvaluateError::Limit(format!("the expression takes more than {WORK_MAX} steps")));
        }
        self.budget.spend(work.saturating_mul(STEPS_PER_WORK))
    }

    /// Counts text that is about to be written.
    pub(super) fn spend_text(&mut self, bytes: usize) -> Result<(), EvaluateError> {
        self.spend(1 + bytes / TEXT_PER_WORK)
    }

    /// Counts a look at a scalar: a list may hold a long text a million times.
    pub(super) fn spend_look(&mut self, value: &Value<'a>) -> Result<(), EvaluateError> {
        match value {
            Value::Node(node) => self.spend(self.document.raw(*node).len() / TEXT_PER_WORK),
            Value::String(text) => self.spend(text.len() / TEXT_PER_WORK),
            _ => Ok(()),
        }
    }

    /// Counts what [`write_json`](super::data::write_json) is about to write.
    pub(super) fn spend_json(&mut self, value: &Value<'a>) -> Result<(), EvaluateError> {
        self.spend(1)?;
        self.spend_look(value)?;
        match value {
            Value::Node(node) => {
                let document = self.document;
                document.descendants(*node).try_for_each(|(name, below)| {
                    self.spend_text(document.name(name).len() + document.raw(below).len())
                })
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.spend_json(item)),
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                self.spend_text(name.len())?;
                self.spend_json(value)
            }),
            _ => Ok(()),
        }
    }

    /// Evaluates `expr` on `current`.
    pub(super) fn evaluate(&mut self, expr: &'a Expr, current: &Value<'a>) -> Result<Outcome<'a>, EvaluateError> {
        self.enter()?;
        let outcome = match expr {
            Expr::Current => Outcome::Value(self.copy(current)?),
            Expr::Constant(value) => Outcome::Value(self.constant(value)?),
            Expr::Step(step) => self.step(step, Cow::Borrowed(current))?,
            Expr::Chain(head, steps) => {
                let head = self.evaluate(head, current)?;
                self.chain(head, steps)?
            }
            Expr::Or(parts) => self.first_that(parts, current, false)?,
            Expr::And(parts) => self.first_that(parts, current, true)?,
            Expr::Pipe(parts) => self.pipe(parts, current)?,
            Expr::Not(inner) => {
                let inner = self.evaluate(inner, current)?;
                Outcome::bool(self.is_false(&inner))
            }
            Expr::Compare(comparator, sides) => {
                let left = self.evaluate(&sides[0], current)?.into_value();
                let right = self.evaluate(&sides[1], current)?.into_value();
                self.compare(*comparator, &left, &right)?.map_or(Outcome::Missing, Outcome::bool)
            }
        };
        self.depth -= 1;
        Ok(outcome)
    }

    fn enter(&mut self) -> Result<(), EvaluateError> {
        self.spend(1)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(EvaluateError::Limit("the expression nests too deep".to_owned()));
        }
        Ok(())
    }

    /// Evaluates `expr` on a value that is not needed any more, so that parts
    /// of it need not be copied.
    fn evaluate_last(&mut self, expr: &'a Expr, current: Value<'a>) -> Result<Outcome<'a>, EvaluateError> {
        match expr {
            Expr::Current => Ok(Outcome::Value(current)),
            Expr::Step(step) => self.step(step, Cow::Owned(current)),
            Expr::Chain(head, steps) => match &**head {
                Expr::Step(step) => {
                    let head = self.step(step, Cow::Owned(current))?;
                    self.chain(head, steps)
                }
                Expr::Current => self.chain(Outcome::Value(current), steps),
                _ => self.evaluate(expr, &current),
            },
            _ => self.evaluate(expr, &current),
        }
    }

    /// The outcome of the first part whose being false is `wanted`, else that
    /// of the last.
    fn first_that(
        &mut self,
        parts: &'a [Expr],
        current: &Value<'a>,
        wanted: bool,
    ) -> Result<Outcome<'a>, EvaluateError> {
        let mut outcome = Outcome::Missing;
        for part in parts {
            outcome = self.evaluate(part, current)?;
            if self.is_false(&outcome) == wanted {
                break;
            }
        }
        Ok(outcome)
    }

    fn pipe(&mut self, parts: &'a [Expr], current: &Value<'a>) -> Result<Outcome<'a>, EvaluateError> {
        let Some((first, rest)) = parts.split_first() else { return Ok(Outcome::Missing) };
        let mut outcome = self.evaluate(first, current)?;
        for part in rest {
            outcome = self.evaluate_last(part, outcome.into_value())?;
        }
        Ok(outcome)
    }

    fn chain(&mut self, head: Outcome<'a>, steps: &'a [Step]) -> Result<Outcome<'a>, EvaluateError> {
        let mut outcome = head;
        for step in steps {
            outcome = match outcome {
                Outcome::Missing => return Ok(Outcome::Missing),
                Outcome::Value(value) if is_null(self.document, &value) => return Ok(Outcome::Value(value)),
                Outcome::Value(value) => self.step(step, Cow::Owned(value))?,
                Outcome::Projection(items) => self.project(step, items)?,
            }
        }
        Ok(outcome)
    }

    /// Takes `step` from each element; from a list of them all when flattening.
    fn project(&mut self, step: &'a Step, items: Vec<Outcome<'a>>) -> Result<Outcome<'a>, EvaluateError> {
        if let Step::Flatten = step {
            let list = Outcome::Projection(items).into_value();
            return self.step(step, Cow::Owned(list));
        }
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let outcome = match item {
                Outcome::Projection(items) => self.project(step, items)?,
                item => self.step(step, Cow::Owned(item.into_value()))?,
            };
            if !matches!(outcome, Outcome::Missing) {
                outcomes.push(outcome);
            }
        }
        Ok(Outcome::Projection(outcomes))
    }

    /// Takes `step` from one value.
    fn step(&mut self, step: &'a Step, value: Cow<'_, Value<'a>>) -> Result<Outcome<'a>, EvaluateError> {
        self.spend(1)?;
        Ok(match step {
            Step::Field(field) => match value {
                Cow::Owned(Value::Object(mut members)) => {
                    match members.iter().position(|member| member.0 == *field.name) {
                        Some(at) => Outcome::Value(members.swap_remove(at).1),
                        None => Outcome::Missing,
                    }
                }
                value => match &*value {
                    Value::Node(node) => match self.document.member(*node, field.symbol) {
                        Some(child) => Outcome::Value(Value::Node(child)),
                        None => Outcome::Missing,
                    },
                    other => match member(self.document, other, &field.name) {
                        Some(found) => Outcome::Value(self.copy(&found)?),
                        None => Outcome::Missing,
                    },
                },
            },
            Step::Index(index) => self.index(*index, value)?,
            Step::Slice(start, stop, stride) => match self.elements(value)? {
                Some(items) => self.slice(items, (*start, *stop, *stride)),
                None => Outcome::Missing,
            },
            Step::Elements => match self.elements(value)? {
                Some(items) => projection(items.into_iter().filter(|item| !is_null(self.document, item))),
                None => Outcome::Missing,
            },
            Step::Flatten => match self.elements(value)? {
                Some(items) => self.flatten(items)?,
                None => Outcome::Missing,
            },
            Step::Filter(condition) => match self.elements(value)? {
                Some(items) => self.filter(condition, items)?,
                None => Outcome::Missing,
            },
            Step::Members => self.member_values(value)?,
            Step::List(items) => {
                let items = items.iter().map(|item| Ok(self.evaluate(item, &value)?.into_value()));
                Outcome::Value(Value::Array(items.collect::<Result<_, EvaluateError>>()?))
            }
            Step::Hash(members) => {
                let members = members.iter().map(|(name, item)| {
                    self.spend_text(name.len())?;
                    Ok((Cow::Borrowed(&**name), self.evaluate(item, &value)?.into_value()))
                });
                Outcome::Value(Value::Object(members.collect::<Result<_, EvaluateError>>()?))
            }
            Step::Call(function, arguments) => {
                let mut given = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    given.push(match argument {
                        Argument::Value(expr) => {
                            let value = self.evaluate(expr, &value)?.into_value();
                            self.spend_look(&value)?;
                            Given::Value(value)
                        }
                        Argument::Reference(expr) => Given::Expression(expr),
                    });
                }
                (function.body)(Call { run: self, name: function.name, arguments: given })?
            }
        })
    }

    fn index(&mut self, index: i64, value: Cow<'_, Value<'a>>) -> Result<Outcome<'a>, EvaluateError> {
        let count = match &*value {
            Value::Node(node) => self.document.element_count(*node),
            Value::Array(items) => items.len(),
            _ => 0,
        };
        let at = if index < 0 { index.saturating_add(count as i64) } else { index };
        let Some(at) = usize::try_from(at).ok().filter(|at| *at < count) else { return Ok(Outcome::Missing) };
        Ok(Outcome::Value(match value {
            Cow::Owned(Value::Array(mut items)) => items.swap_remove(at),
            value => match &*value {
                Value::Array(items) => self.copy(&items[at])?,
                Value::Node(node) => match self.document.element(*node, at) {
                    Some(child) => Value::Node(child),
                    None => return Ok(Outcome::Missing),
                },
                _ => return Ok(Outcome::Missing),
            },
        }))
    }

    /// The elements of an array; none for anything else.
    pub(super) fn elements(&mut self, value: Cow<'_, Value<'a>>) -> Result<Option<Vec<Value<'a>>>, EvaluateError> {
        match value {
            Cow::Owned(Value::Array(items)) => Ok(Some(items)),
            value => match &*value {
                Value::Array(items) => {
                    items.iter().map(|item| self.copy(item)).collect::<Result<Vec<_>, EvaluateError>>().map(Some)
                }
                Value::Node(node) if self.document.kind(*node) == Kind::Array => {
                    self.spend(self.document.element_count(*node))?;
                    Ok(Some(self.document.children(*node).map(|(_, child)| Value::Node(child)).collect()))
                }
                _ => Ok(None),
            },
        }
    }

    fn slice(&self, items: Vec<Value<'a>>, slice: (Option<i64>, Option<i64>, i64)) -> Outcome<'a> {
        let count = items.len() as i64;
        let (start, stop, stride) = slice;
        let place = |at: i64| if at < 0 { at.saturating_add(count) } else { at };
        let (first, last) = if stride > 0 { (0, count) } else { (count - 1, -1) };
        let (start, stop) = (start.map_or(first, place), stop.map_or(last, place));
        // Places outside the list are passed over, but they do count as steps:
        // `[-4::2]` of three items starts at -1 and gives the second.
        let outside = if stride > 0 { start.saturating_neg() } else { start.saturating_sub(first) };
        let skipped = outside.max(0).unsigned_abs().div_ceil(stride.unsigned_abs());
        let stop = if stride > 0 { stop.min(count) } else { stop.max(-1) };
        let mut at = start.saturating_add((skipped as i64).saturating_mul(stride));
        let mut items: Vec<Option<Value<'a>>> = items.into_iter().map(Some).collect();
        let mut chosen = Vec::new();
        while if stride > 0 { at < stop } else { at > stop } {
            chosen.extend(usize::try_from(at).ok().and_then(|at| items.get_mut(at)?.take()));
            at = at.saturating_add(stride);
        }
        projection(chosen)
    }

    /// Nulls are dropped, at both levels.
    fn flatten(&mut self, items: Vec<Value<'a>>) -> Result<Outcome<'a>, EvaluateError> {
        let mut flat = Vec::with_capacity(items.len());
        for item in items {
            let is_list = match &item {
                Value::Node(node) => self.document.kind(*node) == Kind::Array,
                item => matches!(item, Value::Array(_)),
            };
            match is_list {
                true => flat.extend(self.elements(Cow::Owned(item))?.into_iter().flatten()),
                false => flat.push(item),
            }
        }
        Ok(projection(flat.into_iter().filter(|item| !is_null(self.document, item))))
    }

    fn filter(&mut self, condition: &'a Expr, items: Vec<Value<'a>>) -> Result<Outcome<'a>, EvaluateError> {
        let mut kept = Vec::new();
        for item in items {
            let outcome = self.evaluate(condition, &item)?;
            if !self.is_false(&outcome) {
                kept.push(Outcome::Value(item));
            }
        }
        Ok(Outcome::Projection(kept))
    }

    fn member_values(&mut self, value: Cow<'_, Value<'a>>) -> Result<Outcome<'a>, EvaluateError> {
        Ok(match value {
            Cow::Owned(Value::Object(members)) => projection(members.into_iter().map(|member| member.1)),
            value => match &*value {
                Value::Object(members) => {
                    let values = members.iter().map(|member| self.copy(&member.1));
                    projection(values.collect::<Result<Vec<_>, EvaluateError>>()?)
                }
                Value::Node(node) if self.document.kind(*node) == Kind::Object => {
                    self.spend(self.document.children(*node).count())?;
                    projection(self.document.children(*node).map(|(_, child)| Value::Node(child)))
                }
                _ => Outcome::Missing,
            },
        })
    }

    fn is_false(&self, outcome: &Outcome<'a>) -> bool {
        match outcome {
            Outcome::Missing => true,
            Outcome::Value(value) => is_false(self.document, value),
            Outcome::Projection(items) => items.is_empty(),
        }
    }

    /// The copy of a computed value, counted.
    pub(super) fn copy(&mut self, value: &Value<'a>) -> Result<Value<'a>, EvaluateError> {
        Ok(match value {
            Value::String(text) => {
                self.spend_text(text.len())?;
                value.clone()
            }
            Value::Array(items) => {
                self.spend(items.len())?;
                Value::Array(items.iter().map(|item| self.copy(item)).collect::<Result<_, EvaluateError>>()?)
            }
            Value::Object(members) => {
                self.spend(members.len())?;
                let members = members.iter().map(|(name, value)| {
                    self.spend_text(name.len())?;
                    Ok((name.clone(), self.copy(value)?))
                });
                Value::Object(members.collect::<Result<_, EvaluateError>>()?)
            }
            scalar => scalar.clone(),
        })
    }

    /// A constant of the program; its text is borrowed.
    fn constant(&mut self, value: &'a Value<'static>) -> Result<Value<'a>, EvaluateError> {
        self.spend(1)?;
        Ok(match value {
            Value::String(text) => {
                self.spend_text(text.len())?;
                Value::String(Cow::Borrowed(text))
            }
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.constant(item)).collect::<Result<_, EvaluateError>>()?)
            }
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| Ok((Cow::Borrowed(&**name), self.constant(value)?)));
                Value::Object(members.collect::<Result<_, EvaluateError>>()?)
            }
            scalar => scalar.clone(),
        })
    }

    /// None when the two cannot be compared so (device-mapping.md 7.3).
    fn compare(
        &mut self,
        comparator: Comparator,
        left: &Value<'a>,
        right: &Value<'a>,
    ) -> Result<Option<bool>, EvaluateError> {
        match comparator {
            Comparator::Equal => return self.equal(left, right).map(Some),
            Comparator::NotEqual => return self.equal(left, right).map(|equal| Some(!equal)),
            _ => {}
        }
        self.spend_look(left)?;
        self.spend_look(right)?;
        let holds = |order: std::cmp::Ordering| match comparator {
            Comparator::Less => order.is_lt(),
            Comparator::LessOrEqual => order.is_le(),
            Comparator::Greater => order.is_gt(),
            _ => order.is_ge(),
        };
        let (left, right) = (view(self.document, left), view(self.document, right));
        Ok(match (kind(&left), kind(&right)) {
            // Nothing holds of NaN.
            (Comparable::Number, Comparable::Number) => {
                Some(left.float()?.partial_cmp(&right.float()?).is_some_and(holds))
            }
            (Comparable::Text, Comparable::Text) => {
                Some(holds(match (left.into_text()?, right.into_text()?) {
                    (Some(left), Some(right)) => order_text(&left, &right),
                    // Null is below all text.
                    (left, right) => left.is_some().cmp(&right.is_some()),
                }))
            }
            _ => None,
        })
    }

    /// Deep equality by type and value; the order of members does not count.
    pub(super) fn equal(&mut self, left: &Value<'a>, right: &Value<'a>) -> Result<bool, EvaluateError> {
        self.spend(1)?;
        self.spend_look(left)?;
        self.spend_look(right)?;
        let document = self.document;
        let (left_view, right_view) = (view(document, left), view(document, right));
        match (left_view, right_view) {
            (View::Array, View::Array) => {
                if part_count(document, left) != part_count(document, right) {
                    return Ok(false);
                }
                for ((_, left), (_, right)) in parts(document, left).zip(parts(document, right)) {
                    if !self.equal(&left, &right)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (View::Object, View::Object) => {
                let count = part_count(document, left);
                if count != part_count(document, right) {
                    return Ok(false);
                }
                for (name, left) in parts(document, left) {
                    // Finding a member may take a look at each.
                    self.spend(count)?;
                    let Some(right) = member(document, right, &name) else { return Ok(false) };
                    if !self.equal(&left, &right)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (left, right) => Ok(equal_scalars(&left, &right)),
        }
    }
}

/// What an ordering comparison takes a value for.
#[derive(PartialEq, Eq)]
enum Comparable {
    Number,
    Text,
    Neither,
}

fn kind(view: &View<'_>) -> Comparable {
    match view {
        View::Integer(_) | View::BigInteger(_) | View::Float(_) => Comparable::Number,
        View::String(_) | View::Date(_) | View::Null | View::Opaque(_) => Comparable::Text,
        _ => Comparable::Neither,
    }
}

fn projection<'a>(items: impl IntoIterator<Item = Value<'a>>) -> Outcome<'a> {
    Outcome::Projection(items.into_iter().map(Outcome::Value).collect())
}
