//! The Newtonsoft JSONPath dialect, slowly: device-mapping.md 6 sentence by
//! sentence.

mod compare;
pub mod parse;

use crate::tree::{Data, Tree};
use compare::is_match;
use parse::{Side, Step, Test};

/// Why an evaluation stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    SeveralTokens,
    JsonPath,
}

/// What `$` means, and whether an ordering comparison whose sides cannot be
/// converted is an error or false (quirk 45).
#[derive(Clone, Copy)]
pub struct Run<'t> {
    pub root: &'t Tree,
    pub coerced_comparison_errors: bool,
}

/// What a lazy evaluation gives: tokens, and after them perhaps a failure.
#[derive(Default)]
struct Stream<'t> {
    tokens: Vec<&'t Tree>,
    failure: Option<Failure>,
}

impl<'t> Stream<'t> {
    fn of(tokens: Vec<&'t Tree>) -> Stream<'t> {
        Stream { tokens, failure: None }
    }

    /// Each token in turn through `step`, until something fails.
    fn then(self, step: impl Fn(&'t Tree) -> Stream<'t>) -> Stream<'t> {
        let mut all = Stream::default();
        for token in self.tokens {
            let next = step(token);
            all.tokens.extend(next.tokens);
            if next.failure.is_some() {
                all.failure = next.failure;
                return all;
            }
        }
        all.failure = self.failure;
        all
    }
}

/// Every token that `steps` select, and the failure that ends the selection.
pub fn select<'t>(steps: &'t [Step], run: Run<'t>) -> (Vec<&'t Tree>, Option<Failure>) {
    let stream = walk(steps, run, run.root);
    (stream.tokens, stream.failure)
}

/// The one token (device-mapping.md 6.6).
pub fn select_one<'t>(steps: &'t [Step], run: Run<'t>) -> Result<Option<&'t Tree>, Failure> {
    let stream = walk(steps, run, run.root);
    match (&stream.tokens[..], stream.failure) {
        ([_, _, ..], _) => Err(Failure::SeveralTokens),
        (_, Some(failure)) => Err(failure),
        (tokens, None) => Ok(tokens.first().copied()),
    }
}

fn walk<'t>(steps: &'t [Step], run: Run<'t>, current: &'t Tree) -> Stream<'t> {
    let mut stream = Stream::of(vec![current]);
    for step in steps {
        stream = stream.then(|token| apply(step, run, token));
    }
    stream
}

fn apply<'t>(step: &'t Step, run: Run<'t>, token: &'t Tree) -> Stream<'t> {
    match step {
        Step::Root => Stream::of(vec![run.root]),
        Step::Member { name: Some(name), scan: false } => Stream::of(token.member(name).into_iter().collect()),
        Step::Member { name: None, scan: false } => match &token.data {
            Data::Object(_) => Stream::of(token.children()),
            _ => Stream::default(),
        },
        Step::Member { name: Some(name), scan: true } => scan(token, std::slice::from_ref(name)),
        Step::Member { name: None, scan: true } => Stream::of(token.descendants_and_self()),
        Step::Members { names, scan: false } => {
            Stream::of(names.iter().filter_map(|name| token.member(name)).collect())
        }
        Step::Members { names, scan: true } => scan(token, names),
        Step::Items => Stream::of(token.items().unwrap_or_default().iter().collect()),
        Step::Index(index) => indexes(token, &[*index]),
        Step::Indexes(list) => indexes(token, list),
        Step::Slice { start, end, step } => slice(token, *start, *end, *step),
        Step::Filter { test, scan: false } => {
            Stream::of(token.items().unwrap_or_default().iter().collect()).then(|item| filter(test, run, item))
        }
        Step::Filter { test, scan: true } => {
            Stream::of(token.descendants_and_self()).then(|each| filter(test, run, each))
        }
    }
}

