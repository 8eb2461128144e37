//! The members of a JSON object in their order, each value as it was written.
//!
//! The object is one text, and beside it stands where each member is. What we
//! do not understand, and every digit of a number, passes through untouched;
//! what we do understand is read from the text when it is needed.

use std::borrow::Cow;

use crate::json;

/// See the module's text. A name given twice has the value given last. Names
/// are asked for as they are escaped; none that we know needs it.
#[derive(Clone, Debug)]
pub(super) struct Members {
    /// The object, without blanks between members.
    text: String,
    /// In the order of the text.
    places: Vec<Place>,
}

/// Where a member stands: `"name":value` from `start` to `end`.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    value: usize,
    end: usize,
}

impl Default for Members {
    fn default() -> Members {
        Members::with_capacity(2)
    }
}

impl Members {
    /// No members, and room for this many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Members {
        let mut text = String::with_capacity(bytes);
        text.push_str("{}");
        Members { text, places: Vec::with_capacity(16) }
    }

    /// Reads an object that came from outside.
    pub(super) fn parse(bytes: &[u8]) -> Result<Members, serde_json::Error> {
        let object: json::Object<'_> = match std::str::from_utf8(bytes) {
            Ok(text) => serde_json::from_str(text)?,
            // For the place of the error.
            Err(_) => serde_json::from_slice(bytes)?,
        };
        let mut members = Members::with_capacity(bytes.len() + 32);
        for (name, value) in &object.members {
            members.set(&json::escaped(name), value.get());
        }
        Ok(members)
    }

    /// The members of an object that is part of one; none for any other value.
    pub(super) fn read(value: &str) -> Option<Members> {
        let mut members = Members::with_capacity(value.len() + 32);
        for (name, value) in json::members(value)? {
            members.set(&json::escaped(&json::text(name)?), value);
        }
        Some(members)
    }

    /// The object.
    pub(super) fn json(&self) -> &str {
        &self.text
    }

    /// The object.
    pub(super) fn into_json(self) -> String {
        self.text
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.position(name).map(|at| self.value(self.places[at]))
    }

    /// The member `name` as text; none when it is no text.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        json::text(self.get(name)?)
    }

    /// Names, as they are escaped, and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.places.iter().map(|place| (self.name(*place), self.value(*place)))
    }

    /// Puts a text where the member stood, or at the end.
    pub(super) fn set_text(&mut self, name: &str, text: &str) {
        let mut value = String::with_capacity(text.len() + 2);
        json::push_text(text, &mut value);
        self.set(name, &value);
    }

    /// Puts a member, which is not there yet, at the end.
    pub(super) fn push(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        self.text.pop();
        if !self.places.is_empty() {
            self.text.push(',');
        }
        let start = self.text.len();
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
        let value = self.text.len();
        write(&mut self.text);
        self.places.push(Place { start, value, end: self.text.len() });
        self.text.push('}');
    }

    /// Puts another member where `old` stood.
    pub(super) fn replace(&mut self, old: &str, name: &str, value: &str) {
        let Some(at) = self.position(old).filter(|_| old != name) else { return self.set(name, value) };
        let mut member = String::with_capacity(name.len() + value.len() + 3);
        member.push('"');
        member.push_str(name);
        member.push_str("\":");
        let name_length = member.len();
        member.push_str(value);
        let start = self.places[at].start;
        self.put(at, start, &member);
        self.places[at].value = start + name_length;
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(at) = self.position(name) else { return false };
        let place = self.places.remove(at);
        // The comma behind it, or before it when it is the last.
        let end = if at < self.places.len() { place.end + 1 } else { place.end };
        let start = if at == self.places.len() && at > 0 { place.start - 1 } else { place.start };
        self.text.replace_range(start..end, "");
        self.shift(at, -((end - start) as isize));
        true
    }

    /// Puts a value where the member stood, or at the end.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.position(name) {
            Some(at) => self.put(at, self.places[at].value, value),
            None => self.push(name, |text| text.push_str(value)),
        }
    }

    /// All names are escaped by us, in one way, so that they can be compared.
    fn position(&self, name: &str) -> Option<usize> {
        let has_length = |place: &Place| place.value - place.start == name.len() + 3;
        self.places.iter().position(|place| has_length(place) && self.name(*place) == name)
    }

    /// What stands between the quotes.
    fn name(&self, place: Place) -> &str {
        &self.text[place.start + 1..place.value - 2]
    }

    fn value(&self, place: Place) -> &str {
        &self.text[place.value..place.end]
    }

    /// Writes over what stands from `start` to the end of a member.
    fn put(&mut self, at: usize, start: usize, text: &str) {
        let end = self.places[at].end;
        self.text.replace_range(start..end, text);
        self.places[at].end = start + text.len();
        self.shift(at + 1, text.len() as isize - (end - start) as isize);
    }

    fn shift(&mut self, from: usize, by: isize) {
        for place in &mut self.places[from..] {
            for end in [&mut place.start, &mut place.value, &mut place.end] {
                *end = end.wrapping_add_signed(by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_what_it_read() {
        let text = r#"{"b":1.500,"a":[1e3, {"z":null}],"c":"\u00e4"}"#;
        let spread = text.replace(",\"", " , \"").replace("\":[", "\" : [");
        for read in [Members::parse(text.as_bytes()).unwrap(), Members::parse(spread.as_bytes()).unwrap()] {
            assert_eq!(read.json(), text);
        }
        assert_eq!(Members::read(&spread).unwrap().json(), text);
        assert!(Members::parse(b"[]").is_err() && Members::parse(b"{\"a\":\xff}").is_err());
        assert!(Members::read("[]").is_none());
    }

    #[test]
    fn finds_a_name_however_it_is_escaped() {
        let members = Members::parse(br#"{"\u0061\n":1,"a\u000a":2,"\"":3}"#).unwrap();
        assert_eq!(members.json(), r#"{"a\n":2,"\"":3}"#);
        assert_eq!((members.get("a\\n"), members.get("\\\"")), (Some("2"), Some("3")));
    }

    /// A change to an object of a few members.
    #[derive(Clone, Debug)]
    enum Change {
        Set(usize, String),
        Replace(usize, usize, String),
        Remove(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        let (name, value) = (0_usize..5, "[0-9]{1,5}");
        prop_oneof![
            (name.clone(), value).prop_map(|(name, value)| Change::Set(name, value)),
            (name.clone(), name.clone(), value).prop_map(|(old, name, value)| Change::Replace(old, name, value)),
            name.prop_map(Change::Remove),
        ]
    }

    proptest! {
        /// As a plain list of names and values would.
        #[test]
        fn changes_in_place(changes in proptest::collection::vec(change(), 0..20)) {
            const NAMES: [&str; 5] = ["a", "bb", "c", "status", ""];
            let mut members = Members::default();
            let mut list: Vec<(usize, String)> = Vec::new();
            for change in changes {
                let at = |list: &[(usize, String)], name| list.iter().position(|member| member.0 == name);
                match change {
                    Change::Set(name, value) => {
                        members.set(NAMES[name], &value);
                        match at(&list, name) {
                            Some(at) => list[at].1 = value,
                            None => list.push((name, value)),
                        }
                    }
                    // A name is replaced by one that is not there.
                    Change::Replace(old, name, value) if old == name || at(&list, name).is_none() => {
                        members.replace(NAMES[old], NAMES[name], &value);
                        match at(&list, old) {
                            Some(at) => list[at] = (name, value),
                            None => list.push((name, value)),
                        }
                    }
                    Change::Replace(..) => {}
                    Change::Remove(name) => {
                        let place = at(&list, name);
                        prop_assert_eq!(members.remove(NAMES[name]), place.is_some());
                        place.map(|at| list.remove(at));
                    }
                }
                let parts: Vec<String> =
                    list.iter().map(|(name, value)| format!("{}:{value}", serde_json::to_string(NAMES[*name]).unwrap())).collect();
                prop_assert_eq!(members.json(), format!("{{{}}}", parts.join(",")));
                for (name, value) in &list {
                    prop_assert_eq!(members.get(NAMES[*name]), Some(value.as_str()));
                }
            }
        }
    }
}
