//! Walks everything below a node, in document order.
//!
//! The nodes stand in preorder, so the walk is a step from one to the next. It
//! is what `..` in a JSONPath means. A filter after `..` mostly asks for
//! members, so only objects can satisfy it: `Document::visit_having` goes from
//! object to object, with one AND each.

use std::ops::{ControlFlow, Range};

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

    /// Whether `..` from the root goes on in the match: it does if the match is in
    /// no other place, since an expression computed it, and else if `twice`.
    pub(crate) fn goes_on_in_match(self, twice: bool) -> bool {
        let is_apart = |matched: NodeId| matched.0 >= self.node(Self::ROOT).next;
        twice || self.matched.is_some_and(is_apart)
    }

    /// Visits `node` and everything below it, as [`Document::descendants`] gives
    /// it, but only objects whose name set has all of `names` (which must not
    /// be empty), and what is inside the match a second time only if `twice`.
    /// Not for a document that is in itself as `matchedToken`.
    #[inline]
    pub(crate) fn visit_having<B>(
        self,
        node: NodeId,
        names: u64,
        twice: bool,
        mut visit: impl FnMut(NodeId) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let matched = if node == Self::ROOT { self.matched } else { None };
        let all = self.object_range(node);
        let again = matched.filter(|_| self.goes_on_in_match(twice)).map_or(0..0, |matched| self.object_range(matched));
        // The root has one name more than its set says.
        let root_names = if matched.is_some() { names & !Symbol::MATCHED_TOKEN.bit() } else { names };
        for range in [all, again] {
            for (set, object) in self.sets[range.clone()].iter().zip(&self.objects[range]) {
                let names = if *object == Self::ROOT.0 { root_names } else { names };
                if set & names == names {
                    visit(NodeId(*object))?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Which of the objects are `node` and those below it.
    fn object_range(self, node: NodeId) -> Range<usize> {
        let end = self.node(node).next;
        if node == Self::ROOT && end as usize == self.nodes.len() {
            return 0..self.objects.len();
        }
        let first = self.objects.partition_point(|object| *object < node.0);
        first..first + self.objects[first..].partition_point(|object| *object < end)
    }

    /// How what is inside `child`, which was reached from another node, is seen:
    /// only the match leads back to the root, which there lacks the match.
    #[inline]
    pub(crate) fn below(self, child: NodeId) -> Document<'d> {
        if child == Self::ROOT { self.without_matched() } else { self }
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
