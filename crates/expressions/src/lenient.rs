//! A tokenizer for JSON as the reference connector reads it: the dialect of
//! Newtonsoft.Json's reader (device-mapping.md 1.3).
//!
//! Bytes go in through [`decode`], tokens come out of [`Tokenizer`], each with
//! the offset where it ends. The tokens are those of one value and well
//! nested; what stands after the value is not looked at unless
//! [`Tokenizer::finish`] is called. Dates and repeated names are the caller's.
//!
//! It is built for the same results, not for speed: plain JSON does not come
//! here.

use std::borrow::Cow;

use crate::reader::ReadError;

mod decode;
mod number;

pub use decode::decode;
pub(crate) use number::INTEGER_LENGTH_MAX;

/// One piece of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'t> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// A member name, escapes resolved, and its colon.
    Name(Cow<'t, str>),
    /// `null`
    Null,
    /// `undefined`, or nothing where a value and a comma should be.
    Undefined,
    /// `true` or `false`
    Bool(bool),
    /// A number that fits an `i64`, in plain decimal digits.
    Integer(Cow<'t, str>),
    /// A number without `.` or exponent that does not fit.
    BigInteger(Cow<'t, str>),
    /// Any other number in a form that Rust reads: with digits on both sides
    /// of the point, or `NaN`, `Infinity`, `-Infinity`.
    Float(Cow<'t, str>),
    /// Text, escapes resolved.
    String(Cow<'t, str>),
    /// All of a JavaScript constructor: `new Date(123)`.
    Constructor(&'t str),
}

#[derive(Clone, Copy, PartialEq)]
enum Container {
    Object,
    Array,
    Constructor,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before a value.
    Value,
    /// Before a member name or the end of an object.
    Name,
    /// After a value.
    AfterValue,
}

/// What is read next inside a value.
enum Step<'t> {
    Token(Token<'t>),
    ConstructorStart,
    ConstructorEnd,
    End,
}

/// Splits text into tokens.
pub struct Tokenizer<'t> {
    text: &'t str,
    at: usize,
    state: State,
    containers: Vec<Container>,
    depth_max: usize,
    is_finished: bool,
    /// Where the constructor that was entered last begins.
    constructor_start: usize,
}

impl<'t> Tokenizer<'t> {
    /// Starts at the beginning of `text`, with objects and arrays nested up to
    /// `depth_max` deep.
    pub fn new(text: &'t str, depth_max: usize) -> Tokenizer<'t> {
        Tokenizer {
            text,
            at: 0,
            state: State::Value,
            containers: Vec::new(),
            depth_max,
            is_finished: false,
            constructor_start: 0,
        }
    }

    /// Where the last token ends: the offset of the byte after its last one.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The next token of the value; none after its last one, or when there is
    /// nothing but blanks and comments.
    pub fn next_token(&mut self) -> Result<Option<Token<'t>>, ReadError> {
        if self.is_finished {
            return Ok(None);
        }
        let token = match self.step()? {
            Step::Token(token) => token,
            Step::ConstructorStart => self.constructor()?,
            Step::ConstructorEnd => return Err(self.error("a `)` closes nothing")),
            Step::End if self.containers.is_empty() => {
                self.is_finished = true;
                return Ok(None);
            }
            Step::End => return Err(self.error("the text ends inside a value")),
        };
        self.is_finished = self.containers.is_empty();
        Ok(Some(token))
    }

    /// Checks that only blanks and comments are left.
    pub fn finish(&mut self) -> Result<(), ReadError> {
        match self.skip_to_content()? {
            None => Ok(()),
            Some(_) => Err(self.error("there is text after the value")),
        }
    }

    /// An error at the place that was reached.
    pub fn error(&self, reason: &'static str) -> ReadError {
        ReadError { offset: self.at, reason }
    }

    fn step(&mut self) -> Result<Step<'t>, ReadError> {
        loop {
            let Some(next) = self.skip_to_content()? else { return Ok(Step::End) };
            match self.state {
                State::Value => return self.value(next),
                State::Name if next == '}' => return self.close(next),
                State::Name => return self.name(next),
                State::AfterValue => match next {
                    ',' => {
                        self.at += 1;
                        self.state = match self.containers.last() {
                            Some(Container::Object) => State::Name,
                            _ => State::Value,
                        };
                    }
                    '}' | ']' | ')' => return self.close(next),
                    _ => return Err(self.error("a `,` or the end of the object or array was expected")),
                },
            }
        }
    }

    fn value(&mut self, next: char) -> Result<Step<'t>, ReadError> {
        let token = match next {
            '"' | '\'' => Token::String(self.string(next)?),
            '{' => return self.open(Container::Object),
            '[' => return self.open(Container::Array),
            ']' | ')' => return self.close(next),
            // The comma is left for the state after the value.
            ',' => Token::Undefined,
            't' => self.word("true", Token::Bool(true))?,
            'f' => self.word("false", Token::Bool(false))?,
            'u' => self.word("undefined", Token::Undefined)?,
            'N' => self.word("NaN", Token::Float("NaN".into()))?,
            'I' => self.word("Infinity", Token::Float("Infinity".into()))?,
            'n' if self.rest().starts_with("ne") => return self.constructor_name(),
            'n' => self.word("null", Token::Null)?,
            '-' if self.rest().starts_with("-I") => self.word("-Infinity", Token::Float("-Infinity".into()))?,
            '-' | '.' | '0'..='9' => self.number()?,
            _ => return Err(self.error("a value was expected")),
        };
        self.state = State::AfterValue;
        Ok(Step::Token(token))
    }

    fn open(&mut self, container: Container) -> Result<Step<'t>, ReadError> {
        if self.containers.len() >= self.depth_max {
            return Err(self.error("objects and arrays are nested too deeply"));
        }
        self.containers.push(container);
        self.at += 1;
        Ok(match container {
            Container::Object => {
                self.state = State::Name;
                Step::Token(Token::ObjectStart)
            }
            Container::Array => {
                self.state = State::Value;
                Step::Token(Token::ArrayStart)
            }
            Container::Constructor => {
                self.state = State::Value;
                Step::ConstructorStart
            }
        })
    }

    fn close(&mut self, mark: char) -> Result<Step<'t>, ReadError> {
        let (container, step) = match mark {
            '}' => (Container::Object, Step::Token(Token::ObjectEnd)),
            ']' => (Container::Array, Step::Token(Token::ArrayEnd)),
            _ => (Container::Constructor, Step::ConstructorEnd),
        };
        if self.containers.last() != Some(&container) {
            return Err(self.error("a `}`, `]` or `)` closes something else"));
        }
        self.containers.pop();
        self.at += 1;
        self.state = State::AfterValue;
        Ok(step)
    }

    /// Reads `new Name(` and goes inside.
    fn constructor_name(&mut self) -> Result<Step<'t>, ReadError> {
        let start = self.at;
        self.word("new", Token::Null)?;
        self.skip_blanks();
        while self.peek().is_some_and(char::is_alphanumeric) {
            self.advance();
        }
        self.skip_blanks();
        if self.peek() != Some('(') {
            return Err(self.error("a `(` was expected"));
        }
        self.constructor_start = start;
        self.open(Container::Constructor)
    }

    /// Passes over the arguments of a constructor whose `(` was read.
    fn constructor(&mut self) -> Result<Token<'t>, ReadError> {
        let start = self.constructor_start;
        let depth = self.containers.len();
        while self.containers.len() >= depth {
            if let Step::End = self.step()? {
                return Err(self.error("the text ends inside a constructor"));
            }
        }
        Ok(Token::Constructor(&self.text[start..self.at]))
    }

    /// Reads a member name and its colon.
    fn name(&mut self, next: char) -> Result<Step<'t>, ReadError> {
        let name = match next {
            '"' | '\'' => self.string(next)?,
            next if is_identifier(next) => {
                let start = self.at;
                while self.peek().is_some_and(is_identifier) {
                    self.advance();
                }
                let name = &self.text[start..self.at];
                if !self.peek().is_some_and(|c| c == ':' || c.is_whitespace()) {
                    return Err(self.error("a member name goes wrong here"));
                }
                Cow::Borrowed(name)
            }
            _ => return Err(self.error("a member name was expected")),
        };
        self.skip_blanks();
        if self.peek() != Some(':') {
            return Err(self.error("a `:` was expected after the member name"));
        }
        self.at += 1;
        self.state = State::Value;
        Ok(Step::Token(Token::Name(name)))
    }

    /// Reads text up to the closing `quote`.
    fn string(&mut self, quote: char) -> Result<Cow<'t, str>, ReadError> {
        self.at += 1;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            match self.peek() {
                None => return Err(self.error("a string has no end")),
                Some('\\') => {
                    is_escaped = true;
                    self.escape()?;
                }
                Some(c) if c == quote => break,
                Some(_) => self.advance(),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(if is_escaped { crate::document::unescape(raw).into() } else { raw.into() })
    }

    /// Moves past an escape.
    fn escape(&mut self) -> Result<(), ReadError> {
        let rest = self.rest().as_bytes();
        match rest.get(1) {
            Some(b'b' | b't' | b'n' | b'f' | b'r' | b'\\' | b'"' | b'\'' | b'/') => self.at += 2,
            Some(b'u') if rest.get(2..6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => self.at += 6,
            _ => return Err(self.error("an escape goes wrong here")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Token<'t>, ReadError> {
        let length = self.rest().find(|c| !number::is_part(c)).unwrap_or(self.rest().len());
        let text = &self.rest()[..length];
        match number::token(text) {
            Ok(token) => {
                self.at += length;
                match self.peek() {
                    Some(c) if !matches!(c, ',' | '}' | ']' | ')' | '/' | '\0') && !c.is_whitespace() => {
                        Err(self.error("a number goes wrong here"))
                    }
                    _ => Ok(token),
                }
            }
            Err(reason) => Err(self.error(reason)),
        }
    }

    /// Reads a fixed word, which has to end there.
    fn word(&mut self, word: &str, token: Token<'t>) -> Result<Token<'t>, ReadError> {
        let Some(after) = self.rest().strip_prefix(word) else {
            return Err(self.error("a value was expected"));
        };
        let ends = match after.chars().next() {
            None | Some('}' | ']' | ',' | '\0') => true,
            Some('/') => after.starts_with("/*") || after.starts_with("//"),
            Some(')') => self.containers.last() == Some(&Container::Constructor),
            Some(c) => c.is_whitespace(),
        };
        if !ends {
            return Err(self.error("a value was expected"));
        }
        self.at += word.len();
        Ok(token)
    }

    /// Skips blanks and comments; gives what is there then.
    fn skip_to_content(&mut self) -> Result<Option<char>, ReadError> {
        loop {
            self.skip_blanks();
            if self.peek() != Some('/') {
                return Ok(self.peek());
            }
            let rest = self.rest();
            let length = match rest.as_bytes().get(1) {
                Some(b'*') => rest.find("*/").filter(|end| *end > 1).map(|end| end + 2),
                Some(b'/') => Some(rest.find(['\r', '\n']).unwrap_or(rest.len())),
                _ => return Err(self.error("a comment goes wrong here")),
            };
            match length {
                Some(length) => self.at += length,
                None => return Err(self.error("a comment has no end")),
            }
        }
    }

    /// Skips blanks: those of Unicode, and NUL, which Newtonsoft passes over.
    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|c| c.is_whitespace() || c == '\0') {
            self.advance();
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }
}

/// What an unquoted member name is made of: letters and digits of the basic
/// plane, `_` and `$`.
fn is_identifier(c: char) -> bool {
    c == '_' || c == '$' || (c.is_alphanumeric() && c <= '\u{ffff}')
}
