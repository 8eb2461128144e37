//! Documents with a computed `matchedToken`: the slow way to what
//! [`Document::with_matched`] does for nodes.

use super::builder::NONE;
use crate::budget::{BYTES_A_STEP, Budget};
use crate::document::{Document, Kind, Node, NodeId, Scratch};
use crate::expression::EvaluateError;
use crate::names::Symbol;
use crate::value::Value;

/// What copying a node counts for.
const COPY_STEPS: usize = 4;

/// How many bytes a computed match may take. It may hold parts of the document
/// many times over.
pub const MATCH_BYTES_MAX: usize = 64 << 20;

/// Copies of one document that differ in their match.
///
/// The document is copied once; each match then takes the place of the one
/// before.
#[derive(Debug)]
pub struct MatchedCopies<'s> {
    scratch: &'s mut Scratch,
    copied: Option<Copied>,
}

/// How much of the scratch the document itself takes.
#[derive(Clone, Copy, Debug)]
struct Copied {
    nodes: usize,
    objects: usize,
    arena: usize,
}

impl Scratch {
    /// [`MatchedCopies::with_matched`] for one match, as often as need be.
    pub fn copy_with_matched(&mut self, of: Document<'_>, value: &Value<'_>) -> Document<'_> {
        self.copy(of);
        self.put_matched(of, value)
    }

    /// Copies `of` without its match, and without a member of that name, which
    /// gives way to it.
    fn copy(&mut self, of: Document<'_>) {
        self.clear();
        let root = self.open(Kind::Object, Symbol::NONE, NONE);
        let members = of.without_matched().children(Document::ROOT);
        for (name, child) in members.filter(|(name, _)| *name != Symbol::MATCHED_TOKEN) {
            let symbol = self.names.intern(of.name(name));
            self.add_member(root, symbol);
            self.push_value(symbol, of, &Value::Node(child));
        }
        self.close(root);
    }

    /// Appends the match behind the root, as [`Document::with_matched`] has it
    /// outside of it, too.
    fn put_matched(&mut self, of: Document<'_>, value: &Value<'_>) -> Document<'_> {
        let matched = NodeId(self.nodes.len() as u32);
        self.push_value(Symbol::MATCHED_TOKEN, of, value);
        self.document("").with_matched(matched)
    }
}

impl<'s> MatchedCopies<'s> {
    /// Copies that lie in `scratch`.
    pub fn new(scratch: &'s mut Scratch) -> MatchedCopies<'s> {
        MatchedCopies { scratch, copied: None }
    }

    /// A copy of `of`, the same for every match, whose root has one more
    /// member, `matchedToken`, with a value that was computed from `of` and may
    /// hold nodes of it. A match that `of` has is not copied.
    pub fn with_matched(
        &mut self,
        of: Document<'_>,
        value: &Value<'_>,
        budget: &Budget,
    ) -> Result<Document<'_>, EvaluateError> {
        let mut bytes = 0;
        weigh(of, value, budget, &mut bytes)?;
        let scratch = &mut *self.scratch;
        match self.copied {
            Some(copied) => {
                scratch.truncate(copied.nodes, copied.objects);
                scratch.arena.truncate(copied.arena);
            }
            None => {
                budget.spend(of.size(Document::ROOT).saturating_mul(COPY_STEPS))?;
                scratch.copy(of);
                let Scratch { nodes, objects, arena, .. } = &*scratch;
                self.copied = Some(Copied { nodes: nodes.len(), objects: objects.len(), arena: arena.len() });
            }
        }
        Ok(self.scratch.put_matched(of, value))
    }
}

/// Counts what a copy of `value` takes, before it is made.
fn weigh(of: Document<'_>, value: &Value<'_>, budget: &Budget, bytes: &mut usize) -> Result<(), EvaluateError> {
    let mut add = |text: usize| {
        budget.spend(COPY_STEPS + text / BYTES_A_STEP)?;
        *bytes += size_of::<Node>() + text;
        if *bytes > MATCH_BYTES_MAX {
            let mib = MATCH_BYTES_MAX >> 20;
            return Err(EvaluateError::Limit(format!("a computed match takes more than {mib} MiB")));
        }
        Ok(())
    };
    match value {
        Value::Node(node) => {
            add(of.raw(*node).len())?;
            of.descendants(*node).try_for_each(|(_, below): (Symbol, NodeId)| add(of.raw(below).len()))
        }
        Value::String(text) => add(text.len()),
        Value::Array(items) => {
            add(0)?;
            items.iter().try_for_each(|item| weigh(of, item, budget, bytes))
        }
        Value::Object(members) => {
            add(0)?;
            members.iter().try_for_each(|(_, value)| weigh(of, value, budget, bytes))
        }
        _ => add(0),
    }
}
