//! Reads the text of a path (device-mapping.md 6.1).
//!
//! The grammar is what Newtonsoft's reader happens to accept, character by
//! character, so the functions follow it: a number of an indexer is what stands
//! between its separators, a name is what stands between dots and brackets.
//! Error texts are the reference connector's (6.6).

use super::pattern::{self, Pattern};
use super::{Comparison, Condition, Literal, Operator, ScanFilter, Side, Step};
use crate::expression::CompileError;
use crate::names::{Names, PATTERN_BYTES_MAX};

/// How deep filters may nest: as deep as documents may. Keeps a hostile
/// mapping from exhausting the stack.
const NESTING_MAX: usize = 64;

/// How many steps a path may have, for the same reason. Real ones have ten.
const PATH_STEPS_MAX: usize = 512;

const OPEN_INDEXER: &str = "Path ended with open indexer.";
const OPEN_QUERY: &str = "Path ended with open query.";

pub(super) fn parse(text: &str, backtracking_patterns: bool, names: &mut Names) -> Result<Parsed, CompileError> {
    let text = text.chars().collect();
    let mut parser = Parser { text, at: 0, names, backtracking_patterns, and_before_or: false, nesting: 0, steps: 0 };
    let steps = parser.whole_path()?;
    Ok(Parsed { steps, and_before_or: parser.and_before_or })
}

/// What a text is read as.
pub(super) struct Parsed {
    pub(super) steps: Vec<Step>,
    /// Whether it has `a && b || c`.
    pub(super) and_before_or: bool,
}

struct Parser<'p> {
    text: Vec<char>,
    at: usize,
    names: &'p mut Names,
    backtracking_patterns: bool,
    /// `a && b || c` was met.
    and_before_or: bool,
    nesting: usize,
    steps: usize,
}

