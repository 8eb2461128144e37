//! Appends nodes to a [`Scratch`], in preorder, for all readers alike.
//!
//! While an object or array is open its node's `next` leads to the one around
//! it, so that no stack is needed. A member name given twice is found when its
//! object closes: the name set says whether there can be one, and only then
//! are the members looked through. The last value then moves to the place of
//! the first (device-mapping.md 1.3).

use crate::document::{IN_ARENA, Kind, Node, Scratch, Seen};
use crate::names::Symbol;

/// Stands for "no object or array is open".
pub(crate) const NONE: u32 = u32::MAX;

impl Scratch {
    /// Appends a scalar whose text is in the body or arena, as `flags` say.
    #[inline]
    pub(crate) fn push(&mut self, kind: Kind, symbol: Symbol, flags: u32, start: u32, end: u32) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { start, end, next, ..Node::new(kind, symbol, flags) });
    }

    /// Appends a scalar whose text `write` appends to the arena.
    pub(crate) fn push_written(&mut self, kind: Kind, symbol: Symbol, flags: u32, write: impl FnOnce(&mut String)) {
        let start = self.arena.len() as u32;
        write(&mut self.arena);
        let end = self.arena.len() as u32;
        self.push(kind, symbol, flags | IN_ARENA, start, end);
    }

    /// Opens an object or array inside `around`; gives its node.
    #[inline]
    pub(crate) fn open(&mut self, kind: Kind, symbol: Symbol, around: u32) -> u32 {
        let open = self.nodes.len() as u32;
        let start = self.sets.len() as u32;
        if kind == Kind::Object {
            self.sets.push(0);
            self.objects.push(open);
        }
        self.nodes.push(Node { start, end: 0, next: around, ..Node::new(kind, symbol, 0) });
        open
    }

    /// Puts `symbol` into the name set of the open object `open`.
    #[inline]
    pub(crate) fn add_name(&mut self, open: u32, symbol: Symbol) {
        let node = self.nodes[open as usize];
        self.sets[node.start as usize] |= symbol.bit();
    }

    /// Counts one more child of `open`.
    #[inline]
    pub(crate) fn add_child(&mut self, open: u32) {
        self.nodes[open as usize].end += 1;
    }

    /// Closes `open`; gives what is around it.
    #[inline]
    pub(crate) fn close(&mut self, open: u32) -> u32 {
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[open as usize];
        let around = std::mem::replace(&mut node.next, next);
        // With fewer bits than members, two share one: perhaps the same name.
        if node.is(Kind::Object) && self.sets[node.start as usize].count_ones() < node.end {
            self.merge_repeated(open);
        }
        around
    }

    /// Gives each name of a closed object its last value, at its first place.
    fn merge_repeated(&mut self, object: u32) {
        let (first, end) = (object + 1, self.nodes.len() as u32);
        self.pass += 1;
        let mut members: Vec<u32> = Vec::new();
        let mut is_repeated = false;
        let mut at = first;
        while at < end {
            let node = self.nodes[at as usize];
            let symbol = node.symbol().0 as usize;
            if symbol >= self.seen.len() {
                self.seen.resize(symbol + 1, Seen::default());
            }
            let seen = &mut self.seen[symbol];
            if seen.pass == self.pass {
                members[seen.at as usize] = at;
                is_repeated = true;
            } else {
                *seen = Seen { pass: self.pass, at: members.len() as u32 };
                members.push(at);
            }
            at = node.next;
        }
        if is_repeated {
            self.keep_members(object, &members);
        }
    }

    /// Makes `members` the members of `object`, the last of the row.
    fn keep_members(&mut self, object: u32, members: &[u32]) {
        let first = object as usize + 1;
        let old = self.nodes.split_off(first);
        for &member in members {
            let moved = (self.nodes.len() as u32).wrapping_sub(member);
            let from = member as usize - first;
            let to = old[from].next as usize - first;
            self.nodes.extend(old[from..to].iter().map(|node| Node { next: node.next.wrapping_add(moved), ..*node }));
        }
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[object as usize];
        node.next = next;
        node.end = members.len() as u32;
        self.keep_sets(object);
    }

    /// Puts the name sets below `object` into the order of its nodes again, and
    /// drops those of objects that are gone.
    fn keep_sets(&mut self, object: u32) {
        let first = self.nodes[object as usize].start as usize + 1;
        let old = self.sets.split_off(first);
        self.objects.truncate(first);
        for at in object + 1..self.nodes.len() as u32 {
            let node = &mut self.nodes[at as usize];
            if node.is(Kind::Object) {
                let set = old[node.start as usize - first];
                node.start = self.sets.len() as u32;
                self.sets.push(set);
                self.objects.push(at);
            }
        }
    }

    /// Takes back the nodes from `nodes` on, and the objects from `objects` on.
    pub(crate) fn truncate(&mut self, nodes: usize, objects: usize) {
        self.nodes.truncate(nodes);
        self.sets.truncate(objects);
        self.objects.truncate(objects);
    }
}
