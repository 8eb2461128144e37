//! Every version of every resource, in memory and in the journal.
//!
//! Changes are made in memory at once and either kept by [`Store::commit`],
//! which writes them as one line of the journal, or taken back by
//! [`Store::roll_back`]. No HTTP, no rules of FHIR servers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::fhir_server::failure::Failure;
use crate::fhir_server::journal::{Journal, Ticket};
use crate::fhir_server::resource::{Resource, Stored};

/// One version of a resource.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// Counted from 1 within the resource.
    pub(super) number: u64,
    /// `meta.versionId`.
    pub(super) version_id: String,
    /// `meta.lastUpdated`.
    pub(super) last_updated: String,
    /// `None`: this version is the deletion.
    pub(super) resource: Option<Stored>,
    /// Place of the change among all changes of the server.
    pub(super) order: u64,
}

/// All resources of one type.
#[derive(Debug, Default)]
struct Kind {
    by_id: HashMap<String, Vec<Version>>,
    /// Ids in the order of their first version.
    ids: Vec<String>,
    /// Identifier value to the ids that have or had it.
    by_identifier: HashMap<String, HashSet<String>>,
}

/// The state of the server.
#[derive(Debug, Default)]
pub(super) struct Store {
    kinds: BTreeMap<String, Kind>,
    journal: Option<Journal>,
    opaque_versions: bool,
    pending: Vec<(String, String)>,
    changes: u64,
    last_number: u64,
}

/// One version as it stands in the journal.
#[derive(Serialize, Deserialize)]
struct Change<'a> {
    kind: &'a str,
    id: &'a str,
    version: &'a str,
    updated: &'a str,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
}

impl Store {
    /// A store in memory only.
    pub(super) fn in_memory(opaque_versions: bool) -> Self {
        Self { opaque_versions, ..Self::default() }
    }

    /// A store that keeps its journal in `folder`, and what is already there.
    pub(super) fn open(folder: &Path, opaque_versions: bool) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut store = Self::in_memory(opaque_versions);
        let journal = Journal::open(&folder.join("resources.jsonl"), |line| store.replay(line))?;
        store.journal = Some(journal);
        Ok(store)
    }

    fn replay(&mut self, line: &str) -> io::Result<()> {
        let changes: Vec<Change<'_>> = serde_json::from_str(line)?;
        for change in changes {
            let resource = change.resource.map(|text| Stored::from(text.to_owned()));
            self.push(change.kind, change.id, change.version.to_owned(), change.updated.to_owned(), resource);
        }
        self.pending.clear();
        Ok(())
    }

    /// The newest version, which may be a deletion.
    pub(super) fn newest(&self, kind: &str, id: &str) -> Option<&Version> {
        self.kinds.get(kind)?.by_id.get(id)?.last()
    }

    /// The newest version unless it is a deletion.
    pub(super) fn current(&self, kind: &str, id: &str) -> Option<&Version> {
        self.newest(kind, id).filter(|version| version.resource.is_some())
    }

    /// All versions of a resource, oldest first; empty when there is none.
    pub(super) fn versions(&self, kind: &str, id: &str) -> &[Version] {
        self.kinds.get(kind).and_then(|kind| kind.by_id.get(id)).map_or(&[], Vec::as_slice)
    }

    /// The ids of a type, in the order in which they were first stored.
    pub(super) fn ids(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.kinds.get(kind).into_iter().flat_map(|kind| kind.ids.iter().map(String::as_str))
    }

    /// The ids whose resource has, or once had, an identifier of this value.
    pub(super) fn ids_with_identifier(&self, kind: &str, value: &str) -> impl Iterator<Item = &str> {
        let ids = self.kinds.get(kind).and_then(|kind| kind.by_identifier.get(value));
        ids.into_iter().flat_map(|ids| ids.iter().map(String::as_str))
    }

    /// Whether any current resource holds a reference to this one.
    pub(super) fn is_referenced(&self, kind: &str, id: &str) -> bool {
        let needle = format!("\"{kind}/{id}\"");
        let versions = self.kinds.values().flat_map(|kind| kind.by_id.values());
        versions.filter_map(|versions| versions.last()?.resource.as_ref()).any(|stored| stored.text().contains(&needle))
    }

    /// How many resources of each type there are.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let counts = self.kinds.iter().map(|(name, kind)| {
            let there = kind.by_id.values().filter(|v| v.last().is_some_and(|version| version.resource.is_some()));
            (name.clone(), there.count())
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// A number that no resource of this server has as its id.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Adds a version; `None` is a deletion.
    pub(super) fn put(
        &mut self,
        kind: &str,
        id: &str,
        resource: Option<&Resource>,
        now: Timestamp,
    ) -> Result<Version, Failure> {
        let number = self.newest(kind, id).map_or(1, |version| version.number + 1);
        let version_id = if self.opaque_versions { Uuid::new_v4().to_string() } else { number.to_string() };
        let last_updated = format!("{now:.3}");
        let stored = resource.map(|resource| resource.stored(id, &version_id, &last_updated)).transpose()?;
        Ok(self.push(kind, id, version_id, last_updated, stored))
    }

    fn push(
        &mut self,
        name: &str,
        id: &str,
        version_id: String,
        last_updated: String,
        resource: Option<Stored>,
    ) -> Version {
        if let Ok(number) = id.parse() {
            self.last_number = self.last_number.max(number);
        }
        self.changes += 1;
        let kind = self.kinds.entry(name.to_owned()).or_default();
        for value in resource.iter().flat_map(identifier_values) {
            kind.by_identifier.entry(value).or_default().insert(id.to_owned());
        }
        let versions = kind.by_id.entry(id.to_owned()).or_default();
        if versions.is_empty() {
            kind.ids.push(id.to_owned());
        }
        let number = versions.last().map_or(1, |version| version.number + 1);
        let version = Version { number, version_id, last_updated, resource, order: self.changes };
        versions.push(version.clone());
        self.pending.push((name.to_owned(), id.to_owned()));
        version
    }

    /// Keeps the changes made since the last commit, all or none of them after
    /// a crash.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let line = serde_json::to_vec(&self.pending_changes(&pending));
        let line = line.map_err(|error| Failure::new(500, "exception", error.to_string()))?;
        if let Some(journal) = &mut self.journal {
            journal.append(line);
        }
        Ok(())
    }

    fn pending_changes<'a>(&'a self, pending: &'a [(String, String)]) -> Vec<Change<'a>> {
        let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
        let mut changes: Vec<Change<'a>> = Vec::new();
        // A resource changed twice in one commit has two versions at its end.
        for (kind, id) in pending.iter().rev() {
            let back = seen.entry((kind, id)).or_default();
            *back += 1;
            let versions = self.versions(kind, id);
            let Some(version) = versions.len().checked_sub(*back).and_then(|index| versions.get(index)) else {
                continue;
            };
            let (updated, resource) = (&version.last_updated, version.resource.as_ref().map(Stored::raw));
            changes.push(Change { kind, id, version: &version.version_id, updated, resource });
        }
        changes.reverse();
        changes
    }

    /// Takes back the changes made since the last commit.
    pub(super) fn roll_back(&mut self) {
        for (kind, id) in std::mem::take(&mut self.pending).into_iter().rev() {
            let Some(kind) = self.kinds.get_mut(&kind) else { continue };
            let Some(versions) = kind.by_id.get_mut(&id) else { continue };
            versions.pop();
            if versions.is_empty() {
                kind.by_id.remove(&id);
                kind.ids.retain(|other| *other != id);
            }
        }
    }

    /// What to wait for before an answer that shows the state as it is now.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        self.journal.as_ref().map(Journal::ticket)
    }
}

