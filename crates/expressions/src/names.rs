//! Member names as small numbers.
//!
//! A mapping interns every name it mentions when it loads; a [`Names`] copied
//! from it then interns the names of each event while it is parsed. Comparing
//! two names is comparing two numbers, and a name met a second time costs one
//! look-up and no memory.
//!
//! The names of events are bounded: [`Names::forget_if_many`] drops them, and
//! only them, when there are more than [`FORGET_AT`] or when they are longer
//! than [`FORGET_BYTES`] in all.

use std::hash::{BuildHasher, RandomState};

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

/// How many bytes of names of events are kept: far more than the names of any
/// devices, far less than what senders can make up.
pub const FORGET_BYTES: usize = 1 << 20;

/// How many bytes the compiled regular expressions of a mapping take together, and what
/// compiling them takes with it: room for one in each of a thousand templates, and so
/// little that a service which checks the mappings of others is not brought down by one.
pub const PATTERN_BYTES_MAX: usize = 64 << 20;

/// A table of member names. What compiles expressions with it shares the room for
/// regular expressions too.
#[derive(Clone, Debug)]
pub struct Names {
    /// Open addressing; at most half full.
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    text: String,
    /// Symbols below this were interned by mappings and are never forgotten.
    fixed: usize,
    /// Keeps senders from making up names that all meet in one slot.
    seed: u64,
    /// How many bytes compiled patterns have taken; more than the most when one was
    /// refused.
    pattern_bytes: usize,
}

/// Symbol 0 stands for an empty slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    symbol: u32,
    hash: u32,
}

/// A name: where it stands in the text, and how it begins.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    start: u32,
    end: u32,
    head: Head,
    /// For names that are longer: the last 16 bytes of the same.
    tail: Head,
    /// The symbol that followed this one in JSON text the last time, and that
    /// holds nothing to be escaped; 0 when there is none.
    follower: u32,
}

/// The first 16 bytes of a name as compact JSON has it, `"name":`, zeros after
/// it. It tells names of up to 13 bytes apart.
type Head = (u64, u64);

/// How many bytes a [`Head`] has.
const HEAD: usize = 16;
/// How much longer `"name":` is than the name.
const MARKS: usize = 3;

impl Default for Names {
    fn default() -> Self {
        let mut names = Names {
            slots: vec![Slot::default(); 64],
            entries: vec![Entry::default()],
            text: String::new(),
            fixed: 1,
            seed: RandomState::new().hash_one(0),
            pattern_bytes: 0,
        };
        for name in ["Body", "Properties", "SystemProperties", "matchedToken"] {
            names.intern(name);
        }
        names.fix();
        names
    }
}

impl Names {
    /// Counts what a pattern takes, in bytes, and says whether there was room for it.
    /// Once one has found no room, no other does.
    pub(crate) fn take_room_for_pattern(&mut self, bytes: usize) -> bool {
        self.pattern_bytes = self.pattern_bytes.saturating_add(bytes);
        self.pattern_bytes <= PATTERN_BYTES_MAX
    }

    /// The number of `name`, given one if it has none yet.
    #[inline]
    pub fn intern(&mut self, name: &str) -> Symbol {
        let head = head(name.as_bytes());
        let hash = hash(name.as_bytes(), head, self.seed);
        match self.look_up(name, head, hash) {
            Ok(symbol) => symbol,
            Err(at) => self.add(name, head, hash, at),
        }
    }

    /// The name that followed `previous` the last time, if `json` begins with
    /// it as `"name":`, and the length of that; else [`Symbol::NONE`]. Messages
    /// of a device are compact and much alike, so this is the usual way to a
    /// name's number.
    #[inline]
    pub(crate) fn guess(&self, previous: Symbol, json: &[u8]) -> (Symbol, usize) {
        let symbol = self.entries[previous.0 as usize].follower;
        let entry = &self.entries[symbol as usize];
        let length = (entry.end - entry.start) as usize + MARKS;
        let (low, high) = match json.first_chunk() {
            Some(chunk) => halves(chunk),
            None => halves(&padded(json)),
        };
        let (low_mask, high_mask) = MASKS[length.min(HEAD)];
        let is_it = (low ^ entry.head.0) & low_mask | (high ^ entry.head.1) & high_mask == 0
            && (length <= HEAD || self.goes_on(entry, json));
        // Without a follower the entry is that of no name.
        (if is_it { Symbol(symbol) } else { Symbol::NONE }, length)
    }

    /// Whether `json` goes on like a name that is longer than its head.
    #[inline]
    fn goes_on(&self, entry: &Entry, json: &[u8]) -> bool {
        let length = (entry.end - entry.start) as usize + MARKS;
        let Some(tail) = json.get(length - HEAD..).and_then(|tail| tail.first_chunk()) else { return false };
        // Head and tail overlap in all but very long names.
        let middle = HEAD..length - HEAD;
        let name = &self.text.as_bytes()[entry.start as usize..entry.end as usize];
        halves(tail) == entry.tail
            && (middle.is_empty() || json[middle.clone()] == name[middle.start - 1..middle.end - 1])
    }

