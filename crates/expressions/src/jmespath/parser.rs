//! Reads the grammar of device-mapping.md 7.1 into a program.
//!
//! Each operator has a level of its own, as in the reference connector's
//! grammar: from loosest to tightest `|`, `||`, `&&`, `==`, `>`, `>=`, `<`,
//! `<=`, `!=`, `!`, and then `.` and `[`. All group from the left.

use crate::document::unescape;
use crate::expression::CompileError;
use crate::names::Names;
use crate::value::Value;

use super::functions::Function;
use super::lexer::{Kind, Token, tokens};
use super::literal::literal;
use super::program::{Argument, Comparator, Expr, Field, Step};

/// How deep brackets, calls and negations may nest. Each level
/// takes some stack, when compiling and when running; mappings need about 5.
pub(super) const NESTING_MAX: usize = 100;

/// How many tokens an expression may have. Mappings need tens. It bounds how
/// deep the values can get that an expression builds.
pub(super) const TOKENS_MAX: usize = 2000;

/// Compiles `text`. `dates` says whether literals in a date shape are dates.
pub(super) fn parse(text: &str, dates: bool, names: &mut Names) -> Result<Expr, CompileError> {
    let mut parser = Parser { text, tokens: tokens(text), at: 0, names, dates, nesting: 0, zero_step: None };
    if parser.tokens.len() > TOKENS_MAX {
        return Err(parser.error("the expression is too long".to_owned()));
    }
    let expr = parser.expression(0)?;
    match (parser.peek(), parser.zero_step.take()) {
        (Kind::End, None) => Ok(expr),
        (Kind::End, Some(error)) => Err(error),
        _ => Err(parser.unexpected()),
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    names: &'t mut Names,
    dates: bool,
    nesting: usize,
    /// A slice has a step of 0. Errors of syntax come first, wherever they are.
    zero_step: Option<CompileError>,
}

impl Parser<'_> {
    /// Reads an expression whose operators all bind tighter than `level`.
    fn expression(&mut self, level: u8) -> Result<Expr, CompileError> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error("the expression nests too deep".to_owned()));
        }
        let mut left = self.operand()?;
        while let Some((operator, operator_level)) = operator(self.peek())
            && operator_level > level
        {
            self.advance();
            let right = self.expression(operator_level)?;
            left = match operator {
                Operator::Pipe => joined(left, right, Expr::Pipe),
                Operator::Or => joined(left, right, Expr::Or),
                Operator::And => joined(left, right, Expr::And),
                Operator::Compare(comparator) => Expr::Compare(comparator, Box::new([left, right])),
            };
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// Reads an expression without operators, and the steps after it.
    fn operand(&mut self) -> Result<Expr, CompileError> {
        let mut expr = self.primary()?;
        while let Some(step) = self.step_after(&expr)? {
            expr = match expr {
                Expr::Chain(head, mut steps) => {
                    steps.push(step);
                    Expr::Chain(head, steps)
                }
                head => Expr::Chain(Box::new(head), vec![step]),
            };
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, CompileError> {
        match self.peek() {
            Kind::Name | Kind::QuotedName | Kind::Star | Kind::BraceOpen => self.named_step().map(Expr::Step),
            Kind::Flatten | Kind::Filter => self.bracket_step().map(Expr::Step),
            Kind::BracketOpen if self.is_specifier() => self.bracket_step().map(Expr::Step),
            Kind::BracketOpen => self.list().map(Expr::Step),
            Kind::Current => {
                self.advance();
                Ok(Expr::Current)
            }
            Kind::RawString => {
                let text = raw_string(self.token_text());
                self.advance();
                Ok(Expr::Constant(Value::String(text.into())))
            }
            Kind::Literal => {
                let Some(value) = literal(self.token_text(), self.dates) else { return Err(self.unexpected()) };
                self.advance();
                Ok(Expr::Constant(value))
            }
            Kind::Not => {
                self.advance();
                Ok(Expr::Not(Box::new(self.expression(NOT_LEVEL)?)))
            }
            Kind::ParenOpen => {
                self.advance();
                let inner = self.expression(0)?;
                self.expect(Kind::ParenClose)?;
                Ok(inner)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Reads the step that follows `left`, if one does.
    fn step_after(&mut self, left: &Expr) -> Result<Option<Step>, CompileError> {
        let step = match self.peek() {
            Kind::Dot => {
                self.advance();
                match self.peek() {
                    Kind::BracketOpen => self.list(),
                    _ => self.named_step(),
                }
            }
            // A projection that has nothing before it may be followed by a
            // list without a point: `[*][a, b]`.
            Kind::BracketOpen if !self.is_specifier() && is_bare_projection(left) => self.list(),
            Kind::BracketOpen | Kind::Flatten | Kind::Filter => self.bracket_step(),
            _ => return Ok(None),
        };
        step.map(Some)
    }

    /// A step that may follow a point: a field, a call, `*` or `{…}`.
    fn named_step(&mut self) -> Result<Step, CompileError> {
        match self.peek() {
            Kind::Name if self.peek_after(1) == Kind::ParenOpen => self.call(),
            Kind::Name | Kind::QuotedName => {
                let name = self.name()?;
                Ok(Step::Field(Field { symbol: self.names.intern(&name), name: name.into() }))
            }
            Kind::Star => {
                self.advance();
                Ok(Step::Members)
            }
            Kind::BraceOpen => self.hash(),
            _ => Err(self.unexpected()),
        }
    }

    /// Whether what stands here is `[1]`, `[1:2]` or `[*]` and not a list.
    fn is_specifier(&self) -> bool {
        match self.peek_after(1) {
            Kind::Number | Kind::Colon => true,
            Kind::Star => self.peek_after(2) == Kind::BracketClose,
            _ => false,
        }
    }

    /// A step in brackets: an index, a slice, `[*]`, `[]` or `[?…]`.
    fn bracket_step(&mut self) -> Result<Step, CompileError> {
        let opening = self.peek();
        self.advance();
        let step = match (opening, self.peek()) {
            (Kind::Flatten, _) => return Ok(Step::Flatten),
            (Kind::Filter, _) => Step::Filter(Box::new(self.expression(0)?)),
            (_, Kind::Star) => {
                self.advance();
                Step::Elements
            }
            (_, Kind::Number) if self.peek_after(1) != Kind::Colon => Step::Index(self.number()),
            (_, Kind::Number | Kind::Colon) => self.slice()?,
            _ => return Err(self.unexpected()),
        };
        self.expect(Kind::BracketClose)?;
        Ok(step)
    }

    /// `start:stop:step`, each of which may be left out.
    fn slice(&mut self) -> Result<Step, CompileError> {
        let start = self.optional_number();
        self.expect(Kind::Colon)?;
        let stop = self.optional_number();
        if self.peek() != Kind::Colon {
            return Ok(Step::Slice(start, stop, 1));
        }
        self.advance();
        let place = self.at;
        let step = self.optional_number().unwrap_or(1);
        if step == 0 {
            let message = "Error: invalid-value, a slice projection step cannot be 0.";
            self.zero_step = Some(self.error_at(place, message.to_owned()));
        }
        Ok(Step::Slice(start, stop, step))
    }

    fn optional_number(&mut self) -> Option<i64> {
        if self.peek() == Kind::Number { Some(self.number()) } else { None }
    }

    /// A number that does not fit is as good as the largest.
    fn number(&mut self) -> i64 {
        let text = self.token_text();
        let largest = if text.starts_with('-') { i64::MIN } else { i64::MAX };
        let number = text.parse().unwrap_or(largest);
        self.advance();
        number
    }

    /// A member name, escapes resolved.
    fn name(&mut self) -> Result<String, CompileError> {
        let text = self.token_text();
        let name = match self.peek() {
            Kind::Name => text.to_owned(),
            Kind::QuotedName => unescape(&text[1..text.len() - 1]),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok(name)
    }

    fn list(&mut self) -> Result<Step, CompileError> {
        self.expect(Kind::BracketOpen)?;
        let mut items = vec![self.expression(0)?];
        while self.peek() == Kind::Comma {
            self.advance();
            items.push(self.expression(0)?);
        }
        self.expect(Kind::BracketClose)?;
        Ok(Step::List(items))
    }

    fn hash(&mut self) -> Result<Step, CompileError> {
        self.expect(Kind::BraceOpen)?;
        let mut members: Vec<(Box<str>, Expr)> = Vec::new();
        loop {
            let start = self.at;
            let name = self.name()?.into_boxed_str();
            if members.iter().any(|member| member.0 == name) {
                let message = format!("An item with the same key has already been added. Key: {name}");
                return Err(self.error_at(start, message));
            }
            self.expect(Kind::Colon)?;
            members.push((name, self.expression(0)?));
            if self.peek() != Kind::Comma {
                break;
            }
            self.advance();
        }
        self.expect(Kind::BraceClose)?;
        Ok(Step::Hash(members))
    }

    fn call(&mut self) -> Result<Step, CompileError> {
        let start = self.at;
        let name = self.name()?;
        self.expect(Kind::ParenOpen)?;
        let mut arguments = Vec::new();
        if self.peek() != Kind::ParenClose {
            arguments.push(self.argument()?);
            while self.peek() == Kind::Comma {
                self.advance();
                arguments.push(self.argument()?);
            }
        }
        self.expect(Kind::ParenClose)?;
        match Function::find(&name, arguments.len()) {
            Ok(function) => Ok(Step::Call(function, arguments)),
            Err(message) => Err(CompileError { is_function: true, ..self.error_at(start, message) }),
        }
    }

    fn argument(&mut self) -> Result<Argument, CompileError> {
        if self.peek() != Kind::Reference {
            return self.expression(0).map(Argument::Value);
        }
        self.advance();
        self.expression(0).map(Argument::Reference)
    }

    fn peek(&self) -> Kind {
        self.peek_after(0)
    }

    fn peek_after(&self, tokens: usize) -> Kind {
        self.tokens.get(self.at + tokens).map_or(Kind::End, |token| token.kind)
    }

    fn token_text(&self) -> &str {
        self.tokens.get(self.at).map_or("", |token| &self.text[token.start..token.end])
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn expect(&mut self, kind: Kind) -> Result<(), CompileError> {
        if self.peek() != kind {
            return Err(self.unexpected());
        }
        self.advance();
        Ok(())
    }

    /// The error of a token that cannot stand where it stands.
    fn unexpected(&self) -> CompileError {
        let start = self.tokens.get(self.at).map_or(self.text.len(), |token| token.start);
        let before = &self.text[..start];
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count();
        self.error(format!("Error({line}, {column}): syntax, near '{}'.", self.token_text()))
    }

    fn error(&self, message: String) -> CompileError {
        self.error_at(self.at, message)
    }

    /// An error at the token `at`.
    fn error_at(&self, at: usize, message: String) -> CompileError {
        let start = self.tokens.get(at).map_or(self.text.len(), |token| token.start);
        CompileError { message, position: self.text[..start].chars().count(), is_function: false }
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Pipe,
    Or,
    And,
    Compare(Comparator),
}

/// `!` binds tighter than all operators.
const NOT_LEVEL: u8 = 10;

fn operator(kind: Kind) -> Option<(Operator, u8)> {
    Some(match kind {
        Kind::Pipe => (Operator::Pipe, 1),
        Kind::Or => (Operator::Or, 2),
        Kind::And => (Operator::And, 3),
        Kind::Equal => (Operator::Compare(Comparator::Equal), 4),
        Kind::Greater => (Operator::Compare(Comparator::Greater), 5),
        Kind::GreaterOrEqual => (Operator::Compare(Comparator::GreaterOrEqual), 6),
        Kind::Less => (Operator::Compare(Comparator::Less), 7),
        Kind::LessOrEqual => (Operator::Compare(Comparator::LessOrEqual), 8),
        Kind::NotEqual => (Operator::Compare(Comparator::NotEqual), 9),
        _ => return None,
    })
}

/// Puts `right` after `left`, in one list when `left` is already of the kind:
/// `(a | b) | c` is `a | b | c`.
fn joined(left: Expr, right: Expr, kind: fn(Vec<Expr>) -> Expr) -> Expr {
    let probe = kind(Vec::new());
    let mut parts = match (left, probe) {
        (Expr::Pipe(parts), Expr::Pipe(_)) | (Expr::Or(parts), Expr::Or(_)) | (Expr::And(parts), Expr::And(_)) => parts,
        (left, _) => vec![left],
    };
    parts.push(right);
    kind(parts)
}

fn is_bare_projection(expr: &Expr) -> bool {
    matches!(expr, Expr::Step(step) if step.projects())
}

/// A raw string without its quotes: only `\'` is an escape.
fn raw_string(text: &str) -> String {
    text[1..text.len() - 1].replace("\\'", "'")
}
