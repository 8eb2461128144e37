//! Reads a JSONPath the way device-mapping.md 6.1 says, character by
//! character.

use expressions::number::parse_double_with_thousands;

use crate::tree::{Data, Tree};

#[derive(Clone, Debug)]
pub enum Step {
    /// `.name`, `['name']`, `..name`; without a name the star.
    Member {
        name: Option<String>,
        scan: bool,
    },
    /// `['a','b']`.
    Members {
        names: Vec<String>,
        scan: bool,
    },
    /// `[*]`.
    Items,
    Index(i64),
    Indexes(Vec<i64>),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: Option<i64>,
    },
    Filter {
        test: Test,
        scan: bool,
    },
    /// `$` in a filter.
    Root,
}

#[derive(Clone, Debug)]
pub enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Exists(Side),
    Compare(Side, String, Side),
}

#[derive(Clone, Debug)]
pub enum Side {
    Path(Vec<Step>),
    Literal(Tree),
}

type Result<T> = std::result::Result<T, String>;

/// Reads the whole expression.
pub fn parse(text: &str) -> Result<Vec<Step>> {
    let mut parser = Parser { text: text.chars().collect(), at: 0 };
    parser.blanks();
    // Blanks before anything but `$.` and `$[` are part of the first name.
    let blanks: String = parser.text[..parser.at].iter().collect();
    let steps = match parser.text[parser.at..] {
        [] => return Ok(Vec::new()),
        ['$'] if blanks.is_empty() => return Ok(Vec::new()),
        ['$'] => return Err("blanks before a root sign that is all".to_owned()),
        ['$', '.' | '[', ..] => {
            parser.at += 1;
            parser.path(String::new(), false)?
        }
        _ => parser.path(blanks, false)?,
    };
    parser.blanks();
    if parser.at < parser.text.len() { Err("a character too many".to_owned()) } else { Ok(steps) }
}

struct Parser {
    text: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek() == Some(' ') {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let word: Vec<char> = word.chars().collect();
        let is_next = self.text[self.at..].starts_with(&word);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// Steps up to where a path cannot go on. `name` is how the first name
    /// begins.
    fn path(&mut self, mut name: String, in_filter: bool) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let (mut scan, mut after_indexer, mut after_dot) = (false, false, false);
        while let Some(c) = self.peek() {
            match c {
                '[' | '(' => {
                    if !name.is_empty() {
                        steps.push(member(&mut name, scan));
                        scan = false;
                    }
                    steps.push(self.indexer(c, scan)?);
                    (scan, after_indexer, after_dot) = (false, true, false);
                }
                ']' | ')' | ' ' => break,
                '=' | '<' | '>' | '!' | '|' | '&' if in_filter => break,
                '.' => {
                    if !name.is_empty() {
                        steps.push(member(&mut name, scan));
                        scan = false;
                    }
                    self.at += 1;
                    if self.take(".") {
                        scan = true;
                    }
                    (after_indexer, after_dot) = (false, true);
                }
                _ if after_indexer => return Err("a character after an indexer".to_owned()),
                _ => {
                    name.push(c);
                    self.at += 1;
                    after_dot = false;
                }
            }
        }
        if !name.is_empty() {
            name.truncate(name.trim_end().len());
            steps.push(member(&mut name, scan));
        } else if after_dot && (in_filter || self.at == self.text.len()) {
            return Err("a dot at the end".to_owned());
        }
        Ok(steps)
    }

    fn indexer(&mut self, open: char, scan: bool) -> Result<Step> {
        let close = if open == '[' { ']' } else { ')' };
        self.at += 1;
        self.blanks();
        let step = match self.peek() {
            Some('\'') => self.names(scan)?,
            Some('?') => self.filter(scan)?,
            _ => self.numbers(close)?,
        };
        self.blanks();
        if self.peek() != Some(close) {
            return Err("an open indexer".to_owned());
        }
        self.at += 1;
        Ok(step)
    }

    fn names(&mut self, scan: bool) -> Result<Step> {
        let mut names = vec![self.quoted()?];
        self.blanks();
        while self.take(",") {
            self.blanks();
            names.push(self.quoted()?);
            self.blanks();
        }
        match names.len() {
            1 => Ok(Step::Member { name: names.pop(), scan }),
            _ => Ok(Step::Members { names, scan }),
        }
    }

