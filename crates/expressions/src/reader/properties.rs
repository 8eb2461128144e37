//! Appends what does not come as a body: the properties of an event
//! (device-mapping.md 1.4), and values that an expression computed.

use super::builder::NONE;
use super::{ReadError, ReadOptions, has_date_outline, is_date, lenient, strict};
use crate::document::{Document, ESCAPED, IN_ARENA, Kind, Node, NodeId, OUTLINE, Scratch, TICKS, unescape};
use crate::event::{Properties, PropertyValue};
use crate::names::Symbol;
use crate::number;
use crate::time::{DateKind, DateTime};
use crate::value::Value;

impl Scratch {
    /// Appends a set of properties as an object called `symbol`.
    pub(super) fn properties(
        &mut self,
        symbol: Symbol,
        properties: Properties<'_>,
        options: ReadOptions,
    ) -> Result<(), ReadError> {
        match properties {
            Properties::Typed(members) => {
                let object = self.open(Kind::Object, symbol, NONE);
                let mut name = symbol;
                for (text, value) in members {
                    name = self.names.intern_after(name, text);
                    self.add_member(object, name);
                    self.push_property(name, *value, options);
                }
                self.close(object);
                Ok(())
            }
            Properties::Json { text, dates } => self.json_properties(symbol, text, dates, options),
        }
    }

    fn push_property(&mut self, symbol: Symbol, value: PropertyValue<'_>, options: ReadOptions) {
        match value {
            PropertyValue::Null => self.push(Kind::Null, symbol, 0, 0, 0),
            PropertyValue::Bool(value) => self.push_bool(symbol, value),
            PropertyValue::Integer(value) => self.push_integer(symbol, value),
            PropertyValue::Unsigned(value) => match i64::try_from(value) {
                Ok(value) => self.push_integer(symbol, value),
                Err(_) => self.push_written(Kind::BigInteger, symbol, 0, |out| out.push_str(&value.to_string())),
            },
            PropertyValue::Float(value) => self.push_float(symbol, value),
            PropertyValue::String(value) => self.push_written(Kind::String, symbol, 0, |out| out.push_str(value)),
            PropertyValue::Date(value) if options.dates => self.push_date(symbol, value),
            PropertyValue::Date(value) => self.push_written(Kind::String, symbol, 0, |out| value.write_iso(out)),
            PropertyValue::Opaque => self.push(Kind::Opaque, symbol, 0, 0, 0),
        }
    }

    /// Appends the properties that the Functions host sends as JSON text. The
    /// text is copied, since nodes lie either in the body or in the arena.
    fn json_properties(
        &mut self,
        symbol: Symbol,
        text: &str,
        dates: &[&str],
        options: ReadOptions,
    ) -> Result<(), ReadError> {
        let dates = if options.dates { dates } else { &[] };
        let options = ReadOptions { dates: false, ..options };
        let object = self.nodes.len();
        let (sets, base) = (self.sets.len(), self.arena.len());
        self.arena.push_str(text);
        if strict::read(self, text, base, IN_ARENA, symbol, options).is_none() {
            self.truncate(object, sets);
            lenient::read(self, text, symbol, options)?;
        }
        if self.nodes[object].kind() != Kind::Object {
            return Err(ReadError { offset: 0, reason: "the properties are not an object" });
        }
        self.type_dates(object, dates);
        Ok(())
    }

    /// Makes dates of the members of `object` that are named, if they have the
    /// shape.
    fn type_dates(&mut self, object: usize, dates: &[&str]) {
        if dates.is_empty() {
            return;
        }
        let end = self.nodes[object].next as usize;
        let mut at = object + 1;
        while at < end {
            let node = self.nodes[at];
            if node.is(Kind::String) && self.is_date(node) && dates.contains(&self.names.name(node.symbol())) {
                // Nothing more than its outline is known of text without escapes.
                self.nodes[at].head |= if node.head & ESCAPED == 0 { OUTLINE } else { 0 };
                self.nodes[at].set_kind(Kind::Date);
            }
            at = node.next as usize;
        }
    }