impl Parser<'_> {
    fn whole_path(&mut self) -> Result<Vec<Step>, CompileError> {
        let mut start = self.at;
        self.skip_blanks();
        if self.at == self.text.len() || self.text == ['$'] {
            return Ok(Vec::new());
        }
        if self.text[self.at] == '$' {
            // Only `$.` and `$[` are the root; otherwise it begins a name.
            self.at += 1;
            match self.peek("Index was outside the bounds of the array.")? {
                '.' | '[' => start = self.at,
                _ => self.at -= 1,
            }
        }
        let mut steps = Vec::new();
        self.path(&mut steps, start, false)?;
        let end = self.at;
        self.skip_blanks();
        if self.at < self.text.len() {
            return Err(self.error_at(format!("Unexpected character while parsing path: {}", self.text[end]), end));
        }
        Ok(steps)
    }

    /// Reads steps up to what cannot belong to them. A name has begun at `start`.
    fn path(&mut self, steps: &mut Vec<Step>, mut start: usize, is_query: bool) -> Result<(), CompileError> {
        let (mut scan, mut after_indexer, mut after_dot) = (false, false, false);
        while let Some(&c) = self.text.get(self.at) {
            match c {
                '[' | '(' => {
                    if self.at > start {
                        let step = self.member(start, std::mem::take(&mut scan));
                        self.add(steps, step)?;
                    }
                    let step = self.indexer(c, std::mem::take(&mut scan))?;
                    self.add(steps, step)?;
                    self.at += 1;
                    start = self.at;
                    (after_indexer, after_dot) = (true, false);
                }
                ']' | ')' | ' ' => break,
                '.' => {
                    if self.at > start {
                        let step = self.member(start, std::mem::take(&mut scan));
                        self.add(steps, step)?;
                    }
                    if self.text.get(self.at + 1) == Some(&'.') {
                        scan = true;
                        self.at += 1;
                    }
                    self.at += 1;
                    start = self.at;
                    (after_indexer, after_dot) = (false, true);
                }
                '=' | '<' | '!' | '>' | '|' | '&' if is_query => break,
                _ if after_indexer => return Err(self.error(format!("Unexpected character following indexer: {c}"))),
                _ => self.at += 1,
            }
        }
        if self.at > start {
            let step = self.last_member(start, scan);
            return self.add(steps, step);
        }
        if after_dot && (is_query || self.at == self.text.len()) {
            return Err(self.error("Unexpected end while parsing path."));
        }
        Ok(())
    }

    fn add(&mut self, steps: &mut Vec<Step>, step: Step) -> Result<(), CompileError> {
        self.steps += 1;
        if self.steps > PATH_STEPS_MAX {
            return Err(self.error(format!("a path may have at most {PATH_STEPS_MAX} steps")));
        }
        steps.push(step);
        Ok(())
    }

    /// The member whose name stands from `start` to here.
    fn member(&mut self, start: usize, scan: bool) -> Step {
        let name: String = self.text[start..self.at].iter().collect();
        self.named(&name, scan)
    }

    /// The same at the end of a path, where blanks of any sort are cut off.
    fn last_member(&mut self, start: usize, scan: bool) -> Step {
        let name: String = self.text[start..self.at].iter().collect();
        self.named(name.trim_end(), scan)
    }

    fn named(&mut self, name: &str, scan: bool) -> Step {
        match (name, scan) {
            ("*", false) => Step::AllMembers,
            ("*", true) => Step::ScanAll,
            (name, false) => Step::Member(self.names.intern(name)),
            (name, true) => Step::ScanMember(self.names.intern(name)),
        }
    }

    /// Reads an indexer from its opening bracket to its closing one, which is
    /// left to be skipped.
    fn indexer(&mut self, open: char, scan: bool) -> Result<Step, CompileError> {
        let close = if open == '[' { ']' } else { ')' };
        self.at += 1;
        self.skip_blanks();
        match self.peek(OPEN_INDEXER)? {
            '\'' => self.quoted_names(close, scan),
            '?' => self.filter(close, scan),
            _ => self.array_indexer(close),
        }
    }

    fn quoted_names(&mut self, close: char, scan: bool) -> Result<Step, CompileError> {
        let mut symbols = Vec::new();
        loop {
            let name = self.quoted_text()?;
            symbols.push(self.names.intern(&name));
            self.skip_blanks();
            match self.peek(OPEN_INDEXER)? {
                c if c == close => break,
                ',' => {
                    self.at += 1;
                    self.skip_blanks();
                    self.peek(OPEN_INDEXER)?;
                }
                c => return Err(self.unexpected_in_indexer(c)),
            }
        }
        Ok(match (symbols.as_slice(), scan) {
            ([symbol], false) => Step::Member(*symbol),
            ([symbol], true) => Step::ScanMember(*symbol),
            (_, false) => Step::Members(symbols),
            (_, true) => Step::ScanMembers(symbols),
        })
    }

    /// Numbers, their lists and slices, and `*`. A scan before it has no effect.
    fn array_indexer(&mut self, close: char) -> Result<Step, CompileError> {
        let mut list: Option<Vec<i32>> = None;
        let mut bounds = [None; 3];
        let mut colons = 0;
        let mut start = self.at;
        let mut end = None;
        while let Some(&c) = self.text.get(self.at) {
            match c {
                ' ' => {
                    end = Some(self.at);
                    self.skip_blanks();
                    continue;
                }
                '*' => return self.all_elements(close),
                _ if c == close || c == ',' || c == ':' => {}
                '-' | '0'..='9' if end.is_none() => {
                    self.at += 1;
                    continue;
                }
                _ => return Err(self.unexpected_in_indexer(c)),
            }
            let number = self.number(start, end.unwrap_or(self.at))?;
            if c == ',' || c == close && (list.is_some() || colons == 0) {
                let number = number.ok_or_else(|| self.error("Array index expected."))?;
                match &mut list {
                    Some(list) => list.push(number),
                    None if c == ',' => list = Some(vec![number]),
                    None => return Ok(Step::Element(number)),
                }
            } else if number.is_some() {
                bounds[colons.min(2)] = number;
            }
            if c == close {
                return match list {
                    Some(list) => Ok(Step::Elements(list)),
                    None => self.slice(bounds),
                };
            }
            colons += usize::from(c == ':');
            self.at += 1;
            self.skip_blanks();
            (start, end) = (self.at, None);
        }
        Err(self.error(OPEN_INDEXER))
    }

    fn all_elements(&mut self, close: char) -> Result<Step, CompileError> {
        let star = self.at;
        self.at += 1;
        self.skip_blanks();
        match self.peek(OPEN_INDEXER)? {
            c if c == close => Ok(Step::AllElements),
            _ => Err(self.error_at("Unexpected character while parsing path indexer: *", star)),
        }
    }

    fn slice(&self, [start, end, step]: [Option<i32>; 3]) -> Result<Step, CompileError> {
        match step.unwrap_or(1) {
            0 => Err(self.error("Step cannot be zero.")),
            step => Ok(Step::Slice { start, end, step }),
        }
    }

    /// The number between two places; none when nothing stands there.
    fn number(&self, start: usize, end: usize) -> Result<Option<i32>, CompileError> {
        let text: String = self.text[start..end].iter().collect();
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if digits.is_empty() || digits.contains('-') {
            return Err(self.error_at(format!("The input string '{text}' was not in a correct format."), start));
        }
        let number = text.parse();
        number.map(Some).map_err(|_| self.error_at("Value was either too large or too small for an Int32.", start))
    }

    fn filter(&mut self, close: char, scan: bool) -> Result<Step, CompileError> {
        self.at += 1;
        let c = self.peek(OPEN_INDEXER)?;
        if c != '(' {
            return Err(self.unexpected_in_indexer(c));
        }
        self.at += 1;
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error(format!("filters may nest at most {NESTING_MAX} deep")));
        }
        let condition = self.condition()?;
        self.nesting -= 1;
        self.at += 1;
        self.skip_blanks();
        let c = self.peek(OPEN_INDEXER)?;
        if c != close {
            return Err(self.unexpected_in_indexer(c));
        }
        Ok(if scan {
            // The rest is noted when the path is whole.
            Step::ScanFilter(Box::new(ScanFilter { condition, needed: 0, members: None }))
        } else {
            Step::Filter(condition)
        })
    }

    /// Reads terms up to the closing parenthesis. Where `&&` and `||` change,
    /// everything that follows belongs to the new operator (6.4).
    fn condition(&mut self) -> Result<Condition, CompileError> {
        let mut runs: Vec<(char, Vec<Condition>)> = Vec::new();
        loop {
            let term = self.term()?;
            let operator = self.peek(OPEN_QUERY)?;
            match operator {
                ')' => return Ok(nested(runs, term)),
                '&' | '|' => {
                    if self.text.get(self.at + 1) != Some(&operator) {
                        return Err(self.unexpected_in_query(operator));
                    }
                    self.at += 2;
                    match runs.last_mut() {
                        Some((last, terms)) if *last == operator => terms.push(term),
                        last => {
                            self.and_before_or |= last.is_some_and(|last| last.0 == '&');
                            runs.push((operator, vec![term]));
                        }
                    }
                }
                // Newtonsoft forgets a comparison that no operator follows.
                _ => {}
            }
        }
    }

    fn term(&mut self) -> Result<Condition, CompileError> {
        let left = self.side()?;
        if matches!(self.peek(OPEN_QUERY)?, ')' | '|' | '&') {
            return Ok(Condition::Exists(left));
        }
        let operator = self.operator()?;
        self.skip_blanks();
        let start = self.at;
        let right = self.side()?;
        let pattern = match (&right, operator) {
            (Side::Literal(Literal::Text(text)), Operator::Matches) => {
                Some(self.pattern(text).map_err(|message| self.error_at(message, start))?)
            }
            _ => None,
        };
        Ok(Condition::Compare(Box::new(Comparison { left, operator, right, pattern })))
    }

    /// Compiles a pattern, as long as those of the mapping have room; one that cannot be
    /// used took room too.
    fn pattern(&mut self, text: &str) -> Result<Pattern, String> {
        let full = || {
            let most = PATTERN_BYTES_MAX >> 20;
            format!("the regular expressions of the mapping take more than {most} MiB together")
        };
        if !self.names.take_room_for_pattern(pattern::effort(text)) {
            return Err(full());
        }
        let compiled = Pattern::compile(text, self.backtracking_patterns, pattern::SIZE_MAX);
        let bytes = compiled.as_ref().map_or_else(|refused| refused.bytes(pattern::SIZE_MAX), Pattern::bytes);
        let has_room = self.names.take_room_for_pattern(bytes);
        let pattern = compiled.map_err(|refused| refused.to_string())?;
        if has_room { Ok(pattern) } else { Err(full()) }
    }

    fn side(&mut self) -> Result<Side, CompileError> {
        self.skip_blanks();
        let side = match self.peek(OPEN_QUERY)? {
            '$' => Side::Root(self.query_path()?),
            '@' => Side::Current(self.query_path()?),
            _ => Side::Literal(self.literal()?),
        };
        self.skip_blanks();
        self.peek(OPEN_QUERY)?;
        Ok(side)
    }

    fn query_path(&mut self) -> Result<Vec<Step>, CompileError> {
        self.at += 1;
        let mut steps = Vec::new();
        self.path(&mut steps, self.at, true)?;
        self.peek(OPEN_QUERY)?;
        Ok(steps)
    }

    fn operator(&mut self) -> Result<Operator, CompileError> {
        const OPERATORS: [(&str, Operator); 10] = [
            ("===", Operator::StrictlyEqual),
            ("==", Operator::Equal),
            ("=~", Operator::Matches),
            ("!==", Operator::StrictlyNotEqual),
            ("!=", Operator::NotEqual),
            ("<>", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            ("<", Operator::Less),
            (">=", Operator::GreaterOrEqual),
            (">", Operator::Greater),
        ];
        if self.at + 1 == self.text.len() {
            return Err(self.error(OPEN_QUERY));
        }
        let found = OPERATORS.iter().find(|(text, _)| self.skip(text));
        found.map(|(_, operator)| *operator).ok_or_else(|| self.error("Could not read query operator."))
    }

    fn literal(&mut self) -> Result<Literal, CompileError> {
        match self.peek(OPEN_QUERY)? {
            '\'' => self.quoted_text().map(Literal::Text),
            '/' => self.regex_text().map(Literal::Text),
            '-' | '0'..='9' => self.number_literal(),
            _ if self.skip("true") => Ok(Literal::Bool(true)),
            _ if self.skip("false") => Ok(Literal::Bool(false)),
            _ if self.skip("null") => Ok(Literal::Null),
            c => Err(self.unexpected_in_query(c)),
        }
    }

    /// A number reaches to the next blank or closing parenthesis.
    fn number_literal(&mut self) -> Result<Literal, CompileError> {
        let rest = self.text[self.at..].iter();
        let text: String = rest.take_while(|c| !matches!(c, ' ' | ')')).collect();
        self.at += text.chars().count();
        let next = self.peek(OPEN_QUERY)?;
        let number = match text.contains(['.', 'e', 'E']) {
            true => crate::number::parse_double_with_thousands(&text).map(Literal::Float),
            false => text.parse().ok().map(Literal::Integer),
        };
        number.ok_or_else(|| self.unexpected_in_query(next))
    }

    fn quoted_text(&mut self) -> Result<String, CompileError> {
        const OPEN_STRING: &str = "Path ended with an open string.";
        let mut text = String::new();
        self.at += 1;
        loop {
            let c = self.peek(OPEN_STRING)?;
            self.at += 1;
            match c {
                '\'' => return Ok(text),
                '\\' => {
                    text.push(self.escape(OPEN_STRING)?);
                    self.at += 1;
                }
                c => text.push(c),
            }
        }
    }

    fn escape(&self, open: &str) -> Result<char, CompileError> {
        match self.peek(open)? {
            'b' => Ok('\u{8}'),
            't' => Ok('\t'),
            'n' => Ok('\n'),
            'f' => Ok('\u{c}'),
            'r' => Ok('\r'),
            c @ ('\\' | '"' | '\'' | '/') => Ok(c),
            c => Err(self.error(format!("Unknown escape character: \\{c}"))),
        }
    }

    /// A regular expression with its slashes and the letters after it.
    fn regex_text(&mut self) -> Result<String, CompileError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek("Path ended with an open regex.")? {
                '\\' if self.at + 1 < self.text.len() => self.at += 2,
                '/' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        while self.text.get(self.at).is_some_and(|c| c.is_alphabetic()) {
            self.at += 1;
        }
        Ok(self.text[start..self.at].iter().collect())
    }

    fn skip_blanks(&mut self) {
        while self.text.get(self.at) == Some(&' ') {
            self.at += 1;
        }
    }

    fn skip(&mut self, text: &str) -> bool {
        let is_here = text.chars().enumerate().all(|(i, c)| self.text.get(self.at + i) == Some(&c));
        if is_here {
            self.at += text.len();
        }
        is_here
    }

    fn peek(&self, otherwise: &str) -> Result<char, CompileError> {
        self.text.get(self.at).copied().ok_or_else(|| self.error(otherwise))
    }

    fn unexpected_in_indexer(&self, c: char) -> CompileError {
        self.error(format!("Unexpected character while parsing path indexer: {c}"))
    }

    fn unexpected_in_query(&self, c: char) -> CompileError {
        self.error(format!("Unexpected character while parsing path query: {c}"))
    }

    fn error(&self, message: impl Into<String>) -> CompileError {
        self.error_at(message, self.at)
    }

    fn error_at(&self, message: impl Into<String>, position: usize) -> CompileError {
        CompileError { message: message.into(), position, is_function: false }
    }
}

/// Puts each run of equal operators into the one before it.
fn nested(runs: Vec<(char, Vec<Condition>)>, last: Condition) -> Condition {
    runs.into_iter().rev().fold(last, |inner, (operator, mut terms)| {
        terms.push(inner);
        if operator == '&' { Condition::All(terms) } else { Condition::Any(terms) }
    })
}
