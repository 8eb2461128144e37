//! A JSON document as a flat row of small nodes over borrowed text.
//!
//! The nodes stand in preorder: an object or array is followed by everything
//! in it, and `next` leads past it. A node is 16 bytes; its text stays where it
//! was received, and numbers and dates are converted only when they are used.
//! Each object carries a 64-bit set of the member names present
//! ([`Symbol::bit`]), so that "has it this member" is one AND in the usual case.
//!
//! [`Scratch`] owns the memory and is reused from event to event; a
//! [`Document`] is a `Copy` view of what was read last. Reading is in
//! `reader`.

mod shape;
pub(crate) mod write;

use std::borrow::Cow;

pub use write::{json_escape, write_json_double, write_json_string};

use crate::budget::{Budget, CHILDREN_A_STEP};
use crate::names::{Names, Symbol};
use crate::time::{DateKind, DateTime, UtcTime};

/// What a node is: the token types of the reference connector's JSON reader
/// (device-mapping.md 1.3 and 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `null`.
    Null,
    /// `undefined`, or a gap in an array; a leniency of the reader.
    Undefined,
    /// `false`.
    False,
    /// `true`.
    True,
    /// A number without `.`, `e` or `E` that fits an `i64`.
    Integer,
    /// A number without `.`, `e` or `E` that does not.
    BigInteger,
    /// Any other number: an IEEE double when used. Text `NaN`, `Infinity` and
    /// `-Infinity` included.
    Float,
    /// Text.
    String,
    /// Text in one of the two date shapes (device-mapping.md 1.3).
    Date,
    /// Members in document order.
    Object,
    /// Elements in order.
    Array,
    /// A property value that nothing can be made of (bytes, GUID, duration …),
    /// or a JavaScript constructor.
    Opaque,
}

/// The place of a node in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

/// One value: 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Bits 0–23 the symbol of its member name, bits 24–27 its kind, bits
    /// 28–31 flags.
    pub(crate) head: u32,
    /// Scalars: where the text starts (but see [`TICKS`]). Objects: index of the
    /// name set.
    pub(crate) start: u32,
    /// Scalars: where the text ends. Objects and arrays: how many children.
    pub(crate) end: u32,
    /// The node after this one and all below it. While an object or array is
    /// being read: the one around it.
    pub(crate) next: u32,
}

/// The text holds escapes and has to be decoded when used.
pub(crate) const ESCAPED: u32 = 1 << 28;
/// The text lies in the arena of the scratch and not in the event's body.
pub(crate) const IN_ARENA: u32 = 1 << 29;
/// A [`Kind::Date`] that came as an instant in UTC and has no text: its ticks
/// stand in `start` (the lower half) and `end`.
pub(crate) const TICKS: u32 = 1 << 30;
/// A [`Kind::Date`] that only has the outline of one: whether it is a date or
/// text is found when it is asked for, which it seldom is.
pub(crate) const OUTLINE: u32 = 1 << 31;
const SYMBOL: u32 = (1 << 24) - 1;
const KIND: u32 = 15 << 24;

const KINDS: [Kind; 12] = [
    Kind::Null,
    Kind::Undefined,
    Kind::False,
    Kind::True,
    Kind::Integer,
    Kind::BigInteger,
    Kind::Float,
    Kind::String,
    Kind::Date,
    Kind::Object,
    Kind::Array,
    Kind::Opaque,
];

impl Node {
    pub(crate) fn new(kind: Kind, symbol: Symbol, flags: u32) -> Node {
        Node { head: symbol.0 | (kind as u32) << 24 | flags, start: 0, end: 0, next: 0 }
    }

    pub(crate) fn kind(self) -> Kind {
        KINDS[(self.head >> 24 & 15) as usize % KINDS.len()]
    }

    pub(crate) fn is(self, kind: Kind) -> bool {
        self.head & KIND == (kind as u32) << 24
    }

    pub(crate) fn symbol(self) -> Symbol {
        Symbol(self.head & SYMBOL)
    }

    /// See [`TICKS`].
    #[inline]
    fn ticks(self) -> Option<UtcTime> {
        let ticks = u64::from(self.end) << 32 | u64::from(self.start);
        if self.head & TICKS == 0 { None } else { UtcTime::from_ticks(ticks as i64) }
    }

    pub(crate) fn set_kind(&mut self, kind: Kind) {
        self.head = self.head & !KIND | (kind as u32) << 24;
    }
}

/// The memory that documents are read into, reused from event to event.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) nodes: Vec<Node>,
    /// The name sets of the objects, in document order.
    pub(crate) sets: Vec<u64>,
    /// The node of each object, beside its name set.
    pub(crate) objects: Vec<u32>,
    /// Text that is not in the event's body: properties, and what the lenient
    /// reader had to rewrite.
    pub(crate) arena: String,
    pub(crate) names: Names,
    /// See `reader::builder`.
    pub(crate) seen: Vec<Seen>,
    pub(crate) pass: u32,
}

/// Where a member name was met, and in which pass over an object.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) pass: u32,
    pub(crate) at: u32,
}