/// All members so named at any depth, parents first, in document order.
fn scan<'t>(token: &'t Tree, names: &[String]) -> Stream<'t> {
    let mut found = Vec::new();
    for each in token.descendants_and_self() {
        if let Data::Object(members) = &each.data {
            found.extend(members.iter().map(|(name, value)| (name, value)));
        }
    }
    // The members of an object are not together in document order: what is
    // below the first comes before the second.
    found.sort_by_key(|(_, value)| position(token, value));
    let mut stream = Stream::default();
    for (name, value) in found {
        for _ in names.iter().filter(|wanted| *wanted == name) {
            stream.tokens.push(value);
        }
    }
    stream
}

/// How many nodes come before `value` in the walk from `top`.
fn position(top: &Tree, value: &Tree) -> Option<usize> {
    top.descendants_and_self().iter().position(|each| std::ptr::eq(*each, value))
}

/// Items in listed order. A negative one counts from the end (quirk 42).
fn indexes<'t>(token: &'t Tree, list: &[i64]) -> Stream<'t> {
    let items = token.items().unwrap_or_default();
    let place = |index: &i64| if *index < 0 { items.len() as i64 + index } else { *index };
    let found = list.iter().filter_map(|index| items.get(usize::try_from(place(index)).ok()?));
    Stream::of(found.collect())
}

/// As Python slices.
fn slice(token: &Tree, start: Option<i64>, end: Option<i64>, step: Option<i64>) -> Stream<'_> {
    let step = step.unwrap_or(1);
    let items = token.items().unwrap_or_default();
    let count = items.len() as i64;
    let (lowest, highest) = if step > 0 { (0, count) } else { (-1, count - 1) };
    let bound = |given: Option<i64>, otherwise: i64| match given {
        Some(given) if given < 0 => (count + given).clamp(lowest, highest),
        Some(given) => given.clamp(lowest, highest),
        None => otherwise,
    };
    let (first, last) = if step > 0 { (0, count) } else { (count - 1, -1) };
    let (mut at, end) = (bound(start, first), bound(end, last));
    let mut stream = Stream::default();
    while if step > 0 { at < end } else { at > end } {
        stream.tokens.push(&items[at as usize]);
        at += step;
    }
    stream
}

fn filter<'t>(test: &'t Test, run: Run<'t>, token: &'t Tree) -> Stream<'t> {
    match holds(test, run, token) {
        Ok(true) => Stream::of(vec![token]),
        Ok(false) => Stream::default(),
        Err(failure) => Stream { tokens: Vec::new(), failure: Some(failure) },
    }
}

fn holds<'t>(test: &'t Test, run: Run<'t>, token: &'t Tree) -> Result<bool, Failure> {
    match test {
        Test::All(tests) => {
            for test in tests {
                if !holds(test, run, token)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Test::Any(tests) => {
            for test in tests {
                if holds(test, run, token)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Test::Exists(side) => {
            let stream = tokens(side, run, token);
            match stream.failure {
                _ if !stream.tokens.is_empty() => Ok(true),
                Some(failure) => Err(failure),
                None => Ok(false),
            }
        }
        Test::Compare(left, operator, right) => {
            compare_sides(run, tokens(left, run, token), operator, || tokens(right, run, token))
        }
    }
}

/// Any pair counts. The left side is walked token by token; the right side is
/// collected once, when there is a first token on the left.
fn compare_sides<'t>(
    run: Run<'t>,
    left: Stream<'t>,
    operator: &str,
    right: impl Fn() -> Stream<'t>,
) -> Result<bool, Failure> {
    if !left.tokens.is_empty() {
        let right = right();
        if let Some(failure) = right.failure {
            return Err(failure);
        }
        for one in &left.tokens {
            for other in &right.tokens {
                if is_match(one, operator, other, run.coerced_comparison_errors)? {
                    return Ok(true);
                }
            }
        }
    }
    left.failure.map_or(Ok(false), Err)
}

fn tokens<'t>(side: &'t Side, run: Run<'t>, token: &'t Tree) -> Stream<'t> {
    match side {
        Side::Path(steps) => walk(steps, run, token),
        Side::Literal(literal) => Stream::of(vec![literal]),
    }
}
