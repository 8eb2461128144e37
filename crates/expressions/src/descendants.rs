//! Walks everything below a node, in document order.
//!
//! The nodes stand in preorder, so the walk is a step from one to the next. It
//! is what `..` in a JSONPath means. A filter after `..` mostly asks for
//! members, so only objects can satisfy it: [`Document::objects_having`] goes
//! from object to object, with one AND each.

use std::ops::Range;

use crate::document::{Document, Kind, Node, NodeId};
use crate::names::Symbol;

/// See [`Document::descendants`].
#[derive(Clone, Debug)]
pub struct Descendants<'d> {
    nodes: &'d [Node],
    at: u32,
    end: u32,
    matched: Option<NodeId>,
}

impl<'d> Document<'d> {
    /// Everything below `node`, parents before children, in document order,
    /// with member names ([`Symbol::NONE`] for elements of arrays). The member
    /// that [`Document::with_matched`] added comes last, and what is inside it
    /// a second time.
    pub fn descendants(self, node: NodeId) -> Descendants<'d> {
        let matched = if node == Self::ROOT { self.matched } else { None };
        Descendants { nodes: self.nodes, at: node.0 + 1, end: self.node(node).next, matched }
    }

    /// `node` and everything below it, as [`Document::descendants`] gives it,
    /// but only objects whose name set has all of `names` (which must not be
    /// empty). Not for a document that is in itself as `matchedToken`.
    pub(crate) fn objects_having(self, node: NodeId, names: u64) -> impl Iterator<Item = NodeId> {
        let matched = if node == Self::ROOT { self.matched } else { None };
        let extra = if matched.is_some() { Symbol::MATCHED_TOKEN.bit() } else { 0 };
        let all = self.object_range(node);
        // The node itself, when it is an object, comes first.
        let is_object = self.node(node).is(Kind::Object);
        let itself = is_object && (self.sets[all.start] | extra) & names == names;
        let below = all.start + usize::from(is_object)..all.end;
        let again = matched.map_or(0..0, |matched| self.object_range(matched));
        let having = below.chain(again).filter(move |at| self.sets[*at] & names == names);
        itself.then_some(node).into_iter().chain(having.map(move |at| NodeId(self.objects[at])))
    }

    /// Which of the objects are `node` and those below it.
    fn object_range(self, node: NodeId) -> Range<usize> {
        if node == Self::ROOT {
            return 0..self.objects.len();
        }
        let end = self.node(node).next;
        let first = self.objects.partition_point(|object| *object < node.0);
        first..first + self.objects[first..].partition_point(|object| *object < end)
    }

    /// The same document without the extra member `matchedToken`: what is
    /// inside it when the match is the whole document.
    pub(crate) fn without_matched(self) -> Document<'d> {
        Document { matched: None, ..self }
    }
}

impl Iterator for Descendants<'_> {
    type Item = (Symbol, NodeId);

    fn next(&mut self) -> Option<(Symbol, NodeId)> {
        if self.at < self.end {
            let id = self.at;
            self.at += 1;
            return Some((self.nodes[id as usize].symbol(), NodeId(id)));
        }
        let matched = self.matched.take()?;
        self.at = matched.0 + 1;
        self.end = self.nodes[matched.0 as usize].next;
        Some((Symbol::MATCHED_TOKEN, matched))
    }
}