    /// The number of `name`, which comes after `previous`. Quick when it did the
    /// last time, too.
    #[inline]
    pub(crate) fn intern_after(&mut self, previous: Symbol, name: &str) -> Symbol {
        let follower = Symbol(self.entries[previous.0 as usize].follower);
        if follower != Symbol::NONE && self.name(follower) == name {
            return follower;
        }
        let symbol = self.intern(name);
        if !name.bytes().any(|byte| matches!(byte, b'"' | b'\\' | ..=b'\x1f')) {
            self.set_follower(previous, symbol);
        }
        symbol
    }

    /// Remembers what followed `previous`: a name that JSON text held without
    /// an escape.
    #[inline]
    pub(crate) fn set_follower(&mut self, previous: Symbol, symbol: Symbol) {
        self.entries[previous.0 as usize].follower = symbol.0;
    }

    /// The number of `name`, if it has one.
    pub fn find(&self, name: &str) -> Option<Symbol> {
        let head = head(name.as_bytes());
        self.look_up(name, head, hash(name.as_bytes(), head, self.seed)).ok()
    }

    /// Gives the symbol of `name`, or the slot where it belongs.
    #[inline]
    fn look_up(&self, name: &str, head: Head, hash: u32) -> Result<Symbol, usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.symbol == 0 {
                return Err(at);
            }
            if slot.hash == hash && self.is(slot.symbol, name, head) {
                return Ok(Symbol(slot.symbol));
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn add(&mut self, name: &str, head: Head, hash: u32, at: usize) -> Symbol {
        let symbol = self.entries.len() as u32;
        let start = self.text.len() as u32;
        self.text.push_str(name);
        self.entries.push(Entry { start, end: self.text.len() as u32, head, tail: tail(name.as_bytes()), follower: 0 });
        self.slots[at] = Slot { symbol, hash };
        if self.entries.len() * 2 > self.slots.len() {
            self.rebuild(self.slots.len() * 2);
        }
        Symbol(symbol)
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
        let end = self.entries[self.fixed - 1].end as usize;
        if self.entries.len() - self.fixed <= FORGET_AT && self.text.len() - end <= FORGET_BYTES {
            return;
        }
        self.entries.truncate(self.fixed);
        self.entries.iter_mut().for_each(|entry| entry.follower = 0);
        self.text.truncate(end);
        // What many names took is not kept for the next many.
        self.entries.shrink_to(2 * self.fixed + FORGET_AT);
        self.text.shrink_to(end + FORGET_BYTES);
        let mut slots = 64;
        while self.entries.len() * 2 > slots {
            slots *= 2;
        }
        self.rebuild(slots);
    }

    /// How much memory the names take, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        let entries = self.entries.capacity() * size_of::<Entry>();
        entries + self.slots.capacity() * size_of::<Slot>() + self.text.capacity()
    }

    #[inline]
    fn is(&self, symbol: u32, name: &str, head: Head) -> bool {
        let entry = self.entries[symbol as usize];
        let length = (entry.end - entry.start) as usize;
        length == name.len()
            && entry.head == head
            && (length <= HEAD - MARKS || &self.text[entry.start as usize..entry.end as usize] == name)
    }

    fn rebuild(&mut self, slots: usize) {
        self.slots.clear();
        self.slots.shrink_to(slots);
        self.slots.resize(slots, Slot::default());
        for (symbol, entry) in self.entries.iter().enumerate().skip(1) {
            let name = &self.text.as_bytes()[entry.start as usize..entry.end as usize];
            let hash = hash(name, entry.head, self.seed);
            let mut at = hash as usize & (slots - 1);
            while self.slots[at].symbol != 0 {
                at = (at + 1) & (slots - 1);
            }
            self.slots[at] = Slot { symbol: symbol as u32, hash };
        }
    }
}

/// See [`Head`].
#[inline]
fn head(name: &[u8]) -> Head {
    let mut chunk = [0; HEAD];
    chunk[0] = b'"';
    match name.first_chunk::<{ HEAD - 1 }>() {
        Some(first) => chunk[1..].copy_from_slice(first),
        None => {
            chunk[1..=name.len()].copy_from_slice(name);
            for (place, mark) in chunk[name.len() + 1..].iter_mut().zip(*b"\":") {
                *place = mark;
            }
        }
    }
    halves(&chunk)
}

/// The last bytes of a long name with its marks; nothing for short ones.
fn tail(name: &[u8]) -> Head {
    let mut chunk = [0; HEAD];
    let Some(last) = name.last_chunk::<{ HEAD - 2 }>() else { return Head::default() };
    chunk[..HEAD - 2].copy_from_slice(last);
    chunk[HEAD - 2..].copy_from_slice(b"\":");
    halves(&chunk)
}

/// The little that is left of a text, with zeros after it.
fn padded(json: &[u8]) -> [u8; HEAD] {
    let mut chunk = [0; HEAD];
    chunk.iter_mut().zip(json).for_each(|(place, byte)| *place = *byte);
    chunk
}