/// A read-only view of a document. `Copy`: pass it by value.
#[derive(Clone, Copy, Debug)]
pub struct Document<'d> {
    pub(crate) nodes: &'d [Node],
    pub(crate) sets: &'d [u64],
    pub(crate) objects: &'d [u32],
    pub(crate) body: &'d str,
    pub(crate) arena: &'d str,
    pub(crate) names: &'d Names,
    /// The root's extra last member `matchedToken`, when there is one.
    pub(crate) matched: Option<NodeId>,
}

impl<'d> Document<'d> {
    /// The whole document.
    pub const ROOT: NodeId = NodeId(0);

    /// The same document whose root has one more member, `matchedToken`: the
    /// evaluation root of CalculatedContent (device-mapping.md 4.2). Nothing is
    /// copied; what is inside the match is simply reachable twice.
    pub fn with_matched(self, matched: NodeId) -> Document<'d> {
        Document { matched: Some(matched), ..self }
    }

    /// What `node` is.
    #[inline]
    pub fn kind(self, node: NodeId) -> Kind {
        let here = self.node(node);
        if here.head & OUTLINE == 0 { here.kind() } else { self.kind_by_text(node) }
    }

    fn kind_by_text(self, node: NodeId) -> Kind {
        if self.date(node).is_some() { Kind::Date } else { Kind::String }
    }

    /// The member `symbol` of `node`: none when it has no such member or is
    /// not an object. A JSON null is a member.
    #[inline]
    pub fn member(self, node: NodeId, symbol: Symbol) -> Option<NodeId> {
        let here = self.node(node);
        if !here.is(Kind::Object) {
            return None;
        }
        if symbol == Symbol::MATCHED_TOKEN && node == Self::ROOT && self.matched.is_some() {
            return self.matched;
        }
        if self.sets[here.start as usize] & symbol.bit() == 0 {
            return None;
        }
        let mut at = node.0 + 1;
        while at < here.next {
            let child = self.nodes[at as usize];
            if child.symbol() == symbol {
                return Some(NodeId(at));
            }
            at = child.next;
        }
        None
    }

    /// The set of member names of an object, as [`Symbol::bit`]s; 0 for
    /// anything else. Says "perhaps", never wrongly "no".
    pub fn name_set(self, node: NodeId) -> u64 {
        let here = self.node(node);
        match here.kind() {
            Kind::Object if node == Self::ROOT && self.matched.is_some() => {
                self.sets[here.start as usize] | Symbol::MATCHED_TOKEN.bit()
            }
            Kind::Object => self.sets[here.start as usize],
            _ => 0,
        }
    }

    /// The name sets of all objects of the document in one, without
    /// `matchedToken`: a clear bit says that the name is nowhere.
    pub fn all_names(self) -> u64 {
        self.sets.iter().fold(0, |all, set| all | set)
    }

    /// The members of an object with their names, or the elements of an array
    /// with [`Symbol::NONE`], in document order; nothing for scalars.
    pub fn children(self, node: NodeId) -> Children<'d> {
        let here = self.node(node);
        let (at, end) = match here.kind() {
            Kind::Object | Kind::Array => (node.0 + 1, here.next),
            _ => (0, 0),
        };
        let matched = if node == Self::ROOT { self.matched } else { None };
        Children { document: self, at, end, matched }
    }

    /// The element `index` of an array; none for anything else.
    pub fn element(self, node: NodeId, index: usize) -> Option<NodeId> {
        if self.kind(node) != Kind::Array {
            return None;
        }
        self.children(node).nth(index).map(|child| child.1)
    }

    /// How many elements an array has; 0 for anything else.
    pub fn element_count(self, node: NodeId) -> usize {
        match self.kind(node) {
            Kind::Array => self.node(node).end as usize,
            _ => 0,
        }
    }

    /// How many members or elements there are, `matchedToken` left out; 0 for
    /// scalars.
    pub(crate) fn child_count(self, node: NodeId) -> usize {
        let here = self.node(node);
        match here.kind() {
            Kind::Object | Kind::Array => here.end as usize,
            _ => 0,
        }
    }

    /// What a path of member names leads to from `node`, if anything. `None` when
    /// the budget does not allow to look.
    #[inline]
    pub(crate) fn follow(self, node: NodeId, names: &[Symbol], budget: &Budget) -> Option<Option<NodeId>> {
        let (mut at, mut view, mut steps) = (node, self, names.len());
        for name in names {
            let here = self.node(at);
            steps += here.end as usize / CHILDREN_A_STEP * usize::from(here.is(Kind::Object));
            let Some(member) = view.member(at, *name) else {
                return budget.takes(steps).then_some(None);
            };
            at = member;
            view = self.below(at);
        }
        budget.takes(steps).then_some(Some(at))
    }

    /// How many nodes there are at and below `node`, those of the match twice.
    pub(crate) fn size(self, node: NodeId) -> usize {
        let size = |node: NodeId| (self.node(node).next - node.0) as usize;
        let matched = if node == Self::ROOT { self.matched } else { None };
        size(node) + matched.map_or(0, size)
    }

    /// The text of a string or date with its escapes resolved, of a number or
    /// an opaque value as it was written (lenient forms in their plain form);
    /// empty for anything else.
    pub fn text(self, node: NodeId) -> Cow<'d, str> {
        if let Some(instant) = self.node(node).ticks() {
            let mut text = String::new();
            instant.write_iso(&mut text);
            return Cow::Owned(text);
        }
        let raw = self.raw(node);
        if self.node(node).head & ESCAPED == 0 { Cow::Borrowed(raw) } else { Cow::Owned(unescape(raw)) }
    }

    /// The text of a string that is no date and has no escapes, which most are;
    /// none for anything else, and for what only looks like a date.
    #[inline]
    pub fn plain_text(self, node: NodeId) -> Option<&'d str> {
        let here = self.node(node);
        let is_plain = here.head & (KIND | ESCAPED) == (Kind::String as u32) << 24;
        let text = if here.head & IN_ARENA == 0 { self.body } else { self.arena };
        is_plain.then(|| &text[here.start as usize..here.end as usize])
    }

    /// The text of a scalar as it stands in the body, escapes and all, without
    /// quotes. Empty for a date that came without text.
    pub fn raw(self, node: NodeId) -> &'d str {
        let here = self.node(node);
        if here.head & TICKS != 0 {
            return "";
        }
        match here.kind() {
            Kind::Integer | Kind::BigInteger | Kind::Float | Kind::String | Kind::Date | Kind::Opaque => {
                let text = if here.head & IN_ARENA == 0 { self.body } else { self.arena };
                &text[here.start as usize..here.end as usize]
            }
            _ => "",
        }
    }

    /// Whether [`Document::raw`] holds escapes.
    pub(crate) fn is_escaped(self, node: NodeId) -> bool {
        self.node(node).head & ESCAPED != 0
    }

    /// The value of an [`Kind::Integer`].
    pub fn integer(self, node: NodeId) -> Option<i64> {
        match self.kind(node) {
            Kind::Integer => self.raw(node).parse().ok(),
            _ => None,
        }
    }

    /// The value of any number as an IEEE double; a number too large for one
    /// is infinite.
    pub fn float(self, node: NodeId) -> Option<f64> {
        match self.kind(node) {
            // Rust reads `NaN`, `Infinity` and `-Infinity` as the reader writes them.
            Kind::Integer | Kind::BigInteger | Kind::Float => self.raw(node).parse().ok(),
            _ => None,
        }
    }

    /// The value of a [`Kind::Date`].
    pub fn date(self, node: NodeId) -> Option<DateTime> {
        let here = self.node(node);
        if !here.is(Kind::Date) {
            return None;
        }
        if let Some(instant) = here.ticks() {
            return Some(DateTime { instant, kind: DateKind::Utc });
        }
        if here.head & ESCAPED == 0 {
            DateTime::parse_token(self.raw(node))
        } else {
            DateTime::parse_token(&self.text(node))
        }
    }

    /// The text of a member name.
    pub fn name(self, symbol: Symbol) -> &'d str {
        self.names.name(symbol)
    }

    /// The number of a member name, if any document or mapping has it.
    pub fn find_name(self, name: &str) -> Option<Symbol> {
        self.names.find(name)
    }

    pub(crate) fn node(self, node: NodeId) -> Node {
        self.nodes[node.0 as usize]
    }
}