fn identifier_values(stored: &Stored) -> Vec<String> {
    let value = stored.value();
    let identifiers = value["identifier"].as_array().map(Vec::as_slice).unwrap_or_default();
    identifiers.iter().filter_map(|identifier| identifier["value"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Resource {
        let text = format!(r#"{{"resourceType":"Device","identifier":[{{"value":"{name}"}}]}}"#);
        Resource::parse(&text).unwrap()
    }

    fn put(store: &mut Store, id: &str, name: &str) -> Version {
        store.put("Device", id, Some(&device(name)), Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn versions_count_up_and_go_on_after_a_deletion() {
        let mut store = Store::in_memory(false);
        put(&mut store, "a", "1");
        store.put("Device", "a", None, Timestamp::UNIX_EPOCH).unwrap();
        assert!(store.current("Device", "a").is_none());
        assert_eq!(put(&mut store, "a", "2").version_id, "3");
        assert_eq!(store.counts(), BTreeMap::from([("Device".to_owned(), 1)]));
    }

    #[test]
    fn roll_back_leaves_what_was_committed() {
        let mut store = Store::in_memory(false);
        put(&mut store, "a", "1");
        store.commit().unwrap();
        put(&mut store, "a", "2");
        put(&mut store, "b", "3");
        store.roll_back();
        assert_eq!(store.newest("Device", "a").unwrap().version_id, "1");
        assert_eq!(store.ids("Device").collect::<Vec<_>>(), ["a"]);
    }

    #[tokio::test]
    async fn reopened_store_holds_what_was_committed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), true).unwrap();
        put(&mut store, "a", "1");
        let second = put(&mut store, "a", "2");
        store.put("Device", "7", None, Timestamp::UNIX_EPOCH).unwrap();
        store.commit().unwrap();
        put(&mut store, "b", "never committed");
        store.ticket().unwrap().durable().await.unwrap();
        // The lock of the old store ends with its writer.
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join("resources.jsonl"), copy.path().join("resources.jsonl")).unwrap();

        let mut again = Store::open(copy.path(), true).unwrap();
        assert_eq!(again.newest("Device", "a").unwrap().version_id, second.version_id);
        assert_eq!(again.versions("Device", "a").len(), 2);
        assert!(again.newest("Device", "7").unwrap().resource.is_none());
        assert!(again.newest("Device", "b").is_none());
        assert_eq!(again.ids_with_identifier("Device", "2").collect::<Vec<_>>(), ["a"]);
        assert_eq!(again.next_number(), 8);
    }
}