    /// What follows a quote, up to the next. Nobody looks whether the first
    /// character is one: after a comma anything is taken for it.
    fn quoted(&mut self) -> Result<String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or("an open string")?;
            self.at += 1;
            match c {
                '\'' => return Ok(text),
                '\\' => {
                    let escaped = self.peek().ok_or("an open string")?;
                    self.at += 1;
                    text.push(match escaped {
                        'b' => '\u{8}',
                        't' => '\t',
                        'n' => '\n',
                        'f' => '\u{c}',
                        'r' => '\r',
                        '\\' | '"' | '\'' | '/' => escaped,
                        _ => return Err("an unknown escape".to_owned()),
                    });
                }
                c => text.push(c),
            }
        }
    }

    /// An index, a list of them, a slice, or the star: the last one counts,
    /// whatever stands before it.
    fn numbers(&mut self, close: char) -> Result<Step> {
        let mut list = Vec::new();
        let mut slice = [None, None, None];
        let (mut colons, mut digits, mut is_ended) = (0_usize, String::new(), false);
        loop {
            let c = self.peek().ok_or("an open indexer")?;
            if c == close {
                break;
            }
            self.at += 1;
            match c {
                '*' => return Ok(Step::Items),
                ' ' => is_ended = true,
                ',' => list.push(index(&digits)?),
                ':' => {
                    if !digits.is_empty() {
                        slice[colons.min(2)] = Some(index(&digits)?);
                    }
                    colons += 1;
                }
                '-' | '0'..='9' if !is_ended => digits.push(c),
                _ => return Err("a character in an indexer".to_owned()),
            }
            if c == ',' || c == ':' {
                self.blanks();
                digits.clear();
                is_ended = false;
            }
        }
        if !list.is_empty() {
            list.push(index(&digits)?);
            return Ok(Step::Indexes(list));
        }
        if colons == 0 {
            return Ok(Step::Index(index(&digits)?));
        }
        if !digits.is_empty() {
            slice[colons.min(2)] = Some(index(&digits)?);
        }
        // An error of the first evaluation; here of the path (quirk 32).
        if slice[2] == Some(0) {
            return Err("a step of zero".to_owned());
        }
        let [start, end, step] = slice;
        Ok(Step::Slice { start, end, step })
    }

    fn filter(&mut self, scan: bool) -> Result<Step> {
        self.at += 1;
        if !self.take("(") {
            return Err("a filter without parenthesis".to_owned());
        }
        let test = self.test()?;
        if !self.take(")") {
            return Err("an open filter".to_owned());
        }
        Ok(Step::Filter { test, scan })
    }

    /// Terms joined by `&&` and `||`. A run of one operator is flat; where the
    /// operator changes, all that follows is the last part of the run
    /// (device-mapping.md 6.4).
    fn test(&mut self) -> Result<Test> {
        let mut terms = vec![self.term()?];
        let operator = self.boolean()?;
        let Some(first) = operator else { return Ok(terms.remove(0)) };
        loop {
            let start = self.at;
            terms.push(self.term()?);
            let next = self.boolean()?;
            if next.is_none() {
                break;
            }
            if next != operator {
                // This term belongs to the run that begins with it.
                terms.pop();
                self.at = start;
                terms.push(self.test()?);
                break;
            }
        }
        Ok(if first == "&&" { Test::All(terms) } else { Test::Any(terms) })
    }

    fn boolean(&mut self) -> Result<Option<&'static str>> {
        if self.take("&&") {
            return Ok(Some("&&"));
        }
        if self.take("||") {
            return Ok(Some("||"));
        }
        if self.peek() == Some(')') { Ok(None) } else { Err("neither an operator nor the end".to_owned()) }
    }

    fn term(&mut self) -> Result<Test> {
        let left = self.side()?;
        if matches!(self.peek(), Some(')' | '&' | '|')) {
            return Ok(Test::Exists(left));
        }
        let operators = ["===", "==", "=~", "!==", "!=", "<>", "<=", "<", ">=", ">"];
        let operator = *operators.iter().find(|operator| self.take(operator)).ok_or("no operator")?;
        let right = self.side()?;
        if !matches!(self.peek(), Some(')' | '&' | '|')) {
            // A comparison that nothing joins to the next is forgotten.
            return self.term();
        }
        Ok(Test::Compare(left, operator.to_owned(), right))
    }

    fn side(&mut self) -> Result<Side> {
        self.blanks();
        let side = match self.peek().ok_or("an open filter")? {
            '@' => {
                self.at += 1;
                Side::Path(self.path(String::new(), true)?)
            }
            '$' => {
                self.at += 1;
                let mut steps = vec![Step::Root];
                steps.extend(self.path(String::new(), true)?);
                Side::Path(steps)
            }
            '\'' => Side::Literal(Tree::text(&self.quoted()?)),
            '/' => Side::Literal(Tree::text(&self.pattern()?)),
            '-' | '0'..='9' => Side::Literal(self.number()?),
            _ if self.take("true") => Side::Literal(Data::Bool(true).into()),
            _ if self.take("false") => Side::Literal(Data::Bool(false).into()),
            _ if self.take("null") => Side::Literal(Tree::null()),
            _ => return Err("not a side".to_owned()),
        };
        self.blanks();
        if self.at == self.text.len() { Err("an open filter".to_owned()) } else { Ok(side) }
    }

    /// `/pattern/flags` as it stands.
    fn pattern(&mut self) -> Result<String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek().ok_or("an open regex")? {
                '\\' => self.at += 2,
                '/' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        while self.peek().is_some_and(char::is_alphabetic) {
            self.at += 1;
        }
        Ok(self.text[start..self.at].iter().collect())
    }

    /// A number ends only at a blank or a parenthesis.
    fn number(&mut self) -> Result<Tree> {
        let rest = &self.text[self.at..];
        let end = rest.iter().position(|c| *c == ' ' || *c == ')').ok_or("an open filter")?;
        let text: String = rest[..end].iter().collect();
        self.at += end;
        let data = if text.contains(['.', 'e', 'E']) {
            Data::Float(parse_double_with_thousands(&text).ok_or("not a number")?)
        } else {
            Data::Integer(text.parse().map_err(|_| "not a number")?)
        };
        Ok(data.into())
    }
}

fn index(digits: &str) -> Result<i64> {
    let number: i32 = digits.parse().map_err(|_| "not an index")?;
    Ok(i64::from(number))
}

fn member(name: &mut String, scan: bool) -> Step {
    let name = std::mem::take(name);
    Step::Member { name: (name != "*").then_some(name), scan }
}
