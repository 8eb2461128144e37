//! Member names as small numbers.
//!
//! A mapping interns every name it mentions when it loads; a [`Names`] copied
//! from it then interns the names of each event while it is parsed. Comparing
//! two names is comparing two numbers, and a name met a second time costs one
//! look-up and no memory.
//!
//! The names of events are bounded: [`Names::forget_if_many`] drops them, and
//! only them, when there are more than [`FORGET_AT`].

/// The number of a member name within one [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub(crate) u32);

impl Symbol {
    /// What has no name: the root and the elements of arrays.
    pub const NONE: Symbol = Symbol(0);
    /// `Body`.
    pub const BODY: Symbol = Symbol(1);
    /// `Properties`.
    pub const PROPERTIES: Symbol = Symbol(2);
    /// `SystemProperties`.
    pub const SYSTEM_PROPERTIES: Symbol = Symbol(3);
    /// `matchedToken`.
    pub const MATCHED_TOKEN: Symbol = Symbol(4);

    /// The bit that stands for this name in the set that each object carries.
    ///
    /// Different names share a bit when there are more than 64 of them, so a
    /// set bit means "perhaps", a clear one "no".
    pub fn bit(self) -> u64 {
        1 << (self.0 & 63)
    }
}

/// How many names of events are kept before they are forgotten: device
/// payloads have tens, so this only stops senders that make up names.
pub const FORGET_AT: usize = 8192;

/// A table of member names.
#[derive(Clone, Debug)]
pub struct Names {
    /// Open addressing; holds symbol numbers, 0 for an empty slot.
    slots: Vec<u32>,
    /// Where each symbol's text ends in `text`, and its hash.
    entries: Vec<Entry>,
    text: String,
    /// Symbols below this were interned by mappings and are never forgotten.
    fixed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    end: u32,
    hash: u32,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Names {
            slots: vec![0; 64],
            entries: vec![Entry { start: 0, end: 0, hash: 0 }],
            text: String::new(),
            fixed: 1,
        };
        for name in ["Body", "Properties", "SystemProperties", "matchedToken"] {
            names.intern(name);
        }
        names.fix();
        names
    }
}

impl Names {
    /// The number of `name`, given one if it has none yet.
    pub fn intern(&mut self, name: &str) -> Symbol {
        let hash = hash(name.as_bytes());
        let mut at = hash as usize & (self.slots.len() - 1);
        loop {
            match self.slots[at] {
                0 => break,
                symbol if self.is(symbol, name, hash) => return Symbol(symbol),
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
        let symbol = self.entries.len() as u32;
        let start = self.text.len() as u32;
        self.text.push_str(name);
        self.entries.push(Entry { start, end: self.text.len() as u32, hash });
        self.slots[at] = symbol;
        if self.entries.len() * 2 > self.slots.len() {
            self.rebuild(self.slots.len() * 2);
        }
        Symbol(symbol)
    }

    /// The number of `name`, if it has one.
    pub fn find(&self, name: &str) -> Option<Symbol> {
        let hash = hash(name.as_bytes());
        let mut at = hash as usize & (self.slots.len() - 1);
        loop {
            match self.slots[at] {
                0 => return None,
                symbol if self.is(symbol, name, hash) => return Some(Symbol(symbol)),
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// The text of `symbol`; empty for [`Symbol::NONE`].
    pub fn name(&self, symbol: Symbol) -> &str {
        let entry = self.entries[symbol.0 as usize];
        &self.text[entry.start as usize..entry.end as usize]
    }

    /// Keeps everything interned so far for good; a mapping calls this when
    /// it has loaded.
    pub fn fix(&mut self) {
        self.fixed = self.entries.len();
    }

    /// Forgets the names of events when there are too many. Called between
    /// events: it makes every [`Symbol`] handed out since [`Names::fix`] void.
    pub fn forget_if_many(&mut self) {
        if self.entries.len() - self.fixed <= FORGET_AT {
            return;
        }
        let end = self.entries[self.fixed - 1].end as usize;
        self.entries.truncate(self.fixed);
        self.text.truncate(end);
        let mut slots = 64;
        while self.entries.len() * 2 > slots {
            slots *= 2;
        }
        self.rebuild(slots);
    }

    fn is(&self, symbol: u32, name: &str, hash: u32) -> bool {
        let entry = self.entries[symbol as usize];
        entry.hash == hash && &self.text[entry.start as usize..entry.end as usize] == name
    }

    fn rebuild(&mut self, slots: usize) {
        self.slots.clear();
        self.slots.resize(slots, 0);
        for (symbol, entry) in self.entries.iter().enumerate().skip(1) {
            let mut at = entry.hash as usize & (slots - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (slots - 1);
            }
            self.slots[at] = symbol as u32;
        }
    }
}

/// A quick hash over the whole name. Collisions only cost a comparison, and
/// the number of names is bounded, so it need not resist an attacker.
fn hash(name: &[u8]) -> u32 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = name.len() as u64;
    let mut chunks = name.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    let mut word = [0; 8];
    let rest = chunks.remainder();
    word[..rest.len()].copy_from_slice(rest);
    hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_equal_names_equal_numbers() {
        let mut names = Names::default();
        let a = names.intern("heartRate");
        assert_eq!(names.intern("heartRate"), a);
        assert_ne!(names.intern("heartrate"), a);
        assert_eq!(names.name(a), "heartRate");
        assert_eq!(names.find("Body"), Some(Symbol::BODY));
        assert_eq!(names.find("matchedToken"), Some(Symbol::MATCHED_TOKEN));
        assert_eq!(names.find("nope"), None);
    }

    #[test]
    fn forgets_only_the_names_of_events() {
        let mut names = Names::default();
        let kept = names.intern("kept");
        names.fix();
        for i in 0..=FORGET_AT {
            names.intern(&format!("made-up-{i}"));
        }
        names.forget_if_many();
        assert_eq!(names.find("kept"), Some(kept));
        assert_eq!(names.find("made-up-1"), None);
        assert_eq!(names.intern("made-up-1"), Symbol(kept.0 + 1));
    }
}
