//! Reads a JMESPath expression the way device-mapping.md 7.1 says: a lexer
//! that gives strings, and one function for each level of operators.

use expressions::{Document, ReadOptions, Scratch};

use serde_json::value::RawValue;

use crate::tree::{Data, Tree};

#[derive(Clone, Debug)]
pub enum Ast {
    Current,
    Literal(Tree),
    Name(String),
    /// The right applied to what the left gives: `left.right`, `left[…]`.
    Chain(Box<Ast>, Box<Ast>),
    Index(i64),
    ListStar,
    Flatten,
    HashStar,
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Filter(Box<Ast>),
    List(Vec<Ast>),
    Hash(Vec<(String, Ast)>),
    Pipe(Box<Ast>, Box<Ast>),
    Or(Box<Ast>, Box<Ast>),
    And(Box<Ast>, Box<Ast>),
    Not(Box<Ast>),
    Compare(Comparator, Box<Ast>, Box<Ast>),
    Call(String, Vec<Argument>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An argument of a function.
#[derive(Clone, Debug)]
pub enum Argument {
    Value(Ast),
    /// `&expression`.
    Expression(Ast),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// Punctuation and operators.
    Sign(&'static str),
    Name(String),
    Quoted(String),
    Raw(String),
    Literal(String),
    Number(i64),
}

const SIGNS: [&str; 25] = [
    "||", "&&", "==", "!=", "<=", ">=", "[?", "[]", "|", "&", "!", "<", ">", ".", "*", "@", "[", "]", "{", "}", "(",
    ")", ",", ":", "?",
];

/// Functions with the fewest and the most arguments they take.
const FUNCTIONS: [(&str, usize, usize); 34] = [
    ("abs", 1, 1),
    ("avg", 1, 1),
    ("ceil", 1, 1),
    ("contains", 2, 2),
    ("ends_with", 2, 2),
    ("floor", 1, 1),
    ("join", 2, 2),
    ("keys", 1, 1),
    ("length", 1, 1),
    ("map", 2, 2),
    ("max", 1, 1),
    ("max_by", 2, 2),
    ("merge", 1, usize::MAX),
    ("min", 1, 1),
    ("min_by", 2, 2),
    ("not_null", 1, usize::MAX),
    ("reverse", 1, 1),
    ("sort", 1, 1),
    ("sort_by", 2, 2),
    ("starts_with", 2, 2),
    ("sum", 1, 1),
    ("to_array", 1, 1),
    ("to_number", 1, 1),
    ("to_string", 1, 1),
    ("type", 1, 1),
    ("values", 1, 1),
    ("add", 2, 2),
    ("subtract", 2, 2),
    ("multiply", 2, 2),
    ("divide", 2, 2),
    ("pow", 2, 2),
    ("insertString", 3, 3),
    ("fromUnixTimestamp", 1, 1),
    ("fromUnixTimestampMs", 1, 1),
];

type Result<T> = std::result::Result<T, String>;

pub fn parse(text: &str) -> Result<Ast> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let ast = parser.pipe()?;
    if parser.at < parser.tokens.len() { Err("a token too many".to_owned()) } else { Ok(ast) }
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (token, length) = match first {
            'A'..='Z' | 'a'..='z' | '_' => {
                let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let length = word.len();
                (Token::Name(word), length)
            }
            '-' | '0'..='9' => {
                let digits = rest[1..].chars().take_while(char::is_ascii_digit).count();
                if first == '-' && digits == 0 {
                    return Err("a lone sign".to_owned());
                }
                // A number that does not fit is as good as the largest.
                let largest = if first == '-' { i64::MIN } else { i64::MAX };
                (Token::Number(rest[..=digits].parse().unwrap_or(largest)), digits + 1)
            }
            '\'' | '"' | '`' => {
                let inside = delimited(rest, first)?;
                let length = inside.len() + 2;
                let token = match first {
                    '\'' => Token::Raw(inside.replace("\\'", "'")),
                    '"' => Token::Quoted(serde_json::from_str(&rest[..length]).map_err(|_| "not a JSON string")?),
                    _ => Token::Literal(inside.replace("\\`", "`")),
                };
                (token, length)
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or("an unknown character")?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = &rest[length..];
    }
}

/// What stands between delimiters; a backslash takes the next character along.
fn delimited(text: &str, delimiter: char) -> Result<&str> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == delimiter {
            return Ok(&text[1..at]);
        }
    }
    Err("an open delimiter".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn is_next(&self, sign: &'static str) -> bool {
        self.peek(0) == Some(&Token::Sign(sign))
    }

    fn take(&mut self, sign: &'static str) -> bool {
        let is_next = self.is_next(sign);
        if is_next {
            self.at += 1;
        }
        is_next
    }

    fn expect(&mut self, sign: &'static str) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(format!("no {sign}")) }
    }

    fn pipe(&mut self) -> Result<Ast> {
        let mut left = self.or()?;
        while self.take("|") {
            left = Ast::Pipe(left.into(), self.or()?.into());
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Ast> {
        let mut left = self.and()?;
        while self.take("||") {
            left = Ast::Or(left.into(), self.and()?.into());
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Ast> {
        let mut left = self.comparison(0)?;
        while self.take("&&") {
            left = Ast::And(left.into(), self.comparison(0)?.into());
        }
        Ok(left)
    }

    /// Each comparator has a level of its own.
    fn comparison(&mut self, level: usize) -> Result<Ast> {
        let levels = [
            ("==", Comparator::Equal),
            (">", Comparator::Greater),
            (">=", Comparator::GreaterOrEqual),
            ("<", Comparator::Less),
            ("<=", Comparator::LessOrEqual),
            ("!=", Comparator::NotEqual),
        ];
        let Some((sign, comparator)) = levels.get(level) else { return self.not() };
        let mut left = self.comparison(level + 1)?;
        while self.take(sign) {
            left = Ast::Compare(*comparator, left.into(), self.comparison(level + 1)?.into());
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Ast> {
        if self.take("!") { Ok(Ast::Not(self.not()?.into())) } else { self.chain() }
    }

    fn chain(&mut self) -> Result<Ast> {
        let mut left = self.primary()?;
        loop {
            let right = if self.take(".") {
                self.after_dot()?
            } else if is_projection(&left) && self.is_next("[") && !self.is_specifier() {
                // A projection with nothing before it takes a list without a
                // dot.
                self.list()?
            } else if self.is_next("[") || self.is_next("[?") || self.is_next("[]") {
                self.bracket()?
            } else {
                return Ok(left);
            };
            left = Ast::Chain(left.into(), right.into());
        }
    }

    /// Whether the bracket that stands here is an index, a slice or `[*]`.
    fn is_specifier(&self) -> bool {
        match self.peek(1) {
            Some(Token::Number(_) | Token::Sign(":")) => true,
            Some(Token::Sign("*")) => self.peek(2) == Some(&Token::Sign("]")),
            _ => false,
        }
    }

    fn after_dot(&mut self) -> Result<Ast> {
        match (self.peek(0), self.peek(1)) {
            (Some(Token::Name(_)), Some(Token::Sign("("))) => self.call(),
            (Some(Token::Name(_) | Token::Quoted(_)), _) => self.name().map(Ast::Name),
            (Some(Token::Sign("*")), _) => {
                self.at += 1;
                Ok(Ast::HashStar)
            }
            (Some(Token::Sign("[")), _) => self.list(),
            (Some(Token::Sign("{")), _) => self.hash(),
            _ => Err("nothing after a dot".to_owned()),
        }
    }

    fn primary(&mut self) -> Result<Ast> {
        match (self.peek(0).cloned(), self.peek(1)) {
            (Some(Token::Sign("@")), _) => {
                self.at += 1;
                Ok(Ast::Current)
            }
            (Some(Token::Raw(text)), _) => {
                self.at += 1;
                Ok(Ast::Literal(Tree::text(&text)))
            }
            (Some(Token::Literal(json)), _) => {
                self.at += 1;
                literal(&json).map(Ast::Literal)
            }
            (Some(Token::Sign("(")), _) => {
                self.at += 1;
                let inner = self.pipe()?;
                self.expect(")")?;
                Ok(inner)
            }
            (Some(Token::Sign("[")), _) if self.is_specifier() => self.bracket(),
            (Some(Token::Sign("[?" | "[]")), _) => self.bracket(),
            _ => self.after_dot(),
        }
    }

    /// `[0]`, `[*]`, `[]`, `[?…]`, `[s:e:st]`.
    fn bracket(&mut self) -> Result<Ast> {
        if self.take("[]") {
            return Ok(Ast::Flatten);
        }
        if self.take("[?") {
            let test = self.pipe()?;
            self.expect("]")?;
            return Ok(Ast::Filter(test.into()));
        }
        self.expect("[")?;
        let inner = if self.take("*") { Ast::ListStar } else { self.index_or_slice()? };
        self.expect("]")?;
        Ok(inner)
    }

    fn index_or_slice(&mut self) -> Result<Ast> {
        let mut parts = vec![self.number()];
        while self.take(":") {
            parts.push(self.number());
        }
        match parts[..] {
            [Some(index)] => Ok(Ast::Index(index)),
            [start, end] => Ok(Ast::Slice(start, end, None)),
            [start, end, step] if step != Some(0) => Ok(Ast::Slice(start, end, step)),
            _ => Err("neither an index nor a slice".to_owned()),
        }
    }

    fn number(&mut self) -> Option<i64> {
        match self.peek(0) {
            Some(Token::Number(number)) => {
                let number = *number;
                self.at += 1;
                Some(number)
            }
            _ => None,
        }
    }

    fn list(&mut self) -> Result<Ast> {
        self.expect("[")?;
        let mut parts = vec![self.pipe()?];
        while self.take(",") {
            parts.push(self.pipe()?);
        }
        self.expect("]")?;
        Ok(Ast::List(parts))
    }

    fn hash(&mut self) -> Result<Ast> {
        self.expect("{")?;
        let mut parts: Vec<(String, Ast)> = Vec::new();
        loop {
            let name = self.name()?;
            self.expect(":")?;
            if parts.iter().any(|part| part.0 == name) {
                return Err("a name twice".to_owned());
            }
            parts.push((name, self.pipe()?));
            if !self.take(",") {
                break;
            }
        }
        self.expect("}")?;
        Ok(Ast::Hash(parts))
    }

    fn name(&mut self) -> Result<String> {
        match self.peek(0).cloned() {
            Some(Token::Name(name) | Token::Quoted(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err("no name".to_owned()),
        }
    }

    fn call(&mut self) -> Result<Ast> {
        let name = self.name()?;
        self.expect("(")?;
        let mut arguments = Vec::new();
        if !self.take(")") {
            loop {
                arguments.push(if self.take("&") {
                    Argument::Expression(self.pipe()?)
                } else {
                    Argument::Value(self.pipe()?)
                });
                if !self.take(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        let (_, fewest, most) = FUNCTIONS.iter().find(|function| function.0 == name).ok_or("no such function")?;
        if arguments.len() < *fewest || arguments.len() > *most {
            return Err("the wrong number of arguments".to_owned());
        }
        Ok(Ast::Call(name, arguments))
    }
}

fn is_projection(ast: &Ast) -> bool {
    matches!(ast, Ast::ListStar | Ast::HashStar | Ast::Flatten | Ast::Filter(_) | Ast::Slice(..))
}

/// JSON with dates; unquoted words are text (quirk 59).
fn literal(json: &str) -> Result<Tree> {
    if serde_json::from_str::<&RawValue>(json).is_err() {
        let word = json.trim_matches([' ', '\t', '\r', '\n']);
        let mut chars = word.chars();
        let is_word = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        return if is_word { Ok(Tree::text(word)) } else { Err("not JSON".to_owned()) };
    }
    let mut scratch = Scratch::default();
    let document =
        scratch.read_value(json.as_bytes(), ReadOptions::default()).map_err(|error| error.reason.to_owned())?;
    let mut tree = Tree::copy(document, Document::ROOT, None);
    forget_places(&mut tree);
    Ok(tree)
}

/// The nodes of a literal are not nodes of the document. An integer too large
/// for 64 bits becomes a double there: our engine's computed values have no
/// such type, and the reference connector can convert it to nothing.
fn forget_places(tree: &mut Tree) {
    tree.at = None;
    match &mut tree.data {
        Data::BigInteger(digits) => {
            tree.data = Data::Float(digits.parse().expect("digits are a number"));
        }
        Data::Array(items) => items.iter_mut().for_each(forget_places),
        Data::Object(members) => members.iter_mut().for_each(|member| forget_places(&mut member.1)),
        _ => {}
    }
}
