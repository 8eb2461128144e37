//! Cuts a JMESPath expression into tokens (device-mapping.md 7.1).
//!
//! Text that is no token becomes one [`Kind::Unknown`], which no rule of the
//! grammar takes: whatever is wrong further left is then reported first.

/// What a token is. Brackets that differ only by what follows at once are
/// tokens of their own: `[]` flattens and `[?` filters, `[ ]` and `[ ?` are
/// errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[A-Za-z_][0-9A-Za-z_]*`
    Name,
    /// `"…"`
    QuotedName,
    /// `'…'`
    RawString,
    /// `` `…` ``
    Literal,
    /// `-?[0-9]+`
    Number,
    And,
    Or,
    Not,
    Pipe,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Dot,
    Comma,
    Colon,
    Star,
    Current,
    Reference,
    Flatten,
    Filter,
    BracketOpen,
    BracketClose,
    BraceOpen,
    BraceClose,
    ParenOpen,
    ParenClose,
    /// The end of the expression.
    End,
    /// A character that starts no token, or an opening quote that has no end.
    Unknown,
}

/// A token: `text[start..end]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Marks with their kinds; the longer ones first.
const MARKS: [(&str, Kind); 24] = [
    ("&&", Kind::And),
    ("||", Kind::Or),
    ("==", Kind::Equal),
    ("!=", Kind::NotEqual),
    ("<=", Kind::LessOrEqual),
    (">=", Kind::GreaterOrEqual),
    ("[]", Kind::Flatten),
    ("[?", Kind::Filter),
    ("!", Kind::Not),
    ("|", Kind::Pipe),
    ("<", Kind::Less),
    (">", Kind::Greater),
    (".", Kind::Dot),
    (",", Kind::Comma),
    (":", Kind::Colon),
    ("*", Kind::Star),
    ("@", Kind::Current),
    ("&", Kind::Reference),
    ("[", Kind::BracketOpen),
    ("]", Kind::BracketClose),
    ("{", Kind::BraceOpen),
    ("}", Kind::BraceClose),
    ("(", Kind::ParenOpen),
    (")", Kind::ParenClose),
];

/// All tokens of `text`; the last is [`Kind::End`] or [`Kind::Unknown`].
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let blanks = text[at..].find(|c| !matches!(c, ' ' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t'));
        let Some(blanks) = blanks else {
            tokens.push(Token { kind: Kind::End, start: text.len(), end: text.len() });
            return tokens;
        };
        at += blanks;
        let (kind, length) = token(&text[at..]);
        tokens.push(Token { kind, start: at, end: at + length });
        if kind == Kind::Unknown {
            return tokens;
        }
        at += length;
    }
}

/// The token at the start of `rest`, which is not empty, and its length.
fn token(rest: &str) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let found = match bytes[0] {
        b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
            let more = bytes.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_');
            Some((Kind::Name, more.count()))
        }
        b'-' | b'0'..=b'9' => number_length(bytes).map(|length| (Kind::Number, length)),
        b'"' => quoted_name_length(rest).map(|length| (Kind::QuotedName, length)),
        b'\'' => raw_string_length(bytes).map(|length| (Kind::RawString, length)),
        b'`' => literal_length(bytes).map(|length| (Kind::Literal, length)),
        _ => MARKS.iter().find(|(mark, _)| rest.starts_with(mark)).map(|(mark, kind)| (*kind, mark.len())),
    };
    found.unwrap_or((Kind::Unknown, rest.chars().next().map_or(0, char::len_utf8)))
}

fn number_length(bytes: &[u8]) -> Option<usize> {
    let sign = usize::from(bytes[0] == b'-');
    let digits = bytes[sign..].iter().take_while(|c| c.is_ascii_digit()).count();
    (digits > 0).then_some(sign + digits)
}

/// Escapes are those of JSON, and no others.
fn quoted_name_length(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match bytes.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            8 | b'\t' | b'\n' | 12 | b'\r' => return None,
            _ => at += 1,
        }
    }
}

/// A backslash takes the next character with it.
fn raw_string_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\'' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A backtick after a backslash does not end the literal, unless there is no
/// other that could.
fn literal_length(bytes: &[u8]) -> Option<usize> {
    let mut last = None;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        if *byte != b'`' {
            continue;
        }
        last = Some(at + 1);
        if bytes[at - 1] != b'\\' {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[Kind]) {
        let kinds: Vec<Kind> = tokens(text).iter().map(|token| token.kind).collect();
        assert_eq!(kinds, expected, "{text}");
    }

    #[test]
    fn takes_the_longest_token() {
        use Kind::*;
        check("a[]", &[Name, Flatten, End]);
        check("a[ ]", &[Name, BracketOpen, BracketClose, End]);
        check("[?a<=-1]", &[Filter, Name, LessOrEqual, Number, BracketClose, End]);
        check("&&& |||", &[And, Reference, Or, Pipe, End]);
        check(r#""a\"b".'c\'d'.`"\``"#, &[QuotedName, Dot, RawString, Dot, Literal, End]);
        check(r"`\``", &[Literal, End]);
        check(r"`a\`", &[Literal, End]);
        check("'a\\\\' == 'b'", &[RawString, Equal, RawString, End]);
    }

    #[test]
    fn stops_at_what_is_no_token() {
        use Kind::*;
        for text in ["a $", "a \"b", "a 'b", "a `b", "a \"\\x\"", "a -", "a \"\\u12\"", "a = b", "a \u{e9}", "a 'b\\'"]
        {
            check(text, &[Name, Unknown]);
        }
    }
}
