//! The JMESPath dialect of JmesPath.Net, slowly: device-mapping.md 7 sentence
//! by sentence, and the JMESPath specification where that says "as specified".

mod functions;
pub mod parse;

use std::cmp::Ordering;

use crate::tree::{Data, Tree, is_close};
use parse::{Ast, Comparator};

/// Why an evaluation stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    SeveralTokens,
    /// A value of a type that the function does not take.
    Function,
    DivideByZero,
    Overflow,
    OutOfRange,
}

type Result<T> = std::result::Result<T, Failure>;

/// What an expression is applied to and what it gives.
#[derive(Clone, Debug)]
pub enum Argument {
    /// Nothing is there: as good as null, but dropped from projections.
    Missing,
    Token(Tree),
    Projection(Vec<Argument>),
}

use Argument::{Missing, Projection, Token};

impl Argument {
    /// As one value: a projection is an array, what is missing is null.
    pub fn into_tree(self) -> Tree {
        match self {
            Missing => Tree::null(),
            Token(tree) => tree,
            Projection(items) => array(items.into_iter().map(Argument::into_tree).collect()),
        }
    }
}

pub fn array(items: Vec<Tree>) -> Tree {
    Data::Array(items).into()
}

fn found(tree: Option<Tree>) -> Argument {
    tree.map_or(Missing, Token)
}

/// The matches of a type match (device-mapping.md 4.2).
pub fn select(ast: &Ast, root: &Tree) -> Result<Vec<Tree>> {
    Ok(match apply(ast, &Token(root.clone()))? {
        Projection(items) => items.into_iter().map(Argument::into_tree).collect(),
        Missing => Vec::new(),
        Token(tree) if is_null(&tree) => Vec::new(),
        Token(tree) => vec![tree],
    })
}

/// One value (device-mapping.md 4.3).
pub fn select_one(ast: &Ast, root: &Tree) -> Result<Option<Tree>> {
    match apply(ast, &Token(root.clone()))? {
        Projection(items) if items.len() > 1 => Err(Failure::SeveralTokens),
        Missing => Ok(None),
        Token(tree) if is_null(&tree) => Ok(None),
        argument => Ok(Some(argument.into_tree())),
    }
}

/// Applies to each element of a projection; elements that are missing then
/// are dropped, explicit nulls stay (7.4).
fn apply(ast: &Ast, argument: &Argument) -> Result<Argument> {
    match argument {
        Projection(items) if matches!(ast, Ast::Flatten) => {
            let all = Projection(items.clone()).into_tree();
            Ok(flatten(&all))
        }
        Projection(items) => {
            let mut kept = Vec::new();
            for item in items {
                match apply(ast, item)? {
                    Missing => {}
                    other => kept.push(other),
                }
            }
            Ok(Projection(kept))
        }
        Missing => evaluate(ast, &Tree::null()),
        Token(tree) => evaluate(ast, tree),
    }
}

fn evaluate(ast: &Ast, current: &Tree) -> Result<Argument> {
    Ok(match ast {
        Ast::Current => Token(current.clone()),
        Ast::Literal(tree) => Token(tree.clone()),
        Ast::Name(name) => found(current.member(name).cloned()),
        Ast::Chain(left, right) => match evaluate(left, current)? {
            Missing => Missing,
            Token(tree) if is_null(&tree) => Missing,
            argument => apply(right, &argument)?,
        },
        Ast::Index(index) => {
            let items = current.items().unwrap_or_default();
            let place = if *index < 0 { items.len() as i64 + index } else { *index };
            found(usize::try_from(place).ok().and_then(|place| items.get(place)).cloned())
        }
        Ast::ListStar => match current.items() {
            Some(items) => Projection(items.iter().filter(|item| !is_null(item)).cloned().map(Token).collect()),
            None => Missing,
        },
        Ast::Flatten => flatten(current),
        Ast::HashStar => match &current.data {
            Data::Object(_) => Projection(current.children().into_iter().cloned().map(Token).collect()),
            _ => Missing,
        },
        Ast::Slice(start, end, step) => match current.items() {
            Some(items) => Projection(slice(items, *start, *end, *step)),
            None => Missing,
        },
        Ast::Filter(test) => match current.items() {
            Some(items) => {
                let mut kept = Vec::new();
                for item in items {
                    if is_true(&evaluate(test, item)?.into_tree()) {
                        kept.push(Token(item.clone()));
                    }
                }
                Projection(kept)
            }
            None => Missing,
        },
        Ast::List(parts) => {
            let mut items = Vec::new();
            for part in parts {
                items.push(evaluate(part, current)?.into_tree());
            }
            Token(array(items))
        }
        Ast::Hash(parts) => {
            let mut members = Vec::new();
            for (name, part) in parts {
                members.push((name.clone(), evaluate(part, current)?.into_tree()));
            }
            Token(Data::Object(members).into())
        }
        Ast::Pipe(left, right) => evaluate(right, &evaluate(left, current)?.into_tree())?,
        Ast::Or(left, right) => {
            let left = evaluate(left, current)?;
            if is_true(&left.clone().into_tree()) { left } else { evaluate(right, current)? }
        }
        Ast::And(left, right) => {
            let left = evaluate(left, current)?;
            if is_true(&left.clone().into_tree()) { evaluate(right, current)? } else { left }
        }
        Ast::Not(inner) => Token(Data::Bool(!is_true(&evaluate(inner, current)?.into_tree())).into()),
        Ast::Compare(comparator, left, right) => {
            let (left, right) = (evaluate(left, current)?.into_tree(), evaluate(right, current)?.into_tree());
            match compare(*comparator, &left, &right)? {
                Some(is_true) => Token(Data::Bool(is_true).into()),
                None => Missing,
            }
        }
        Ast::Call(name, arguments) => functions::call(name, arguments, current)?,
    })
}