#[inline]
fn halves(chunk: &[u8; HEAD]) -> (u64, u64) {
    let whole = u128::from_le_bytes(*chunk);
    (whole as u64, (whole >> 64) as u64)
}

/// Masks for the first n bytes of a [`Head`].
const MASKS: [Head; HEAD + 1] = {
    let mut masks = [(0, 0); HEAD + 1];
    let mut bytes = 1;
    while bytes <= HEAD {
        let mask = u128::MAX >> (128 - 8 * bytes);
        masks[bytes] = (mask as u64, (mask >> 64) as u64);
        bytes += 1;
    }
    masks
};

/// A quick hash over the whole name.
#[inline]
fn hash(name: &[u8], head: Head, seed: u64) -> u32 {
    let mut hash = seed ^ name.len() as u64;
    for chunk in name.get(HEAD - MARKS..).unwrap_or_default().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(word), seed);
    }
    mix(hash ^ head.0, head.1 ^ seed.rotate_left(32)) as u32
}

/// Multiplies and folds the upper half of the product onto the lower.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(a) * u128::from(b | 1);
    ((product >> 64) as u64 ^ product as u64).wrapping_mul(MULTIPLIER) >> 32
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
    fn tells_names_of_any_length_apart() {
        let mut names = Names::default();
        let mut texts: Vec<String> = (0..40).map(|length| "x".repeat(length)).collect();
        for length in 1..40 {
            texts.extend((0..length).map(|at| format!("{}y{}", "x".repeat(at), "x".repeat(length - at - 1))));
        }
        let symbols: Vec<Symbol> = texts.iter().map(|text| names.intern(text)).collect();
        for (text, symbol) in texts.iter().zip(&symbols) {
            assert_eq!(names.find(text), Some(*symbol), "{text}");
            assert_eq!(names.name(*symbol), text);
        }
        let mut distinct = symbols.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), symbols.len());
    }

    #[test]
    fn guesses_what_followed_the_last_time() {
        let mut names = Names::default();
        let more = " 1, \"more\": 2}";
        for length in 0..50 {
            let name: String = ('a'..='z').cycle().take(length).collect();
            let symbol = names.intern(&name);
            let json = format!("\"{name}\":{more}");
            names.set_follower(Symbol::BODY, Symbol::NONE);
            assert_eq!(names.guess(Symbol::BODY, json.as_bytes()).0, Symbol::NONE);
            names.set_follower(Symbol::BODY, symbol);
            assert_eq!(names.guess(Symbol::BODY, json.as_bytes()), (symbol, length + 3));
            // Any other byte in it, one more, one less, or a blank makes it another.
            for at in 0..length + 3 {
                let mut other = json.clone().into_bytes();
                other[at] = b'#';
                assert_eq!(names.guess(Symbol::BODY, &other).0, Symbol::NONE, "{name}, {at}");
            }
            for other in
                [format!("\"{name}x\":{more}"), format!("\"x{name}\":{more}"), format!(" {json}"), String::new()]
            {
                assert_eq!(names.guess(Symbol::BODY, other.as_bytes()).0, Symbol::NONE, "{other}");
            }
        }
    }

    #[test]
    fn interns_what_comes_again() {
        let mut names = Names::default();
        let a = names.intern_after(Symbol::BODY, "a");
        let quoted = names.intern_after(a, "b\"c");
        for _ in 0..2 {
            assert_eq!(names.intern_after(Symbol::BODY, "a"), a);
            assert_eq!(names.intern_after(a, "b\"c"), quoted);
        }
        assert_eq!(names.guess(Symbol::BODY, b"\"a\":1"), (a, 4));
        // JSON text has other bytes for this name.
        assert_eq!(names.guess(a, b"\"b\"c\":1").0, Symbol::NONE);
    }

    #[test]
    fn forgets_names_that_are_long() {
        let mut names = Names::default();
        let kept = names.intern("kept");
        names.fix();
        for i in 0..40 {
            names.intern(&format!("{i}{}", "x".repeat(100_000)));
            names.forget_if_many();
            assert!(names.capacity() < 4 * FORGET_BYTES, "{}", names.capacity());
        }
        assert_eq!(names.find("kept"), Some(kept));
    }

    #[test]
    fn forgets_only_the_names_of_events() {
        let mut names = Names::default();
        let kept = names.intern("kept");
        names.fix();
        for i in 0..=FORGET_AT {
            names.intern(&format!("made-up-{i}"));
        }
        names.set_follower(kept, Symbol(kept.0 + 1));
        names.forget_if_many();
        assert_eq!(names.guess(kept, b"\"made-up-0\": 1234567}").0, Symbol::NONE);
        assert_eq!(names.find("kept"), Some(kept));
        assert_eq!(names.find("made-up-1"), None);
        assert_eq!(names.intern("made-up-1"), Symbol(kept.0 + 1));
    }
}
