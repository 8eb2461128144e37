//! Walks everything below a node, in document order.
//!
//! The nodes stand in preorder, so the walk is a step from one to the next. It
//! is what `..` in a JSONPath means, and what tests all type matches of a
//! mapping at once ([`crate::Expression::scan_names`]).

use crate::document::{Document, Node, NodeId};
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
