//! Makes nodes of what the lenient tokenizer finds. All text goes to the
//! arena, in its plain form.

use super::builder::NONE;
use super::{ReadError, ReadOptions, is_date};
use crate::document::{Kind, Scratch};
use crate::lenient::{Token, Tokenizer};
use crate::names::Symbol;

/// Appends the first value in `text` as a node called `symbol`.
pub(crate) fn read(scratch: &mut Scratch, text: &str, symbol: Symbol, options: ReadOptions) -> Result<(), ReadError> {
    let before = scratch.nodes.len();
    let mut tokens = Tokenizer::new(text, options.depth_max);
    let mut symbol = symbol;
    let mut open = NONE;
    while let Some(token) = tokens.next_token()? {
        match token {
            Token::Name(name) => {
                symbol = scratch.names.intern(&name);
                scratch.add_name(open, symbol);
                continue;
            }
            Token::ObjectEnd | Token::ArrayEnd => {
                open = scratch.close(open);
                symbol = Symbol::NONE;
                continue;
            }
            _ if open != NONE => scratch.add_child(open),
            _ => {}
        }
        match token {
            Token::ObjectStart => open = scratch.open(Kind::Object, symbol, open),
            Token::ArrayStart => open = scratch.open(Kind::Array, symbol, open),
            Token::Null => scratch.push(Kind::Null, symbol, 0, 0, 0),
            Token::Undefined => scratch.push(Kind::Undefined, symbol, 0, 0, 0),
            Token::Bool(false) => scratch.push(Kind::False, symbol, 0, 0, 0),
            Token::Bool(true) => scratch.push(Kind::True, symbol, 0, 0, 0),
            Token::Integer(text) => scratch.push_written(Kind::Integer, symbol, 0, |out| out.push_str(&text)),
            Token::BigInteger(text) => scratch.push_written(Kind::BigInteger, symbol, 0, |out| out.push_str(&text)),
            Token::Float(text) => scratch.push_written(Kind::Float, symbol, 0, |out| out.push_str(&text)),
            Token::String(text) => {
                let kind = if options.dates && is_date(text.as_bytes()) { Kind::Date } else { Kind::String };
                scratch.push_written(kind, symbol, 0, |out| out.push_str(&text));
            }
            Token::Constructor(text) => scratch.push_written(Kind::Opaque, symbol, 0, |out| out.push_str(text)),
            Token::Name(_) | Token::ObjectEnd | Token::ArrayEnd => {}
        }
        symbol = Symbol::NONE;
    }
    if scratch.nodes.len() > before { Ok(()) } else { Err(tokens.error("there is no value")) }
}
