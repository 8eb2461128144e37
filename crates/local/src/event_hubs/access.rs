//! Who may use one hub, and with which consumer groups; kept beside its events.
//!
//! ```text
//! STATE/<hub>/hub.json   partitions, groups, and rules with their keys
//! ```
//!
//! An *open* hub takes anyone. Any other wants a token that is signed with a key
//! of one of its rules, and that rule has to have the right ([`super::tokens`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::store::DEFAULT_GROUP;

/// Where a hub's access is kept, in the hub's folder.
const FILE: &str = "hub.json";
/// As long as the keys of the service.
const KEY_BYTES: usize = 32;

/// What the holder of a rule's key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Right {
    /// Send events.
    Send,
    /// Receive them.
    Listen,
    /// Both, and more.
    Manage,
}

/// Which key of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// The first.
    PrimaryKey,
    /// The second.
    SecondaryKey,
}

/// An authorization rule: rights, for whoever has one of its two keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name, which a token says.
    pub name: String,
    /// What its keys open.
    pub rights: BTreeSet<Right>,
    /// The first key.
    pub primary_key: String,
    /// The second.
    pub secondary_key: String,
}

/// Without the keys.
impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).field("rights", &self.rights).finish_non_exhaustive()
    }
}

impl Rule {
    /// A rule with two new keys.
    pub fn new(name: &str, rights: BTreeSet<Right>) -> io::Result<Rule> {
        Ok(Rule { name: name.to_owned(), rights, primary_key: new_key()?, secondary_key: new_key()? })
    }

    /// Makes one of its keys anew.
    pub fn regenerate(&mut self, key: KeyType) -> io::Result<()> {
        match key {
            KeyType::PrimaryKey => self.primary_key = new_key()?,
            KeyType::SecondaryKey => self.secondary_key = new_key()?,
        }
        Ok(())
    }

    /// Whether one of its keys is this one.
    pub fn has_key(&self, key: &str) -> bool {
        self.primary_key == key || self.secondary_key == key
    }

    /// Whether it gives a right.
    pub fn gives(&self, right: Right) -> bool {
        self.rights.contains(&right) || self.rights.contains(&Right::Manage)
    }
}

fn new_key() -> io::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(BASE64_STANDARD.encode(bytes))
}

/// Rules by their names, which are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rules(BTreeMap<String, Rule>);

impl Rules {
    /// The rule of a name.
    pub fn get(&self, name: &str) -> Option<&Rule> {
        self.0.get(&name.to_lowercase())
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Rule> {
        self.0.get_mut(&name.to_lowercase())
    }

    /// Adds a rule, or puts it in the place of the one of its name.
    pub fn put(&mut self, rule: Rule) {
        self.0.insert(rule.name.to_lowercase(), rule);
    }

    /// Takes a rule away.
    pub fn remove(&mut self, name: &str) -> Option<Rule> {
        self.0.remove(&name.to_lowercase())
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.values()
    }
}

/// Who may use a hub, and as which groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The hub's name, as it was given.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u16,
    /// Whether anyone may use it.
    pub is_open: bool,
    /// Consumer groups besides `$Default`, as they were given.
    pub consumer_groups: BTreeSet<String>,
    /// What opens it.
    pub rules: Rules,
    /// Set when the hub is gone; whoever still uses it has to leave.
    #[serde(skip)]
    pub is_removed: bool,
}

impl Access {
    /// What is kept in a hub's folder; none for a hub that nothing was said of.
    pub fn read(folder: &Path) -> io::Result<Option<Access>> {
        let text = match fs::read(folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&text).map(Some).map_err(io::Error::from)
    }

    /// Keeps it, whole or not at all. The file holds keys, so that only its owner
    /// may read it.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_private(&folder.join(FILE), &serde_json::to_vec_pretty(self)?)
    }

    /// Whether the hub has a consumer group, without regard to case.
    pub fn has_consumer_group(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(DEFAULT_GROUP) || self.consumer_group(name).is_some()
    }

    /// A group besides `$Default`, as it was given.
    pub fn consumer_group(&self, name: &str) -> Option<&String> {
        self.consumer_groups.iter().find(|group| group.eq_ignore_ascii_case(name))
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_only_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Access::read(folder.path()).unwrap(), None);
        let mut access = Access {
            name: "Hub".to_owned(),
            partitions: 2,
            is_open: false,
            consumer_groups: BTreeSet::from(["Group".to_owned()]),
            rules: Rules::default(),
            is_removed: false,
        };
        access.rules.put(Rule::new("Sender", BTreeSet::from([Right::Send])).unwrap());
        access.write(folder.path()).unwrap();
        assert_eq!(Access::read(folder.path()).unwrap().as_ref(), Some(&access));
        assert!(access.has_consumer_group("group") && access.has_consumer_group("$default"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_new_key_takes_the_place_of_one_and_is_not_printed() {
        let mut rule = Rule::new("r", BTreeSet::from([Right::Send])).unwrap();
        let before = rule.clone();
        rule.regenerate(KeyType::PrimaryKey).unwrap();
        assert!(!rule.has_key(&before.primary_key) && rule.has_key(&before.secondary_key));
        assert!(rule.gives(Right::Send) && !rule.gives(Right::Listen));
        assert!(!format!("{rule:?}").contains(&rule.secondary_key));
    }
}