fn flatten(tree: &Tree) -> Argument {
    let Some(items) = tree.items() else { return Missing };
    let mut flat = Vec::new();
    for item in items {
        match item.items() {
            Some(inner) => flat.extend(inner.iter().cloned()),
            None => flat.push(item.clone()),
        }
    }
    Projection(flat.into_iter().filter(|item| !is_null(item)).map(Token).collect())
}

/// Python's slices, but that a start outside the list is not moved into it:
/// the steps outside count, and give nothing.
fn slice(items: &[Tree], start: Option<i64>, end: Option<i64>, step: Option<i64>) -> Vec<Argument> {
    let step = step.unwrap_or(1);
    let count = items.len() as i64;
    let bound = |given: i64| if given < 0 { count + given } else { given };
    let (first, last) = if step > 0 { (0, count) } else { (count - 1, -1) };
    let (mut at, end) = (start.map_or(first, bound), end.map_or(last, bound));
    let mut found = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        if (0..count).contains(&at) {
            found.push(Token(items[at as usize].clone()));
        }
        at += step;
    }
    found
}

pub fn is_null(tree: &Tree) -> bool {
    matches!(tree.data, Data::Null)
}

/// Empty text, lists and objects, false and null are false; 0 is true (7.4).
pub fn is_true(tree: &Tree) -> bool {
    match &tree.data {
        Data::Null => false,
        Data::Bool(is_true) => *is_true,
        Data::String(text) => !text.is_empty(),
        Data::Array(items) => !items.is_empty(),
        Data::Object(members) => !members.is_empty(),
        _ => true,
    }
}

fn compare(comparator: Comparator, left: &Tree, right: &Tree) -> Result<Option<bool>> {
    let order = match comparator {
        Comparator::Equal => return Ok(Some(is_equal(left, right))),
        Comparator::NotEqual => return Ok(Some(!is_equal(left, right))),
        _ if is_number(left) && is_number(right) => number(left)?.partial_cmp(&number(right)?),
        _ => match (ordered_text(left), ordered_text(right)) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => return Ok(None),
        },
    };
    Ok(Some(match comparator {
        Comparator::Less => order == Some(Ordering::Less),
        Comparator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparator::Greater => order == Some(Ordering::Greater),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }))
}

/// Text as it is ordered: null before all, a date as its US text.
fn ordered_text(tree: &Tree) -> Option<Option<Vec<u16>>> {
    match &tree.data {
        Data::Null => Some(None),
        _ => Some(Some(text(tree)?.encode_utf16().collect())),
    }
}

/// Deep and strict in types.
pub fn is_equal(one: &Tree, other: &Tree) -> bool {
    match (&one.data, &other.data) {
        (Data::Null, Data::Null) | (Data::Undefined, Data::Undefined) => true,
        (Data::Bool(one), Data::Bool(other)) => one == other,
        (Data::Integer(one), Data::Integer(other)) => one == other,
        (Data::BigInteger(one), Data::BigInteger(other)) | (Data::String(one), Data::String(other)) => one == other,
        (Data::Float(one), Data::Float(other)) => is_close(*one, *other) || one.is_nan() && other.is_nan(),
        (Data::Date(one), Data::Date(other)) => one.instant == other.instant,
        (Data::Array(one), Data::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_equal(one, other))
        }
        (Data::Object(members), Data::Object(others)) => {
            members.len() == others.len()
                && members.iter().all(|(name, value)| other.member(name).is_some_and(|other| is_equal(value, other)))
        }
        _ => false,
    }
}

/// Ordinal, by UTF-16 code units.
fn compare_text(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}

fn is_number(tree: &Tree) -> bool {
    matches!(tree.data, Data::Integer(_) | Data::BigInteger(_) | Data::Float(_))
}

/// A number as a double; a big integer cannot be converted.
fn number(tree: &Tree) -> Result<f64> {
    match &tree.data {
        Data::Integer(number) => Ok(*number as f64),
        Data::Float(number) => Ok(*number),
        _ => Err(Failure::Function),
    }
}

/// What counts as text: strings, and dates as their US text.
fn text(tree: &Tree) -> Option<String> {
    match &tree.data {
        Data::String(text) => Some(text.clone()),
        Data::Date(date) => {
            let mut text = String::new();
            date.instant.write_us(&mut text);
            Some(text)
        }
        _ => None,
    }
}