    /// Whether a string in the arena is a date, or without escapes has at least
    /// its outline.
    fn is_date(&self, node: Node) -> bool {
        let text = &self.arena[node.start as usize..node.end as usize];
        if node.head & ESCAPED == 0 {
            return has_date_outline(text.as_bytes());
        }
        is_date(unescape(text).as_bytes())
    }

    /// Appends a computed value called `symbol`; its nodes are those of `of`.
    pub(super) fn push_value(&mut self, symbol: Symbol, of: Document<'_>, value: &Value<'_>) {
        match value {
            Value::Node(node) => self.push_node(symbol, of, *node),
            Value::Null => self.push(Kind::Null, symbol, 0, 0, 0),
            Value::Bool(value) => self.push_bool(symbol, *value),
            Value::Integer(value) => self.push_integer(symbol, *value),
            Value::Float(value) => self.push_float(symbol, *value),
            Value::String(value) => self.push_written(Kind::String, symbol, 0, |out| out.push_str(value)),
            Value::Date(value) => self.push_date(symbol, *value),
            Value::Array(elements) => {
                let array = self.open(Kind::Array, symbol, NONE);
                for element in elements {
                    self.add_child(array);
                    self.push_value(Symbol::NONE, of, element);
                }
                self.close(array);
            }
            Value::Object(members) => {
                let object = self.open(Kind::Object, symbol, NONE);
                for (name, value) in members {
                    let symbol = self.names.intern(name);
                    self.add_member(object, symbol);
                    self.push_value(symbol, of, value);
                }
                self.close(object);
            }
        }
    }

    /// Appends a copy of a node of another document and of all below it. As
    /// deep as that document, which a reader has bounded.
    fn push_node(&mut self, symbol: Symbol, of: Document<'_>, node: NodeId) {
        let kind = of.kind(node);
        match kind {
            Kind::Object | Kind::Array => {
                let open = self.open(kind, symbol, NONE);
                for (name, child) in of.children(node) {
                    let symbol = if kind == Kind::Object { self.names.intern(of.name(name)) } else { Symbol::NONE };
                    if kind == Kind::Object {
                        self.add_name(open, symbol);
                    }
                    self.add_child(open);
                    self.push_node(symbol, of.below(child), child);
                }
                self.close(open);
            }
            Kind::Null | Kind::Undefined | Kind::False | Kind::True => self.push(kind, symbol, 0, 0, 0),
            _ => {
                if let (true, Some(date)) = (of.raw(node).is_empty(), of.date(node)) {
                    return self.push_date(symbol, date);
                }
                let escaped = if of.is_escaped(node) { ESCAPED } else { 0 };
                self.push_written(kind, symbol, escaped, |out| out.push_str(of.raw(node)));
            }
        }
    }

    fn push_bool(&mut self, symbol: Symbol, value: bool) {
        self.push(if value { Kind::True } else { Kind::False }, symbol, 0, 0, 0);
    }

    fn push_integer(&mut self, symbol: Symbol, value: i64) {
        self.push_written(Kind::Integer, symbol, 0, |out| number::write_integer(value, out));
    }

    fn push_float(&mut self, symbol: Symbol, value: f64) {
        self.push_written(Kind::Float, symbol, 0, |out| number::write_double(value, out));
    }

    fn push_date(&mut self, symbol: Symbol, value: DateTime) {
        if value.kind != DateKind::Utc {
            return self.push_written(Kind::Date, symbol, 0, |out| value.write_iso(out));
        }
        // Most are never asked for, so they are not written as text.
        let ticks = value.instant.ticks();
        self.push(Kind::Date, symbol, TICKS, ticks as u32, (ticks >> 32) as u32);
    }
}