/// See [`Document::children`].
#[derive(Clone, Debug)]
pub struct Children<'d> {
    document: Document<'d>,
    at: u32,
    end: u32,
    matched: Option<NodeId>,
}

impl Iterator for Children<'_> {
    type Item = (Symbol, NodeId);

    fn next(&mut self) -> Option<(Symbol, NodeId)> {
        if self.at < self.end {
            let id = self.at;
            let node = self.document.nodes[id as usize];
            self.at = node.next;
            return Some((node.symbol(), NodeId(id)));
        }
        self.matched.take().map(|matched| (Symbol::MATCHED_TOKEN, matched))
    }
}

/// Resolves the escapes of a JSON string that a reader has accepted. A lone
/// surrogate, which UTF-8 cannot hold, becomes U+FFFD.
pub(crate) fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(escape) = rest.chars().next() else { break };
        rest = &rest[escape.len_utf8()..];
        match escape {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let (c, used) = unescape_unicode(rest);
                text.push(c);
                rest = &rest[used..];
            }
            other => text.push(other),
        }
    }
    text.push_str(rest);
    text
}

/// Reads what follows `\u`: four hex digits, and a second escape when they are
/// the first half of a pair. Gives the character and the bytes used.
fn unescape_unicode(rest: &str) -> (char, usize) {
    let unit = |at: usize| rest.get(at..at + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(first) = unit(0) else { return (char::REPLACEMENT_CHARACTER, 0) };
    if let Some(c) = char::from_u32(first) {
        return (c, 4);
    }
    if (0xd800..0xdc00).contains(&first)
        && rest.get(4..6) == Some("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(6)
        && let Some(c) = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    {
        return (c, 10);
    }
    (char::REPLACEMENT_CHARACTER, 4)
}
